"""Regions of images as examples: batches of foreground and background, as R-CNN fine-tunes.

A region is foreground where it meets a ground-truth box with an intersection over union (IoU) of
at least 0.5; its class is that box's. It is background where it meets every ground-truth box,
difficult ones included, with less. What meets a difficult box best is neither.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fstore.errors import DataError
from fstore.extractor.images import decode, read_bytes_checked, warp_box
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.training.examples import (
    ALL_ROWS,
    CACHE_BYTES,
    Batch,
    ShuffledExamples,
    centre_crop,
    random_seed,
)
from fstore.extractor.warping import RegionCrops, crop_regions, joined
from fstore.pixels.boxes import areas, iou_matrix
from fstore.types import Box

__all__ = [
    "FOREGROUND_IOU",
    "DrawnBoxes",
    "FixedRegions",
    "RegionExamples",
    "RegionImage",
    "RegionSource",
    "Regions",
    "StoredBoxes",
    "foreground_count",
]

FOREGROUND_IOU = 0.5

Boxes: TypeAlias = NDArray[np.float64]
"""(n, 4): ``xmin, ymin, xmax, ymax`` in pixels, 1-based and inclusive."""

TRIES = 16
"""Candidates that are drawn at a time, of which the first that fits is taken."""

ROUNDS = 64
"""Times that candidates are drawn before a place is given up."""


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
    root : Path
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

    root: Path
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


class DrawnBoxes:
    """Boxes that are drawn around ground-truth boxes, for data sets without proposals.

    A foreground region is a ground-truth box that is not difficult, each equally often, moved by
    up to 0.3 of its sides and with sides of 2/3 to 3/2 of its own. Half of the background regions
    are such boxes of an image (each image equally often), moved by up to a whole side and with
    sides of 1/2 to 2 of their own; the others, and all of images without boxes, are boxes
    anywhere, with sides of 1/8 of the image's to the whole. Shifts are uniform, factors are
    uniform in their logarithm. Boxes are clipped to the image and rounded to pixels; those of
    which less than half is inside, and those that are not foreground or background, are drawn
    again.

    Parameters
    ----------
    images : sequence of RegionImage
    background : int
        Label of background regions.
    """

    def __init__(self, images: Sequence[RegionImage], background: int) -> None:
        self._images = images
        self._background = background
        plain = [(i, j) for i, m in enumerate(images) for j in np.flatnonzero(~m.difficult)]
        self._plain = np.array(plain, np.int64).reshape(-1, 2)

    def foreground(self, rng: np.random.Generator, n: int) -> Regions:
        """Draw ``n`` foreground regions; a box that finds no other is taken as it is."""
        chosen = self._plain[rng.integers(len(self._plain), size=n)]
        boxes = [self._around(rng, self._images[i], int(j)) for i, j in chosen]
        labels = [self._images[i].labels[j] for i, j in chosen]
        return Regions(chosen[:, 0], np.array(boxes).reshape(-1, 4), np.array(labels, np.int64))

    def background(self, rng: np.random.Generator, n: int) -> Regions:
        """Draw ``n`` background regions.

        Raises
        ------
        DataError
            Objects fill the images: no box meets them with less than 0.5.
        """
        places, boxes = np.empty(n, np.int64), np.empty((n, 4))
        for k in range(n):
            places[k], boxes[k] = self._elsewhere(rng)
        return Regions(places, boxes, np.full(n, self._background))

    def _around(self, rng: np.random.Generator, image: RegionImage, own: int) -> Boxes:
        """Return a box that meets its own ground-truth box best, and enough."""
        for _ in range(ROUNDS):
            candidates = _jittered(rng, image, own, shift=0.3, factor=1.5)
            overlaps = iou_matrix(candidates, image.boxes)
            best = overlaps[:, own] >= overlaps.max(axis=1)
            fit = np.flatnonzero(best & (overlaps[:, own] >= FOREGROUND_IOU))
            if len(fit):
                return np.asarray(candidates[fit[0]])
        return np.asarray(image.boxes[own])

    def _elsewhere(self, rng: np.random.Generator) -> tuple[int, Boxes]:
        """Return an image and a box in it that is background."""
        for _ in range(ROUNDS):
            place = int(rng.integers(len(self._images)))
            image = self._images[place]
            near = len(image.boxes) > 0 and rng.random() < 0.5
            own = int(rng.integers(len(image.boxes))) if near else 0
            candidates = (
                _jittered(rng, image, own, shift=1.0, factor=2.0) if near else _anywhere(rng, image)
            )
            most = iou_matrix(candidates, image.boxes).max(axis=1, initial=0.0)
            fit = np.flatnonzero(most < FOREGROUND_IOU)
            if len(fit):
                return place, candidates[fit[0]]
        raise DataError(
            f"no background region was found in {ROUNDS} images: objects fill them; fine-tune on "
            "whole images (--view image) instead"
        )


def _jittered(
    rng: np.random.Generator, image: RegionImage, own: int, *, shift: float, factor: float
) -> Boxes:
    """Draw boxes around one: shifted by shares of its sides, its sides multiplied."""
    box = image.boxes[own]
    sides = box[2:] - box[:2] + 1
    moved = box[:2] + sides / 2 + rng.uniform(-shift, shift, (TRIES, 2)) * sides
    bound = np.log(factor)
    return _inside(moved, sides * np.exp(rng.uniform(-bound, bound, (TRIES, 2))), image)


def _anywhere(rng: np.random.Generator, image: RegionImage) -> Boxes:
    """Draw boxes of any place in the image, their sides 1/8 of the image's to the whole."""
    whole = np.array([image.width, image.height], np.float64)
    sides = whole * np.exp(rng.uniform(-np.log(8), 0, (TRIES, 2)))
    centres = 1 + sides / 2 + rng.random((TRIES, 2)) * (whole - sides)
    return _inside(centres, sides, image)


