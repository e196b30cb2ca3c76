"""What a proposal method is, and the table of all of them."""

from collections.abc import Callable
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fstore.registry import Registry

__all__ = ["METHODS", "Boxes", "Method", "proposal_method"]

Boxes: TypeAlias = NDArray[np.float64]
"""Shape (n, 4): ``xmin, ymin, xmax, ymax``, pixels from 1, last one included; best first."""

Method: TypeAlias = Callable[[Image.Image], Boxes]
M = TypeVar("M", bound=Method)

METHODS: "Registry[Method]" = Registry("proposal method")
"""Functions ``method(image) -> boxes``; see :func:`proposal_method`."""


def proposal_method(
    name: str, *, version: int, libraries: tuple[str, ...] = ()
) -> Callable[[M], M]:
    """Register a way to find regions in an image.

    The function takes an image of mode RGB and returns its boxes, the likeliest first. The same
    pixels must give the same boxes whatever was searched before. Boxes that repeat are dropped
    behind it, the first one stays.

    Parameters
    ----------
    name : str
        ``selective-search``, ``components``, ...
    version : int
        Raised whenever the same pixels give other boxes: what was found before is then not used.
    libraries : tuple of str
        Distributions whose version may change the boxes.
    """

    def add(function: M) -> M:
        METHODS.register(name, version=version, libraries=libraries)(function)
        return function

    return add
