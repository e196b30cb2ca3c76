"""Batches of stored responses in a planned order: files read ahead, samples mixed in a buffer."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fstore.api.shuffling import Plan
from fstore.store.features import LayerShape
from fstore.store.files import StoredFile
from fstore.store.shards import Column, read_shard

__all__ = ["Batch", "Source", "stream"]

CHUNK = 256  # samples that go from a file to the buffer at once


@dataclass(frozen=True, slots=True)
class Source:
    """The files of a partition as they were at one time, and which of their samples are wanted.

    Attributes
    ----------
    files : sequence of StoredFile
        By their first sample; each holds a wanted one.
    rows : sequence of arrays of int
        For each file, which of its samples are wanted.
    starts : array of shape (n_files,)
        Where the wanted samples of each file begin, counted over all files.
    """

    shape: LayerShape
    pool: Literal["mean", "max"] | None
    files: Sequence[StoredFile]
    rows: Sequence[NDArray[np.intp]]
    starts: NDArray[np.int64]

    @property
    def sizes(self) -> list[int]:
        """Wanted samples of each file."""
        return [len(rows) for rows in self.rows]

    @property
    def positions(self) -> int:
        """Values of a channel that are yielded."""
        return 1 if self.pool else self.shape.positions

    def read(self, i: int, *, threads: int) -> NDArray[np.float32]:
        """Return what is wanted of one file, shape (n_samples, n_channels, positions)."""
        what: Column = "map"
        if self.pool is not None and self.shape.positions > 1:
            what = "act_max" if self.pool == "max" else "act_sum"
        X = read_shard(self.files[i], self.shape, rows=self.rows[i], what=what, threads=threads)
        return X if what != "act_sum" else (X / self.shape.positions).astype(np.float32)


class Batch(NamedTuple):
    """Samples by their place over all files, and their responses, (n, n_channels, positions)."""

    places: NDArray[np.int64]
    X: NDArray[np.float32]


def stream(
    source: Source, plan: Plan, *, batch_size: int, first: int = 0, threads: int = 1
) -> Iterator[Batch]:
    """Yield batches in the order of a plan.

    In memory are the samples of the buffer and of one batch, two files (the one that is being
    used up, and the next one, which is read meanwhile), and what decoding a row group takes.

    Parameters
    ----------
    source : Source
    plan : Plan
    batch_size : int
        The last batch may be smaller.
    first : int
        Batches to leave out: files that only they need are not read.
    threads : int
        That decode a file.
    """
    n, begun = len(plan.order), first * batch_size
    if begun >= n:
        return
    needed = np.ones(n, dtype=bool)
    needed[plan.order[:begun]] = False
    buffer = _Buffer(n, min(n, plan.buffer + batch_size), source)
    with ThreadPoolExecutor(1, thread_name_prefix="fstore-ahead") as ahead:
        arrivals = _Arrivals(source, plan, needed, ahead=ahead, threads=threads)
        for start in range(begun, n, batch_size):
            asked = plan.order[start : start + batch_size]
            for came, X in arrivals.until(min(n, start + len(asked) + plan.buffer)):
                buffer.put(came, X)
            yield Batch(source.starts[plan.file[asked]] + plan.row[asked], buffer.take(asked))


class _Buffer:
    """Samples that were read and not yielded yet, by the order in which they came."""

    def __init__(self, n: int, capacity: int, source: Source) -> None:
        self._held = np.empty((capacity, source.shape.channels, source.positions), np.float32)
        self._slots = np.full(n, -1, dtype=np.int64)
        self._free = np.arange(capacity)
        self._n_free = capacity

    def put(self, came: NDArray[np.int64], X: NDArray[np.float32]) -> None:
        """Take in samples."""
        self._n_free -= len(came)
        slots = self._free[self._n_free : self._n_free + len(came)]
        self._slots[came] = slots
        self._held[slots] = X

    def take(self, asked: NDArray[np.int64]) -> NDArray[np.float32]:
        """Hand out samples, which are not held from then on."""
        slots = self._slots[asked]
        self._free[self._n_free : self._n_free + len(slots)] = slots
        self._n_free += len(slots)
        return self._held[slots]


class _Arrivals:
    """The samples of a share in the order in which they are read; the next file is read ahead."""

    def __init__(
        self,
        source: Source,
        plan: Plan,
        needed: NDArray[np.bool_],
        *,
        ahead: ThreadPoolExecutor,
        threads: int,
    ) -> None:
        self._source, self._plan, self._needed = source, plan, needed
        self._ahead, self._threads = ahead, threads
        starts = np.flatnonzero(np.r_[True, plan.file[1:] != plan.file[:-1]])
        ends = [*starts[1:].tolist(), len(plan.file)]
        self._segments = [
            (start, end)
            for start, end in zip(starts.tolist(), ends, strict=True)
            if needed[start:end].any()
        ]
        self._next: Future[NDArray[np.float32]] | None = None
        self._X: NDArray[np.float32] | None = None
        self._at = 0

    def until(self, end: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield those that come before place ``end`` and are needed, some at a time."""
        while self._segments and max(self._at, self._segments[0][0]) < end:
            first, last = self._segments[0]
            first = max(first, self._at)
            stop = min(first + CHUNK, last, end)
            came = first + np.flatnonzero(self._needed[first:stop])
            if len(came):
                yield came, self._file()[self._plan.row[came]]
            self._at = stop
            if stop == last:
                self._segments.pop(0)
                self._X = None

    def _file(self) -> NDArray[np.float32]:
        """Return the file of the first segment, and have the next one read."""
        if self._X is None:
            self._X = (self._next or self._read(0)).result()
            self._next = self._read(1) if len(self._segments) > 1 else None
        return self._X

    def _read(self, segment: int) -> "Future[NDArray[np.float32]]":
        file = int(self._plan.file[self._segments[segment][0]])
        return self._ahead.submit(self._source.read, file, threads=self._threads)
