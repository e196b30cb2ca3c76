"""What a network is to fstore, and the table of the networks that it knows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from fstore.extractor.preprocess import Preprocess
from fstore.registry import Registry

if TYPE_CHECKING:
    from torch import nn

__all__ = ["NETWORKS", "Beside", "Network", "StatedLayout", "network"]

StatedLayout: TypeAlias = Literal["channels_first", "channels_last", "tokens", "vector"]
"""What the dimensions of an output mean: ``(N, C, H, W)`` or ``(N, C, L)``, ``(N, H, W, C)``,
``(N, tokens, C)``, or one number a channel."""


@dataclass(frozen=True)
class Beside:
    """A layer that the network does not have: an operation on the output of one of its taps.

    Attributes
    ----------
    tap : str
        Module path or node name, with maps of shape (N, C, H, W).
    operation : torch.nn.Module
        Without parameters: pooling, say. Nothing of the network comes after it.
    """

    tap: str
    operation: "nn.Module"


@dataclass(frozen=True)
class Network:
    """A model, its preprocessing and the layers that ``--layer all`` means.

    Attributes
    ----------
    name : str
        Name in the store.
    model : torch.nn.Module
        In evaluation mode, without in-place operations where it is our own.
    preprocess : Preprocess
        What its input went through.
    layers : mapping of layer name to tap
        Declared layers, from the input upwards. A tap is a module path (``features.3``), or a
        node name of the traced graph; its output is the layer.
    recipe : Mapping
        Defaults of ``fstore train pretrain`` for it: entries of
        :class:`fstore.extractor.training.Recipe`, ``iterations``, ``snapshots``. ``finetune`` and
        ``scratch`` may hold a mapping of what differs in ``fstore train finetune``; there
        ``region_iterations`` stands for ``iterations`` where it learns from regions.
    beside : mapping of layer name to Beside
        Layers that can be asked for by name and are not among those of ``--layer all``.
    layouts : mapping of layer name or tap to layout
        Only for layers of which fstore says that it cannot tell where their channels are.
    """

    name: str
    model: "nn.Module"
    preprocess: Preprocess
    layers: Mapping[str, str]
    recipe: Mapping[str, object] = field(default_factory=dict)
    beside: Mapping[str, Beside] = field(default_factory=dict)
    layouts: Mapping[str, StatedLayout] = field(default_factory=dict)


NETWORKS: Registry[Callable[..., Network]] = Registry("network")


def network(name: str) -> Callable[[Callable[..., Network]], Callable[..., Network]]:
    """Register a function that builds a :class:`Network`; it takes ``classes``, the outputs.

    The function must be cheap to import: torch is imported inside it.
    """
    return NETWORKS.register(name)
