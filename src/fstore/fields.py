"""Receptive fields: which pixels of a network's input one place of a layer's map can see."""

from dataclasses import asdict, dataclass
from typing import Any

from fstore.errors import DataError

__all__ = ["Field", "box_of"]

Spans = tuple[tuple[int, int], ...]
NUMBERS = ("size_h", "size_w", "stride_h", "stride_w", "first_row", "first_col", "input")
SPANS = ("rows", "columns")


@dataclass(frozen=True, slots=True)
class Field:
    """The box of input pixels that each place of a map can see, and nothing outside it matters.

    The place in row ``r`` sees the rows from ``first_row + r * stride_h`` on, ``size_h`` of them;
    columns likewise. They may lie outside the input, where padding is. It is the smallest such
    box: pixels in it may go unseen, as between the taps of a dilated convolution.

    Attributes
    ----------
    size_h, size_w : int
        Pixels of the box; the largest one where ``rows`` are given.
    stride_h, stride_w : int
        Pixels from one place's box to the next one's; 0 where there is one place, where each sees
        the whole input, or where ``rows`` are given.
    first_row, first_col : int
        Where the box of place (0, 0) begins, counted from 0; negative in the padding.
    input : int
        Side of the network's input, pixels.
    whole : bool
        Every place sees the whole input: behind attention, global pooling, or full connections.
    gated : bool
        Numbers that were pooled over the whole map come in besides, as those of
        squeeze-and-excitation, or of a normalisation over places: strictly each place sees all.
        The field is that of the rest, with these numbers taken as given.
    rows, columns : tuples of (first, stop)
        What each row and column of places sees, within the input, where that is not regular, as in
        windows of attention; else empty.
    """

    size_h: int
    size_w: int
    stride_h: int
    stride_w: int
    first_row: int
    first_col: int
    input: int
    whole: bool = False
    gated: bool = False
    rows: Spans = ()
    columns: Spans = ()

    def __str__(self) -> str:
        """Return the size and, behind a stroke, the stride, as in ``163/16``."""
        if self.whole:
            return "whole"
        if self.rows:
            return f"to {_by(self.size_h, self.size_w)}"
        stride = _by(self.stride_h, self.stride_w) if self.stride_h or self.stride_w else ""
        return _by(self.size_h, self.size_w) + (f"/{stride}" if stride else "")

    def to_json(self) -> dict[str, Any]:
        """Return what :meth:`from_json` reads: numbers, truth values and lists."""
        return {**asdict(self), "rows": list(self.rows), "columns": list(self.columns)}

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> "Field":
        """Return a field from what :meth:`to_json` gave.

        Raises
        ------
        ValueError, TypeError, KeyError
            It is not of that form.
        """
        told: dict[str, Any] = {name: int(state[name]) for name in NUMBERS}
        told |= {name: bool(state[name]) for name in ("whole", "gated")}
        for name in SPANS:
            told[name] = tuple((int(first), int(stop)) for first, stop in state[name])
        return cls(**told)


def box_of(field: Field, row: int, col: int, *, clip: bool = True) -> tuple[int, int, int, int]:
    """Return the box of the input that a place of a map sees.

    Parameters
    ----------
    field : Field
    row, col : int
        The place, counted from 0.
    clip : bool
        Cut it to the input. Else it may leave the input where the field does.

    Returns
    -------
    tuple of 4 ints
        ``(x0, y0, x1, y1)`` in pixels of the network's input, from 0, ``x1`` and ``y1`` behind
        the last pixel, as Pillow's ``crop`` takes it. With ``clip`` it has at least one pixel.

    Raises
    ------
    DataError
        There is no such place, as far as the field tells.
    """
    y0, y1 = _span(field, row, down=True)
    x0, x1 = _span(field, col, down=False)
    if not clip:
        return x0, y0, x1, y1
    side = field.input
    (x0, x1), (y0, y1) = _inside(x0, x1, side), _inside(y0, y1, side)
    return x0, y0, x1, y1


def _span(field: Field, at: int, *, down: bool) -> tuple[int, int]:
    spans = field.rows if down else field.columns
    if at < 0 or (spans and at >= len(spans)):
        side = "row" if down else "column"
        range_ = f"0 to {len(spans) - 1}" if spans else "those from 0 on"
        raise DataError(f"a map has no {side} {at}; there are {range_}")
    if spans:
        return spans[at]
    size, stride, first = (
        (field.size_h, field.stride_h, field.first_row)
        if down
        else (field.size_w, field.stride_w, field.first_col)
    )
    return first + at * stride, first + at * stride + size


def _inside(start: int, stop: int, side: int) -> tuple[int, int]:
    """Cut a span to the input; of one that lies in the padding the nearest pixel is left."""
    start = min(max(start, 0), side - 1)
    return start, min(max(stop, start + 1), side)


def _by(height: int, width: int) -> str:
    return str(height) if height == width else f"{height}x{width}"
