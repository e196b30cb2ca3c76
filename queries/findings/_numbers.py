"""Numbers with a spread, and what may be said of two of them, or of many in order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import hypot, isfinite, sqrt

from fstore.queries.cells.needs import Row

__all__ = ["RANKS", "Number", "exceeds", "falls", "number_text", "percent", "single_runs"]

RANKS = 0.75
"""A rank correlation that is taken for an order.

Of random orders of seven layers 3 % are as clear, of five 7 %.
"""

ALONE = 0.3
"""Percentage points that stand in for the standard deviations of the paper's numbers.

That of its fc7 over three splits (Table 3), among its least; our copy of its tables has none.
"""

SINGLE = 3.0
"""Percentage points below which a difference of single runs tells nothing.

On test sets of some hundred images single runs swing by that much.
"""

INTERVAL = 3.92
"""Standard deviations in a 95 % interval: from -1.96 to 1.96."""

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
            None if std is None or not isfinite(float(std)) else float(std),
            None if n is None else int(n),
            row,
        )

    def within(self, low: "Number | None", high: "Number | None") -> "Number":
        """Return the same with the deviation of a 95 % interval, if it has none of its own."""
        if self.std is not None or low is None or high is None:
            return self
        return replace(self, std=(high.value - low.value) / INTERVAL)

    @property
    def is_single(self) -> bool:
        """Whether it is of one run, without a spread; the paper's numbers have no ``n``."""
        return self.std is None and self.n == 1

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
    deviations; :data:`ALONE` stands in for the paper's. A difference from a single run is open
    below :data:`SINGLE`.

    Examples
    --------
    >>> a, b = Number(65.6, 0.6, 3, {}), Number(62.5, 0.6, 3, {})
    >>> exceeds(a, b), exceeds(b, a), exceeds(b, a, share=0.95)
    (True, False, None)
    """
    difference = a.value - share * b.value
    spread = hypot(*(ALONE if n.std is None else n.std * of for n, of in ((a, 1), (b, share))))
    least = SINGLE if a.is_single or b.is_single else 0.0
    return None if abs(difference) <= spread or abs(difference) < least else difference > 0


def falls(values: Sequence[float]) -> tuple[bool | None, float]:
    """Say whether values fall along their order, and their rank correlation with it.

    True at a correlation of -:data:`RANKS` or below, False where they rise as clearly, None between
    the two, for fewer than :data:`FEWEST` values, or where one is not finite.

    Examples
    --------
    >>> falls([9.0, 7.0, 8.0, 3.0, 1.0])
    (True, -0.9)
    """
    from scipy.stats import spearmanr

    if len(values) < FEWEST or len(set(values)) == 1 or not all(map(isfinite, values)):
        return None, 0.0
    correlation = float(spearmanr(range(len(values)), values).statistic)
    return (None if abs(correlation) < RANKS else correlation < 0), round(correlation, 3)


def single_runs(numbers: Iterable[Number]) -> str:
    """Return a sentence for numbers of which a spread over runs is not known, else nothing."""
    without = [number for number in numbers if number.std is None]
    if any(number.is_single for number in without):
        return f" Of single runs, a difference below {SINGLE:g} points tells nothing."
    alone = f" Numbers without a spread count as ± {ALONE} points, the paper's fc7."
    return alone if without else ""
