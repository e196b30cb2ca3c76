"""Samples whose responses are nearest to those of one sample, exactly.

Of whole maps little is known without reading them, but that is stored beside them: the largest
response m, its place a, and the sum s. For a map x of P places and the map q that is asked about,
(m - q[a])^2 + (s - m - sum of q but for a)^2 / (P - 1) is at most the squared distance of x and q:
the first term is the difference at a place, the second the least that the others can differ by,
given their sum. A file's samples are left out as soon as what is read and what is bounded of them
is more than the farthest of the best so far. Reading bounds takes time, too: where those of the
first files leave most samples in, the other files are read without.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError, UnknownNameError
from fstore.store.features import (
    Block,
    What,
    _files,
    _place,
    _wanted_channels,
    layer_shape,
    read_features,
    refuse_bits,
)
from fstore.store.files import Partition, StoredFile
from fstore.store.readers import Reader
from fstore.store.remedies import not_finite
from fstore.store.schema import ACT_MAX, ACT_SUM, ARGMAX, MAP

if TYPE_CHECKING:
    from fstore.store.store import Store

__all__ = ["Nearest", "nearest", "nearest_by_blocks"]

SLACK = 1e-9
"""Share by which a bound is lowered: more than what rounding adds to it."""

PROBE = 256
"""Samples of which bounds are looked at before it is decided whether they pay."""
PAYS = 4
"""Bounds pay where one sample in so many, or less, must be read for all that they tell."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """The samples nearest to one.

    Attributes
    ----------
    sample_ids : array of shape (k,), int64
        Nearest first; of equally near ones the smaller sample.
    distances : array of shape (k,), float64
        Euclidean, over all channels and places.
    n_samples : int
        So many were compared; the sample itself is not among them.
    read : float
        Share of their responses that was decoded, from 0 to 1.
    """

    sample_ids: NDArray[np.int64]
    distances: NDArray[np.float64]
    n_samples: int
    read: float


def nearest(
    store: "Store",
    partition: Partition,
    sample: int,
    *,
    channels: Sequence[int] | None = None,
    what: What = "map",
    k: int = 9,
    ids: NDArray[np.int64] | None = None,
) -> Nearest:
    """Return the samples whose responses are nearest to those of a sample: as a full scan would.

    Parameters
    ----------
    store : Store
    partition : Partition
    sample : int
        One of the partition's; it is not its own neighbour.
    channels : sequence of int or None
        Compare the responses of these; None for all.
    what : {"map", "sp_max"}
        Compare whole maps, or only the largest response of each.
    k : int
        Samples; fewer where there are fewer.
    ids : array of int64 or None
        Among these samples; None for all that are stored.

    Returns
    -------
    Nearest

    Raises
    ------
    UnknownNameError
        No such partition, or a channel or sample is not in it.
    DataError
        ``k`` is not positive; there is no other sample; a response is NaN or infinite; the
        responses are stored as bits.
    """
    if k < 1:
        raise DataError(f"k must be at least 1, got {k}")
    shape = layer_shape(store, partition)
    wanted = _wanted_channels(channels, shape, partition)
    files = _files(store, partition)
    refuse_bits(files)
    stored = np.sort(np.concatenate([file.sample_ids for file in files]))
    if sample not in stored:
        raise UnknownNameError(
            f"sample {sample} of {partition}: not among the {len(stored)} stored"
        )
    others = np.setdiff1d(stored if ids is None else ids, [sample])
    if not len(others):
        raise DataError(f"{partition}: there is no other sample to compare sample {sample} with")
    if what == "sp_max" or shape.positions == 1:
        # a column that is read as a whole: as quick as an index
        every = np.union1d(others, [sample])
        blocks = read_features(
            store, partition, channels=wanted.tolist(), samples=every, what="sp_max"
        )
        return nearest_by_blocks(_finite(store, partition, blocks, ids=every), every, sample, k=k)
    search = _Search(store, partition, sample, wanted, k)
    return search.answer(files, others, positions=shape.positions)


def nearest_by_blocks(
    blocks: Iterable[Block], ids: NDArray[np.int64], sample: int, *, k: int
) -> Nearest:
    """Return the samples nearest to one, from responses of all of them.

    Parameters
    ----------
    blocks : iterable of (channels, X)
        As :func:`fstore.store.features.read_features` yields them.
    ids : array of int64
        The samples, ascending; ``sample`` is one of them.
    sample, k : int
        As for :func:`nearest`.
    """
    at = int(np.searchsorted(ids, sample))
    each = []
    for _, X in blocks:
        far = X - X[at].astype(np.float64)
        each.append(np.square(far, out=far).sum(axis=2))
    squares = np.concatenate(each, axis=1).sum(axis=1)
    best = _Best(k)
    best.add(np.delete(squares, at), np.delete(ids, at))
    return Nearest(best.ids, np.sqrt(best.squares), len(ids) - 1, 1.0)


def _finite(
    store: "Store", partition: Partition, blocks: Iterable[Block], *, ids: NDArray[np.int64]
) -> Iterator[Block]:
    """Pass blocks on; refuse a response that is no number."""
    for channels, X in blocks:
        bad = np.argwhere(~np.isfinite(X))
        if len(bad):
            row, channel, _ = bad[0]
            raise not_finite(store, partition, sample=int(ids[row]), channel=int(channels[channel]))
        yield channels, X


class _Best:
    """The nearest samples so far."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.squares: NDArray[np.float64] = np.empty(0, dtype=np.float64)
        self.ids: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    @property
    def limit(self) -> float:
        """A sample that is farther, squared, is none of the nearest."""
        return float(self.squares[-1]) if len(self.squares) == self.k else float("inf")

    def add(self, squares: NDArray[np.float64], ids: NDArray[np.int64]) -> None:
        """Take those of some samples that are near enough."""
        squares, ids = np.concatenate([self.squares, squares]), np.concatenate([self.ids, ids])
        order = np.lexsort((ids, squares))[: self.k]
        self.squares, self.ids = squares[order], ids[order]


