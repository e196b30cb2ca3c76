"""From an image file to the array that a network eats; Pillow and NumPy only.

Whole images are resized and cropped, boxes are cut and warped as R-CNN does. Boxes count raw
pixels, whatever the EXIF orientation, and so do the networks of the paper; where a preprocessing
asks for it, whole images are turned upright, and boxes are refused.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fstore.errors import DataError
from fstore.extractor.preprocess import Preprocess
from fstore.pixels.image_files import ChangedFileError, decode, digest_bytes, read_bytes_checked
from fstore.pixels.resizing import whole
from fstore.pixels.warps import Strip, warp_axis
from fstore.types import Box, ImageFolder

__all__ = [
    "ChangedFileError",
    "decode",
    "digest_bytes",
    "inputs",
    "load_group",
    "load_sample",
    "mean_pixels",
    "neighbours",
    "read_bytes_checked",
    "refuse_upright_boxes",
    "region_strips",
    "warp_box",
    "whole_image",
]

Pixels = NDArray[np.uint8]
Input = NDArray[np.float32]


def whole_image(image: Image.Image, p: Preprocess) -> Input:
    """Return the network's input for a whole image: resized, centre-cropped, normalised.

    See :func:`fstore.pixels.resizing.whole`.

    Parameters
    ----------
    image : Image of mode RGB
    p : Preprocess

    Returns
    -------
    array of shape (3, p.size, p.size), float32
        ``(pixel * p.scale - mean) / std``, channels in ``p.order``.
    """
    shown = whole(
        image,
        size=p.size,
        resize=p.resize,
        mode=p.resize_mode,
        crop=p.crop,
        interpolation=p.interpolation,
        antialias=p.antialias,
        exif=p.exif,
    )
    return _normalise(np.asarray(shown), p)


def _normalise(pixels: Pixels, p: Preprocess) -> Input:
    """(size, size, 3) RGB pixels -> (3, size, size)."""
    channels = (2, 1, 0) if p.order == "BGR" else (0, 1, 2)
    out = np.empty((3, *pixels.shape[:2]), dtype=np.float32)
    mean = mean_pixels(p)
    scale = np.float32(p.scale)
    for c, source in enumerate(channels):
        plane: NDArray[Any] = pixels[:, :, source]
        if p.scale != 1.0:
            plane = np.multiply(plane, scale, out=out[c], dtype=np.float32)
        np.subtract(plane, mean[c], out=out[c], dtype=np.float32)
        if p.std[c] != 1.0:
            out[c] /= np.float32(p.std[c])
    return out


def mean_pixels(p: Preprocess) -> Input:
    """Return the mean at the input's places: (3, size, size), or (3, 1, 1) if one a channel.

    Raises
    ------
    DataError
        The mean image has another shape than that of the resized image.
    """
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


def warp_box(image: Image.Image, box: Box, p: Preprocess, *, out: Input | None = None) -> Input:
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
    out : array of shape (3, p.size, p.size), float32, in C's order
        Where to write it; None: a new array.

    Returns
    -------
    array of shape (3, p.size, p.size), float32

    Raises
    ------
    DataError
        The box has no pixel, or none inside the image.

    References
    ----------
    See :func:`fstore.pixels.warps.warp_axis`.
    """
    from fstore.extractor.warp_loops import Colours, Cut, stretch_region

    y, x = region_strips(image, box, p)
    pixels = np.asarray(image.crop((x.first, y.first, x.last, y.last)))
    shape = (3, p.size, p.size)
    out = np.empty(shape, dtype=np.float32) if out is None else out
    if out.shape != shape:  # compiled code would write beyond it
        raise DataError(f"out has shape {out.shape}, expected {shape}")
    if y.length < p.size or x.length < p.size:
        out[:] = 0
    rows, columns = neighbours(len(pixels), y.length), neighbours(pixels.shape[1], x.length)
    channels = (2, 1, 0) if p.order == "BGR" else (0, 1, 2)
    std = np.array(p.std, np.float32)
    colours = Colours(channels, np.float32(p.scale), mean_pixels(p), std)
    stretch_region(Cut(pixels, rows, columns, (y.offset, x.offset)), colours, out)
    return out


def region_strips(image: Image.Image, box: Box, p: Preprocess) -> tuple[Strip, Strip]:
    """Return which rows and which columns of an image a region shows, and where in the input.

    Raises
    ------
    DataError
        The box has no pixel, or none inside the image; or the context leaves it no place; or the
        preprocessing turns images upright.
    """
    refuse_upright_boxes(p)
    if p.size <= 2 * p.context:
        raise DataError(
            f"{p.context} pixels of context at each end leave no place for a box in an input of "
            f"{p.size}; the network's Preprocess must state a smaller context"
        )
    x = warp_axis(box[0], box[2], image.width, size=p.size, context=p.context)
    y = warp_axis(box[1], box[3], image.height, size=p.size, context=p.context)
    if x is None or y is None:
        raise DataError(
            f"box {box} has no pixel in an image of {image.width} x {image.height}; boxes are "
            "(xmin, ymin, xmax, ymax), 1-based and inclusive"
        )
    return y, x


def refuse_upright_boxes(p: Preprocess) -> None:
    """Refuse boxes where whole images are turned: which pixels a box means would be a guess.

    Raises
    ------
    DataError
        The preprocessing turns images upright.
    """
    if p.exif == "apply":
        raise DataError(
            "the checkpoint's preprocessing has exif='apply': whole images are turned upright, and "
            "boxes count the pixels as they are in the file; choose whole images alone (--view "
            "image), or a checkpoint with exif='ignore'"
        )


def neighbours(
    source: int, target: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Return two source pixels and the second's weight for every target pixel.

    Pixel i of n has its centre at (i + 0.5) / n of the side (``align_corners=False``); beyond the
    outermost centres the edge repeats.

    Returns
    -------
    low, high : arrays of shape (target,), intp
    weight : array of shape (target,), float32
        Of ``high``; that of ``low`` is the rest to 1.
    """
    place = np.clip((np.arange(target) + 0.5) * (source / target) - 0.5, 0, source - 1)
    low = np.minimum(place.astype(np.intp), max(source - 2, 0))
    high = np.minimum(low + 1, source - 1)
    return low, high, (place - low).astype(np.float32)


def load_sample(
    root: ImageFolder, uri: str, box: Box | None, *, preprocess: Preprocess, digest: str = ""
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
    sample: Input = load_group(root, uri, [box], preprocess=preprocess, digest=digest)[0]
    return sample


def load_group(
    root: ImageFolder,
    uri: str,
    boxes: Sequence[Box | None],
    *,
    preprocess: Preprocess,
    digest: str = "",
) -> Input:
    """Like :func:`load_sample` for several samples of one image, which is decoded once.

    Parameters
    ----------
    root, uri : ImageFolder, str
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
            if box is None:
                out[i] = whole_image(image, preprocess)
            else:
                warp_box(image, box, preprocess, out=out[i])
        except DataError as exc:
            raise DataError(f"{uri}: {exc}") from exc
    return out
