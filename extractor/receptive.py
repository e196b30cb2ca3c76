"""Receptive fields of a network's layers, found by marking pixels and looking where marks arrive.

:class:`fstore.extractor.footprints.Marking` spreads the marks; this module chooses the pixels and
reads a size, a stride and a beginning from what arrives. At the network's own input size each
pixel of the diagonal is marked in turn, so that what is said is what was seen there. Fields that
are larger than the input cannot be read off it; the network is given a larger one then, if it takes
it (and can be thin: else that costs gigabytes), and the answer must agree with all that was seen at
its own size.

Where every place sees everything, pooled numbers (squeeze-and-excitation, statistics of a
normalisation) may be the only reason: then they are taken as given, and the field says so.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import ceil, inf
from time import monotonic
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fstore.errors import DataError
from fstore.extractor.footprints import Marking
from fstore.extractor.leftovers import without_leftovers
from fstore.extractor.networks import Network
from fstore.extractor.taps import Taps
from fstore.fields import Field
from fstore.types import LayerSpec

__all__ = ["Line", "find_fields", "fit_line"]

Bools: TypeAlias = NDArray[np.bool_]

STEP = 64
"""Larger inputs differ from the network's own by multiples of it, so that strides up to it, and
paddings that depend on what a stride leaves over, fall as they do at its own size."""

LEAST_MORE = 192
"""Pixels that a larger input has more, at least."""

BATCH = 16
SECONDS = 60.0
"""That a search may take. A network that needs longer has no fields: an extraction is not to wait
for what only cuts crops."""


@dataclass(frozen=True, slots=True)
class Line:
    """Along one side: place ``r`` sees ``size`` pixels from ``first + r * stride`` on."""

    size: int
    stride: int
    first: int

    def sees(self, pixels: NDArray[np.int64], places: int) -> Bools:
        """Return whether places see pixels, of shape (n_pixels, n_places)."""
        starts = self.first + self.stride * np.arange(places)
        return (pixels[:, None] >= starts) & (pixels[:, None] < starts + self.size)


Pair: TypeAlias = tuple[Line | None, Line | None]
"""Along the rows and along the columns; None where it is no line, or cannot be told."""


@dataclass(frozen=True, slots=True)
class Marks:
    """Where the marks of some pixels arrive, along both sides.

    Attributes
    ----------
    pixels : array of shape (n_pixels,), int64, ascending
        Each is marked in this row and this column.
    rows, cols : arrays of shape (n_pixels, n_places), bool
        Whether a row, or a column, of places has the mark.
    """

    pixels: NDArray[np.int64]
    rows: Bools
    cols: Bools

    @property
    def sides(self) -> tuple[Bools, Bools]:
        """Rows, then columns."""
        return self.rows, self.cols


def find_fields(
    network: Network, layers: Sequence[str] | None = None, *, taps: Taps | None = None
) -> dict[str, Field | str]:
    """Return the receptive fields of layers.

    Parameters
    ----------
    network : Network
        Its weights play no part and its model is left as it is.
    layers : sequence of str or None
        As :class:`fstore.extractor.taps.Taps` takes them; None for the declared layers.
    taps : Taps or None
        Of just these layers, where they were found before.

    Returns
    -------
    dict of layer to Field or str
        A text says why a layer has none.

    Raises
    ------
    UnknownNameError, DataError
        As :class:`fstore.extractor.taps.Taps`; or the network cannot be run on marks, or takes
        longer than :data:`SECONDS`.
    """
    search = _Search(network, taps or Taps(network, layers))
    search.until = monotonic() + SECONDS
    found = search.run(list(search.places), frozen=False)
    again = [n for n, f in found.items() if isinstance(f, Field) and f.whole and search.is_map(n)]
    if again and search.pooled:
        for name, field in search.run(again, frozen=True).items():
            if isinstance(field, Field) and not field.whole:
                found[name] = replace(field, gated=True)
    return found


def fit_line(pixels: NDArray[np.int64], marks: Bools) -> Line | None:
    """Return the line that marks follow, all of them; None if there is none, or more than one.

    Parameters
    ----------
    pixels : array of shape (n_pixels,), int64, ascending
    marks : array of shape (n_pixels, n_places), bool
        Whether a place sees a pixel.
    """
    begins, ends = _turns(pixels, marks)
    stride = _slope(begins) or _slope(ends)
    if not stride or not begins or not ends:
        return None
    (r, begin), (q, end) = min(begins.items()), min(ends.items())
    first = begin - stride * r
    line = Line(end + 1 - stride * q - first, stride, first)
    return line if _follow(line, pixels, marks) else None


def _follow(line: Line, pixels: NDArray[np.int64], marks: Bools) -> bool:
    """Whether marks are where a line says.

    Pixels that no place sees, as strides leave some over at the end, and places that see nothing,
    as those between paddings, say nothing about it.
    """
    seen, seeing = marks.any(axis=1), marks.any(axis=0)
    expected = line.sees(pixels, marks.shape[1])[seen][:, seeing]
    return np.array_equal(expected, marks[seen][:, seeing])


def _filled(marks: Bools) -> Bools:
    """Return marks with the gaps filled between the first and the last pixel of each place."""
    forward = np.logical_or.accumulate(marks, axis=0)
    back = np.logical_or.accumulate(marks[::-1], axis=0)[::-1]
    filled: Bools = forward & back
    return filled


def _turns(pixels: NDArray[np.int64], marks: Bools) -> tuple[dict[int, int], dict[int, int]]:
    """Return the first pixel that a place sees, and the last one, where a neighbour shows it."""
    next_to = np.flatnonzero(np.diff(pixels) == 1)
    before, behind = marks[next_to], marks[next_to + 1]
    begins = {int(r): int(pixels[next_to[k] + 1]) for k, r in np.argwhere(~before & behind)}
    ends = {int(r): int(pixels[next_to[k]]) for k, r in np.argwhere(before & ~behind)}
    return begins, ends


def _slope(points: Mapping[int, int]) -> int:
    """Return how much the value grows from place to place; 0 where that cannot be told."""
    if len(points) < 2:
        return 0
    (r, low), (q, high) = min(points.items()), max(points.items())
    return (high - low) // (q - r)


class _Stop(Exception):  # noqa: N818 - not an error: leaves the forward pass early
    """All layers that are wanted have been seen."""


class _Search:
    """Marks pixels of a network's input, and reads fields from where the marks arrive."""

    def __init__(self, network: Network, taps: Taps) -> None:
        self.network = network
        self.side = network.preprocess.size
        self.taps = taps
        self.places: dict[str, LayerSpec] = {spec.name: spec for spec in self.taps.specs}
        self.pooled = 0
        self.until = inf
        self.thin = False
        self.thin = self._can_be_thin()

    def is_map(self, name: str) -> bool:
        """Whether a layer has more than one place."""
        return self.places[name].positions > 1

    def run(self, names: Sequence[str], *, frozen: bool) -> dict[str, Field | str]:
        """Return the fields of some layers, with pooled numbers taken as given or not."""
        ends = np.array([0, self.side - 1])
        seen = self.mark(ends, names, frozen=frozen)
        some = [n for n in names if not all(side.all() for side in seen[n].sides)]
        if some:
            seen |= self.mark(np.arange(self.side), some, frozen=frozen)
        lines = {n: _lines(marks) for n, marks in seen.items()}
        unclear = [n for n in names if self.is_map(n) and _cut_off(seen[n], lines[n])]
        larger = self._in_larger(unclear, frozen=frozen) if unclear and self.thin else {}
        lines |= {n: pair for n, pair in larger.items() if _agree(pair, seen[n])}
        return {n: _field(seen[n], lines[n], side=self.side) for n in names}

    def _in_larger(self, names: Sequence[str], *, frozen: bool) -> dict[str, Pair]:
        """Return what a larger input tells of layers; nothing where the network refuses it."""
        side = self.side + STEP * ceil(max(4 * self.side, LEAST_MORE) / STEP)
        stride = 1 + max(
            ceil(self.side / min(self.places[n].height, self.places[n].width)) for n in names
        )
        # Fields that are larger than the input begin in its first part and end in its last.
        near = [side // 8 + np.arange(2 * stride), side - side // 8 - np.arange(stride + 1)]
        pixels = np.unique(np.concatenate([*near, np.arange(0, side, side // 8)]))
        try:
            seen = self.mark(pixels, names, frozen=frozen, side=side)
        except Exception:  # noqa: BLE001 - code that is run with another input size than its own
            return {}
        return {n: _lines(marks) for n, marks in seen.items()}

    def _can_be_thin(self) -> bool:
        """Whether the network's code takes thin outputs, and marks arrive where they do in full."""
        pixels, names = np.array([0, self.side // 2, self.side - 1]), list(self.places)
        full = self.mark(pixels, names, frozen=False)
        self.thin = True
        try:
            thin = self.mark(pixels, names, frozen=False)
        except Exception:  # noqa: BLE001 - code that counts channels stumbles in any way
            return False
        return all(
            np.array_equal(a, b)
            for n in names
            for a, b in zip(full[n].sides, thin[n].sides, strict=True)
        )

    def mark(
        self,
        pixels: NDArray[np.int64],
        names: Iterable[str],
        *,
        frozen: bool,
        side: int | None = None,
    ) -> dict[str, Marks]:
        """Mark each pixel of the diagonal in turn; return where the marks arrive, by layer."""
        wanted = set(names)
        seen = [
            self._forward(part, wanted, frozen=frozen, side=side or self.side)
            for part in np.array_split(pixels, ceil(len(pixels) / BATCH))
        ]
        every = {name: np.concatenate([part[name] for part in seen]) for name in wanted}
        return {
            n: Marks(pixels, _filled(np.asarray(m.any(axis=2))), _filled(np.asarray(m.any(axis=1))))
            for n, m in every.items()
        }

    def _forward(
        self, pixels: NDArray[np.int64], wanted: set[str], *, frozen: bool, side: int
    ) -> dict[str, Bools]:
        """Run one batch; return arrays of shape (n_pixels, height, width)."""
        if monotonic() > self.until:
            raise DataError(f"its receptive fields were not found within {SECONDS:.0f} s")
        model, seen = self.network.model, {}

        def visit(layer: str, response: Tensor) -> None:
            if layer in wanted:
                seen[layer] = _arrived(response, layer)
            if len(seen) == len(wanted):
                raise _Stop

        marking = Marking(thin=self.thin, frozen=frozen)
        x = _marked(pixels, side).to(_device(model))
        with without_leftovers(model), torch.random.fork_rng(devices=[]), suppress(_Stop), marking:
            self.taps.run(x, visit)
        self.pooled = max(self.pooled, marking.pooled)
        return seen


def _marked(pixels: NDArray[np.int64], side: int) -> Tensor:
    """Return an image without a mark, and one a pixel, marked there."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, side, side, generator=generator)
    images = image.repeat(len(pixels) + 1, 1, 1, 1)
    at = torch.from_numpy(pixels)
    images[torch.arange(1, len(images)), :, at, at] = torch.nan
    return images


def _arrived(response: Tensor, layer: str) -> Bools:
    """Return where marks are, of shape (n_pixels, height, width).

    Raises
    ------
    DataError
        The image without a mark gives NaN, so that marks mean nothing.
    """
    marks = response.isnan().any(dim=1)
    marks = marks if marks.dim() == 3 else marks[:, None, None]
    if bool(marks[0].any()):
        raise DataError(f"layer {layer!r} gives values that are no numbers")
    arrived: Bools = marks[1:].cpu().numpy()
    return arrived


def _device(model: nn.Module) -> torch.device:
    tensor = next(iter([*model.parameters(), *model.buffers()]), None)
    return torch.device("cpu") if tensor is None else tensor.device


def _lines(marks: Marks) -> Pair:
    rows, cols = (fit_line(marks.pixels, side) for side in marks.sides)
    return rows, cols


def _cut_off(marks: Marks, lines: Pair) -> bool:
    """Whether the input is too small to tell a line from what is none."""
    if not marks.rows.any():
        return False
    for seen, line in zip(marks.sides, lines, strict=True):
        begins, ends = _turns(marks.pixels, seen)
        if line is None and (not begins or not ends or max(len(begins), len(ends)) < 2):
            return True
    return False


def _agree(lines: Pair, marks: Marks) -> bool:
    """Whether what a larger input told is what was seen at the own size."""
    return all(
        line is not None and _follow(line, marks.pixels, seen)
        for line, seen in zip(lines, marks.sides, strict=True)
    )


def _field(marks: Marks, lines: Pair, *, side: int) -> Field | str:
    """Return the field that marks tell of: regular, of the whole input, or as it is."""
    rows, cols = lines
    if not marks.rows.any():
        return "no pixel of the input reaches it"
    if rows is not None and cols is not None:
        sizes = (rows.size, cols.size, rows.stride, cols.stride, rows.first, cols.first)
        return Field(*sizes, input=side)
    if all(seen.all() for seen in marks.sides):
        return Field(side, side, 0, 0, 0, 0, input=side, whole=True)
    spans = [_spans(seen, marks.pixels) for seen in marks.sides]
    height, width = (max(stop - first for first, stop in of) for of in spans)
    row, col = (of[0][0] for of in spans)
    return Field(height, width, 0, 0, row, col, input=side, rows=spans[0], columns=spans[1])


def _spans(seen: Bools, pixels: NDArray[np.int64]) -> tuple[tuple[int, int], ...]:
    """Return the first pixel that each place sees and the one behind the last; (0, 0): none."""
    return tuple(
        (int(pixels[at].min()), int(pixels[at].max()) + 1) if at.any() else (0, 0) for at in seen.T
    )
