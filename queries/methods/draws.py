"""What a number would be on other test samples: AP and accuracy in draws with replacement.

Draw i of as many samples is the same in every cell, whatever its features: the difference of two
cells has its own values in the draws, and their deviation needs no assumption on how the cells vary
together. See ``docs/findings.md``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore.types import FloatArray

if TYPE_CHECKING:
    from fstore.queries.samples.problem import SplitRows

__all__ = [
    "DRAWS",
    "Ranking",
    "areas",
    "blocks",
    "class_means",
    "drawn_accuracies",
    "drawn_aps",
    "drawn_means",
    "draws",
    "draws_of",
]

DRAWS = 100
"""Draws that a cell carries: their deviation is right to 7 %."""

HELD_VALUES = 1 << 22
"""Ranked items times draws that are held at a time, about 100 MB."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Items of one class; arrays of shape (n_items,), in any order.

    Attributes
    ----------
    scores : array, float
        Larger is more likely right.
    outcome : array, int8
        Above 0 right, below 0 wrong, 0 left out.
    sample : array, int
        Which test sample each belongs to, a number from 0.
    """

    scores: FloatArray
    outcome: NDArray[np.int8]
    sample: NDArray[np.intp]


def draws(n: int, *, replicates: int = DRAWS, seed: int = 0) -> NDArray[np.int64]:
    """Return how often each of some samples is drawn, n of n with replacement.

    The first draws are the same, however many are asked for.

    Parameters
    ----------
    n : int
        Samples.
    replicates, seed : int

    Returns
    -------
    array of shape (replicates, n), int64
    """
    draw = np.random.default_rng(seed)
    return draw.multinomial(n, np.full(n, 1 / n), size=replicates)


def draws_of(split: "SplitRows") -> NDArray[np.int64]:
    """Return how often each test row of a split is drawn, as :func:`draws`.

    A sample that one layer lacks changes nothing in the draws of the others.
    """
    if (tests := split.tests) is None:
        return draws(len(split.test))
    return draws(tests.among)[:, tests.at]


def drawn_aps(
    ranking: Ranking, objects: NDArray[np.int64], times: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the 11-point and the all-points AP of one class in every draw.

    Parameters
    ----------
    ranking : Ranking
    objects : array of shape (replicates,), int64
        How many are to be found in each draw.
    times : array of shape (replicates, n_samples), int64
        As of :func:`draws`.

    Returns
    -------
    array of shape (2, replicates), float64
        0 to 1; NaN in a draw that has nothing to find.
    """
    aps = np.full((2, len(times)), np.nan)
    starts, right, counted = blocks(ranking.scores, ranking.outcome)
    aps[:, objects > 0] = 0
    if len(starts) == 0:
        return aps
    sample = ranking.sample[np.argsort(-ranking.scores, kind="stable")][: len(right)]
    step = max(1, HELD_VALUES // len(sample))
    for at in range(0, len(times), step):
        drawn = np.flatnonzero(objects[at : at + step] > 0) + at
        weight = times[drawn][:, sample]
        hits = np.cumsum(np.add.reduceat(weight * right, starts, axis=1), axis=1)
        taken = np.cumsum(np.add.reduceat(weight * counted, starts, axis=1), axis=1)
        aps[:, drawn] = areas(hits, taken, objects[drawn])
    return aps


def class_means(values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return means over classes, those left out that are NaN; NaN where all are."""
    stacked = np.stack(values)
    defined = ~np.isnan(stacked)
    with np.errstate(invalid="ignore"):
        means: NDArray[np.float64] = np.where(defined, stacked, 0).sum(axis=0) / defined.sum(axis=0)
    return means


def drawn_accuracies(
    right: NDArray[np.bool_], truth: NDArray[np.intp], times: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return class-averaged accuracy in every draw; a class without a sample is left out.

    Parameters
    ----------
    right : array of shape (n_samples,), bool
        Whether a sample was classified right.
    truth : array of shape (n_samples,), int
        Its class.
    times : array of shape (replicates, n_samples), int64

    Returns
    -------
    array of shape (replicates,), float64
        0 to 1.
    """
    return class_means([drawn_means(right, times * (truth == c)) for c in np.unique(truth)])


def drawn_means(
    values: NDArray[np.float64] | NDArray[np.bool_], times: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the mean of a value of each sample in every draw; NaN of a draw without samples."""
    with np.errstate(invalid="ignore"):
        means: NDArray[np.float64] = times @ values / times.sum(axis=1)
    return means


def blocks(
    scores: FloatArray, outcome: NDArray[np.int8]
) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.int64]]:
    """Cut the ranking into pieces that end with a block of equal scores that has something right.

    Returns the pieces' starts, and for every detection, best first, whether it is right and
    whether it counts. What follows the last right one only lowers precision and is cut off, as
    are points between two right ones.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, right = scores[order], (outcome[order] > 0).astype(np.int64)
    counted = (outcome[order] != 0).astype(np.int64)
    block = np.cumsum(np.append(True, np.diff(ranked) != 0)[: len(ranked)]) - 1
    hit = np.unique(block[right > 0])
    ends = np.searchsorted(block, hit, side="right")
    last = ends[-1] if len(ends) else 0
    starts = np.append(0, ends[:-1]).astype(np.intp)[: len(ends)]
    return starts, right[:last], counted[:last]


def areas(
    hits: NDArray[np.int64], taken: NDArray[np.int64], objects: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return 11-point and all-points AP of each row of right ones and of counted ones so far."""
    with np.errstate(invalid="ignore"):
        precision = np.where(taken > 0, hits / taken, 0)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    # in whole numbers: 3 of 10 reach a recall of 0.3, which floating point may miss
    reached = np.diff(10 * hits // objects[:, None], axis=1, prepend=-1)
    gained = np.diff(hits, axis=1, prepend=0)
    return (best * reached).sum(axis=1) / 11, (best * gained).sum(axis=1) / objects
