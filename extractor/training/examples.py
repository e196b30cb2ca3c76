"""The images that training draws from, and which of them an iteration draws."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.extractor.images import load_sample
from fstore.extractor.preprocess import Preprocess
from fstore.machine import cores
from fstore.types import FloatArray, ImageFolder

__all__ = [
    "ALL_ROWS",
    "CACHE_BYTES",
    "ArrayExamples",
    "Batch",
    "Examples",
    "FileExamples",
    "JoinedExamples",
    "ShuffledExamples",
    "Targets",
    "TrainingData",
    "centre_crop",
    "crop",
    "draw",
    "draw_crops",
    "random_seed",
]

Targets: TypeAlias = NDArray[np.int64] | NDArray[np.int8]
"""What examples are: ``(n,)`` int64, the one class of each, from 0; or ``(n, n_classes)`` int8,
1 where a class is present, -1 where it is not, 0 where that is not to count."""

Batch: TypeAlias = tuple[NDArray[np.float32], Targets]
"""Images ``(B, 3, S, S)`` and their targets, ``(B,)`` or ``(B, n_classes)``."""

ALL_ROWS = slice(None)

CACHE_BYTES = 1 << 30
"""Decoded images are kept in memory up to so many bytes."""


class Examples(Protocol):
    """Images and what they are; methods may be called from another thread."""

    @property
    def labels(self) -> Targets:
        """Targets of all examples."""
        ...

    def load(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return preprocessed images (n, 3, R, R), R the side before cropping."""
        ...

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
        """Return the examples that an iteration learns from, cropped to ``size``.

        Whatever is random depends on ``seed`` and ``iteration`` (from 1) alone. ``rows`` are the
        rows of that batch that are wanted: processes that share a batch load their own part.
        """
        ...


