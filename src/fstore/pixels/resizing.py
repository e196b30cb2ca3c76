"""Whole images made smaller or larger, as Pillow does it or as OpenCV does; NumPy and Pillow only.

Pillow smooths an image as it gets smaller: every pixel that goes is in what remains. OpenCV, and
so Caffe, looks at the neighbours of one point. Values differ: where an image has fine lines, by
a hundred grey levels.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fstore.errors import DataError
from fstore.pixels.image_files import upright
from fstore.pixels.warps import CropStart, Exif, Interpolation, ResizeMode, crop_offset, resized

__all__ = ["LARGEST", "whole"]

LARGEST = 100_000_000
"""Pixels of a whole image after resizing, 300 MB: a strip of 60,000 x 1 would become 46 GB."""

_PILLOW = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}
_SHARPNESS = -0.75
"""Of the cubic through four points, as in OpenCV and in torch; Pillow's, smoothed, has -0.5."""

Pixels: TypeAlias = NDArray[np.uint8]
Places: TypeAlias = NDArray[np.int64]
Weights: TypeAlias = NDArray[np.int32]


def whole(
    image: Image.Image,
    *,
    size: int,
    resize: int,
    mode: ResizeMode,
    crop: CropStart,
    interpolation: Interpolation,
    antialias: bool,
    exif: Exif,
) -> Image.Image:
    """Return the pixels that a network sees of a whole image: upright, resized, centre-cropped.

    Parameters
    ----------
    image : Image of mode RGB
        Left as it is.
    size, resize, mode, crop, interpolation, antialias, exif
        As in ``fstore.extractor.preprocess.Preprocess``, where ``mode`` is ``resize_mode``.

    Returns
    -------
    Image of mode RGB, size x size

    Raises
    ------
    DataError
        The image would become larger than :data:`LARGEST` before its centre is cut out.
    """
    if exif == "apply":
        image = upright(image)
    wide, high = resized(image.width, image.height, size=size, resize=resize, mode=mode)
    if wide * high > LARGEST:
        raise DataError(
            f"an image of {image.width} x {image.height} pixels becomes one of {wide} x {high} "
            f"before its centre is cut out; at most {LARGEST} pixels are made: crop it, or leave "
            "it out"
        )
    left, top = (crop_offset(side, size=size, mode=mode, start=crop) for side in (wide, high))
    if (wide, high) != image.size and not antialias and interpolation in _POINTS:
        columns, rows = np.arange(left, left + size), np.arange(top, top + size)
        pixels = np.asarray(image)
        points = _POINTS[interpolation]
        return Image.fromarray(points(pixels, rows=rows, columns=columns, target=(high, wide)))
    if (wide, high) != image.size:
        image = image.resize((wide, high), _PILLOW[interpolation])
    if (wide, high) != (size, size):
        image = image.crop((left, top, left + size, top + size))
    return image


def _linear(pixels: Pixels, *, rows: Places, columns: Places, target: tuple[int, int]) -> Pixels:
    """Resize as OpenCV does with INTER_LINEAR, bit by bit; of the result, rows and columns.

    OpenCV counts in whole numbers: weights are 2048ths, and what the horizontal pass gives loses
    four bits before the vertical one.
    """
    high, wide = pixels.shape[:2]
    y, y_part = _places(rows, high, target[0])
    x, x_part = _places(columns, wide, target[1])
    x_part[(x < 0) | (x >= wide - 1)] = 0
    low, other = _in_2048ths(x_part)
    x0, x1 = np.clip(x, 0, wide - 1), np.clip(x + 1, 0, wide - 1)

    def across(lines: Places) -> Weights:
        chosen = pixels[np.clip(lines, 0, high - 1)]
        left, right = (chosen[:, place].astype(np.int32) for place in (x0, x1))
        left *= low[:, None]
        right *= other[:, None]
        left += right
        left >>= 4
        return left

    above, below = _in_2048ths(y_part)
    upper, lower = across(y), across(y + 1)
    upper *= above[:, None, None]
    lower *= below[:, None, None]
    upper >>= 16
    lower >>= 16
    upper += lower
    upper += 2
    upper >>= 2
    return upper.astype(np.uint8)


def _cubic(pixels: Pixels, *, rows: Places, columns: Places, target: tuple[int, int]) -> Pixels:
    """Resize by the cubic through four points, edges repeated, rounded once at the end."""
    high, wide = pixels.shape[:2]
    y, y_weights = _four(rows, high, target[0])
    x, x_weights = _four(columns, wide, target[1])
    lines = sum(pixels[y[k]] * y_weights[k, :, None, None] for k in range(4))
    points = sum(lines[:, x[k]] * x_weights[k, :, None] for k in range(4))
    levels: Pixels = np.clip(np.rint(points), 0, 255).astype(np.uint8)
    return levels


_POINTS = {"bilinear": _linear, "bicubic": _cubic}
"""Resizing that looks at the neighbours of one point; the nearest pixel does in any case."""


def _places(wanted: Places, source: int, target: int) -> tuple[Places, NDArray[np.float32]]:
    """Return the pixel before each point that is looked at, maybe -1, and how far beyond it is."""
    point = ((wanted + 0.5) * (source / target) - 0.5).astype(np.float32)
    before = np.floor(point).astype(np.int64)
    return before, (point - before).astype(np.float32)


def _in_2048ths(part: NDArray[np.float32]) -> tuple[Weights, Weights]:
    """Return the weights of the pixels before and after, each rounded by itself."""
    before, after = (np.rint(w * np.float32(2048)) for w in (np.float32(1) - part, part))
    return before.astype(np.int32), after.astype(np.int32)


def _four(wanted: Places, source: int, target: int) -> tuple[Places, NDArray[np.float32]]:
    """Return four pixels around each point and their weights, each of shape (4, n)."""
    point = (wanted + 0.5) * (source / target) - 0.5
    first = np.floor(point).astype(np.int64)
    steps = np.arange(-1, 3)[:, None]
    z = np.abs(point - first - steps)
    a = _SHARPNESS
    near = ((a + 2) * z - (a + 3)) * z * z + 1
    far = ((a * z - 5 * a) * z + 8 * a) * z - 4 * a
    places = np.clip(first + steps, 0, source - 1)
    return places, np.where(z <= 1, near, far).astype(np.float32)
