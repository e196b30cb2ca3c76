"""Numbers with a spread, and what may be said of two of them, or of many in order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import hypot, sqrt

from fstore.queries.reports._api import Row

__all__ = ["RANKS", "Number", "exceeds", "falls", "number_text", "percent", "single_runs"]

RANKS = 0.75
"""A rank correlation that is taken for an order.

Of random orders of seven layers 3 % are as clear, of five 7 %.
"""

ALONE = 0.3
"""Percentage points that stand in for the standard deviation of a single run.

That of the paper's fc7 over three splits (Table 3), among its least.
"""

FEWEST = 5
"""Of fewer values no order is told: of random orders of four, one in six is as clear."""


@dataclass(frozen=True, slots=True)
class Number:
    """A cell of a report: a value, its standard deviation and the number of what it is a mean of.

    ``row`` is the report's row that it was read from.
    """

    value: float
    std: float | None
    n: int | None
    row: Row

    @classmethod
    def of(cls, row: Row) -> "Number":
        """Return the number of a report's row."""
        std, n = row.get("std"), row.get("n")
        return cls(
            float(row["value"] or 0),
            None if std is None else float(std),
            None if n is None else int(n),
            row,
        )

    @property
    def of_mean(self) -> "Number":
        """The same with the standard error of the mean: where it is a mean over samples."""
        if self.std is None or not self.n:
            return replace(self, std=None)
        return replace(self, std=self.std / sqrt(self.n))

    def __str__(self) -> str:
        spread = "" if self.std is None else f" ± {number_text(self.std)}"
        return number_text(self.value) + spread + ("" if self.n is None else f" (n = {self.n})")


def number_text(value: float) -> str:
    """Return a number to about three digits.

    Examples
    --------
    >>> [number_text(v) for v in (1234.5, 65.63, 7.4, 0.1953)]
    ['1234', '65.6', '7.40', '0.195']
    """
    size = abs(value)
    return f"{value:.{0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3}f}"


def percent(share: float) -> str:
    """Return a share as a percentage.

    Examples
    --------
    >>> percent(0.873)
    '87.3 %'
    """
    return f"{100 * share:.1f} %"


def exceeds(a: Number, b: Number, *, share: float = 1.0) -> bool | None:
    """Say whether one percentage is above a share of another: None where the spread hides it.

    The spread is that of the difference of two runs: the root of the sum of the squared standard
    deviations; :data:`ALONE` stands in where one is not known.

    Examples
    --------
    >>> a, b = Number(65.6, 0.6, 3, {}), Number(62.5, 0.6, 3, {})
    >>> exceeds(a, b), exceeds(b, a), exceeds(b, a, share=0.95)
    (True, False, None)
    """
    difference = a.value - share * b.value
    spread = hypot(*(ALONE if n.std is None else n.std * of for n, of in ((a, 1), (b, share))))
    return None if abs(difference) <= spread else difference > 0


def falls(values: Sequence[float]) -> tuple[bool | None, float]:
    """Say whether values fall along their order, and their rank correlation with it.

    True at a correlation of -:data:`RANKS` or below, False where they rise as clearly, None between
    the two or for fewer than :data:`FEWEST` values.

    Examples
    --------
    >>> falls([9.0, 7.0, 8.0, 3.0, 1.0])
    (True, -0.9)
    """
    from scipy.stats import spearmanr

    if len(values) < FEWEST or len(set(values)) == 1:
        return None, 0.0
    found = float(spearmanr(range(len(values)), values).statistic)
    return (None if abs(found) < RANKS else found < 0), round(found, 3)


def single_runs(numbers: Iterable[Number]) -> str:
    """Return a sentence for numbers of which a spread over runs is not known, else nothing."""
    if all(number.std is not None for number in numbers):
        return ""
    return f" Numbers without a spread count as ± {ALONE} points, the paper's fc7."
