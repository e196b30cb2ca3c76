"""Regions of images, and which are foreground and which background, as R-CNN fine-tunes.

A region is foreground where it meets a ground-truth box with an intersection over union (IoU) of
at least 0.5; its class is that box's. It is background where it meets every ground-truth box,
difficult ones included, with less. What meets a difficult box best is neither.
"""

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fstore.types import ImageFolder

__all__ = [
    "FOREGROUND_IOU",
    "Boxes",
    "RegionImage",
    "RegionSource",
    "Regions",
    "StoredBoxes",
    "foreground_count",
]

FOREGROUND_IOU = 0.5

Boxes: TypeAlias = NDArray[np.float64]
"""(n, 4): ``xmin, ymin, xmax, ymax`` in pixels, 1-based and inclusive."""


def foreground_count(batch_size: int) -> int:
    """Return how many of a batch's regions are foreground: a quarter, and at least one.

    Examples
    --------
    >>> [foreground_count(n) for n in (128, 64, 10, 1)]
    [32, 16, 3, 1]
    """
    return max(1, (batch_size + 2) // 4)


@dataclass(frozen=True)
class RegionImage:
    """An image file and its ground-truth boxes.

    Attributes
    ----------
    root : ImageFolder
        Folder of the data set.
    uri, digest : str
        Its path in there, and its registered digest.
    width, height : int
        Pixels.
    boxes : array of shape (n_boxes, 4), float64
    labels : array of shape (n_boxes,), int64
        Class of each box, from 0.
    difficult : array of shape (n_boxes,), bool
    """

    root: ImageFolder
    uri: str
    digest: str
    width: int
    height: int
    boxes: Boxes
    labels: NDArray[np.int64]
    difficult: NDArray[np.bool_]


@dataclass(frozen=True)
class Regions:
    """Boxes in images.

    Attributes
    ----------
    images : array of shape (n,), int64
        Place of each box's image.
    boxes : array of shape (n, 4)
    labels : array of shape (n,), int64
        Their classes; background is the number of classes.
    """

    images: NDArray[np.int64]
    boxes: NDArray[np.floating]
    labels: NDArray[np.int64]

    def moved(self, offset: int) -> "Regions":
        """Return them for a list of images in which ``offset`` others come first."""
        return Regions(self.images + offset, self.boxes, self.labels)

    def take(self, places: NDArray[np.int64]) -> "Regions":
        """Return the regions at ``places``."""
        return Regions(self.images[places], self.boxes[places], self.labels[places])

    def __add__(self, other: "Regions") -> "Regions":
        """Return both, one after the other."""
        return Regions(
            np.concatenate([self.images, other.images]),
            np.concatenate([self.boxes, other.boxes]),
            np.concatenate([self.labels, other.labels]),
        )


class RegionSource(Protocol):
    """Where regions come from."""

    def foreground(self, rng: np.random.Generator, n: int) -> Regions:
        """Draw ``n`` foreground regions, with replacement."""
        ...

    def background(self, rng: np.random.Generator, n: int) -> Regions:
        """Draw ``n`` background regions, with replacement."""
        ...


@dataclass(frozen=True)
class StoredBoxes:
    """Proposals that are stored, and ground-truth boxes; every one is drawn equally often.

    Attributes
    ----------
    fore, back : Regions
        All foreground regions, and all background regions.
    """

    fore: Regions
    back: Regions

    def foreground(self, rng: np.random.Generator, n: int) -> Regions:
        """Draw ``n`` foreground regions, with replacement."""
        return self.fore.take(rng.integers(len(self.fore.images), size=n))

    def background(self, rng: np.random.Generator, n: int) -> Regions:
        """Draw ``n`` background regions, with replacement."""
        return self.back.take(rng.integers(len(self.back.images), size=n))
