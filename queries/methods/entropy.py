"""How class selective filters are: entropy curves and the area under them (appendix, supplement 1).

The entropy curve of a filter is the entropy of the labels of all scores that reach a threshold,
against the threshold divided by the filter's largest score. AuE is the area under it, MCAuE the
mean of the smallest AuEs.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError

if TYPE_CHECKING:
    from fstore.types import FloatArray, IntArray

__all__ = [
    "MEASURES",
    "Measure",
    "all_areas",
    "areas",
    "classes_of",
    "entropies",
    "entropy_curve",
    "grid_area",
    "label_entropy",
    "mcaue",
    "mean_at",
]

Measure: TypeAlias = Literal["label", "weighted", "sp_max"]
MEASURES: tuple[Measure, ...] = ("label", "weighted", "sp_max")


def label_entropy(counts: "FloatArray | IntArray") -> float:
    """Return the entropy of a histogram, in nats; 0 for an empty one."""
    return float(entropies(np.asarray(counts, dtype=np.float64)[None])[0])


def entropies(histograms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the entropy of each row of counts or sums, in nats; 0 for rows that are empty.

    Parameters
    ----------
    histograms : array of shape (n_histograms, n_classes), float64
        None below 0.
    """
    total = histograms.sum(axis=1, keepdims=True)
    share = np.divide(histograms, total, out=np.zeros_like(histograms), where=total > 0)
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    return np.asarray(-(share * logs).sum(axis=1) + 0.0)


