"""Whether a preprocessing does what a library does: both are given the same pictures."""

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from fstore.extractor.images import whole_image
from fstore.extractor.networks._libraries import unsayable
from fstore.extractor.preprocess import Preprocess

__all__ = ["as_its_library"]

LARGEST_MEAN = 0.5
"""Mean difference, grey levels. Libraries round differently: 0.1 and less is usual. A picture
resized in another way, or cut one pixel beside, differs by 3 and more."""
SHAPES = ((403, 301), (301, 403))


def as_its_library(
    name: str, preprocess: Preprocess, transform: Callable[[Image.Image], Any]
) -> Preprocess:
    """Return a preprocessing that was compared with the library's own.

    Parameters
    ----------
    name : str
        Of the network, for messages.
    preprocess : Preprocess
    transform : function of an image
        The library's: gives an array or tensor of shape (3, size, size).

    Raises
    ------
    DataError
        They differ.
    """
    grey = np.asarray(preprocess.std).reshape(3, 1, 1) / abs(preprocess.scale)
    for shape in SHAPES:
        picture = _picture(*shape)
        theirs, ours = np.asarray(transform(picture)), whole_image(picture, preprocess)
        if theirs.shape != ours.shape:
            raise unsayable(name, f"makes an input of {theirs.shape}, not of {ours.shape}")
        mean = float(np.abs((theirs - ours) * grey).mean())
        if not mean <= LARGEST_MEAN:
            raise unsayable(
                name, f"gives pixels that differ by {mean:.1f} grey levels from {preprocess}"
            )
    return preprocess


def _picture(height: int, width: int) -> Image.Image:
    """Return seeded squares of a few pixels, in which shifts and blurs of a pixel show."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (-(-height // 5), -(-width // 5), 3), dtype=np.uint8)
    large = small.repeat(5, axis=0).repeat(5, axis=1)
    return Image.fromarray(large[:height, :width])
