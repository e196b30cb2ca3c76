"""The classes' priors in what a report tests on: what a ranking by chance reaches."""

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore.errors import FstoreError
from fstore.queries.reports import needs_of
from fstore.queries.samples.problem import Problem, problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fstore.queries.cells.needs import Reading
    from fstore.queries.studies.study import Study
    from fstore.store import Store

__all__ = ["Priors", "priors_of"]


@dataclass(frozen=True, slots=True)
class Priors:
    """What a report tests on: ``n`` samples, and the share of them that shows each class, 0 to 1.

    Samples that are left out for a class (its difficult objects) count neither as the one nor the
    other, as in every AP. Of several seeds of a split ``n`` is that of the first, and a share is
    the mean.
    """

    n: int
    shares: dict[str, float]

    @property
    def mean(self) -> float:
        """Over the classes."""
        return fmean(self.shares.values())


def priors_of(store: "Store", study: "Study", report: str) -> Priors | None:
    """Return the priors in the test part that a report reads; None where that cannot be told.

    Parameters
    ----------
    store : Store
    study : Study
    report : str
        A registered report whose cells all test on the same samples.
    """
    try:
        readings = next((n.readings for n in needs_of(store, study, report) if n.readings), ())
        asked = readings and _problem(store, readings)
    except FstoreError:
        return None
    if not asked:
        return None
    tests = [asked.Y[split.test] for split in asked.splits.values()]
    seen = [c for c in range(len(asked.classes)) if all(np.any(Y[:, c]) for Y in tests)]
    shares = {asked.classes[c]: fmean(_share(Y[:, c]) for Y in tests) for c in seen}
    return Priors(len(tests[0]), shares) if shares else None


def _problem(store: "Store", readings: "Sequence[Reading]") -> Problem:
    first, samples = readings[0], [reading.samples for reading in readings]
    return problem(store, samples, network=first.network, ckpt=first.ckpt, layer=first.layer)


def _share(y: NDArray[np.int8]) -> float:
    """Return the share of 1 among the labels that count; 0 is left out."""
    return float((y > 0).sum() / np.count_nonzero(y))