def entropy_curve(
    scores: "FloatArray", labels: "IntArray", *, weighted: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return a filter's entropy curve at every distinct score above 0, exactly.

    Sorted once, the scores are walked from the largest down: adding a score changes
    ``sum_c n_c log n_c`` by a difference that depends on the class' own count alone, so the whole
    curve is one cumulative sum, whatever the number of classes.

    Parameters
    ----------
    scores : array of shape (n_scores,)
        Finite. Those at or below 0 are below every threshold of the curve.
    labels : array of shape (n_scores,), int
        Class of each score, from 0.
    weighted : bool
        Histograms of the sums of scores in place of counts.

    Returns
    -------
    thresholds : array of shape (n_distinct,), float64
        Distinct scores above 0 divided by the largest, descending from 1.
    entropy : array of shape (n_distinct,), float64
        In nats, of the scores that reach the threshold; to about 1e-9, as sums cancel.
    counts : array of shape (n_distinct,), int64
        How many they are.
    """
    above = scores > 0
    score, label = scores[above], labels[above]
    order = np.argsort(-score)
    value = score[order].astype(np.float64)
    if len(value) == 0:
        return value, value, np.zeros(0, dtype=np.int64)
    value /= value[0]
    mass = value if weighted else np.ones_like(value)
    total = np.cumsum(mass)
    entropy = np.log(total) - np.cumsum(_changes(mass, label[order])) / total
    ends = np.flatnonzero(np.append(value[1:] != value[:-1], True))  # equal scores are one block
    return value[ends], np.maximum(entropy[ends], 0), ends + 1


def _changes(mass: NDArray[np.float64], labels: "IntArray") -> NDArray[np.float64]:
    """Return by how much each element changes the sum of m_c log m_c over classes c."""
    by_class = np.argsort(labels, kind="stable")
    sorted_labels, added = labels[by_class], mass[by_class]
    after = np.cumsum(added)
    starts = np.flatnonzero(np.append(True, sorted_labels[1:] != sorted_labels[:-1]))
    lengths = np.diff(np.append(starts, len(added)))
    after -= np.repeat(after[starts] - added[starts], lengths)
    before = after - added
    before[starts] = 0
    changes = np.empty_like(mass)
    changes[by_class] = _x_log_x(after) - _x_log_x(before)
    return changes


def _x_log_x(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(x * np.log(x, out=np.zeros_like(x), where=x > 0))


def areas(
    X: NDArray[np.float32], labels: "IntArray", *, weighted: bool = False
) -> NDArray[np.float64]:
    """Return the area under each filter's entropy curve (AuE), exactly, in nats.

    The axis is threshold / largest score, from 0 to 1. A filter that never fires has the entropy
    of all labels.

    Parameters
    ----------
    X : array of shape (n_samples, n_filters, positions), float32
        Finite; every place of a map has its sample's label.
    labels : array of shape (n_samples,), int
        From 0.
    weighted : bool
        As for :func:`entropy_curve`.

    Returns
    -------
    array of shape (n_filters,), float64
    """
    places = np.repeat(labels, X.shape[2])
    silent = label_entropy(np.bincount(labels))

    def area(channel: int) -> float:
        scores = np.ascontiguousarray(X[:, channel]).ravel()
        thresholds, entropy, _ = entropy_curve(scores, places, weighted=weighted)
        if len(thresholds) == 0:
            return silent
        return float(entropy @ -np.diff(thresholds, append=0.0))

    with ThreadPoolExecutor() as pool:  # sorting does not hold the interpreter's lock
        return np.array(list(pool.map(area, range(X.shape[1]))))


def grid_area(histogram: NDArray[np.float64]) -> tuple[float, float]:
    """Return the area under an entropy curve that is known at evenly spaced thresholds.

    Between two thresholds the entropy is within B = d log(K - 1) + h(d) of either end (and of
    log K), d being the share of the mass at the lower threshold that lies between them: the
    histograms differ by no more than d in total variation (Audenaert 2007, doi:
    10.1088/1751-8113/40/28/S18, for classical distributions). The area of the trapezoids is
    therefore within the mean of B of the exact one.

    Parameters
    ----------
    histogram : array of shape (n_bins + 1, n_classes), float64
        Mass of the scores above 0 with ``floor(score / largest * n_bins)`` equal to the row.

    Returns
    -------
    area : float
        In nats.
    bound : float
        How far it may be from the exact area, in nats.
    """
    reached = np.cumsum(histogram[::-1], axis=0)[::-1]  # mass at or above each threshold
    entropy, total = entropies(reached), reached.sum(axis=1)
    lost = 1 - total[1:] / total[:-1]
    classes = int((reached[0] > 0).sum())
    bound = np.minimum(np.log(max(classes, 1)), _continuity(lost, classes))
    return float((entropy[1:] + entropy[:-1]).mean() / 2), float(bound.mean())


def _continuity(lost: NDArray[np.float64], classes: int) -> NDArray[np.float64]:
    """Return d log(K - 1) + h(d), and log K where d is above 1 - 1 / K."""
    if classes < 2:
        return np.zeros_like(lost)
    d = np.clip(lost, 0, 1)
    binary = entropies(np.stack([d, 1 - d], axis=1))
    bound = d * np.log(classes - 1) + binary
    return np.asarray(np.where(d > 1 - 1 / classes, np.log(classes), bound))


def mcaue(aue: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of the k smallest AuEs, k = 1 ... n_filters (supplement, 1.2)."""
    return np.asarray(np.cumsum(np.sort(aue)) / np.arange(1, len(aue) + 1))


def mean_at(aue: NDArray[np.float64], fractions: Sequence[float]) -> list[tuple[float, int]]:
    """Return MCAuE of the most selective filters, and how many they are, by share of the layer.

    The number is the share of the filters, rounded up: 26 of 256 for 0.1.
    """
    means = mcaue(aue)
    counts = [max(1, int(np.ceil(round(f * len(aue), 9)))) for f in fractions]
    return [(float(means[k - 1]), k) for k in counts]


def classes_of(Y: NDArray[np.int8]) -> NDArray[np.int64]:
    """Return the one class of each sample.

    Raises
    ------
    DataError
        A sample shows no class or several, or all show the same.
    """
    shown = (Y > 0).sum(axis=1)
    if (shown != 1).any():
        raise DataError(
            f"{int((shown != 1).sum())} of {len(Y)} samples show no class or several; the entropy "
            "of labels needs one a sample: use ground-truth boxes (view gt)"
        )
    classes: NDArray[np.int64] = Y.argmax(axis=1)
    if len(np.unique(classes)) < 2:
        raise DataError(f"all {len(Y)} samples are of one class; selectivity needs at least 2")
    return classes


def all_areas(
    blocks: Iterator[NDArray[np.float32]], labels: "IntArray", measures: Sequence[Measure]
) -> dict[Measure, NDArray[np.float64]]:
    """Return the AuE of every filter of a layer by measure, a block of channels at a time.

    Parameters
    ----------
    blocks : iterator of arrays of shape (n_samples, n_channels, positions), float32
    labels : array of shape (n_samples,), int
    measures : sequence of str
        ``label``: counts of all places. ``weighted``: sums of their scores. ``sp_max``: counts of
        one score a sample, the largest.
    """
    areas_by: dict[Measure, list[NDArray[np.float64]]] = {m: [] for m in measures}
    for X in blocks:
        for measure in measures:
            scores = X.max(axis=2, keepdims=True) if measure == "sp_max" else X
            areas_by[measure].append(areas(scores, labels, weighted=measure == "weighted"))
    return {m: np.concatenate(parts) for m, parts in areas_by.items()}
