"""Regions as examples: decoded, warped with context, and put into batches."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fstore.extractor.images import (
    decode,
    read_bytes_checked,
    refuse_upright_boxes,
    warp_box,
)
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.training.examples import (
    ALL_ROWS,
    CACHE_BYTES,
    Batch,
    ShuffledExamples,
    centre_crop,
    random_seed,
)
from fstore.extractor.training.regions import RegionImage, Regions, RegionSource, foreground_count
from fstore.extractor.warping import RegionCrops, crop_regions, joined
from fstore.machine import cores
from fstore.types import Box

__all__ = ["FixedRegions", "RegionExamples"]


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
        refuse_upright_boxes(preprocess)
        self.labels = regions.labels
        self.images, self.regions = images, regions
        self._preprocess = preprocess
        workers = workers or cores()
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
                warp_box(image, box, self._preprocess, out=out[k])

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
        wanted, flips = self._drawn(
            batch_size, seed=seed, iteration=iteration, mirror=mirror, rows=rows
        )
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
        wanted, flips = self._drawn(
            batch_size, seed=seed, iteration=iteration, mirror=mirror, rows=rows
        )
        return self.cut(wanted).mirrored(flips), wanted.labels

    def _drawn(
        self, batch_size: int, *, seed: int, iteration: int, mirror: bool, rows: slice
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
