"""The strongest samples of channels: from the sidecars where they prove it, else from the columns.

A file's sidecar has the strongest samples of each of its channels (``store/kept.py``). Those of
all files together, in order, are right down to the first place at which a sample that some file
left out could come. Where that is above the last place that is asked for, the column ``act_max``
of that file is read, of those channels alone. So answers are those of a full scan, always.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError, UnknownNameError
from fstore.store.candidates import NOWHERE, Candidates, behind, best_of, no_candidates
from fstore.store.features import (
    _files,
    _place,
    _wanted_channels,
    layer_shape,
    refuse_bits,
)
from fstore.store.files import Partition, StoredFile
from fstore.store.kept import KEPT, Kept, order_keys, stacked, strongest_of
from fstore.store.readers import Reader, reader_of
from fstore.store.remedies import not_finite
from fstore.store.scan import scan
from fstore.store.schema import ACT_MAX, ARGMAX
from fstore.store.sidecars import read_sidecar

if TYPE_CHECKING:
    from fstore.store.store import Store

__all__ = ["Strongest", "samples_by_class", "strongest", "strongest_by_class"]

MANY = 4
"""Classes that are answered from sidecars, one after another; of more the columns are read once."""


@dataclass(frozen=True, slots=True)
class Strongest:
    """The samples to which channels respond most.

    Attributes
    ----------
    channels : array of shape (n_channels,), int32
    sample_ids : array of shape (n_channels, k), int64
        Largest response first; of equal ones the smaller sample.
    values : array of shape (n_channels, k), float32
        That response.
    places : array of shape (n_channels, k), int32
        Where in the map it is (the first place, if several), row by row from 0.
    scanned : int
        Columns, of one channel in one file each, that were read since no sidecar gave the answer.
    """

    channels: NDArray[np.int32]
    sample_ids: NDArray[np.int64]
    values: NDArray[np.float32]
    places: NDArray[np.int32]
    scanned: int


def strongest(
    store: "Store",
    partition: Partition,
    *,
    channels: Sequence[int] | None = None,
    k: int = 9,
    ids: NDArray[np.int64] | None = None,
    bits: bool = False,
) -> Strongest:
    """Return the samples to which channels respond most: what sorting all of them would give.

    Parameters
    ----------
    store : Store
    partition : Partition
    channels : sequence of int or None
        In the order of the answer; None for all.
    k : int
        Samples a channel; fewer where there are fewer.
    ids : array of int64 or None
        Among these samples; None for all that are stored.
    bits : bool
        Whether responses will do of which only the sign is stored, or of which that is not known.

    Returns
    -------
    Strongest

    Raises
    ------
    UnknownNameError
        No such partition, or a channel or sample is not in it.
    DataError
        ``k`` is not positive; a response is NaN or infinite; the responses are stored as bits.
    """
    question = _Question.of(store, partition, channels=channels, k=k, bits=bits)
    return question.answer(ids)


def strongest_by_class(
    store: "Store",
    partition: Partition,
    *,
    classes: Sequence[str] | None = None,
    channels: Sequence[int] | None = None,
    k: int = 9,
    ids: NDArray[np.int64] | None = None,
) -> dict[str, Strongest]:
    """Return, by class, the samples of that class to which channels respond most.

    A sample is of each class that it shows (label 1; an object that is only there as a difficult
    one does not count).

    Parameters
    ----------
    store : Store
    partition : Partition
    classes : sequence of str or None
        Some of the data set's; None for all.
    channels, k, ids
        As for :func:`strongest`.

    Returns
    -------
    dict
        In the data set's order; a class without a stored sample is left out.

    Raises
    ------
    UnknownNameError, DataError
        As from :func:`strongest`; or the data set has no such class.
    """
    question = _Question.of(store, partition, channels=channels, k=k)
    among = question.stored if ids is None else np.intersect1d(ids, question.stored)
    shown = samples_by_class(store, partition, classes)
    wanted = {name: np.intersect1d(own, among) for name, own in shown.items()}
    wanted = {name: own for name, own in wanted.items() if len(own)}
    if len(wanted) > MANY:
        return question.by_scan(wanted)
    return {name: question.answer(own) for name, own in wanted.items()}


def samples_by_class(
    store: "Store", partition: Partition, classes: Sequence[str] | None = None
) -> dict[str, NDArray[np.int64]]:
    """Return, by class, the samples that show it (label 1), ascending; stored or not.

    Parameters
    ----------
    store : Store
    partition : Partition
        Its data set and view are meant.
    classes : sequence of str or None
        Some of the data set's; None for all.

    Returns
    -------
    dict
        In the data set's order; a class without a sample is left out.

    Raises
    ------
    UnknownNameError
        The data set has no such class.
    """
    names = store.dataset(partition.dataset).classes
    if unknown := [name for name in classes or () if name not in names]:
        raise UnknownNameError(
            f"data set '{partition.dataset}' has no class '{unknown[0]}'; it has: "
            + ", ".join(names)
        )
    rows = store.labels(partition.dataset, partition.view)
    present = rows["label"].to_numpy() > 0
    ids, shown = rows["sample_id"].to_numpy()[present], rows["class"].to_numpy()[present]
    wanted = {name: np.sort(ids[shown == name]) for name in names}
    return {
        name: own
        for name, own in wanted.items()
        if len(own) and (classes is None or name in classes)
    }


@dataclass(frozen=True)
class _Question:
    """What is asked of a partition, and what its sidecars hold of the channels in question."""

    store: "Store"
    partition: Partition
    files: Sequence[StoredFile]
    positions: int
    channels: NDArray[np.int32]
    k: int
    kept: Mapping[str, Kept | None]
    read: int  # columns that were read for it
    few_kept: bool  # most samples are in files of which nothing is kept

    @classmethod
    def of(
        cls,
        store: "Store",
        partition: Partition,
        *,
        channels: Sequence[int] | None,
        k: int,
        bits: bool = False,
    ) -> "_Question":
        if k < 1:
            raise DataError(f"k must be at least 1, got {k}")
        shape = layer_shape(store, partition)
        files = _files(store, partition)
        if not bits:
            refuse_bits(files)
        own = _wanted_channels(channels, shape, partition)
        asked = own if channels is None else np.asarray(channels, dtype=np.int32)
        kept, read = {file.key: _kept(store, file, own) for file in files}, 0
        lacking = sum(file.n_samples for file in files if kept[file.key] is None)
        few_kept = 2 * lacking > sum(file.n_samples for file in files)
        for file in () if few_kept else files:
            if kept[file.key] is None and file.n_samples <= KEPT:
                kept[file.key] = _all_of(file, own, positions=shape.positions)
                read += len(own)
        return cls(store, partition, files, shape.positions, asked, k, kept, read, few_kept)

    @property
    def stored(self) -> NDArray[np.int64]:
        """The partition's samples."""
        return np.sort(np.concatenate([file.sample_ids for file in self.files]))

    def answer(self, ids: NDArray[np.int64] | None) -> Strongest:
        """Return the strongest among some samples."""
        if self.few_kept:
            return self.by_scan({"": self.stored if ids is None else np.unique(ids)})[""]
        own = np.unique(self.channels)
        n_samples, readers = _place(self.files, ids, self.partition)
        k = min(self.k, n_samples)
        offers = [self._offer(reader, k) for reader in readers]
        best, scanned = best_of(offers, k), 0
        for i, (reader, offer) in enumerate(zip(readers, offers, strict=True)):
            lacking = np.flatnonzero(offer.unproven & behind(best, offer))
            if len(lacking):
                offers[i] = self._scanned(reader, offer, own[lacking], at=lacking, k=k)
                scanned += len(lacking)
        if scanned:
            best = best_of(offers, k)
        at = np.searchsorted(own, self.channels)
        scanned += self.read
        return Strongest(self.channels, best.ids[at], best.values[at], best.places[at], scanned)

    def by_scan(self, groups: Mapping[str, NDArray[np.int64]]) -> dict[str, Strongest]:
        """Return the strongest among each of some groups of samples; columns are read once."""
        own = np.unique(self.channels)
        ids = np.unique(np.concatenate(list(groups.values())))
        at = {name: np.searchsorted(ids, group) for name, group in groups.items()}
        n, readers = _place(self.files, ids, self.partition)
        for reader in readers:
            reader.open(ACT_MAX, 1)
        columns = ACT_MAX, *((ARGMAX,) if self.positions > 1 else ())
        opened = [[replace(reader, column=column) for reader in readers] for column in columns]
        step = min(reader.step for reader in opened[0])
        parts: dict[str, list[Kept]] = {name: [] for name in groups}
        for start in range(0, len(own), step):
            block = own[start : start + step]
            act_max = np.empty((len(block), n, 1), np.float32)
            argmax = np.zeros((len(block), n, 1), np.int32)
            for array, several in zip((act_max, argmax), opened, strict=False):
                for reader in several:
                    reader.fill(array, block)
            if len(bad := np.argwhere(~np.isfinite(act_max[..., 0]))):
                channel, row = int(block[bad[0, 0]]), int(ids[bad[0, 1]])
                raise not_finite(self.store, self.partition, sample=row, channel=channel)
            for name, rows in at.items():
                parts[name].append(
                    strongest_of(ids[rows], act_max[:, rows, 0], argmax[:, rows, 0], k=self.k)
                )
        order, read = np.searchsorted(own, self.channels), len(own) * len(readers)
        return {
            name: _answer(self.channels, stacked(p), order=order, scanned=read)
            for name, p in parts.items()
        }

    def _offer(self, reader: Reader, k: int) -> Candidates:
        """Return what the sidecar of a file has of the wanted samples."""
        kept, file = self.kept[reader.file.key], reader.file
        n = len(np.unique(self.channels))
        if kept is None:
            return no_candidates(n)
        keys = order_keys(kept.values)
        last = kept.sample_ids[:, -1], keys[:, -1]
        ids, values, places = kept.sample_ids, kept.values, kept.places
        unproven = np.full(n, kept.n_kept < kept.n_samples)
        if len(reader.rows) == file.n_samples:
            ids, keys = ids[:, :k], keys[:, :k]
            values, places = values[:, :k], places[:, :k]
        else:
            wanted = np.zeros(file.last_sample - file.first_sample + 1, dtype=bool)
            wanted[file.sample_ids[reader.rows] - file.first_sample] = True
            inside = wanted[ids - file.first_sample]
            unproven &= inside.sum(axis=1) < len(reader.rows)
            first = np.argsort(~inside, axis=1, kind="stable")[:, :k]  # they are in order
            keys = np.take_along_axis(np.where(inside, keys, NOWHERE), first, axis=1)
            ids, values, places = (
                np.take_along_axis(kept.sample_ids, first, axis=1),
                np.take_along_axis(values, first, axis=1),
                np.take_along_axis(places, first, axis=1),
            )
        return Candidates(ids, keys, values, places, unproven, *last)

    def _scanned(
        self,
        reader: Reader,
        offer: Candidates,
        channels: NDArray[np.int32],
        *,
        at: NDArray[np.intp],
        k: int,
    ) -> Candidates:
        """Return what a file offers, some channels from its columns."""
        most = min(k, len(reader.rows))
        width, n = max(most, offer.ids.shape[1]), len(offer.unproven)
        ids, keys = np.zeros((n, width), np.int64), np.full((n, width), NOWHERE)
        values, places = np.zeros((n, width), np.float32), np.zeros((n, width), np.int32)
        had = offer.ids.shape[1]
        ids[:, :had], keys[:, :had] = offer.ids, offer.keys
        values[:, :had], places[:, :had] = offer.values, offer.places
        keys[at] = NOWHERE
        done = 0
        for block, kept in scan(
            reader.file, channels, reader.rows, k=most, positions=self.positions
        ):
            if kept.not_finite:
                raise self._not_finite(reader, block)
            here = at[done : done + len(block)]
            ids[here, :most], values[here, :most] = kept.sample_ids, kept.values
            keys[here, :most], places[here, :most] = order_keys(kept.values), kept.places
            done += len(block)
        none = np.zeros(n, dtype=bool)
        return Candidates(ids, keys, values, places, none, offer.last_id, offer.last_key)

    def _not_finite(self, reader: Reader, channels: NDArray[np.int32]) -> DataError:
        """Return the error that names the first response that is no number."""
        again = reader_of(reader.file, reader.rows, np.arange(len(reader.rows)))
        again.open(ACT_MAX, 1)
        values = np.empty((len(channels), len(reader.rows), 1), np.float32)
        again.fill(values, channels)
        channel, row = np.argwhere(~np.isfinite(values[..., 0]))[0]
        sample = reader.file.sample_ids[reader.rows[row]]
        return not_finite(
            self.store, self.partition, sample=int(sample), channel=int(channels[channel])
        )


def _answer(
    channels: NDArray[np.int32], kept: Kept, *, order: NDArray[np.intp], scanned: int
) -> Strongest:
    return Strongest(
        channels, kept.sample_ids[order], kept.values[order], kept.places[order], scanned
    )


def _all_of(file: StoredFile, channels: NDArray[np.int32], *, positions: int) -> Kept | None:
    """Return all samples of a small file in order; None if a response is no number."""
    rows = np.arange(file.n_samples)
    kept = stacked([k for _, k in scan(file, channels, rows, k=KEPT, positions=positions)])
    return None if kept.not_finite else kept


def _kept(store: "Store", file: StoredFile, channels: NDArray[np.int32]) -> Kept | None:
    """Return what a sidecar has of some channels; None if it cannot give answers."""
    if file.is_foreign:
        return None
    kept = read_sidecar(store.place, file.key, channels=channels)
    return None if kept is None or kept.not_finite else kept
