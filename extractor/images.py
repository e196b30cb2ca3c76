"""From an image file to the array that a network eats; Pillow and NumPy only.

Whole images are resized and cropped, boxes are cut and warped as R-CNN does. Pixels are never
rotated by their EXIF orientation: boxes count raw pixels, and so do the networks of the paper.
"""

import hashlib
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from fstore.errors import DataError
from fstore.extractor.preprocess import Preprocess
from fstore.types import Box

__all__ = [
    "ChangedFileError",
    "decode",
    "digest_bytes",
    "inputs",
    "load_group",
    "load_sample",
    "read_bytes_checked",
    "warp_box",
    "whole_image",
]

Pixels = NDArray[np.uint8]
Input = NDArray[np.float32]

_WIDE_GREY = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_BILINEAR = Image.Resampling.BILINEAR


class ChangedFileError(DataError):
    """A file is gone or differs from the one that was registered."""


def digest_bytes(data: bytes) -> str:
    """Return the BLAKE2b-128 digest of ``data``, 32 hex digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def read_bytes_checked(path: Path, digest: str, *, uri: str = "") -> bytes:
    """Read a file and compare it with the digest that was registered.

    Parameters
    ----------
    path : Path
    digest : str
        BLAKE2b-128 of the bytes, hex; empty skips the comparison (the file could not be read
        when the data set was registered).
    uri : str
        Name of the file in messages; the path if empty.

    Raises
    ------
    ChangedFileError
        A registered file is gone, or has other bytes now.
    DataError
        The file cannot be read.
    """
    name = uri or str(path)
    try:
        data = path.read_bytes()
    except OSError as exc:
        if digest and isinstance(exc, (FileNotFoundError, NotADirectoryError)):
            raise ChangedFileError(
                f"{name}: no such file any more ({path}); put it back where it was when the data "
                "set was registered, or register the folder under a new name"
            ) from exc
        raise DataError(f"{name}: cannot be read: {exc.strerror or exc}") from exc
    if digest and (found := digest_bytes(data)) != digest:
        raise ChangedFileError(
            f"{name}: the file changed since the data set was registered (digest {found}, "
            f"registered {digest}); restore it, or register the folder under a new name"
        )
    return data


def decode(data: bytes, *, uri: str = "") -> Image.Image:
    """Decode an image to 8-bit RGB.

    Greyscale, palette, CMYK and other modes are converted, 16-bit greyscale is divided by 257,
    transparency is dropped, of an animation the first frame is taken. EXIF orientation is left
    alone, since boxes are in raw pixels.

    Raises
    ------
    DataError
        Truncated, unreadable, without pixels, or too many of them (a decompression bomb); the
        message names ``uri`` and the reason.
    """
    name = uri or "image"
    try:
        with Image.open(io.BytesIO(data)) as image:
            _check_pixels(image)
            image.load()
            return _to_rgb(image)
    except MemoryError:
        raise
    except DataError as exc:
        raise DataError(f"{name}: {exc}") from exc
    except Exception as exc:  # Pillow's readers raise all sorts on broken files
        raise DataError(f"{name}: unreadable image: {_reason(exc, data)}") from exc


def _reason(exc: Exception, data: bytes) -> str:
    if not data:
        return "the file is empty"
    if isinstance(exc, UnidentifiedImageError):
        return "not an image of a known format"
    return str(exc) or type(exc).__name__


def _check_pixels(image: Image.Image) -> None:
    if not image.width or not image.height:
        raise DataError(f"no pixels ({image.width} x {image.height})")
    limit = Image.MAX_IMAGE_PIXELS
    if limit and image.width * image.height > limit:
        raise DataError(
            f"{image.width} x {image.height} pixels, at most {limit} are decoded; shrink the image"
        )


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image.copy() if image.readonly else image
    if image.mode in _WIDE_GREY:
        grey = np.clip(np.asarray(image, dtype=np.int64), 0, 65535)
        return Image.fromarray(((grey + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise DataError("floating-point pixels have no agreed range; convert to 8 or 16 bits")
    if "transparency" in image.info:
        image = image.convert("RGBA")  # straight to RGB, Pillow warns of byte transparency
    return image.convert("RGB")


def whole_image(image: Image.Image, p: Preprocess) -> Input:
    """Return the network's input for a whole image: resized, centre-cropped, normalised.

    Parameters
    ----------
    image : Image of mode RGB
    p : Preprocess

    Returns
    -------
    array of shape (3, p.size, p.size), float32
        ``(pixel * p.scale - mean) / std``, channels in ``p.order``.
    """
    width, height = _resized(image.width, image.height, p)
    left, top = _crop_offset(width, p), _crop_offset(height, p)
    if (width, height) != image.size:
        image = image.resize((width, height), _BILINEAR)
    if (width, height) != (p.size, p.size):
        image = image.crop((left, top, left + p.size, top + p.size))
    return _normalise(np.asarray(image), p)


def _resized(width: int, height: int, p: Preprocess) -> tuple[int, int]:
    """Size after resizing; ``shorter`` truncates the longer side, as torchvision does."""
    if p.size > p.resize:
        raise DataError(f"input size {p.size} exceeds the resized side {p.resize}; make it smaller")
    if p.resize_mode == "warp":
        return p.resize, p.resize
    if width <= height:
        return p.resize, int(p.resize * height / width)
    return int(p.resize * width / height), p.resize


def _crop_offset(side: int, p: Preprocess) -> int:
    """First pixel of the centre crop: Caffe rounds down, torchvision to the even neighbour."""
    margin = side - p.size
    return margin // 2 if p.resize_mode == "warp" else round(margin / 2)


def _normalise(pixels: Pixels | Input, p: Preprocess, mean: Input | None = None) -> Input:
    """(h, w, 3) RGB pixels -> (3, h, w); ``mean`` is the mean image for these very pixels."""
    channels = (2, 1, 0) if p.order == "BGR" else (0, 1, 2)
    out = np.empty((3, *pixels.shape[:2]), dtype=np.float32)
    if mean is None:
        mean = _mean(p)
    scale = np.float32(p.scale)
    for c, source in enumerate(channels):
        plane: NDArray[Any] = pixels[:, :, source]
        if p.scale != 1.0:
            plane = np.multiply(plane, scale, out=out[c], dtype=np.float32)
        np.subtract(plane, mean[c], out=out[c], dtype=np.float32)
        if p.std[c] != 1.0:
            out[c] /= np.float32(p.std[c])
    return out


def _mean(p: Preprocess) -> Input:
    """Mean at the input's places: (3, size, size), or (3, 1, 1) where it is one a channel."""
    if p.mean_image is None:
        return np.asarray(p.mean, dtype=np.float32).reshape(3, 1, 1)
    if p.mean_image.shape != (3, p.resize, p.resize):
        raise DataError(
            f"the mean image has shape {p.mean_image.shape}, expected {(3, p.resize, p.resize)}: "
            "channels first, in the network's order, as large as the resized image"
        )
    start = (p.resize - p.size) // 2
    cut = slice(start, start + p.size)
    return np.asarray(p.mean_image[:, cut, cut], dtype=np.float32)


