"""Regions of images, warped where the network runs: cut out on the host, stretched on the device.

What is copied to the device are the bytes of the regions' own pixels, in place of four bytes for
every value of the input. The arithmetic is that of :func:`fstore.extractor.images.warp_box`,
operation by operation, so the inputs have the same bits wherever they are made.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fstore.errors import DataError
from fstore.extractor.images import mean_pixels, neighbours, region_strips
from fstore.extractor.preprocess import Preprocess
from fstore.pixels.warps import Strip
from fstore.types import Box

__all__ = ["Inputs", "RegionCrops", "crop_regions", "joined", "moved", "warp"]

TOGETHER = 64  # regions that are stretched at a time: 0.25 GB of temporary memory at 227 x 227


@dataclass(frozen=True, slots=True)
class RegionCrops:
    """Regions that are cut out of their images and not yet stretched.

    A crop takes at most as much memory as the input that it becomes: of one with more than two
    rows (columns) for each of the input, only those are kept that the stretching looks at.

    Attributes
    ----------
    pixels : array of shape (n_pixels, 3), uint8
        RGB; all crops, one after the other, row by row.
    places : array of shape (n, 2, 2, S), int64
        For each region, axis (y, x), neighbour (low, high) and row or column of the input: where
        a row begins in ``pixels`` (y), or which pixel of the row it is (x).
    weights : array of shape (n, 2, S), float32
        Of the high neighbours; those of the low are the rest to 1.
    inside : array of shape (n, 2, S), bool
        Whether the input's row or column shows a part of the image.
    flipped : array of shape (n,), bool
        Whether left and right of the input are to be exchanged.
    """

    pixels: NDArray[np.uint8]
    places: NDArray[np.int64]
    weights: NDArray[np.float32]
    inside: NDArray[np.bool_]
    flipped: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of regions."""
        return len(self.places)

    def take(self, order: NDArray[np.intp]) -> "RegionCrops":
        """Return the regions at ``order``; the pixels are shared."""
        return RegionCrops(
            self.pixels,
            self.places[order],
            self.weights[order],
            self.inside[order],
            self.flipped[order],
        )

    def mirrored(self, chosen: NDArray[np.bool_]) -> "RegionCrops":
        """Return the regions, left and right exchanged in those that are chosen."""
        return replace(self, flipped=self.flipped ^ chosen)


Inputs: TypeAlias = NDArray[np.float32] | RegionCrops
"""Inputs of a network (n, 3, S, S), or what they are made of on the network's device."""


def crop_regions(
    image: Image.Image, boxes: Sequence[Box], preprocess: Preprocess, *, uri: str
) -> RegionCrops:
    """Cut regions with their context out of a decoded image.

    Parameters
    ----------
    image : Image of mode RGB
        Left as it is; several threads may use it at once.
    boxes : sequence of Box
        At least one.
    preprocess : Preprocess
    uri : str
        Name of the file in messages.

    Raises
    ------
    DataError
        A box lies outside of the image.
    """
    try:
        return joined([_crop(image, box, preprocess) for box in boxes])
    except DataError as error:
        raise DataError(f"{uri}: {error}") from error


def _crop(image: Image.Image, box: Box, p: Preprocess) -> RegionCrops:
    y, x = region_strips(image, box, p)
    pixels = np.asarray(image.crop((x.first, y.first, x.last, y.last)))
    rows, y_places, y_weights, y_inside = _samples(y, p.size)
    columns, x_places, x_weights, x_inside = _samples(x, p.size)
    pixels = pixels[rows][:, columns]
    return RegionCrops(
        pixels.reshape(-1, 3),
        np.stack([y_places * pixels.shape[1], x_places])[None],
        np.stack([y_weights, x_weights])[None],
        np.stack([y_inside, x_inside])[None],
        np.zeros(1, np.bool_),
    )


