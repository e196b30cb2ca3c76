"""What the dimensions of a layer's output mean: known, stated by the user, or refused.

- ``(N, C)`` and ``(N, C, 1, 1)``: one number a channel, handed out as ``(N, C)``;
- ``(N, C, H, W)`` and, with channels last, ``(N, H, W, C)``: maps, handed out as ``(N, C, H, W)``;
- ``(N, prefix + H * W, C)`` and ``(N, C, prefix + H * W)``: tokens of an image, handed out as maps
  ``(N, C, H, W)``; the prefix, class and register tokens, another layer, ``(N, prefix * C)``;
- ``(N, T, C)`` of other tokens, as maps of T x 1; ``(N, C, L)``: sequences, as maps of L x 1;
- all of these with the samples second, as in ``(T, N, C)``.

Where the samples are, a run with two of them tells. Where the channels are is known in two ways.
The operations tell (:mod:`fstore.extractor.axes`): a convolution's channels are its second
dimension, and they are followed from there. And a run at twice the input size tells: what grows is
no channel. Which tokens are which places of the image the operations alone tell: a run at another
size gives their number and not their order. Where nothing tells, or the sources contradict, the
user states it in ``Network(layouts=..., tokens=...)``; else the layer is refused.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isqrt
from typing import Literal, TypeAlias

from torch import Tensor

from fstore.errors import DataError
from fstore.extractor.networks import StatedLayout, Tokens
from fstore.extractor.orders import grid_of, row_by_row
from fstore.extractor.strips import CHANNEL, SAMPLE, UNKNOWN, Axes, Axis, Strip, Woven, is_place

__all__ = [
    "Evidence",
    "Layout",
    "arrange",
    "channel_of",
    "definition_of",
    "find_layout",
    "likely_tokens",
    "not_a_response",
]

Kind: TypeAlias = Literal["vector", "first", "last", "tokens", "sequence"]
STATED: Mapping[tuple[str, int], Kind] = {
    ("channels_first", 4): "first",
    ("channels_last", 4): "last",
    ("channels_first", 3): "sequence",
    ("channels_last", 3): "tokens",
    ("tokens", 3): "tokens",
    ("vector", 2): "vector",
}


@dataclass(frozen=True)
class Layout:
    """How an output is read.

    Attributes
    ----------
    kind : str
        ``vector``, ``first`` and ``last`` for where the channels of maps are, ``tokens`` with
        channels last, ``sequence`` with channels second.
    tokens : Tokens or None
        Of ``tokens`` and ``sequence``: the places that they are, in the image.
    batch : int
        The dimension of the samples.
    prefix : bool
        Whether the tokens before the places are meant, not the places.
    order : tuple of Strip
        In which the places come, where that is not row by row.
    """

    kind: Kind
    tokens: Tokens | None = None
    batch: int = 0
    prefix: bool = False
    order: tuple[Strip, ...] = ()

    @property
    def is_as_it_stands(self) -> bool:
        """Whether the output's values are in the order in which they are stored."""
        grid = self.tokens
        plain = self.kind in {"vector", "first", "sequence"} and self.batch == 0
        return plain and (grid is None or (grid.prefix == 0 and not self.order))

    @property
    def text(self) -> str:
        """The same text in every version, for definitions."""
        grid = self.tokens
        parts = [self.kind] if grid is None else [self.kind, f"{grid.prefix}"]
        if grid is not None and not self.prefix:
            parts.append(f"{grid.height}x{grid.width}")
        parts += [f"{s.along} {s.size} {s.stride}" for s in self.order if not self.prefix]
        return " ".join([*parts, *["prefix"] * self.prefix, *[f"batch {self.batch}"] * self.batch])


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
    prefix : bool
        Whether the layer is the tokens before those of the image's places.
    """

    shape: tuple[int, ...]
    axes: Axes = ()
    larger: tuple[int, ...] = ()
    two: tuple[int, ...] = ()
    prefix: bool = False

    @property
    def grown(self) -> set[int]:
        """The dimensions that grow with the input."""
        if len(self.larger) != len(self.shape):
            return set()
        pairs = zip(self.larger, self.shape, strict=True)
        return {at for at, (large, small) in enumerate(pairs) if large > small}

    @property
    def batch(self) -> int:
        """The dimension of the samples: the only one that two samples make two of."""
        pairs = list(zip(self.shape, self.two, strict=False))
        twice = [at for at, (one, two) in enumerate(pairs) if one != two]
        same = len(self.two) == len(self.shape)
        if same and len(twice) == 1 and pairs[twice[0]] == (1, 2):
            return twice[0]
        return self.axes.index(SAMPLE) if not self.two and SAMPLE in self.axes else 0

    @property
    def samples_first(self) -> "Evidence":
        """The same of the output with its samples moved to the front."""
        at = self.batch
        moved = {k: _to_front(getattr(self, k), at) for k in ("shape", "axes", "larger", "two")}
        return replace(self, **moved) if at else self


def _to_front(values: tuple[object, ...], at: int) -> tuple[object, ...]:
    return (values[at], *values[:at], *values[at + 1 :]) if values else values


def not_a_response(evidence: Evidence) -> str:
    """Say why an output can be no layer, whatever its dimensions mean; empty if it may be one."""
    moved = evidence.samples_first
    shape = evidence.shape
    if len(shape) not in {2, 3, 4} or moved.shape[0] != 1:
        return (
            f"gives {shape} for one sample; expected (1, channels), "
            "(1, channels, height, width) or (1, tokens, channels)"
        )
    if moved.two and moved.two != (2, *moved.shape[1:]):
        return f"gives {shape} for one sample and {evidence.two} for two: not one response a sample"
    return ""


def find_layout(
    evidence: Evidence,
    stated: StatedLayout | Tokens | None = None,
    *,
    tokens: Tokens | None = None,
) -> Layout | None:
    """Return how an output is read; None where that is neither known nor stated.

    Parameters
    ----------
    evidence : Evidence
    stated : StatedLayout, Tokens or None
        What the network states of this layer.
    tokens : Tokens or None
        What it states of all its tokens.

    Raises
    ------
    DataError
        What is stated is no layout, or none of an output with that many dimensions.
    """
    told = evidence.samples_first
    if isinstance(stated, Tokens):
        tokens = _fitting(stated, told.shape)
        return Layout("tokens", tokens, batch=evidence.batch, prefix=told.prefix)
    kind = _kind(told) if stated is None else _stated(stated, told.shape)
    if kind is None:
        return None
    if kind not in {"tokens", "sequence"}:
        return Layout(kind, batch=evidence.batch)
    at = 1 if kind == "tokens" else 2
    places = _places(told, at, tokens=tokens, is_stated=stated is not None)
    if places is None:
        return None
    grid = grid_of(told.axes[at]) if told.axes and places else None
    order = () if grid is None else grid.order
    return Layout(kind, places or None, batch=evidence.batch, prefix=told.prefix, order=order)


def _kind(evidence: Evidence) -> Kind | None:
    shape = evidence.shape
    if len(shape) == 2:
        return "vector"
    at = channel_of(evidence)
    if len(shape) == 3:
        return {1: "sequence", 2: "tokens"}.get(at)  # type: ignore[return-value]
    if shape[2:] == (1, 1) and at in {0, 1}:
        return "vector"
    if shape[1:3] == (1, 1) and at == 3:
        return "vector"
    if any(isinstance(axis, Woven) and len(axis.along) > 1 for axis in evidence.axes):
        return None  # a dimension of all places, and one more: heads
    return {1: "first", 3: "last"}.get(at)  # type: ignore[return-value]


def _fitting(tokens: Tokens, shape: tuple[int, ...]) -> Tokens:
    if len(shape) != 3 or shape[1] != tokens.prefix + tokens.height * tokens.width:
        raise DataError(f"{tokens} does not fit an output of shape {shape} for one sample")
    return tokens


def _stated(stated: StatedLayout, shape: tuple[int, ...]) -> Kind:
    if stated == "vector" and all(n == 1 for n in sorted(shape)[:-1]):
        return "vector"
    if (stated, len(shape)) not in STATED:
        raise DataError(f"layout {stated!r} does not fit an output of shape {shape} for one sample")
    layout = STATED[stated, len(shape)]
    return "vector" if layout == "first" and shape[2:] == (1, 1) else layout


def _places(
    evidence: Evidence, at: int, *, tokens: Tokens | None, is_stated: bool
) -> Tokens | Literal[False] | None:
    """Return which places a dimension runs over; False if it is no image's; None if unknown.

    The operations come first where they know the order, for a network has one statement and may
    have grids of several sizes.
    """
    size = evidence.shape[at]
    axis: Axis = evidence.axes[at] if evidence.axes else UNKNOWN
    said = _said_of_all(tokens, size)
    if (grid := grid_of(axis)) is not None:
        known = Tokens(grid.prefix, grid.height, grid.width)
        return known if said in {None, known} else None
    if said is not None and not isinstance(axis, Woven):
        return said
    if is_stated or size == 1 or (isinstance(axis, Woven) and len(axis.strips) == 1):
        return False
    other = axis == UNKNOWN and len(evidence.larger) == 3 and at not in evidence.grown
    return False if other else None


def _said_of_all(tokens: Tokens | None, size: int) -> Tokens | None:
    """Return what a network states of all its tokens, where there are so many or without prefix."""
    if tokens is None:
        return None
    area = tokens.height * tokens.width
    return replace(tokens, prefix=size - area) if size in {area, tokens.prefix + area} else None


def likely_tokens(evidence: Evidence, tokens: Tokens | None) -> Tokens | None:
    """Return what tokens would be in the usual order; for a message, for nothing tells the order.

    Of a square image that is cut into squares three times the places of its grid are added where
    the input is twice as large.
    """
    told = evidence.samples_first
    if tokens is not None:
        return tokens
    if len(told.shape) != 3:
        return None
    at = next(iter(told.grown & {1, 2}), 1)
    size = told.shape[at]
    area = (told.larger[at] - size) // 3 if told.grown else isqrt(size) ** 2
    side = isqrt(area)
    return Tokens(size - area, side, side) if side and side * side == area <= size else None


def channel_of(evidence: Evidence) -> int:
    """Return which dimension the channels are, samples first; 0 where that is not known."""
    evidence = evidence.samples_first
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
    return unknown[0] if len(unknown) == 1 and others and all(map(is_place, others)) else 0


def _by_growth(evidence: Evidence) -> int:
    still = set(range(1, len(evidence.shape))) - evidence.grown
    return still.pop() if len(still) == 1 else 0


def definition_of(digest: str, layout: Layout, evidence: Evidence) -> str:
    """Return a layer's definition: of the operations, and of its layout where that is not plain.

    Plain is what every version of fstore took it to be; so the layers that were right keep their
    definition, and those that were read another way have another one now.
    """
    if layout == Layout(_plain(evidence)):
        return digest
    return hashlib.sha256(f"{digest} {layout.text}".encode()).hexdigest()


def _plain(evidence: Evidence) -> Kind:
    shape = evidence.shape
    if len(shape) == 2 or shape[2:] == (1, 1):
        return "vector"
    if len(shape) == 3:
        return "tokens"
    return "last" if evidence.grown in ({1, 2}, {0, 1, 2}) else "first"


def arrange(output: Tensor, layout: Layout) -> Tensor:
    """Return an output with its samples first and its channels second."""
    output = output.movedim(layout.batch, 0)
    if layout.kind == "vector":
        return output.flatten(start_dim=1)  # (N, C, 1, 1) -> (N, C)
    if layout.kind in {"first", "last"}:
        return output.permute(0, 3, 1, 2) if layout.kind == "last" else output
    if layout.kind == "tokens":
        output = output.transpose(1, 2)  # (N, T, C) -> (N, C, T)
    tokens = layout.tokens
    if tokens is None:
        return output.unsqueeze(-1)  # (N, C, L) -> (N, C, L, 1)
    if layout.prefix:
        return output[..., : tokens.prefix].transpose(1, 2).flatten(1)  # (N, prefix * C)
    output = output[..., tokens.prefix :]
    if layout.order:
        output = row_by_row(output, layout.order)
    return output.unflatten(2, (tokens.height, tokens.width))
