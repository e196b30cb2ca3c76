"""What is known of the filters of a layer: one number a filter, of the samples that are looked at.

A filter's score of a sample is its largest response to it. Each number is worked out once for all
filters of a layer and kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError, UnknownNameError
from fstore.explore.once import once
from fstore.store.files import ACTIVATIONS, Partition

if TYPE_CHECKING:
    from fstore.explore.contents import Contents
    from fstore.explore.page import Asked
    from fstore.store.topk import Strongest

__all__ = ["ALL", "Aps", "Change", "Looked", "Spread", "looked_at"]

T = TypeVar("T")

ALL = "all"
"""The part that is all stored samples."""
TOP = 36
"""Samples that are kept of each filter."""
TABLES = (ACTIVATIONS, "layers", "labels", "samples", "datasets", "splits")


@dataclass(frozen=True, slots=True)
class Spread:
    """Where filters' responses lie; arrays of shape (n_filters,).

    Attributes
    ----------
    largest, smallest : arrays of float32
        Among the samples' largest responses.
    zeros : array of float64
        Share of samples that no place responds to above 0.
    """

    largest: NDArray[np.float32]
    smallest: NDArray[np.float32]
    zeros: NDArray[np.float64]

    @property
    def dead(self) -> NDArray[np.bool_]:
        """Which filters are never above 0, or respond equally to all samples."""
        return np.asarray((self.largest <= 0) | (self.largest == self.smallest))


@dataclass(frozen=True, slots=True)
class Aps:
    """How well filters tell classes.

    Attributes
    ----------
    classes : tuple of str
    at_11, at_all : arrays of shape (n_classes, n_filters), float64
        Average precision at 11 recalls and over all points; NaN without a positive.
    positives, n : arrays of shape (n_classes,), int
        Samples that show the class; those that show it or do not.
    """

    classes: tuple[str, ...]
    at_11: NDArray[np.float64]
    at_all: NDArray[np.float64]
    positives: NDArray[np.int64]
    n: NDArray[np.int64]

    @property
    def priors(self) -> NDArray[np.float64]:
        """Share of positives: what a filter that guesses gets over all points."""
        return self.positives / np.maximum(self.n, 1)


@dataclass(frozen=True, slots=True)
class Change:
    """1 - correlation of the responses of two checkpoints, by filter, and of how many samples."""

    values: NDArray[np.float64]
    n: int


@dataclass(frozen=True)
class Looked:
    """The samples of a partition that are looked at: all stored ones, or those of a part.

    Boxes that are flagged difficult are left out, as the analyses leave them out.

    Attributes
    ----------
    contents : Contents
    partition : Partition
    part : str
        ``all``, or a part as ``official:test``.
    """

    contents: "Contents"
    partition: Partition
    part: str = ALL

    @once
    def stored(self) -> NDArray[np.int64]:
        """All stored samples, ascending; the same throughout, should more come meanwhile."""
        from fstore.store.features import stored_samples

        p, contents = self.partition, self.contents
        return contents.kept(
            ("stored", p), (ACTIVATIONS,), lambda: stored_samples(contents.store, p)
        )

    @once
    def rows(self) -> NDArray[np.intp]:
        """Places of the samples among the stored ones.

        Raises
        ------
        UnknownNameError
            The data set has no such part, or none of its samples is stored.
        """
        stored = self.stored
        what = ("rows", len(stored))
        rows = self.kept(what, lambda: np.flatnonzero(np.isin(stored, self._wanted(stored))))
        if len(rows) == 0:
            raise UnknownNameError(f"none of the samples of '{self.part}' is stored")
        return rows

    def _wanted(self, stored: NDArray[np.int64]) -> NDArray[np.int64]:
        from fstore.store.parts import part_samples, without_difficult

        p, store = self.partition, self.contents.store
        ids = stored
        if self.part != ALL:
            ids = part_samples(store, p.dataset, view=p.view, part=self.part)
        return without_difficult(store, ids, dataset=p.dataset, view=p.view)

    @once
    def ids(self) -> NDArray[np.int64]:
        """Return the samples, ascending."""
        return self.stored[self.rows]

    @property
    def which(self) -> str:
        """Say which samples are looked at: ``n = 537 samples, without 127 flagged difficult``."""
        n, stored = len(self.rows), self.stored
        told = f"n = {n:,} samples"
        if self.part == ALL:
            return told + (
                f", without {len(stored) - n:,} flagged difficult" if n < len(stored) else ""
            )
        lacking = self.kept("lacking", lambda: len(self._wanted(stored)) - n)
        return f"{told} of {self.part}" + (f"; {lacking:,} more are not stored" if lacking else "")

    @once
    def X(self) -> NDArray[np.float32]:  # noqa: N802 - a matrix
        """Their largest responses, shape (n_samples, n_filters); not to be changed."""
        values = self.contents.responses(self.partition).values
        return values if len(self.rows) == len(values) else values[self.rows]

    @once
    def Y(self) -> NDArray[np.int8]:  # noqa: N802 - a matrix
        """Return what they show, shape (n_samples, n_classes): 1, 0 (difficult) or -1."""
        return self.contents.labels(self.partition).values[self.rows]

    @property
    def classes(self) -> tuple[str, ...]:
        """The data set's classes."""
        return tuple(self.contents.dataset(self.partition.dataset).classes)

    @property
    def n_filters(self) -> int:
        """Filters of the layer."""
        return self.contents.shape(self.partition).channels

    def column(self, channel: int) -> NDArray[np.float32]:
        """Return one filter's largest response to each sample; other filters are not read.

        Raises
        ------
        UnknownNameError
            The layer has no such filter.
        """
        from fstore.queries.samples.blocks import Rows, ablated_blocks

        def read() -> NDArray[np.float32]:
            rows = [Rows(self.partition, self.ids)]
            store = self.contents.store
            blocks = ablated_blocks(store, rows, ablation="sp_max", channels=[channel])
            return np.concatenate([X[:, 0, 0] for _, X in blocks])

        return self.kept(("column", channel), read)

    def strongest(self, channels: Sequence[int]) -> dict[int, "Strongest"]:
        """Return the samples to which filters respond most, by filter; at most ``TOP`` each."""
        lacking = [c for c in channels if not self.holds(("strongest", c))]
        read = self._strongest(lacking) if lacking else {}

        def own(channel: int) -> "Strongest":
            return read[channel] if channel in read else self._strongest([channel])[channel]

        return {c: self.kept(("strongest", c), partial(own, c)) for c in channels}

    def _strongest(self, channels: Sequence[int]) -> dict[int, "Strongest"]:
        from fstore.store.topk import strongest

        ids = None if len(self.rows) == len(self.stored) else self.ids
        both = strongest(self.contents.store, self.partition, channels=channels, k=TOP, ids=ids)
        return {c: _of_channel(both, i) for i, c in enumerate(channels)}

    # One number a filter

    @property
    def spread(self) -> Spread:
        """Where the filters' responses lie."""
        return self.kept("spread", self._spread, large=True)

    def _spread(self) -> Spread:
        X = self.X
        return Spread(X.max(axis=0), X.min(axis=0), (X <= 0).mean(axis=0))

    @property
    def aps(self) -> Aps:
        """How well the filters tell classes.

        Raises
        ------
        DataError
            The data set has no classes.
        """
        return self.kept("aps", self._aps, large=True)

    def _aps(self) -> Aps:
        from fstore.queries.methods.filters import single_filter_aps

        if not self.classes:
            raise DataError(f"data set '{self.partition.dataset}' has no classes")
        at_11, at_all = single_filter_aps(self.X, self.Y)
        counts = (self.Y > 0).sum(axis=0), (self.Y != 0).sum(axis=0)
        return Aps(self.classes, at_11, at_all, *counts)

    @once
    def labels(self) -> NDArray[np.int64]:
        """Return the one class of each sample, by its index.

        Raises
        ------
        DataError
            A sample shows no class or several, or all show the same.
        """
        from fstore.queries.methods.entropy import classes_of

        if not self.classes:
            raise DataError(f"data set '{self.partition.dataset}' has no classes")
        return classes_of(self.Y)

    @property
    def areas(self) -> NDArray[np.float64]:
        """Areas under the filters' entropy curves (of the largest response a sample), in nats.

        Raises
        ------
        DataError
            As of :attr:`labels`.
        """
        return self.kept("areas", self._areas, large=True)

    def _areas(self) -> NDArray[np.float64]:
        from fstore.queries.methods.entropy import areas

        return areas(self.X[:, :, None], self.labels)

    def change(self, other: Partition) -> Change:
        """Return by how much each filter's responses differ from those of another partition.

        Raises
        ------
        DataError
            The layers differ in their filters, or fewer than two samples are stored of both.
        """
        return self.kept(("change", other), lambda: self._change(other), large=True)

    def _change(self, other: Partition) -> Change:
        from fstore.queries.methods.responses import paired_correlations

        theirs = self.contents.responses(other)
        if theirs.values.shape[1] != self.n_filters:
            raise DataError(
                f"{other} has {theirs.values.shape[1]} filters, {self.partition} has "
                f"{self.n_filters}; only layers of as many can be compared filter by filter"
            )
        _, mine, also = np.intersect1d(self.ids, theirs.ids, return_indices=True)
        if len(mine) < 2:
            raise DataError(f"{len(mine)} samples are stored of both checkpoints; 2 are needed")
        X = self.X if len(mine) == len(self.X) else self.X[mine]
        others = theirs.values if len(also) == len(theirs.values) else theirs.values[also]
        return Change(1 - paired_correlations(X, others), len(mine))

    # Keeping

    def holds(self, what: object) -> bool:
        """Whether a number is worked out already."""
        return self.contents.holds((what, self.partition, self.part), TABLES)

    def kept(self, what: object, make: Callable[[], T], *, large: bool = False) -> T:
        """Return what ``make`` gives of these samples, or gave before."""
        return self.contents.kept((what, self.partition, self.part), TABLES, make, large=large)


def _of_channel(strongest: "Strongest", i: int) -> "Strongest":
    own = slice(i, i + 1)
    return replace(
        strongest,
        channels=strongest.channels[own].copy(),
        sample_ids=strongest.sample_ids[own].copy(),
        values=strongest.values[own].copy(),
        places=strongest.places[own].copy(),
    )


def looked_at(asked: "Asked") -> Looked:
    """Return the samples that an address asks for: ``part`` beside the partition."""
    return Looked(asked.contents, asked.partition, asked.text("part", ALL))