def _samples(
    strip: Strip, size: int
) -> tuple[slice | NDArray[np.intp], NDArray[np.int64], NDArray[np.float32], NDArray[np.bool_]]:
    """Return the rows that one axis needs, and for each row of the input two of them and a weight.

    Returns
    -------
    needed : slice or array, of the strip's rows
    places : array of shape (2, size), int64
        Low and high neighbour among those needed; 0 outside of the image.
    weights : array of shape (size,), float32
    inside : array of shape (size,), bool
    """
    n = strip.last - strip.first
    needed: slice | NDArray[np.intp] = slice(None)
    low, high, weight = neighbours(n, strip.length)
    if n > 2 * strip.length:
        needed = np.stack([low, high], axis=1).ravel()
        low, high = np.arange(0, len(needed), 2), np.arange(1, len(needed), 2)
    places, weights = np.zeros((2, size), np.int64), np.zeros(size, np.float32)
    inside = np.zeros(size, np.bool_)
    places[0, strip.window], places[1, strip.window] = low, high
    weights[strip.window], inside[strip.window] = weight, True
    return needed, places, weights, inside


def joined(parts: Sequence[RegionCrops]) -> RegionCrops:
    """Return the regions of all parts, in order; there must be at least one part."""
    begins = np.cumsum([0] + [len(part.pixels) for part in parts[:-1]])
    places = np.concatenate([part.places for part in parts])
    places[:, 0] += np.repeat(begins, [len(part) for part in parts])[:, None, None]
    return RegionCrops(
        np.concatenate([part.pixels for part in parts]),
        places,
        np.concatenate([part.weights for part in parts]),
        np.concatenate([part.inside for part in parts]),
        np.concatenate([part.flipped for part in parts]),
    )


def moved(array: NDArray[Any], device: torch.device) -> Tensor:
    """Return an array on a device: the CPU shares its memory, to a GPU the copy only begins."""
    tensor = torch.from_numpy(array)
    if device.type == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def warp(crops: RegionCrops, preprocess: Preprocess, device: torch.device) -> Tensor:
    """Stretch and normalise regions on a device.

    Parameters
    ----------
    crops : RegionCrops
        Cut with the same ``preprocess``.
    preprocess : Preprocess
    device : torch.device

    Returns
    -------
    Tensor of shape (n, 3, S, S), float32, on the device
        Channels last in memory. Equal to what :func:`fstore.extractor.images.warp_box` gives.
    """
    size = preprocess.size
    arrays = (crops.places, crops.weights, crops.inside, crops.flipped)
    tables = [moved(array, device) for array in arrays]
    pixels = moved(crops.pixels, device)
    if preprocess.order == "BGR":
        pixels = pixels.flip(1)
    shift, std = (
        moved(np.ascontiguousarray(a, np.float32), device)
        for a in (mean_pixels(preprocess).transpose(1, 2, 0), np.array(preprocess.std))
    )
    out = torch.empty((len(crops), size, size, 3), device=device)
    for start in range(0, len(crops), TOGETHER):
        part = slice(start, start + TOGETHER)
        places, weights, inside, flipped = (table[part] for table in tables)
        x = _stretched(pixels, places, weights)
        x *= preprocess.scale
        x -= shift
        x /= std  # by a tensor: on a GPU, division by a number is a product with its inverse
        seen = inside[:, 0, :, None, None] & inside[:, 1, None, :, None]
        x = torch.where(seen, x, 0.0)
        out[part] = torch.where(flipped[:, None, None, None], x.flip(2), x)
    return out.permute(0, 3, 1, 2)


def _stretched(pixels: Tensor, places: Tensor, weights: Tensor) -> Tensor:
    """Return (n, S, S, 3) float32: rows are blended first, then columns."""

    def column(which: int) -> Tensor:
        x = places[:, 1, which, None, :]
        low, high = (pixels[places[:, 0, row, :, None] + x].float() for row in (0, 1))
        return _blend(low, high, weights[:, 0, :, None, None])

    return _blend(column(0), column(1), weights[:, 1, None, :, None])


def _blend(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """Return ``a + (b - a) * weight`` in the memory of ``b``, each operation rounded."""
    b -= a
    b *= weight
    b += a
    return b