class ShuffledExamples(ABC):
    """Draws batches as pre-training does: shuffled epochs, random crops, mirroring.

    A class of examples derives from this and adds its ``labels`` and ``load``.
    """

    labels: Targets

    @abstractmethod
    def load(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return preprocessed images (n, 3, R, R)."""

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
        """Return ``rows`` of an iteration's images, (B, 3, size, size), and their targets."""
        places = draw(len(self.labels), batch_size, seed=seed, iteration=iteration)[rows]
        crops = draw_crops(batch_size, mirror=mirror, seed=random_seed(seed, iteration))[rows]
        return crop(self.load(places), size, crops), self.labels[places]


@dataclass(frozen=True)
class ArrayExamples(ShuffledExamples):
    """Examples held in memory: ``X`` of shape (n, 3, R, R) float32, and their targets."""

    X: NDArray[np.float32]
    labels: Targets

    def load(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the images at ``places``."""
        return self.X[places]


@dataclass(frozen=True)
class TrainingData:
    """What a run learns from and is measured on.

    Attributes
    ----------
    train, held_out : Examples
        No example is in both.
    identity : str
        Names the content, so that another run's state is not resumed on other data.
    """

    train: Examples
    held_out: Examples
    identity: str = ""


class FileExamples(ShuffledExamples):
    """Examples decoded from image files when they are first drawn.

    Parameters
    ----------
    root : ImageFolder
        Folder that ``uris`` are relative to.
    uris, digests : sequence of str
        File of each example and its registered digest.
    labels : Targets
        Class of each example, from 0; or a row of 1, -1 and 0 for each.
    preprocess : Preprocess
        Of the network; images are kept at its ``resize`` side, crops are made when drawn.
    cache_bytes : int
        Decoded images are kept in memory if all of them fit, else decoded for each draw.
    workers : int or None
        Threads that decode; None: one a core.
    """

    def __init__(
        self,
        root: ImageFolder,
        uris: Sequence[str],
        digests: Sequence[str],
        *,
        labels: Targets,
        preprocess: Preprocess,
        cache_bytes: int = CACHE_BYTES,
        workers: int | None = None,
    ) -> None:
        self.labels = labels
        self._root = root
        self._uris, self._digests = uris, digests
        self._preprocess = replace(preprocess, size=preprocess.resize)
        workers = workers or cores()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="fstore-decode")
        shape = (len(uris), 3, preprocess.resize, preprocess.resize)
        fits = 4 * int(np.prod(shape)) <= cache_bytes
        self._cache = np.empty(shape, np.float32) if fits else None  # pages come when written
        self._cached = np.zeros(len(uris), bool)

    def load(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the images at ``places``, decoding those that are not kept.

        Raises
        ------
        DataError
            A file is unreadable or changed since it was registered.
        """
        if self._cache is None:
            return np.stack(list(self._pool.map(self._decode, places.tolist())))
        fresh = [place for place in dict.fromkeys(places.tolist()) if not self._cached[place]]
        for place, image in zip(fresh, self._pool.map(self._decode, fresh), strict=True):
            self._cache[place] = image
            self._cached[place] = True
        return self._cache[places]

    def _decode(self, place: int) -> FloatArray:
        uri, digest = self._uris[place], self._digests[place]
        return load_sample(self._root, uri, None, preprocess=self._preprocess, digest=digest)


class JoinedExamples(ShuffledExamples):
    """Examples of several kinds or places, drawn as if they were one.

    Parameters
    ----------
    parts : sequence of ShuffledExamples
        At least one; with the same kind of targets and the same classes.
    """

    def __init__(self, parts: Sequence[ShuffledExamples]) -> None:
        self.labels = np.concatenate([part.labels for part in parts])
        self._parts = parts
        self._begins = np.cumsum([0] + [len(part.labels) for part in parts[:-1]])

    def load(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the images at ``places``, which count through the parts."""
        owner = np.searchsorted(self._begins, places, side="right") - 1
        owners = np.unique(owner)
        loaded = [self._parts[k].load(places[owner == k] - self._begins[k]) for k in owners]
        out = np.empty((len(places), *loaded[0].shape[1:]), np.float32)
        for k, images in zip(owners, loaded, strict=True):
            out[owner == k] = images
        return out


def random_seed(seed: int, iteration: int) -> int:
    """Return a 63-bit seed that depends on the run's seed and the iteration alone."""
    digest = hashlib.sha256(f"{seed}:{iteration}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def draw(n_examples: int, batch_size: int, *, seed: int, iteration: int) -> NDArray[np.int64]:
    """Return the places of an iteration's examples: epochs are shuffled, one after the other.

    Parameters
    ----------
    n_examples, batch_size : int
        A batch may run across the end of an epoch.
    seed, iteration : int
        Of the run; iterations count from 1. Nothing else plays a part, so a resumed run draws
        what an uninterrupted one draws.
    """
    first = (iteration - 1) * batch_size
    places = np.arange(first, first + batch_size)
    epochs = places // n_examples
    batch = np.empty(batch_size, np.int64)
    for epoch in np.unique(epochs):
        order = np.random.default_rng([seed, int(epoch)]).permutation(n_examples)
        batch[epochs == epoch] = order[places[epochs == epoch] % n_examples]
    return batch


def draw_crops(n_images: int, *, mirror: bool, seed: int) -> NDArray[np.float64]:
    """Draw where images are cut and which are mirrored.

    Returns
    -------
    array of shape (n_images, 3), float64
        Shares, 0 to below 1, of the margins above and on the left of the crop; 1 where the crop
        is mirrored (half of them, if at all), else 0.
    """
    drawn = np.random.default_rng(seed).random((n_images, 3))
    drawn[:, 2] = (drawn[:, 2] < 0.5) & mirror
    return drawn


def crop(images: NDArray[np.float32], size: int, crops: NDArray[np.float64]) -> NDArray[np.float32]:
    """Cut (n, 3, R, R) to (n, 3, size, size) where :func:`draw_crops` says.

    Raises
    ------
    DataError
        The images are smaller than ``size``.
    """
    margin = images.shape[-1] - size
    if margin < 0:
        raise DataError(f"images of side {images.shape[-1]} are smaller than the input, {size}")
    corners = (crops[:, :2] * (margin + 1)).astype(np.int64)
    out = np.empty((*images.shape[:2], size, size), np.float32)
    for i, ((y, x), flip) in enumerate(zip(corners, crops[:, 2], strict=True)):
        patch = images[i, :, y : y + size, x : x + size]
        out[i] = patch[:, :, ::-1] if flip else patch
    return out


def centre_crop(images: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Cut the middle (n, 3, size, size) out of (n, 3, R, R)."""
    start = (images.shape[-1] - size) // 2
    return np.ascontiguousarray(images[:, :, start : start + size, start : start + size])
