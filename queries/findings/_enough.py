"""Whether a test set is large enough for a verdict: the one rule, for every claim.

Which cells a claim may be judged by is decided here, before any claim sees them: what was tested on
too little is not there for it, as a cell that was not computed, and a note says so.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from fstore.errors import FstoreError
from fstore.queries.cells.needs import Need
from fstore.queries.findings._tested import TestSet, kind_of
from fstore.store.parts import Samples, sample_ids

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["LARGEST_ERROR", "Tested", "mean_error", "test_sets", "tested", "too_few", "without"]

LARGEST_ERROR = 5.0
"""Percentage points that the error of a mean over classes may have, where a claim is judged.

About five test samples of each of 20 classes, ten of each of 10, or 25 of each of 4.
"""


@dataclass(frozen=True, slots=True)
class Tested:
    """What a number was tested on: samples, and how many of them show each class."""

    datasets: tuple[str, ...]
    n_samples: int
    positives: dict[str, int] = field(default_factory=dict)

    @property
    def error(self) -> float:
        """The error of a mean over the classes, see :func:`mean_error`."""
        return mean_error(list(self.positives.values()))

    def __str__(self) -> str:
        least, most = min(self.positives.values()), max(self.positives.values())
        rare = min(self.positives, key=self.positives.__getitem__)
        sets = " and ".join(self.datasets)
        return (
            f"Too little is tested on: {sets} tests on {self.n_samples:,} samples, of a class on "
            f"{least} ({rare}) to {most} of them: a mean over classes may be off by "
            f"{self.error:.1f} points, and a verdict needs {LARGEST_ERROR:g} or less. "
            "Test on more samples"
        )


def mean_error(positives: Sequence[int]) -> float:
    """Return the standard error in percentage points that a mean over classes may have at most.

    Each class is a share of its positives that are found, whose variance is at most 1 / 4 for each
    positive: of accuracies this is exact, of average precisions it is the right size. Classes
    without a positive are not in a mean.

    Parameters
    ----------
    positives : sequence of int
        Test samples of each class.

    Examples
    --------
    >>> mean_error([100]), mean_error([25] * 4), round(mean_error([5] * 20), 9)
    (5.0, 5.0, 5.0)
    >>> mean_error([]), mean_error([0])
    (inf, inf)
    """
    shown = [k for k in positives if k > 0]
    return 50 / len(shown) * sqrt(sum(1 / k for k in shown)) if shown else inf


def too_few(store: "Store", needs: Sequence[Need]) -> dict[str, str]:
    """Return the rows of a report that are tested on too little for a verdict, and a sentence.

    Parameters
    ----------
    store : Store
    needs : sequence of Need
        Of the report. Of what is not in the store nothing is said: its cells are missing anyhow.
    """
    seen: dict[tuple[Samples, ...], Tested | None] = {}
    sentences: dict[str, str] = {}
    for need in needs:
        for samples in _runs(need):
            if samples not in seen:
                seen[samples] = None
                with suppress(FstoreError):
                    seen[samples] = tested(store, samples)
            of = seen[samples]
            if of is not None and of.positives and of.error > LARGEST_ERROR:
                sentences.setdefault(need.row, f"{of}.")
    return sentences


def test_sets(store: "Store", report: str, needs: Sequence[Need]) -> dict[str, TestSet]:
    """Return what each row of a report is tested on; of several seeds, the smallest test set.

    Its name is that of the first seed's samples, which are those that are drawn.
    """
    seen: dict[tuple[Samples, ...], Tested | None] = {}
    sets: dict[str, TestSet] = {}
    for need in needs:
        kind = kind_of(report, need.row)
        if kind is None or need.row in sets or not (runs := _runs(need)):
            continue
        for samples in runs:
            if samples not in seen:
                seen[samples] = None
                with suppress(FstoreError):
                    seen[samples] = tested(store, samples)
        found = [of for samples in runs if (of := seen[samples]) is not None]
        if len(found) == len(runs):
            of = min(found, key=lambda tested: tested.n_samples)
            name = f"{report} {need.row}" if kind == "retrieval" else repr(runs[0])
            n = 0 if kind == "detection" else of.n_samples  # what is counted there is objects
            sets[need.row] = TestSet(kind, n, tuple(of.positives.values()), name)
    return sets


def without(
    rows: Sequence[Mapping[str, Any]], needs: Sequence[Need], thin: Mapping[str, str]
) -> list[Mapping[str, Any]]:
    """Return a report's rows but for those that :func:`too_few` names."""
    own = {need.row for need in needs}
    # a need that gives a series names what its rows share: all of them are of the same samples
    return [r for r in rows if (r["row"] not in thin if r["row"] in own else not thin)]


def _runs(need: Need) -> list[tuple[Samples, ...]]:
    """Return what a need tests on, a group for each seed: part ``test``, or all without one."""
    every = dict.fromkeys(reading.samples for reading in need.readings)
    chosen = [s for s in every if s.part == "test"] or list(every)
    groups: dict[int, list[Samples]] = {}
    for samples in chosen:
        groups.setdefault(samples.seed, []).append(samples)
    return [tuple(group) for group in groups.values()]


def tested(store: "Store", samples: Sequence[Samples]) -> Tested:
    """Return how many samples there are, and how many show each class; of proposals, the objects.

    Parameters
    ----------
    store : Store
    samples : sequence of Samples

    Raises
    ------
    UnknownNameError
        A data set has no such part.
    """
    positives: dict[str, int] = {}
    n = 0
    for s in samples:
        view = "gt" if s.view == "proposal" else s.view
        ids = sample_ids(store, Samples(s.dataset, view, s.split, s.seed, s.part))
        n += len(ids)
        table = store.labels(s.dataset, view)
        shown = (table["label"].to_numpy() == 1) & np.isin(table["sample_id"].to_numpy(), ids)
        for name in np.array(table["class"].to_pylist(), dtype=object)[shown]:
            positives[name] = positives.get(name, 0) + 1
    datasets = tuple(dict.fromkeys(s.dataset for s in samples))
    return Tested(datasets, n, positives)
