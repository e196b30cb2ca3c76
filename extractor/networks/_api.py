"""What a network is to fstore, and the table of the networks that it knows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from fstore.errors import DataError
from fstore.extractor.preprocess import Preprocess
from fstore.registry import Registry

if TYPE_CHECKING:
    from torch import nn

__all__ = ["NETWORKS", "Beside", "Network", "StatedLayout", "Tokens", "network"]

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
class Tokens:
    """What the tokens of a transformer's outputs ``(N, prefix + height * width, C)`` are.

    Attributes
    ----------
    prefix : int
        Tokens before the patches: class, distillation and register tokens.
    height, width : int
        The grid of patches, which follow row by row.
    """

    prefix: int
    height: int
    width: int

    def __post_init__(self) -> None:
        """Refuse numbers that no grid has."""
        for name, least in (("prefix", 0), ("height", 1), ("width", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise DataError(f"Tokens: {name}={value!r}; expected a whole number from {least}")


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
    layouts : mapping of layer name or tap to layout, or to Tokens
        Only for layers of which fstore says that it cannot tell where their channels are, or
        which places of the image their tokens are.
    tokens : Tokens or None
        What the tokens of all layers are, where the network's operations do not tell.
    code : str
        Part of the definition of its layers, beside the operations that run: the hash of the file
        that states it, where that is a file of the user's own.
    formerly : sequence of Preprocess
        What earlier versions of the network's function stated as ``preprocess``. Checkpoints
        that were registered then are prepared as they were; one whose record is neither is
        refused, since responses of two preprocessings would mix.

    Raises
    ------
    DataError
        A field is of another kind; it is named.
    """

    name: str
    model: "nn.Module"
    preprocess: Preprocess
    layers: Mapping[str, str]
    recipe: Mapping[str, object] = field(default_factory=dict)
    beside: Mapping[str, Beside] = field(default_factory=dict)
    layouts: Mapping[str, "StatedLayout | Tokens"] = field(default_factory=dict)
    tokens: Tokens | None = None
    code: str = ""
    formerly: Sequence[Preprocess] = ()

    def __post_init__(self) -> None:
        """Refuse fields of another kind, before something is made of them."""
        from torch import nn

        if not isinstance(self.name, str) or not self.name:
            raise DataError(f"Network: name={self.name!r}; expected a text")
        _check_kind(
            self, "model", kind=nn.Module, wanted="a torch.nn.Module, not its class or its weights"
        )
        _check_kind(
            self, "preprocess", kind=Preprocess, wanted="fstore's Preprocess(size, resize, ...)"
        )
        _check_layers(self)
        _check_kind(self, "recipe", kind=Mapping, wanted="a mapping, as in {'lr': 0.01}")
        if any(not isinstance(p, Preprocess) for p in self.formerly):
            raise DataError(f"Network: formerly={self.formerly!r}; expected Preprocesses")
        _check_kind(self, "beside", kind=Mapping, wanted="a mapping of layer name to Beside")
        for layer, beside in self.beside.items():
            if not isinstance(layer, str) or not isinstance(beside, Beside):
                raise DataError(f"Network: beside holds {layer!r}: {beside!r}; expected a Beside")
        _check_kind(
            self, "layouts", kind=Mapping, wanted="a mapping, as in {'conv1': 'channels_last'}"
        )
        for layer, layout in self.layouts.items():
            if not isinstance(layout, Tokens) and layout not in get_args(StatedLayout):
                layouts = ", ".join(get_args(StatedLayout))
                raise DataError(
                    f"layouts[{layer!r}]: there is no layout {layout!r}; use {layouts}, "
                    "or Tokens(prefix, height, width)"
                )
        if not isinstance(self.tokens, Tokens | None):
            raise DataError(
                f"Network: tokens is {self.tokens!r}; expected Tokens(prefix, height, width)"
            )


def _check_kind(network: Network, name: str, *, kind: type, wanted: str) -> None:
    value = getattr(network, name)
    if not isinstance(value, kind):
        actual = value.__name__ if isinstance(value, type) else type(value).__name__
        raise DataError(f"Network: {name} is {actual}; expected {wanted}")


def _check_layers(network: Network) -> None:
    """Refuse a list of layers: which of name and tap it means would be a guess."""
    _check_kind(
        network,
        "layers",
        kind=Mapping,
        wanted="a mapping of layer name to tap, as in {'conv1': 'features.0'}",
    )
    for layer, tap in network.layers.items():
        if not isinstance(layer, str) or not isinstance(tap, str) or not layer or not tap:
            raise DataError(
                f"Network: layers holds {layer!r}: {tap!r}; expected texts, a layer's name and its "
                "tap, as in {'conv1': 'features.0'}"
            )


NETWORKS: Registry[Callable[..., Network]] = Registry("network")


def network(name: str) -> Callable[[Callable[..., Network]], Callable[..., Network]]:
    """Register a function that builds a :class:`Network`; it takes ``classes``, the outputs.

    The function must be cheap to import: torch is imported inside it.
    """
    return NETWORKS.register(name)
