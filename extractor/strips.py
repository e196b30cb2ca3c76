"""Which places of the image a dimension runs over, in which order: kept exactly through reshapes.

A dimension of places is woven of strips: 14 rows, then 14 columns for the tokens of a transformer,
row by row; window rows, window columns for a window. Splitting, merging and permuting dimensions
move strips and never lose one; so what is a grid again at the end is known to be one, and what is
in another order is known not to be.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Literal, TypeAlias

__all__ = [
    "CHANNEL",
    "PLACE",
    "SAMPLE",
    "UNKNOWN",
    "Axes",
    "Axis",
    "Strip",
    "Woven",
    "fresh",
    "is_place",
    "merged",
    "resized",
    "rolled",
    "split",
]

SAMPLE, CHANNEL, PLACE, UNKNOWN = "sample", "channel", "place", "unknown"
"""PLACE says: places, but not in which order."""


@dataclass(frozen=True)
class Strip:
    """A run over samples, rows, columns, or the places of a sequence.

    Attributes
    ----------
    along : {"sample", "row", "column", "line"}
    extent : int
        How many there are in all.
    size, stride : int
        How many this run takes, and how far apart.
    shift : int
        How far the whole run, which this is or is a piece of, was rolled.
    """

    along: Literal["sample", "row", "column", "line"]
    extent: int
    size: int
    stride: int = 1
    shift: int = 0

    @property
    def covers(self) -> bool:
        """Whether the run goes over all of the image, regularly."""
        return self.size * self.stride == self.extent


@dataclass(frozen=True)
class Woven:
    """A dimension of which the order of its places is known.

    Attributes
    ----------
    strips : tuple of Strip
        The slowest first.
    prefix : int
        How many entries come before that are no places: class and register tokens.
    """

    strips: tuple[Strip, ...]
    prefix: int = 0

    @property
    def length(self) -> int:
        """How many entries the dimension has."""
        return self.prefix + prod(strip.size for strip in self.strips)

    @property
    def along(self) -> set[str]:
        """The directions that it runs over."""
        return {strip.along for strip in self.strips}


Axis: TypeAlias = str | Woven
Axes: TypeAlias = tuple[Axis, ...]


def is_place(axis: Axis) -> bool:
    """Tell whether a dimension is one of places, in whatever order."""
    return axis == PLACE or (isinstance(axis, Woven) and "sample" not in axis.along)


def fresh(along: Literal["row", "column", "line"], size: int) -> Woven:
    """Return the dimension of all rows, columns or places of a sequence."""
    return Woven((Strip(along, size, size),))


def resized(axis: Axis, size: int) -> Axis:
    """Return what a dimension is after an operation that may change how many places it has.

    Pooling, padding or cropping all the rows gives all the rows of a smaller or larger map; of
    anything else it is not known what is left.
    """
    if not isinstance(axis, Woven) or axis.length == size:
        return axis
    (first, *others) = axis.strips
    if others or axis.prefix or not first.covers or first.shift or first.along == "sample":
        return PLACE if is_place(axis) else UNKNOWN
    return Woven((Strip(first.along, size, size),))


def rolled(axis: Axis, by: int) -> Axis:
    """Return a dimension whose entries were moved on, the last ones to the front."""
    if not isinstance(axis, Woven) or len(axis.strips) != 1 or axis.prefix:
        return PLACE if is_place(axis) else axis
    (run,) = axis.strips
    if not run.covers:
        return PLACE if is_place(axis) else UNKNOWN
    return Woven((replace(run, shift=(run.shift + by) % run.size),))


def merged(parts: Sequence[tuple[int, Axis]]) -> Woven | None:
    """Return dimensions, given with their sizes, made one; None if one is not known to the end."""
    strips: list[Strip] = []
    for size, axis in parts:
        if axis == SAMPLE:
            strips.append(Strip("sample", size, size))
        elif isinstance(axis, Woven) and not axis.prefix:
            strips += axis.strips
        else:
            return None
    return Woven(tuple(strips))


def split(whole: Woven, sizes: Sequence[int]) -> list[Axis] | None:
    """Return a dimension made several of some sizes; None if they cut a strip unevenly."""
    left = list(whole.strips)
    made: list[Axis] = []
    for size in sizes:
        taken: list[Strip] = []
        missing = size
        while missing > 1:
            strip = left.pop(0)
            if missing % strip.size == 0:
                taken.append(strip)
                missing //= strip.size
            elif strip.size % missing == 0:
                inner = strip.size // missing
                taken.append(replace(strip, size=missing, stride=strip.stride * inner))
                left.insert(0, replace(strip, size=inner))
                missing = 1
            else:
                return None
        made.append(_named(Woven(tuple(_joined(taken)))))
    return made


def _joined(strips: Sequence[Strip]) -> list[Strip]:
    """Join neighbours that are one run: four windows' rows of seven are 28 rows."""
    joined: list[Strip] = []
    for strip in strips:
        last = joined[-1] if joined else None
        same = last is not None and _of_one_run(last, strip)
        if last is not None and same and last.stride == strip.stride * strip.size:
            joined[-1] = replace(last, size=last.size * strip.size, stride=strip.stride)
        else:
            joined.append(strip)
    return joined


def _of_one_run(one: Strip, other: Strip) -> bool:
    runs = [(strip.along, strip.extent, strip.shift) for strip in (one, other)]
    return runs[0] == runs[1]


def _named(axis: Woven) -> Axis:
    """Call all the samples what they are."""
    whole = len(axis.strips) == 1 and axis.strips[0].covers and axis.strips[0].stride == 1
    return SAMPLE if whole and axis.along == {"sample"} else axis
