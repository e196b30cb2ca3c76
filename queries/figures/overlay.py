"""A response map laid over the image that it is of, so that the image stays readable."""

import re
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.queries.figures.pictures import Picture, seen

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["fitting_side", "overlay", "places", "shown", "upsampled"]

SHADE = 0.65
"""What is left of a pixel's values where there is no response: dark enough to tell, and light
enough to see what is there."""
HALF = 0.5
"""The share of the maximum at which the line is drawn, and from which on nothing is darkened."""
SMALLEST, LARGEST = 160, 256
"""Pixels: a smaller input is enlarged so that lines over it are fine, a larger one is reduced."""
LINES = ((0, 1.9), (255, 0.75))
"""Grey level and half the width, in pixels, of the line's rim and of its core: one of them is seen
on any ground."""
FINE, FINEST = 8, 3
"""Pixels a place: lines are thinner where places are smaller, and left out where they are smaller
still, for they would hide what they go round."""
THIN = 0.65


def upsampled(response: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Return a response map as large as the network's input, stretched evenly and bilinearly.

    Place (r, c) of a map of H x W comes to lie at pixels ``(r + 0.5) / H * size`` and
    ``(c + 0.5) / W * size``. The middle of what a place sees lies within a place of it (a test
    measures it for CaffeNet and SqueezeNet), which is small beside how much it sees.

    Parameters
    ----------
    response : array of shape (height, width), float32
    size : int
        Pixels.

    Returns
    -------
    array of shape (size, size), float32
    """
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(response, dtype=np.float32))
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


def places(response: NDArray[np.float32], network: str, size: int) -> NDArray[np.float32] | None:
    """Return a response map as it lies over the network's input; None where that is not known.

    A map of one column or of one row is not drawn as bands over the image: sequences and learned
    queries are stored so, and nothing says that they are places. Earlier versions stored the
    tokens of an image so, too. Where each of them lies is known for torchvision's vision
    transformers: the class token, then the patches row by row.

    Parameters
    ----------
    response : array of shape (height, width), float32
    network : str
        Name in the store.
    size : int
        Pixels of the square input.
    """
    tokens, width = response.shape
    if min(response.shape) > 1 or response.size == 1:
        return response
    named = re.fullmatch(r"torchvision:vit_[a-z]+_([0-9]+)", network)
    side = size // int(named[1]) if named else 0
    if not side or width != 1 or tokens != 1 + side * side:
        return None
    return response[1:, 0].reshape(side, side)


def overlay(
    picture: "Picture | Image.Image",
    response: NDArray[np.float32] | None,
    *,
    side: int | None = None,
) -> "Image.Image":
    """Draw a sample as the network saw it with a response map over it.

    The image has its own pixels where the response is at least half of its maximum; a line goes
    round them, and a cross is at the maximum. Towards no response, or a negative one, the image
    gets darker. A map that is nowhere above 0, or the same everywhere, says nothing of where: it
    leaves the image as it is. So does a map of one row or of one column, which is no map of the
    image but a list (:func:`places`).

    Parameters
    ----------
    picture : Picture or Image
        An image: the square that the network saw, mode RGB, as :func:`seen` gives it.
    response : array of shape (height, width), float32, or None
        As it lies over the image (:func:`places`); None leaves the image as it is.
    side : int or None
        Pixels of the result. None: :func:`fitting_side` of the network's input.

    Returns
    -------
    Image of mode RGB, side x side
        A new one; what is given is left as it is.

    Raises
    ------
    DataError
        The response has NaN or infinite values; the image cannot be read (as :func:`seen`).
    """
    from PIL import Image

    image = shown(picture, side=side)
    if response is None:
        return image
    if not np.isfinite(response).all():
        raise DataError("a response map with NaN or infinite values cannot be laid over an image")
    peak = float(response.max())
    if peak <= 0 or float(response.min()) == peak or min(response.shape) == 1:
        return image
    kept, added = _drawn(response, image.width)
    x = np.asarray(image, dtype=np.float32) * kept[:, :, None]
    x += added[:, :, None]
    return Image.fromarray((x + 0.5).astype(np.uint8))


def shown(picture: "Picture | Image.Image", *, side: int | None = None) -> "Image.Image":
    """Return a new image of what the network saw, as large as :func:`overlay` draws it."""
    image = seen(picture) if isinstance(picture, Picture) else picture
    return _scaled(image, fitting_side(image.width) if side is None else side)


def _drawn(response: NDArray[np.float32], size: int) -> tuple[NDArray[np.float32], ...]:
    """Return what each pixel is multiplied by, and the grey that is added: shade, line, cross."""
    share = np.clip(upsampled(response, size) / response.max(), 0, 1)
    height, width = response.shape
    row, col = np.unravel_index(response.argmax(), response.shape)
    marks = [(_cross((col + 0.5) / width * size, (row + 0.5) / height * size, size), 1.0)]
    place = size / max(height, width)
    if place >= FINEST:
        marks.insert(0, (_distance(share), 1.0 if place >= FINE else THIN))
    kept = SHADE + (1 - SHADE) * np.minimum(share / HALF, 1)
    added = np.zeros_like(kept)
    for level, half_width in LINES:
        for distance, scale in marks:
            line = np.clip(scale * half_width + 0.5 - distance, 0, 1)
            kept *= 1 - line
            added += line * (level - added)
    return kept, added


def fitting_side(size: int) -> int:
    """Return the side at which an input of ``size`` pixels is drawn.

    Examples
    --------
    >>> fitting_side(224), fitting_side(32), fitting_side(518)  # a whole multiple: even pixels
    (224, 160, 256)
    """
    if size > LARGEST:
        return LARGEST
    return size * max(1, -(-SMALLEST // size))


def _scaled(image: "Image.Image", side: int) -> "Image.Image":
    """Return a copy of the wanted size; pixels that are much enlarged stay squares."""
    from PIL import Image

    if side == image.width:
        return image.copy()
    how = Image.Resampling.NEAREST if side >= 2 * image.width else Image.Resampling.LANCZOS
    return image.resize((side, side), how)


def _distance(share: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how far each pixel is from the line where a map is half of its maximum, in pixels."""
    down, across = np.gradient(share)
    steep = np.maximum(np.hypot(down, across), 1e-4)
    distance: NDArray[np.float32] = np.abs(share - HALF) / steep
    return distance


def _cross(x: float, y: float, size: int) -> NDArray[np.float32]:
    """Return how far each pixel is from a cross at a point, in pixels; of edges the first is 0.

    The cross is put on the middle of the pixel that the point lies in, so that both its bars are
    equally sharp.
    """
    arm = size / 36
    x, y = np.floor(x) + 0.5, np.floor(y) + 0.5
    at = np.arange(size, dtype=np.float32) + 0.5
    dx, dy = np.abs(at - x)[None, :], np.abs(at - y)[:, None]
    lying = np.hypot(np.maximum(dx - arm, 0), dy)
    upright = np.hypot(dx, np.maximum(dy - arm, 0))
    distance: NDArray[np.float32] = np.minimum(lying, upright)
    return distance
