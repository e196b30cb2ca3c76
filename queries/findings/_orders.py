"""Whether values fall from one to the next, and what draws of the test samples say of that."""

from collections.abc import Callable, Iterable, Sequence
from math import isfinite, isnan, nan

from fstore.queries.findings._numbers import Number

__all__ = ["RANKS", "SURE", "draw_by_draw", "falls", "over"]

RANKS = 0.75
"""A rank correlation that is taken for an order.

Of random orders of seven layers 3 % are as clear, of five 7 %.
"""

FEWEST = 5
"""Of fewer values no order is told: of random orders of four, one in six is as clear."""

SURE = 0.84
"""Share of the draws that must agree: as many as are on the near side of a mean and a deviation."""


def falls(
    values: Sequence[float], draws: Iterable[Sequence[float]] = ()
) -> tuple[bool | None, float]:
    """Say whether values fall along their order, and their rank correlation with it.

    They fall at a correlation of -:data:`RANKS` or below. Where they are known in draws of the test
    samples, :data:`SURE` of these must say the same, that they fall or that they do not. Without
    draws they do not fall where they rise as clearly, and between the two nothing is said. Nothing
    is said either of fewer than :data:`FEWEST` values, or where one is not finite.

    Examples
    --------
    >>> falls([9.0, 7.0, 8.0, 3.0, 1.0])
    (True, -0.9)
    >>> falls([3.0, 9.0, 8.0, 7.0, 5.0], [[3.1, 9.0, 8.0, 7.2, 5.0], [2.8, 9.1, 7.0, 7.5, 5.1]])
    (False, 0.0)
    """
    if len(values) < FEWEST or len(set(values)) == 1 or not all(map(isfinite, values)):
        return None, 0.0
    correlation = _correlation(values)
    fall = correlation <= -RANKS
    known = [_correlation(draw) for draw in draws]
    agree = [not isnan(one) and (one <= -RANKS) == fall for one in known]
    sure = sum(agree) >= SURE * len(agree) if agree else abs(correlation) >= RANKS
    return (fall if sure else None), round(correlation, 3)


def draw_by_draw(
    numbers: Sequence[Number], value: Callable[[Sequence[float]], list[float]]
) -> list[list[float]]:
    """Return what is computed of some numbers in each draw of their test samples.

    Parameters
    ----------
    numbers : sequence of Number
    value : callable
        Computes it of one draw: a value for each number.

    Returns
    -------
    list of list of float
        Empty where a number has no draws, or those of other test samples.
    """
    names = {n.tests.name if n.tests is not None else None for n in numbers}
    if len(names) != 1 or None in names or len({len(n.draws) for n in numbers}) != 1:
        return []
    return [value(draw) for draw in zip(*(n.draws for n in numbers), strict=True)]


def over(a: float, b: float) -> float:
    """Return a ratio, which is no number where the second is 0."""
    return a / b if b else nan


def _correlation(values: Sequence[float]) -> float:
    """Return Spearman's correlation with the order, 0 of equal values; nan where one is."""
    from scipy.stats import spearmanr

    if not all(map(isfinite, values)):
        return nan
    if len(set(values)) == 1:
        return 0.0
    return float(spearmanr(range(len(values)), values).statistic)
