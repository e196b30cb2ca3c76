"""A compiled loop that stretches a region to a network's input and normalises it on the way.

Imports numba: import this module inside functions. Each operation is rounded to float32 on its
own, as NumPy and torch do it, so that a region has the same bits wherever it is stretched.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fstore.compiled import compiled

__all__ = ["Colours", "Cut", "stretch_region"]

Axis: TypeAlias = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]
"""Two source pixels for every target pixel, and the weight of the second."""


class Cut(NamedTuple):
    """A region's pixels, (h, w, 3) uint8, and where in the input they go: its first row, column."""

    pixels: NDArray[np.uint8]
    rows: Axis
    columns: Axis
    corner: tuple[int, int]


class Colours(NamedTuple):
    """Which of a pixel's channels each of the input is, and how they are normalised.

    ``mean`` is of shape (3, 1, 1) or that of the input, ``std`` of shape (3,).
    """

    channels: tuple[int, int, int]
    scale: np.float32
    mean: NDArray[np.float32]
    std: NDArray[np.float32]


@compiled
def stretch_region(cut: Cut, colours: Colours, out: NDArray[np.float32]) -> None:
    """Write ``(stretched * scale - mean) / std``; rows are blended first, then columns.

    Parameters
    ----------
    cut : Cut
    colours : Colours
    out : array of shape (3, size, size), float32
        What lies outside the region is left as it is.
    """
    pixels, mean, scale = cut.pixels, colours.mean, colours.scale
    above, below, down = cut.rows
    left, right, along = cut.columns
    first_row, first_column = cut.corner
    width, length = pixels.shape[1], len(left)
    line, target = np.empty(width, np.float32), np.empty(length, np.float32)
    for c in range(3):
        source, deviation = colours.channels[c], colours.std[c]
        for i in range(len(above)):
            y = first_row + i
            top, bottom, weight = pixels[above[i]], pixels[below[i]], down[i]
            for j in range(width):
                a, b = np.float32(top[j, source]), np.float32(bottom[j, source])
                line[j] = (b - a) * weight + a
            for j in range(length):
                a, b = line[np.uintp(left[j])], line[np.uintp(right[j])]
                target[j] = ((b - a) * along[j] + a) * scale
            of_row = out[c, y, first_column : first_column + length]
            if mean.shape[1] == 1:
                shift = mean[c, 0, 0]
                for j in range(length):
                    of_row[j] = (target[j] - shift) / deviation
            else:
                shifts = mean[c, y, first_column : first_column + length]
                for j in range(length):
                    of_row[j] = (target[j] - shifts[j]) / deviation
