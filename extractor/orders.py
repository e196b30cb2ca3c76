"""Grids of places that lie in one dimension: in which order, and how they come row by row."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from fstore.extractor.strips import Axis, Strip, Woven

__all__ = ["Grid", "grid_of", "row_by_row"]


@dataclass(frozen=True)
class Grid:
    """A whole image in one dimension.

    Attributes
    ----------
    prefix : int
        Entries before its places.
    height, width : int
    order : tuple of Strip
        In which the places come; of no length where that is row by row.
    """

    prefix: int
    height: int
    width: int
    order: tuple[Strip, ...] = ()


def grid_of(axis: Axis) -> Grid | None:
    """Return the grid that a dimension runs over, each place once; None if it is none."""
    if not isinstance(axis, Woven) or axis.along != {"row", "column"}:
        return None
    height, width = (_length(axis.strips, along) for along in ("row", "column"))
    if not height or not width:
        return None
    is_plain = [s.along for s in axis.strips] == ["row", "column"]
    return Grid(axis.prefix, height, width, () if is_plain else axis.strips)


def _length(strips: Sequence[Strip], along: str) -> int:
    """Return how many rows, or columns, strips take, regularly over all; 0 if they do not."""
    runs = sorted((s for s in strips if s.along == along), key=lambda s: s.stride)
    length = 1
    for run, above in zip(runs, [*runs[1:], None], strict=True):
        end = run.extent if above is None else above.stride
        if run.shift or run.size * run.stride != end:
            return 0
        length *= run.size
    return length


def row_by_row(output: Tensor, order: Sequence[Strip]) -> Tensor:
    """Return an output whose last dimension is a grid in some order as one row by row.

    Parameters
    ----------
    output : Tensor of shape (..., height * width)
    order : sequence of Strip
    """
    slowest_first = sorted(
        range(len(order)), key=lambda at: (order[at].along != "row", -order[at].stride)
    )
    leading = output.dim() - 1
    apart = output.unflatten(-1, [strip.size for strip in order])
    moved = apart.permute(*range(leading), *(leading + at for at in slowest_first))
    return moved.flatten(leading)