@dataclass(frozen=True)
class _Pending:
    """A file that may hold some of the nearest samples."""

    reader: Reader  # of its maps, open
    blocks: list[NDArray[np.intp]]  # channels of a row group each, as places among those asked
    bounds: NDArray[np.float64]  # (n_rows, n_blocks)


@dataclass(frozen=True)
class _Search:
    """One question: the maps that others are compared with, and how many are wanted."""

    store: "Store"
    partition: Partition
    sample: int
    channels: NDArray[np.int32]
    k: int
    q: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))
    """The sample's maps, (n_channels, positions); read when the answer is sought."""

    def answer(
        self, files: Sequence[StoredFile], others: NDArray[np.int64], *, positions: int
    ) -> Nearest:
        """Read the sample's maps, and compare others with them."""
        _, (own,) = _place(files, np.array([self.sample]), self.partition)
        own.open(MAP, positions)
        q = np.empty((len(self.channels), 1, positions), dtype=np.float32)
        own.fill(q, self.channels)
        # the sample itself is read with the others: without a hole, rows are copied in one piece
        _, readers = _place(files, np.union1d(others, [self.sample]), self.partition)
        # samples that were registered one after another are often alike
        readers.sort(key=lambda r: self._far(r.file))
        return replace(self, q=q[:, 0].astype(np.float64))._compared(readers, len(others))

    def _far(self, file: StoredFile) -> int:
        """Return how far a file's samples are from the one in question, by their numbers."""
        return max(file.first_sample - self.sample, self.sample - file.last_sample)

    def _compared(self, readers: Sequence[Reader], n_samples: int) -> Nearest:
        """Go through files; bounds are given up where they tell little of the first ones."""
        best, decoded, seen, near = _Best(self.k), 0, 0, 0
        for reader in readers:
            reader.open(MAP, self.q.shape[1])
            bounded = len(best.ids) == self.k and (seen < PROBE or PAYS * near <= seen)
            file = self._pending(reader) if bounded else self._whole(reader)
            if bounded:
                seen += len(file.bounds)
                near += int(np.count_nonzero(file.bounds.sum(axis=1) <= best.limit))
            decoded += self._compare(file, best)
        share = decoded / ((n_samples + 1) * len(self.channels))
        return Nearest(best.ids, np.sqrt(best.squares), n_samples, share)

    def _blocks(self, reader: Reader) -> list[NDArray[np.intp]]:
        """Return the channels of each row group of a file, as places among those asked."""
        group_of = reader.group_of(self.channels)
        return [np.flatnonzero(group_of == group) for group in np.unique(group_of)]

    def _whole(self, reader: Reader) -> _Pending:
        """Return a file of which nothing is known."""
        blocks = self._blocks(reader)
        return _Pending(reader, blocks, np.zeros((len(reader.rows), len(blocks))))

    def _pending(self, reader: Reader) -> _Pending:
        """Read what is stored beside the maps of a file, and bound its samples' distances."""
        largest, total, place = (
            self._column(reader, name, kind)
            for name, kind in ((ACT_MAX, np.float32), (ACT_SUM, np.float64), (ARGMAX, np.int32))
        )
        bounds = self._bounds(largest.astype(np.float64), total, place=place)
        blocks = self._blocks(reader)
        return _Pending(reader, blocks, np.stack([bounds[b].sum(axis=0) for b in blocks], axis=1))

    def _column(self, reader: Reader, name: str, kind: Any) -> NDArray[Any]:  # noqa: ANN401
        """Return a summary column, shape (n_channels, n_rows)."""
        n = len(reader.rows)
        own = replace(reader, to=np.arange(n), column=name)
        out = np.empty((len(self.channels), n, 1), dtype=kind)
        own.fill(out, self.channels)
        every = np.arange(len(self.channels))
        self._check(out[..., 0].T, reader.file.sample_ids[reader.rows], channels=every)
        return out[..., 0]

    def _check(
        self, values: NDArray[Any], ids: NDArray[np.int64], *, channels: NDArray[np.intp]
    ) -> None:
        """Refuse values of shape (n_samples, n_channels) that are no numbers."""
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            sample, channel = int(ids[bad[0, 0]]), int(self.channels[channels[bad[0, 1]]])
            raise not_finite(self.store, self.partition, sample=sample, channel=channel)

    def _bounds(
        self, largest: NDArray[np.float64], total: NDArray[np.float64], *, place: NDArray[np.int32]
    ) -> NDArray[np.float64]:
        """Return what the square of each map's distance is at least, (n_channels, n_rows)."""
        sums = self.q.sum(axis=1)[:, None]
        there = np.take_along_axis(self.q, place.astype(np.intp), axis=1)
        rest = np.abs((total - largest) - (sums - there))
        rest -= SLACK * (np.abs(total) + np.abs(largest) + np.abs(self.q).sum(axis=1)[:, None])
        least: NDArray[np.float64] = np.square(largest - there)
        least += np.square(np.maximum(rest, 0)) / (self.q.shape[1] - 1)
        return least * (1 - SLACK)

    def _compare(self, file: _Pending, best: _Best) -> int:
        """Compare a file's samples as far as needed; return the maps that were decoded."""
        n, decoded = len(file.bounds), 0
        ids = file.reader.file.sample_ids[file.reader.rows]
        each = np.zeros((n, len(self.channels)))
        least = file.bounds.sum(axis=1)
        near = np.flatnonzero(least <= best.limit)
        for i in np.argsort(-file.bounds.sum(axis=0), kind="stable"):
            if not len(near):
                return decoded
            block = file.blocks[i]
            reader = replace(file.reader, rows=file.reader.rows[near], to=np.arange(len(near)))
            maps = np.empty((len(block), len(near), self.q.shape[1]), dtype=np.float32)
            reader.fill(maps, self.channels[block])
            decoded += maps.shape[0] * maps.shape[1]
            for c, x in zip(block, maps, strict=True):
                each[near, c] = _squares(x, self.q[c])
            self._check(each[np.ix_(near, block)], ids[near], channels=block)
            least[near] -= file.bounds[near, i]
            least[near] += each[near][:, block].sum(axis=1) * (1 - SLACK)
            near = near[least[near] <= best.limit]
        near = near[ids[near] != self.sample]
        best.add(each[near].sum(axis=1), ids[near])
        return decoded


def _squares(X: NDArray[np.float32], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the squared distance of each row from q."""
    differences = X - q
    squares: NDArray[np.float64] = np.square(differences, out=differences).sum(axis=1)
    return squares
