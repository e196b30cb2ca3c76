"""Average precision of a ranking, by the rules of PASCAL VOC.

Equal scores enter the precision-recall curve as one block, so the result never depends on the
order of rows: responses that are 0, and binarized ones, tie often.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["AveragePrecision", "ap", "voc_ap"]

AveragePrecision: TypeAlias = Callable[[NDArray[np.floating], NDArray[np.integer]], float | None]


def voc_ap(score: NDArray[np.floating], label: NDArray[np.integer]) -> float | None:
    """Average precision at recalls 0, 0.1, ..., 1: the measure of VOC 2007.

    Parameters
    ----------
    score : array of shape (n_samples,)
        Any real number; larger is more likely positive. A NaN makes the result NaN.
    label : array of shape (n_samples,)
        Above 0 positive, below 0 negative, 0 left out (``difficult``).

    Returns
    -------
    float or None
        From 0 to 1: the mean over 11 recalls of the best precision at that recall or a higher
        one. None without a positive. A recall is reached at exactly its share of the positives
        (3 of 10 reach 0.3), which floating point may miss.

    References
    ----------
    Everingham et al. 2010, doi:10.1007/s11263-009-0275-4, section 4.2.

    Examples
    --------
    >>> round(voc_ap(np.array([3.0, 2.0, 1.0]), np.array([1, -1, 1])), 6)
    0.848485
    """
    positives, hits, best = _curve(score, label)
    if positives == 0:
        return None
    reached = np.diff(10 * hits // positives, prepend=-1)  # recalls that each block adds
    return float(best @ reached) / 11


def ap(score: NDArray[np.floating], label: NDArray[np.integer]) -> float | None:
    """Average precision over all points: the measure of VOC 2010 and later.

    The area under the interpolated curve: precision at a recall is the best at that recall or a
    higher one. (scikit-learn's ``average_precision_score`` does not interpolate, and is lower.)

    Parameters
    ----------
    score, label
        As for :func:`voc_ap`.

    Returns
    -------
    float or None
        From 0 to 1; None without a positive.

    Examples
    --------
    >>> round(ap(np.array([3.0, 2.0, 1.0]), np.array([1, -1, 1])), 6)
    0.833333
    """
    positives, hits, best = _curve(score, label)
    if positives == 0:
        return None
    return float(best @ np.diff(hits, prepend=0)) / positives


def _curve(
    score: NDArray[np.floating], label: NDArray[np.integer]
) -> tuple[int, NDArray[np.int64], NDArray[np.float64]]:
    """Return positives, and after each block of equal scores with one: hits, best precision.

    A block without a positive only lowers precision, so its end is never the best point.
    """
    ranked = np.sort(score[label != 0])
    thresholds, counts = np.unique(score[label > 0], return_counts=True)
    hits = np.cumsum(counts[::-1])
    taken = len(ranked) - np.searchsorted(ranked, thresholds[::-1], side="left")
    precision = hits / taken
    if len(ranked) and np.isnan(ranked[-1]):  # sorting puts NaN last
        precision = np.full(len(hits), np.nan)
    return int(counts.sum()), hits, np.maximum.accumulate(precision[::-1])[::-1]