def warp_box(image: Image.Image, box: Box, p: Preprocess) -> Input:
    """Return the network's input for a region: R-CNN's warp with context.

    The box is scaled by ``size / (size - 2 * context)`` about its centre, rounded, clipped to
    the image, and stretched, bilinear without antialiasing, to the place in the window that it
    would have unclipped. What lies outside the image is 0 after the mean is subtracted.

    Parameters
    ----------
    image : Image of mode RGB
    box : Box
        Pixels, 1-based, inclusive.
    p : Preprocess

    Returns
    -------
    array of shape (3, p.size, p.size), float32

    Raises
    ------
    DataError
        The box has no pixel, or none inside the image.

    References
    ----------
    Girshick et al. 2014, doi:10.1109/CVPR.2014.81, and its published code (``rcnn_im_crop``),
    down to the half pixel: the centre of a 1-based box is taken as ``xmin + width / 2``.
    Differs: a strip that would round to no pixel of the window is given one.
    """
    x = _axis(box[0], box[2], image.width, p)
    y = _axis(box[1], box[3], image.height, p)
    if x is None or y is None:
        raise DataError(
            f"box {box} has no pixel in an image of {image.width} x {image.height}; boxes are "
            "(xmin, ymin, xmax, ymax), 1-based and inclusive"
        )
    mean = _mean(p)
    if p.mean_image is not None:
        mean = mean[:, y.window, x.window]
    pixels = np.asarray(image.crop((x.first, y.first, x.last, y.last)))
    patch = _normalise(_bilinear(pixels, y.length, x.length), p, mean)
    if patch.shape == (3, p.size, p.size):
        return patch
    out = np.zeros((3, p.size, p.size), dtype=np.float32)
    out[:, y.window, x.window] = patch
    return out


class _Axis:
    """One axis of a warp: image pixels ``first:last`` (from 0) fill window pixels ``window``."""

    __slots__ = ("first", "last", "length", "window")

    def __init__(self, first: int, last: int, offset: int, length: int) -> None:
        self.first, self.last, self.length = first, last, length
        self.window = slice(offset, offset + length)


