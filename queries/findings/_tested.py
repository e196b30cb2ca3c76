"""What the test set says of a number: what chance reaches on it, and how far two may differ."""

from dataclasses import dataclass
from functools import lru_cache
from math import inf, sqrt
from typing import Literal, TypeAlias

from fstore.queries.studies.tasks import role_of

__all__ = ["Kind", "TestSet", "kind_of"]

Kind: TypeAlias = Literal["ap", "accuracy", "detection", "retrieval"]
"""What a number is a mean of."""

CLEAR = 3.0
"""Standard deviations above the mean of chance from which a number is clear of it; ours."""

RANKINGS = 200
"""Random rankings that the chance of average precision is measured on."""

LUCK = 100 / 11
"""Percent: 11-point AP of a detector whose first box alone is right."""

APART: dict[Kind, float] = {"ap": 47.0, "accuracy": 55.0, "detection": 51.0}
"""Points times the root of the test images: the deviation of the difference of two numbers.

Measured by ``benchmarks/spreads.py``; ``docs/findings.md`` has the figures.
"""

KINDS: dict[str, Kind] = {
    "table3": "ap",
    "table7": "ap",
    "table7_accuracy": "accuracy",
    "table8": "detection",
    "retrieval": "retrieval",
}

TASKS: dict[str, Kind] = {
    "scenes": "accuracy",
    "classification": "ap",
    "detection": "detection",
    "detection_more": "detection",
}


@dataclass(frozen=True, slots=True)
class TestSet:
    """What was tested on.

    Attributes
    ----------
    kind : Kind
    n : int
        Samples; of detection, images.
    positives : tuple of int
        How many samples show each class; of detection, the objects that are to be found.
    name : str
        Two numbers of one name are tested on the same samples: their draws are the same.
    """

    __test__ = False  # it is no test of pytest's

    kind: Kind
    n: int
    positives: tuple[int, ...]
    name: str = ""

    @property
    def apart(self) -> float | None:
        """Deviation of the difference of two numbers in points, where they have no draws."""
        c = APART.get(self.kind)
        return None if c is None or self.n < 1 else c / sqrt(self.n)

    @property
    def chance(self) -> float:
        """Percent that must be exceeded to be clear of chance."""
        shown = [k for k in self.positives if k > 0]
        if not shown:
            return inf
        if self.kind == "detection":
            return LUCK
        if self.kind == "ap":
            rankings = [_random_ap(self.n, k) for k in shown]
            mean = sum(mean for mean, _ in rankings) / len(shown)
            return mean + CLEAR * sqrt(sum(variance for _, variance in rankings)) / len(shown)
        if self.kind == "accuracy":
            p = 1 / len(shown)
            error = sqrt(p * (1 - p) * sum(1 / k for k in shown)) / len(shown)
            return 100 * (p + CLEAR * error)
        # how likely two samples share a class, at most: of one class a sample it is exact
        p = min(1.0, sum((k / self.n) ** 2 for k in shown))
        return 100 * (p + CLEAR * sqrt(p * (1 - p) / self.n))


def kind_of(report: str, row: str) -> Kind | None:
    """Return what the numbers of a report's row are; None where chance is judged otherwise.

    Examples
    --------
    >>> kind_of("table7", "conv5"), kind_of("table1", "scene classification on sun397")
    ('ap', 'accuracy')
    """
    return KINDS.get(report, TASKS.get(role_of(row)))


@lru_cache(maxsize=4096)
def _random_ap(n: int, positives: int) -> tuple[float, float]:
    """Return mean and variance of the 11-point AP, in percent, of random rankings of a class."""
    import numpy as np

    rng, hits = np.random.default_rng(0), min(positives, n)
    first = np.maximum(-(-np.arange(11) * hits // 10) - 1, 0)  # the hit that reaches each recall
    values = np.empty(RANKINGS)
    for i in range(RANKINGS):
        ranks = np.sort(rng.choice(n, hits, replace=False)) + 1
        precision = np.arange(1, hits + 1) / ranks
        best = np.maximum.accumulate(precision[::-1])[::-1]
        values[i] = 100 * best[first].mean()
    return float(values.mean()), float(values.var(ddof=1))
