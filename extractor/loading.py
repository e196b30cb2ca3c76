"""Decode images ahead of the network, in threads.

Pillow releases Python's lock while it decodes and resizes, so threads use all cores without the
memory and start-up of worker processes.
"""

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby, islice
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from fstore.errors import DataError
from fstore.extractor.images import (
    ChangedFileError,
    decode,
    inputs,
    read_bytes_checked,
    refuse_upright_boxes,
)
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.warping import Inputs, RegionCrops, crop_regions, joined
from fstore.types import Box, ImageFolder

__all__ = ["BadSample", "InputBatch", "InputSample", "load_batches"]

AHEAD = 2  # batches that are decoded while one is computed
PIECE = 8  # boxes of one image that a thread warps in one go


@dataclass(frozen=True, slots=True)
class InputSample:
    """What is needed to load one sample."""

    sample_id: int
    uri: str
    digest: str
    box: Box | None


@dataclass(frozen=True, slots=True)
class BadSample:
    """A sample that could not be loaded, and why."""

    sample_id: int
    uri: str
    reason: str


@dataclass(frozen=True, slots=True)
class InputBatch:
    """Loaded samples.

    Attributes
    ----------
    sample_ids : array of shape (n,), int64; n may be 0
    images : array of shape (n, 3, S, S), float32, or RegionCrops of length n
    bad : samples of the batch that are not among them
    """

    sample_ids: NDArray[np.int64]
    images: Inputs
    bad: Sequence[BadSample] = field(default=())


@dataclass(frozen=True, slots=True)
class _Loaded:
    """Samples loaded, their images of shape (n_i, 3, S, S) or crops, and those that were not."""

    ids: list[int]
    images: list[Inputs]
    bad: list[BadSample]


class _SharedImage:
    """An image that several tasks want: the first of them decodes it, the others wait."""

    def __init__(self, root: ImageFolder, uri: str, digest: str) -> None:
        self.uri = uri
        self._where = root / uri
        self._digest = digest
        self._lock = Lock()
        self._decoded: Image | DataError | None = None

    def get(self) -> Image:
        """Return the decoded image, or raise what the first attempt raised."""
        with self._lock:
            if self._decoded is None:
                try:
                    data = read_bytes_checked(self._where, self._digest, uri=self.uri)
                    self._decoded = decode(data, uri=self.uri)
                except DataError as error:
                    self._decoded = error
        if isinstance(self._decoded, DataError):
            raise self._decoded
        return self._decoded


def load_batches(
    root: ImageFolder,
    batches: Iterable[Sequence[InputSample]],
    preprocess: Preprocess,
    *,
    workers: int,
    warp_later: bool = False,
    ahead: int = AHEAD,
) -> Generator[InputBatch, None, None]:
    """Yield batches in order, decoded ahead by ``workers`` threads.

    Samples of one image that follow one another, in a batch or over several, share one decoding;
    their boxes are warped by several threads. A sample that cannot be loaded is left out and
    reported in ``bad``. Closing the generator ends its threads.

    Parameters
    ----------
    root : ImageFolder
        Folder of the data set.
    batches : iterable of sequences of InputSample
        Asked for as far ahead as they are decoded.
    preprocess : Preprocess
    workers : int
    warp_later : bool
        Leave boxes cut out, to be warped on the device of the network, in batches of boxes alone.
    ahead : int
        Batches that are decoded while the one before them is computed.

    Raises
    ------
    ChangedFileError
        A file is not the one that was registered.
    DataError
        There are boxes, and the preprocessing turns images upright.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="fstore-decode")
    pending: deque[list[Future[_Loaded]]] = deque()
    try:
        for batch, pieces in _pieces(root, batches):
            if any(sample.box is not None for sample in batch):
                refuse_upright_boxes(preprocess)
            crop = warp_later and all(sample.box is not None for sample in batch)
            pending.append(
                [pool.submit(_load, image, p, preprocess, crop=crop) for image, p in pieces]
            )
            if len(pending) > ahead:
                yield _collect(pending.popleft(), preprocess.size)
        while pending:
            yield _collect(pending.popleft(), preprocess.size)
    finally:
        pool.shutdown(cancel_futures=True)


def _pieces(
    root: ImageFolder, batches: Iterable[Sequence[InputSample]]
) -> Iterator[tuple[Sequence[InputSample], list[tuple[_SharedImage, list[InputSample]]]]]:
    """Yield batches with their pieces, of one image each; pieces of the same image share it."""
    last, image = None, None
    for batch in batches:
        pieces = []
        for key, group in groupby(batch, key=lambda s: (s.uri, s.digest)):
            if image is None or key != last:
                last, image = key, _SharedImage(root, *key)
            while piece := list(islice(group, PIECE)):
                pieces.append((image, piece))
        yield batch, pieces


def _load(
    image: _SharedImage, samples: Sequence[InputSample], preprocess: Preprocess, *, crop: bool
) -> _Loaded:
    """Load samples of one image; one bad box does not cost the others."""
    try:
        pixels = image.get()
    except ChangedFileError:
        raise
    except DataError as error:
        return _Loaded([], [], [BadSample(s.sample_id, s.uri, str(error)) for s in samples])
    try:
        images = _prepared(pixels, [s.box for s in samples], preprocess, crop=crop, uri=image.uri)
    except DataError as error:
        if len(samples) == 1:
            return _Loaded([], [], [BadSample(samples[0].sample_id, image.uri, str(error))])
        return _chained(_load(image, [sample], preprocess, crop=crop) for sample in samples)
    return _Loaded([s.sample_id for s in samples], [images], [])


def _prepared(
    image: Image, boxes: Sequence[Box | None], preprocess: Preprocess, *, crop: bool, uri: str
) -> Inputs:
    """Return the inputs of samples of one image, or its regions cut out."""
    if crop:
        return crop_regions(image, [b for b in boxes if b is not None], preprocess, uri=uri)
    return inputs(image, boxes, preprocess, uri=uri)


def _chained(parts: Iterable[_Loaded]) -> _Loaded:
    whole = _Loaded([], [], [])
    for part in parts:
        whole.ids.extend(part.ids)
        whole.images.extend(part.images)
        whole.bad.extend(part.bad)
    return whole


def _collect(tasks: Sequence[Future[_Loaded]], size: int) -> InputBatch:
    batch = _chained(task.result() for task in tasks)
    crops = [part for part in batch.images if isinstance(part, RegionCrops)]
    arrays = [part for part in batch.images if not isinstance(part, RegionCrops)]
    none = np.empty((0, 3, size, size), dtype=np.float32)
    images = joined(crops) if crops else np.concatenate(arrays or [none])
    return InputBatch(np.array(batch.ids, dtype=np.int64), images, tuple(batch.bad))