def _axis(low: float, high: float, side: int, p: Preprocess) -> _Axis | None:
    """Scale, round and clip one axis of a box; None if nothing of it is inside the image."""
    if not (math.isfinite(low) and math.isfinite(high)) or high < low:
        return None
    if high < 0.5 or low >= side + 0.5:
        return None
    half = (high - low + 1) / 2
    factor = p.size / (p.size - 2 * p.context)
    start, stop = _round(low + half - half * factor), _round(low + half + half * factor)
    if p.context == 0:  # as the original: without context the box is taken as it is
        start, stop = _round(low), _round(high)
    per_pixel = p.size / (stop - start + 1)
    first, last = max(1, start), min(side, stop)
    offset = min(_round((first - start) * per_pixel), p.size - 1)
    length = min(max(_round((last - first + 1) * per_pixel), 1), p.size - offset)
    return _Axis(first - 1, last, offset, length)


def _round(value: float) -> int:
    """Nearest integer, halves away from zero (MATLAB's ``round``)."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def _bilinear(pixels: Pixels, height: int, width: int) -> Input:
    """Resize (h, w, 3) to (height, width, 3) without antialiasing or rounding; edges repeat."""
    if pixels.shape[:2] == (height, width):
        return pixels.astype(np.float32)
    y0, y1, wy = _neighbours(pixels.shape[0], height)
    x0, x1, wx = _neighbours(pixels.shape[1], width)
    rows = pixels.astype(np.float32)
    rows = _blend(rows[y0], rows[y1], wy[:, None, None])  # (height, w, 3)
    return _blend(rows[:, x0], rows[:, x1], wx[:, None])  # (height, width, 3)


def _blend(a: Input, b: Input, weight: Input) -> Input:
    """Return ``a + (b - a) * weight``, in the memory of ``b``."""
    b -= a
    b *= weight
    b += a
    return b


def _neighbours(
    source: int, target: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Two source pixels and the second's weight, for every target pixel; centres aligned."""
    place = np.clip((np.arange(target) + 0.5) * (source / target) - 0.5, 0, source - 1)
    low = np.minimum(place.astype(np.intp), max(source - 2, 0))
    high = np.minimum(low + 1, source - 1)
    return low, high, (place - low).astype(np.float32)


def load_sample(
    root: Path, uri: str, box: Box | None, preprocess: Preprocess, digest: str = ""
) -> Input:
    """Read, check, decode and preprocess one sample; safe to call from several threads.

    Returns
    -------
    array of shape (3, size, size), float32

    Raises
    ------
    ChangedFileError
        The file is not the registered one any more.
    DataError
        The image cannot be decoded, or the box lies outside of it.
    """
    sample: Input = load_group(root, uri, [box], preprocess, digest)[0]
    return sample


def load_group(
    root: Path,
    uri: str,
    boxes: Sequence[Box | None],
    preprocess: Preprocess,
    digest: str = "",
) -> Input:
    """Like :func:`load_sample` for several samples of one image, which is decoded once.

    Parameters
    ----------
    root, uri : Path, str
        Folder of the data set, and the file's path in it with ``/``.
    boxes : sequence of Box or None
        None for the whole image.
    preprocess : Preprocess
    digest : str
        Registered digest; empty skips the check.

    Returns
    -------
    array of shape (len(boxes), 3, size, size), float32
    """
    image = decode(read_bytes_checked(root / uri, digest, uri=uri), uri=uri)
    return inputs(image, boxes, preprocess, uri=uri)


def inputs(
    image: Image.Image, boxes: Sequence[Box | None], preprocess: Preprocess, *, uri: str
) -> Input:
    """Return the network's inputs for several samples of one decoded image.

    Parameters
    ----------
    image : Image of mode RGB
        Left as it is; several threads may use it at once.
    boxes : sequence of Box or None
        None for the whole image.
    preprocess : Preprocess
    uri : str
        Name of the file in messages.

    Returns
    -------
    array of shape (len(boxes), 3, size, size), float32

    Raises
    ------
    DataError
        A box lies outside of the image.
    """
    out = np.empty((len(boxes), 3, preprocess.size, preprocess.size), dtype=np.float32)
    for i, box in enumerate(boxes):
        try:
            out[i] = (
                whole_image(image, preprocess) if box is None else warp_box(image, box, preprocess)
            )
        except DataError as exc:
            raise DataError(f"{uri}: {exc}") from exc
    return out