def _inside(centres: Boxes, sides: Boxes, image: RegionImage) -> Boxes:
    """Return the boxes, clipped and in whole pixels; those that lie mostly outside are left out.

    A box whose first pixel is 1 and that is 10 wide has its centre at 6: at ``xmin + width / 2``.
    """
    low = np.rint(centres - sides / 2)
    high = np.maximum(low, np.rint(centres + sides / 2) - 1)
    whole = np.concatenate([low, high], axis=1)
    size = np.array([image.width, image.height])
    clipped = np.concatenate([np.maximum(low, 1), np.minimum(high, size)], axis=1)
    seen = (clipped[:, 2:] >= clipped[:, :2]).all(axis=1)
    kept = seen & (2 * areas(clipped) >= areas(whole))
    return clipped[kept]


class FixedRegions(ShuffledExamples):
    """Regions that are known beforehand, warped with context as in extraction.

    Parameters
    ----------
    images : sequence of RegionImage
    regions : Regions
        The examples; they name images by their place in ``images``.
    preprocess : Preprocess
        Of the network.
    cache_bytes : int
        Decoded images are kept in memory if all of them fit.
    workers : int or None
        Threads that decode and warp; None: one a core.
    """

    def __init__(
        self,
        images: Sequence[RegionImage],
        regions: Regions,
        preprocess: Preprocess,
        *,
        cache_bytes: int = CACHE_BYTES,
        workers: int | None = None,
    ) -> None:
        self.labels = regions.labels
        self.images, self.regions = images, regions
        self._preprocess = preprocess
        workers = workers or len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="fstore-decode")
        fits = sum(3 * m.width * m.height for m in images) <= cache_bytes
        self._cache: dict[int, Image.Image] | None = {} if fits else None

    def load(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the regions at ``places`` as the network's input (n, 3, S, S).

        Raises
        ------
        DataError
            An image is unreadable or changed since it was registered.
        """
        return self.warp(self.regions.take(places))

    def warp(self, regions: Regions) -> NDArray[np.float32]:
        """Return any regions of the images as the network's input (n, 3, S, S)."""
        size = self._preprocess.size
        out = np.empty((len(regions.images), 3, size, size), np.float32)

        def fill(group: NDArray[np.intp]) -> None:
            image, boxes = self._of_image(regions, group)
            for k, box in zip(group, boxes, strict=True):
                out[k] = warp_box(image, box, self._preprocess)

        for _ in self._pool.map(fill, _by_image(regions)):
            pass
        return out

    def cut(self, regions: Regions) -> RegionCrops:
        """Return any regions of the images (at least one) cut out, to be warped elsewhere."""

        def crop(group: NDArray[np.intp]) -> RegionCrops:
            image, boxes = self._of_image(regions, group)
            uri = self.images[int(regions.images[group[0]])].uri
            return crop_regions(image, boxes, self._preprocess, uri=uri)

        groups = _by_image(regions)
        crops = joined(list(self._pool.map(crop, groups)))
        return crops.take(np.argsort(np.concatenate(groups)))

    def _of_image(self, regions: Regions, group: NDArray[np.intp]) -> tuple[Image.Image, list[Box]]:
        """Return the decoded image of a group of regions, and their boxes."""
        rows = regions.boxes[group].tolist()
        boxes: list[Box] = [(x0, y0, x1, y1) for x0, y0, x1, y1 in rows]
        return self._open(int(regions.images[group[0]])), boxes

    def _open(self, place: int) -> Image.Image:
        """Return a decoded image, from memory if it is kept."""
        if self._cache is not None and place in self._cache:
            return self._cache[place]
        image = self.images[place]
        data = read_bytes_checked(image.root / image.uri, image.digest, uri=image.uri)
        decoded = decode(data, uri=image.uri)
        if self._cache is not None:
            self._cache[place] = decoded
        return decoded


def _by_image(regions: Regions) -> list[NDArray[np.intp]]:
    """Return the places of each image's regions, so that it is decoded once for them."""
    order = np.argsort(regions.images, kind="stable")
    starts = np.flatnonzero(np.diff(regions.images[order], prepend=-1))
    return np.split(order, starts[1:]) if len(order) else []


class RegionExamples(FixedRegions):
    """Batches of regions that are drawn anew: a quarter foreground, the others background.

    Parameters
    ----------
    images, preprocess, cache_bytes, workers
        As for :class:`FixedRegions`.
    regions : Regions
        What ``labels`` and ``load`` are about: ground-truth boxes, and some background.
    source : RegionSource
        Where batches are drawn from; it names images by their place in ``images``.
    """

    def __init__(
        self,
        images: Sequence[RegionImage],
        regions: Regions,
        preprocess: Preprocess,
        *,
        source: RegionSource,
        cache_bytes: int = CACHE_BYTES,
        workers: int | None = None,
    ) -> None:
        super().__init__(images, regions, preprocess, cache_bytes=cache_bytes, workers=workers)
        self.source = source

    def batch(
        self,
        batch_size: int,
        *,
        seed: int,
        iteration: int,
        size: int,
        mirror: bool,
        rows: slice = ALL_ROWS,
    ) -> Batch:
        """Return ``rows`` of an iteration's regions (B, 3, size, size) and their classes (B,).

        What is drawn depends on ``seed``, ``iteration`` and ``batch_size`` alone. ``size`` must be
        that of the network's input.
        """
        wanted, flips = self._drawn(batch_size, seed, iteration, mirror, rows)
        X = centre_crop(self.warp(wanted), size)
        X[flips] = X[flips, :, :, ::-1]
        return X, wanted.labels

    def cut_batch(
        self,
        batch_size: int,
        *,
        seed: int,
        iteration: int,
        mirror: bool,
        rows: slice = ALL_ROWS,
    ) -> tuple[RegionCrops, NDArray[np.int64]]:
        """Return what :meth:`batch` does, cut out and not yet warped."""
        wanted, flips = self._drawn(batch_size, seed, iteration, mirror, rows)
        return self.cut(wanted).mirrored(flips), wanted.labels

    def _drawn(
        self, batch_size: int, seed: int, iteration: int, mirror: bool, rows: slice
    ) -> tuple[Regions, NDArray[np.bool_]]:
        """Return ``rows`` of an iteration's regions, and which of them are mirrored."""
        rng = np.random.default_rng(random_seed(seed, iteration))
        regions = self.draw(rng, batch_size)
        flips = (rng.random(batch_size) < 0.5)[rows] & mirror
        return regions.take(np.arange(batch_size)[rows]), flips

    def draw(self, rng: np.random.Generator, batch_size: int) -> Regions:
        """Draw a batch's regions, foreground first."""
        n_foreground = foreground_count(batch_size)
        foreground = self.source.foreground(rng, n_foreground)
        return foreground + self.source.background(rng, batch_size - n_foreground)
