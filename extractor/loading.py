"""Decode images ahead of the network, in threads.

Pillow releases Python's lock while it decodes and resizes, so threads use all cores without the
memory and start-up of worker processes.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.extractor.images import ChangedFileError, load_group
from fstore.extractor.preprocess import Preprocess
from fstore.types import Box

__all__ = ["BadSample", "InputBatch", "InputSample", "load_batches"]

AHEAD = 2  # batches that are decoded while one is computed


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
    images : array of shape (n, 3, S, S), float32
    bad : samples of the batch that are not among them
    """

    sample_ids: NDArray[np.int64]
    images: NDArray[np.float32]
    bad: Sequence[BadSample] = field(default=())


def load_batches(
    root: Path,
    batches: Sequence[Sequence[InputSample]],
    preprocess: Preprocess,
    *,
    workers: int,
) -> Iterator[InputBatch]:
    """Yield batches in order, decoded ahead by ``workers`` threads.

    Samples of one image that follow one another are decoded once. An image that cannot be read is
    left out and reported in ``bad``.

    Raises
    ------
    ChangedFileError
        A file is not the one that was registered.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="fstore-decode") as pool:
        pending: deque[list[tuple[list[InputSample], Future[NDArray[np.float32]]]]] = deque()
        todo = iter(batches)
        try:
            for batch in todo:
                pending.append(_submit(pool, root, batch, preprocess))
                if len(pending) > AHEAD:
                    yield _collect(pending.popleft(), preprocess)
            while pending:
                yield _collect(pending.popleft(), preprocess)
        finally:
            for groups in pending:
                for _, future in groups:
                    future.cancel()


def _submit(
    pool: ThreadPoolExecutor, root: Path, batch: Sequence[InputSample], preprocess: Preprocess
) -> list[tuple[list[InputSample], Future[NDArray[np.float32]]]]:
    tasks = []
    for _, same in groupby(batch, key=lambda s: (s.uri, s.digest)):
        group = list(same)
        boxes = [s.box for s in group]
        uri, digest = group[0].uri, group[0].digest
        tasks.append((group, pool.submit(load_group, root, uri, boxes, preprocess, digest)))
    return tasks


def _collect(
    tasks: list[tuple[list[InputSample], Future[NDArray[np.float32]]]], preprocess: Preprocess
) -> InputBatch:
    ids, images, bad = [], [], []
    for group, future in tasks:
        try:
            images.append(future.result())
        except ChangedFileError:
            raise
        except DataError as error:
            bad += [BadSample(s.sample_id, s.uri, str(error)) for s in group]
        else:
            ids += [s.sample_id for s in group]
    size = preprocess.size
    empty = np.empty((0, 3, size, size), dtype=np.float32)
    whole = np.concatenate(images) if images else empty
    return InputBatch(np.array(ids, dtype=np.int64), whole, tuple(bad))
