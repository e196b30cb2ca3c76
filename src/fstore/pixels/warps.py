"""Which pixels of an image become which pixels of a network's input: resize, crop, and warp."""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from fstore.errors import DataError

__all__ = [
    "CropStart",
    "Exif",
    "Interpolation",
    "ResizeMode",
    "Strip",
    "crop_offset",
    "resized",
    "warp_axis",
]

Interpolation: TypeAlias = Literal["bilinear", "bicubic", "lanczos", "nearest"]
Exif: TypeAlias = Literal["ignore", "apply"]

ResizeMode: TypeAlias = Literal["warp", "shorter"]
"""``warp``: both sides become the wanted one (Caffe, the paper); ``shorter``: the shorter does."""

CropStart: TypeAlias = Literal["nearest", "down"]
"""Where the centre crop begins if the margins are half pixels: see :func:`crop_offset`."""


@dataclass(frozen=True, slots=True)
class Strip:
    """One axis of a warp: image pixels ``first:last``, from 0, become ``length`` from ``offset``.

    Attributes
    ----------
    first, last : int
        Of the image, as a slice.
    offset, length : int
        Of the network's input; the rest of it lies outside of the image.
    """

    first: int
    last: int
    offset: int
    length: int

    @property
    def window(self) -> slice:
        """Pixels of the network's input."""
        return slice(self.offset, self.offset + self.length)


def resized(
    width: int, height: int, *, size: int, resize: int, mode: ResizeMode
) -> tuple[int, int]:
    """Return the width and height of a whole image before its centre is cut out.

    Parameters
    ----------
    width, height : int
        Pixels of the image.
    size, resize : int
        Side of the network's input, and of the image before it is cropped.
    mode : {"warp", "shorter"}
        ``shorter`` truncates the longer side to whole pixels, as torchvision does.

    Raises
    ------
    DataError
        The input is larger than what it is to be cut from.
    """
    if size > resize:
        raise DataError(f"input size {size} exceeds the resized side {resize}; make it smaller")
    if mode == "warp":
        return resize, resize
    if width <= height:
        return resize, int(resize * height / width)
    return int(resize * width / height), resize


def crop_offset(side: int, *, size: int, mode: ResizeMode, start: CropStart = "nearest") -> int:
    """Return the first pixel of the centre crop of a side.

    Half a pixel is rounded to the even neighbour, as torchvision does; down where ``start`` is
    ``down``, as Hugging Face's processors do, and in the mode ``warp``, as Caffe does.
    """
    margin = side - size
    return margin // 2 if mode == "warp" or start == "down" else round(margin / 2)


def warp_axis(low: float, high: float, side: int, *, size: int, context: int) -> Strip | None:
    """Scale, round and clip one axis of a box: R-CNN's warp with context.

    Parameters
    ----------
    low, high : float
        First and last pixel of the box, 1-based, inclusive.
    side : int
        Pixels of the image along this axis.
    size, context : int
        Side of the network's input, and how much of it, at each end, is to show what surrounds
        the box.

    Returns
    -------
    Strip or None
        None if nothing of the box is inside the image.

    References
    ----------
    Girshick et al. 2014, doi:10.1109/CVPR.2014.81, and its published code (``rcnn_im_crop``),
    down to the half pixel: the centre of a 1-based box is taken as ``low + width / 2``.
    Differs: a strip that would round to no pixel of the window is given one.
    """
    if not (math.isfinite(low) and math.isfinite(high)) or high < low:
        return None
    if high < 0.5 or low >= side + 0.5:
        return None
    half = (high - low + 1) / 2
    factor = size / (size - 2 * context)
    start, stop = _round(low + half - half * factor), _round(low + half + half * factor)
    if context == 0:  # as the original: without context the box is taken as it is
        start, stop = _round(low), _round(high)
    per_pixel = size / (stop - start + 1)
    first, last = max(1, start), min(side, stop)
    offset = min(_round((first - start) * per_pixel), size - 1)
    length = min(max(_round((last - first + 1) * per_pixel), 1), size - offset)
    return Strip(first - 1, last, offset, length)


def _round(value: float) -> int:
    """Nearest integer, halves away from zero (MATLAB's ``round``)."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))
