"""Decode images ahead of the network, in threads.

Pillow releases Python's lock while it decodes and resizes, so threads use all cores without the
memory and start-up of worker processes.
"""

from collections import deque
from collections.abc import Generator, Iterable, Sequence
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


@dataclass(frozen=True, slots=True)
class _Loaded:
    """Samples loaded, their images of shape (n_i, 3, S, S), and those that were not."""

    ids: list[int]
    images: list[NDArray[np.float32]]
    bad: list[BadSample]


def load_batches(
    root: Path,
    batches: Sequence[Sequence[InputSample]],
    preprocess: Preprocess,
    *,
    workers: int,
) -> Generator[InputBatch, None, None]:
    """Yield batches in order, decoded ahead by ``workers`` threads.

    Samples of one image that follow one another in a batch are decoded once. A sample that cannot
    be loaded is left out and reported in ``bad``. Closing the generator ends its threads.

    Raises
    ------
    ChangedFileError
        A file is not the one that was registered.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="fstore-decode")
    pending: deque[list[Future[_Loaded]]] = deque()
    try:
        for batch in batches:
            images = groupby(batch, key=lambda s: (s.uri, s.digest))
            pending.append([pool.submit(_load, root, list(g), preprocess) for _, g in images])
            if len(pending) > AHEAD:
                yield _collect(pending.popleft(), preprocess.size)
        while pending:
            yield _collect(pending.popleft(), preprocess.size)
    finally:
        pool.shutdown(cancel_futures=True)


def _load(root: Path, group: Sequence[InputSample], preprocess: Preprocess) -> _Loaded:
    """Load samples of one image; one bad box does not cost the others."""
    uri, digest = group[0].uri, group[0].digest
    try:
        images = load_group(root, uri, [s.box for s in group], preprocess, digest)
    except ChangedFileError:
        raise
    except DataError as error:
        if len(group) == 1:
            return _Loaded([], [], [BadSample(group[0].sample_id, uri, str(error))])
        return _joined(_load(root, [sample], preprocess) for sample in group)
    return _Loaded([s.sample_id for s in group], [images], [])


def _joined(parts: Iterable[_Loaded]) -> _Loaded:
    whole = _Loaded([], [], [])
    for part in parts:
        whole.ids.extend(part.ids)
        whole.images.extend(part.images)
        whole.bad.extend(part.bad)
    return whole


def _collect(tasks: Sequence[Future[_Loaded]], size: int) -> InputBatch:
    batch = _joined(task.result() for task in tasks)
    none = np.empty((0, 3, size, size), dtype=np.float32)
    images = np.concatenate(batch.images) if batch.images else none
    return InputBatch(np.array(batch.ids, dtype=np.int64), images, tuple(batch.bad))
