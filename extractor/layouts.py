"""What the dimensions of a layer's output mean: known, stated by the user, or refused.

- ``(N, C)`` and ``(N, C, 1, 1)``: one number a channel, handed out as ``(N, C)``;
- ``(N, C, H, W)`` and, with channels last, ``(N, H, W, C)``: maps, handed out as ``(N, C, H, W)``;
- ``(N, T, C)``: tokens, handed out as maps of T x 1; ``(N, C, L)``: sequences, as maps of L x 1.

Where the channels are is known in two ways. The operations tell (:mod:`fstore.extractor.axes`): a
convolution's channels are its second dimension, and they are followed from there. And a run at
twice the input size tells: what grows is no channel. Where neither tells, or they contradict, the
user states it in ``Network(layouts=...)``; else the layer is refused.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from fstore.errors import DataError
from fstore.extractor.axes import CHANNEL, PLACE, UNKNOWN, Axes
from fstore.extractor.networks import StatedLayout

__all__ = ["Evidence", "Layout", "arrange", "definition_of", "find_layout", "not_a_response"]

Layout = Literal["vector", "first", "last", "tokens", "sequence"]
STATED: Mapping[tuple[str, int], Layout] = {
    ("channels_first", 4): "first",
    ("channels_last", 4): "last",
    ("channels_first", 3): "sequence",
    ("channels_last", 3): "tokens",
    ("tokens", 3): "tokens",
    ("vector", 2): "vector",
}


@dataclass(frozen=True)
class Evidence:
    """What is known of a layer's output.

    Attributes
    ----------
    shape : tuple of int
        For one sample.
    axes : Axes
        What the operations say of its dimensions; of no length where that is not known.
    larger : tuple of int
        Its shape at twice the input size; of no length where the network takes no other.
    two : tuple of int
        Its shape for two samples; of no length where the network takes one at a time.
    """

    shape: tuple[int, ...]
    axes: Axes = ()
    larger: tuple[int, ...] = ()
    two: tuple[int, ...] = ()

    @property
    def grown(self) -> set[int]:
        """The dimensions that grow with the input."""
        if len(self.larger) != len(self.shape):
            return set()
        pairs = zip(self.larger, self.shape, strict=True)
        return {at for at, (large, small) in enumerate(pairs) if large > small}


def not_a_response(evidence: Evidence) -> str:
    """Say why an output can be no layer, whatever its dimensions mean; empty if it may be one."""
    shape = evidence.shape
    if len(shape) not in {2, 3, 4} or shape[0] != 1:
        return (
            f"gives {shape} for one sample; expected (1, channels), "
            "(1, channels, height, width) or (1, tokens, channels)"
        )
    if evidence.two and evidence.two != (2, *shape[1:]):
        return f"gives {shape} for one sample and {evidence.two} for two: not one response a sample"
    return ""


def find_layout(evidence: Evidence, stated: StatedLayout | None = None) -> Layout | None:
    """Return how an output is read; None where that is neither known nor stated.

    Raises
    ------
    DataError
        What is stated is no layout, or none of an output with that many dimensions.
    """
    shape = evidence.shape
    if stated is not None:
        return _stated(stated, shape)
    if len(shape) == 2:
        return "vector"
    at = _channel(evidence)
    if len(shape) == 3:
        return {1: "sequence", 2: "tokens"}.get(at)  # type: ignore[return-value]
    if shape[2:] == (1, 1) and at in {0, 1}:
        return "vector"
    if shape[1:3] == (1, 1) and at == 3:
        return "vector"
    return {1: "first", 3: "last"}.get(at)  # type: ignore[return-value]


def _stated(stated: StatedLayout, shape: tuple[int, ...]) -> Layout:
    if stated == "vector" and all(n == 1 for n in sorted(shape)[:-1]):
        return "vector"
    if (stated, len(shape)) not in STATED:
        raise DataError(f"layout {stated!r} does not fit an output of shape {shape} for one sample")
    layout = STATED[stated, len(shape)]
    return "vector" if layout == "first" and shape[2:] == (1, 1) else layout


def _channel(evidence: Evidence) -> int:
    """Return which dimension the channels are; 0 where that is not known."""
    told = {at for at in (_by_axes(evidence.axes), _by_growth(evidence)) if at}
    if not told and evidence.shape[2:] == (1, 1):
        return 1  # two dimensions of one place: all the values are in the other
    return told.pop() if len(told) == 1 else 0


def _by_axes(axes: Axes) -> int:
    channels = [at for at, axis in enumerate(axes) if at and axis == CHANNEL]
    if len(channels) == 1:
        return channels[0]
    unknown = [at for at, axis in enumerate(axes) if at and axis == UNKNOWN]
    others = [axis for at, axis in enumerate(axes) if at and at not in unknown]
    return unknown[0] if len(unknown) == 1 and others and set(others) == {PLACE} else 0


def _by_growth(evidence: Evidence) -> int:
    still = set(range(1, len(evidence.shape))) - evidence.grown
    return still.pop() if len(still) == 1 else 0


def definition_of(digest: str, layout: Layout, evidence: Evidence) -> str:
    """Return a layer's definition: of the operations, and of its layout where that is not plain.

    Plain is what every version of fstore took it to be; so the layers that were right keep their
    definition, and those that were read another way have another one now.
    """
    if layout == _plain(evidence):
        return digest
    return hashlib.sha256(f"{digest} {layout}".encode()).hexdigest()


def _plain(evidence: Evidence) -> Layout:
    shape = evidence.shape
    if len(shape) == 2 or shape[2:] == (1, 1):
        return "vector"
    if len(shape) == 3:
        return "tokens"
    return "last" if evidence.grown in ({1, 2}, {0, 1, 2}) else "first"


def arrange(output: Tensor, layout: Layout) -> Tensor:
    """Return an output with its channels second."""
    if layout == "vector":
        return output.flatten(start_dim=1)  # (N, C, 1, 1) -> (N, C)
    if layout == "sequence":
        return output.unsqueeze(-1)  # (N, C, L) -> (N, C, L, 1)
    if layout == "tokens":
        return output.transpose(1, 2).unsqueeze(-1)  # (N, T, D) -> (N, D, T, 1)
    return output.permute(0, 3, 1, 2) if layout == "last" else output
