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
    threads : int
        That decode a file.
    """

    shape: LayerShape
    pool: Literal["mean", "max"] | None
    files: Sequence[StoredFile]
    rows: Sequence[NDArray[np.intp]]
    starts: NDArray[np.int64]
    threads: int = 1

    @property
    def sizes(self) -> list[int]:
        """Wanted samples of each file."""
        return [len(rows) for rows in self.rows]

    @property
    def positions(self) -> int:
        """Values of a channel that are yielded."""
        return 1 if self.pool else self.shape.positions

    def read(
        self, i: int, out: NDArray[np.float32], *, to: NDArray[np.intp], rows: NDArray[np.intp]
    ) -> None:
        """Write samples of one file into places of ``out``, shape (n, n_channels, positions).

        ``rows`` are places among the file's wanted samples.
        """
        what: Column = "map"
        if self.pool is not None and self.shape.positions > 1:
            what = "act_max" if self.pool == "max" else "act_sum"
        chosen = self.rows[i][rows]
        X = read_shard(
            self.files[i],
            self.shape,
            rows=chosen,
            what=what,
            threads=self.threads,
            into=None if what == "act_sum" else (out, to),
        )
        if what == "act_sum":
            out[to] = X / self.shape.positions


class Batch(NamedTuple):
    """Samples by their place over all files, and their responses, (n, n_channels, positions)."""

    places: NDArray[np.int64]
    X: NDArray[np.float32]


def stream(source: Source, plan: Plan, *, batch_size: int, first: int = 0) -> Iterator[Batch]:
    """Yield batches in the order of a plan.

    In memory are the samples of the buffer and of one batch, those of two files (the one that is
    being used up, and the next one, which is read meanwhile), and what decoding a row group takes.

    Parameters
    ----------
    source : Source
    plan : Plan
    batch_size : int
        The last batch may be smaller.
    first : int
        Batches to leave out: files that only they need are not read.
    """
    n, begun = len(plan.order), first * batch_size
    if begun >= n:
        return
    needed = np.ones(n, dtype=bool)
    needed[plan.order[:begun]] = False
    with ThreadPoolExecutor(1, thread_name_prefix="fstore-ahead") as ahead:
        held = _Held(source, plan, needed, batch_size=batch_size, ahead=ahead)
        for start in range(begun, n, batch_size):
            asked = plan.order[start : start + batch_size]
            yield Batch(source.starts[plan.file[asked]] + plan.row[asked], held.take(asked))


class _Held:
    """Samples that were read, or are being read, and not yielded yet.

    A file is decoded into whatever places are free, so between the file and the batch a sample is
    written once. There is room for the buffer, a batch and two files.
    """

    def __init__(
        self,
        source: Source,
        plan: Plan,
        needed: NDArray[np.bool_],
        *,
        batch_size: int,
        ahead: ThreadPoolExecutor,
    ) -> None:
        self._source, self._plan, self._ahead = source, plan, ahead
        self._segments = _segments(plan, needed)
        largest = sorted(len(came) for came in self._segments)[-2:]
        room = min(int(needed.sum()), plan.buffer + batch_size + sum(largest))
        self._values = np.empty((room, source.shape.channels, source.positions), np.float32)
        self._places = np.full(len(plan.order), -1, dtype=np.int64)
        self._free = np.arange(room)
        self._n_free = room
        self._done = 0  # segments that are read
        self._reading: Future[None] | None = None  # the next one

    def take(self, asked: NDArray[np.int64]) -> NDArray[np.float32]:
        """Hand out samples, by their number in the plan; they are not held from then on."""
        latest = asked.max()
        while self._begun_by(latest):
            if self._reading is None:
                self._begin()
            self._finish()
        if self._done < len(self._segments) and self._reading is None and self._has_room():
            self._begin()
        places = self._places[asked]
        X = self._values[places]
        self._free[self._n_free : self._n_free + len(places)] = places
        self._n_free += len(places)
        return X

    def _begun_by(self, sample: np.int64) -> bool:
        """Whether a sample is in a file that is not read yet."""
        return self._done < len(self._segments) and bool(sample >= self._segments[self._done][0])

    def _has_room(self) -> bool:
        """Whether the next file fits beside what is held."""
        return len(self._segments[self._done]) <= self._n_free

    def _begin(self) -> None:
        """Have the next file read into free places."""
        came = self._segments[self._done]
        self._n_free -= len(came)
        to = np.sort(self._free[self._n_free : self._n_free + len(came)])
        rows = self._plan.row[came]
        order = np.argsort(rows)  # files are read by ascending rows
        self._places[came[order]] = to
        file = int(self._plan.file[came[0]])
        self._reading = self._ahead.submit(
            self._source.read, file, self._values, to=to, rows=rows[order]
        )

    def _finish(self) -> None:
        assert self._reading is not None  # noqa: S101 - begun by whoever calls this
        self._reading.result()
        self._reading = None
        self._done += 1


def _segments(plan: Plan, needed: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Return the numbers of the needed samples of each file, in the order of reading."""
    starts = np.flatnonzero(np.r_[True, plan.file[1:] != plan.file[:-1]])
    numbers = np.split(np.arange(len(plan.file)), starts[1:])
    wanted = [came[needed[came]] for came in numbers]
    return [came for came in wanted if len(came)]
