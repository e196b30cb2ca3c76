"""Whether values fall from one to the next, and what draws of the test samples say of that."""

from collections.abc import Callable, Iterable, Sequence
from math import isfinite, nan

import numpy as np

from fstore.queries.findings._numbers import Number

__all__ = ["draw_by_draw", "falls", "over"]

RANKS = 0.75
"""A rank correlation that is taken for an order.

Of random orders of seven layers 3 % are as clear, of five 7 %.
"""

FEWEST = 5
"""Of fewer values no order is told: of random orders of four, one in six is as clear."""

SURE = 0.84
"""Share of the draws that must agree: of a normal distribution, what lies on the near side of a
mean and a deviation."""


def falls(
    values: Sequence[float], draws: Iterable[Sequence[float]] = ()
) -> tuple[bool | None, float]:
    """Say whether values fall along their order, and their rank correlation with it.

    They fall at a correlation of -:data:`RANKS` or below. They do not fall at 0 or above; between
    the two nothing is said, since noise alone gives that. :data:`SURE` of the draws of the test
    samples must say the same, where these are known. Without draws, values do not fall where they
    rise as clearly as others fall. Nothing is said of fewer than :data:`FEWEST` values, or where
    one is not finite.

    Examples
    --------
    >>> falls([9.0, 7.0, 8.0, 3.0, 1.0])
    (True, -0.9)
    >>> falls([3.0, 9.0, 8.0, 7.0, 5.0], [[3.1, 9.0, 8.0, 7.2, 5.0], [2.8, 9.1, 7.0, 7.5, 5.1]])
    (False, 0.0)
    """
    if len(values) < FEWEST or len(set(values)) == 1 or not all(map(isfinite, values)):
        return None, 0.0
    correlation, *known = _correlations([values, *draws])
    enough = SURE * len(known)
    verdict = None
    if correlation <= -RANKS and sum(one <= -RANKS for one in known) >= enough:
        verdict = True
    elif correlation >= (0 if known else RANKS) and sum(one >= 0 for one in known) >= enough:
        verdict = False
    return verdict, round(correlation, 3)


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
        Empty where a number has no draws, or those of other test samples, or is a mean over runs:
        its draws are those of the first run.
    """
    if any(n.std is not None for n in numbers):
        return []
    names = {n.tests.name if n.tests is not None else None for n in numbers}
    if len(names) != 1 or None in names or len({len(n.draws) for n in numbers}) != 1:
        return []
    return [value(draw) for draw in zip(*(n.draws for n in numbers), strict=True)]


def over(a: float, b: float) -> float:
    """Return a ratio, which is no number where the second is 0."""
    return a / b if b else nan


def _correlations(rows: Sequence[Sequence[float]]) -> list[float]:
    """Return Spearman's correlation of each row with its order, 0 of equal values; nan with one."""
    from scipy.stats import rankdata

    values = np.asarray(rows, dtype=np.float64)
    order = np.arange(values.shape[1]) - (values.shape[1] - 1) / 2
    ranks = rankdata(values, axis=1) - (values.shape[1] + 1) / 2
    lengths = np.sqrt((ranks**2).sum(axis=1) * (order**2).sum())
    found = np.divide(ranks @ order, lengths, out=np.zeros(len(values)), where=lengths > 0)
    found[~np.isfinite(values).all(axis=1)] = np.nan
    correlations: list[float] = found.round(12).tolist()
    return correlations
