"""Numbers with a spread, and what may be said of two of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import hypot, isfinite, sqrt
from statistics import stdev

from fstore.queries.cells.needs import Row
from fstore.queries.findings._tested import TestSet

__all__ = ["Number", "exceeds", "number_text", "percent", "remarks"]


@dataclass(frozen=True, slots=True)
class Number:
    """A cell of a report: a value, its standard deviation and the number of what it is a mean of.

    Attributes
    ----------
    value : float
    std : float or None
        Over runs, or over what it is a mean of.
    n : int or None
    row : Row
        The report's row that it was read from.
    draws : tuple of float
        What it is in draws of its test samples; empty where not known.
    tests : TestSet or None
        What it was tested on.
    chance : float or None
        What must be exceeded to be clear of chance; None where not known.
    """

    value: float
    std: float | None
    n: int | None
    row: Row
    draws: tuple[float, ...] = ()
    tests: TestSet | None = None
    chance: float | None = None

    @classmethod
    def of(cls, row: Row) -> "Number":
        """Return the number of a report's row."""
        std, n, draws = row.get("std"), row.get("n"), row.get("draws")
        return cls(
            float(row["value"] or 0),
            None if std is None or not isfinite(float(std)) else float(std),
            None if n is None else int(n),
            row,
            tuple(draws) if isinstance(draws, list | tuple) else (),
        )

    def on(self, tests: TestSet | None) -> "Number":
        """Return the same with what its test set says."""
        return self if tests is None else replace(self, tests=tests, chance=tests.chance)

    @property
    def is_clear(self) -> bool:
        """Whether it is clear of chance; of a chance that is not known nothing is."""
        return self.chance is not None and self.value > self.chance

    @property
    def spread(self) -> float | None:
        """Deviation over runs, else over draws of the test samples."""
        return _deviation(self.draws) if self.std is None else self.std

    @property
    def of_mean(self) -> "Number":
        """The same with the standard error of the mean: where it is a mean over samples."""
        if self.std is None or not self.n or self.draws:  # draws tell the same, and in pairs
            return replace(self, std=None)
        return replace(self, std=self.std / sqrt(self.n))

    def __str__(self) -> str:
        spread = "" if self.spread is None else f" ± {number_text(self.spread)}"
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
    """Say whether one percentage is above a share of another: None where nothing can be said.

    That is so within the spread, see :func:`_spread`, and where the one of the two that comes out
    larger is not clear of chance: between numbers by chance no difference says anything.

    Examples
    --------
    >>> a, b = Number(65.6, 0.6, 3, {}, chance=8.0), Number(62.5, 0.6, 3, {}, chance=8.0)
    >>> exceeds(a, b), exceeds(b, a), exceeds(b, a, share=0.95)
    (True, False, None)
    """
    difference, spread = a.value - share * b.value, _spread(a, b, share)
    if spread is None or abs(difference) <= spread:
        return None
    return difference > 0 if (a if difference > 0 else b).is_clear else None


def _spread(a: Number, b: Number, share: float) -> float | None:
    """Return the spread of the difference of a number and a share of another, None if not known.

    That of two runs, the root of the sum of the squared deviations, but at least what the test set
    gives to the difference.
    """
    runs = None
    if a.std is not None and b.std is not None:
        runs = hypot(a.std, share * b.std)
    known = [spread for spread in (runs, _of_tests(a, b, share)) if spread is not None]
    return max(known, default=None)


def _of_tests(a: Number, b: Number, share: float) -> float | None:
    """Return the deviation that the test samples give to a difference, None if not known.

    Of the same samples that of the differences draw by draw, so that what moves both numbers alike
    does not count. Numbers without draws have what was measured for test sets of their size.
    """
    same = a.tests is not None and b.tests is not None and a.tests.name == b.tests.name
    if a.draws and b.draws:
        if same and len(a.draws) == len(b.draws):
            return _deviation([x - share * y for x, y in zip(a.draws, b.draws, strict=True)])
        apart = [_deviation(a.draws), _deviation(b.draws)]
        return None if None in apart else hypot(apart[0] or 0, share * (apart[1] or 0))
    return a.tests.apart if same and a.tests is not None else None


def _deviation(values: Sequence[float]) -> float | None:
    """Return the standard deviation of what is finite, None of fewer than two values."""
    finite = [value for value in values if isfinite(value)]
    return stdev(finite) if len(finite) > 1 else None


def remarks(numbers: Iterable[Number]) -> str:
    """Return sentences for numbers without a spread over runs, and for those at chance."""
    seen = list(numbers)
    text = ""
    if any(n.std is None and n.draws for n in seen):
        text = " Without runs, ± is the deviation over draws of the test samples."
    by_chance = [f"{n.row.get('row')} {number_text(n.value)}" for n in seen if not n.is_clear]
    if by_chance:
        text += f" Not clear of chance: {', '.join(dict.fromkeys(by_chance))}."
    return text
