"""What single filters and small sets of them tell of a class (section 4)."""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.queries.methods.gram import MEAN_NORM
from fstore.queries.methods.no_direction import EXACT, constant_objective, has_no_direction
from fstore.queries.methods.svm import BIAS, POSITIVE_WEIGHT
from fstore.store.precision import ap, voc_ap

if TYPE_CHECKING:
    from fstore.types import FloatArray, IntArray

__all__ = [
    "SIZES",
    "VOC_GROUPS",
    "Subsets",
    "factor",
    "filter_weights",
    "filters_needed",
    "interpolated_precision",
    "overlap",
    "single_filter_aps",
    "subset_aps",
    "subset_sizes",
    "top_filters",
]

SIZES = (1, 2, 3, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 80, 100, 128, 256)
"""The paper's sizes of nested subsets (footnote 4)."""

TOP = 50
TOP_SHARE = 50 / 256
"""The paper compares the 50 best of 256 filters."""

STEP = 64
"""Filters whose responses are sorted at a time."""

VOC_GROUPS = {
    "person": ("person",),
    "animal": ("bird", "cat", "cow", "dog", "horse", "sheep"),
    "vehicle": ("aeroplane", "bicycle", "boat", "bus", "car", "motorbike", "train"),
    "indoor": ("bottle", "chair", "diningtable", "pottedplant", "sofa", "tvmonitor"),
}
"""PASCAL VOC's own groups of related classes."""


@dataclass(frozen=True, slots=True)
class Subsets:
    """Average precision of nested subsets of filters for one class.

    Attributes
    ----------
    ranking : array of shape (n_filters,), int
        Filters by decreasing |w| of the SVM on all of them.
    sizes : tuple of int
        The last is all filters.
    ap_11, ap_all : tuples of float
        Of the SVM on the first ``sizes[i]`` filters of the ranking, on the test part, 0 to 1.
    converged : bool
        Whether every SVM met its tolerance, and has a direction or is proved to have none.
    no_direction : tuple of bool
        Whether the best weights of a size are exactly 0: its scores are all equal, its AP is the
        share of positives.
    """

    ranking: "IntArray"
    sizes: tuple[int, ...]
    ap_11: tuple[float, ...]
    ap_all: tuple[float, ...]
    converged: bool
    no_direction: tuple[bool, ...]

    def needed(self, share: float) -> tuple[int, float] | None:
        """Return how many filters reach a share of the complete AP; None if all have no direction.

        Sizes without a direction are passed over: what they reach is the share of positives. See
        :func:`filters_needed` for the two numbers.
        """
        pairs = zip(self.sizes, self.fractions, self.no_direction, strict=True)
        told = [(k, fraction) for k, fraction, none in pairs if not none]
        if self.no_direction[-1] or not self.ap_11[-1]:
            return None
        return filters_needed([k for k, _ in told], [fraction for _, fraction in told], share)

    @property
    def fractions(self) -> tuple[float, ...]:
        """Return the share of the complete AP (that of all filters) by size."""
        return tuple(value / self.ap_11[-1] if self.ap_11[-1] else 0.0 for value in self.ap_11)


def single_filter_aps(
    X: "FloatArray", Y: NDArray[np.int8]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the average precision of every filter as a detector of every class (section 4.1).

    Each filter's responses are sorted once for all classes, many filters at a time; equal responses
    enter as one block.

    Parameters
    ----------
    X : array of shape (n_samples, n_filters)
        One response a filter and sample, finite.
    Y : array of shape (n_samples, n_classes), int8
        1, -1, or 0: left out for that class.

    Returns
    -------
    ap_11, ap_all : arrays of shape (n_classes, n_filters), float64
        At 11 recalls and over all points, 0 to 1; those of :func:`fstore.store.precision.voc_ap`
        and :func:`fstore.store.precision.ap`. NaN for a class without a positive.
    """
    starts = range(0, X.shape[1], STEP)
    with ThreadPoolExecutor() as pool:  # sorting does not hold the interpreter's lock
        blocks = list(pool.map(lambda at: _block_aps(X[:, at : at + STEP], Y), starts))
    shape = (2, Y.shape[1], 0)
    at_11, at_all = np.concatenate([np.empty(shape), *blocks], axis=2)
    return at_11, at_all


def _block_aps(X: "FloatArray", Y: NDArray[np.int8]) -> NDArray[np.float64]:
    """Return 11-point and all-points AP of some filters, shape (2, n_classes, n_filters)."""
    reach = _reach(np.ascontiguousarray(X.T))
    results = np.full((2, Y.shape[1], len(reach)), np.nan)
    for c, labels in enumerate(Y.T):
        if (labels > 0).any():
            results[:, c] = _areas(reach[:, labels > 0], reach[:, labels == 0])
    return results


def _reach(X: "FloatArray") -> NDArray[np.int64]:
    """Return how many samples respond at least as much as each does, by filter; X transposed."""
    n = X.shape[1]
    order = np.argsort(X, axis=1)
    ascending = np.take_along_axis(X, order, axis=1)
    first = np.zeros(X.shape, dtype=np.int64)  # of the block of equal responses
    first[:, 1:] = np.where(np.diff(ascending, axis=1) != 0, np.arange(1, n), 0)
    np.maximum.accumulate(first, axis=1, out=first)
    reach = np.empty_like(first)
    np.put_along_axis(reach, order, n - first, axis=1)
    return reach


def _areas(positive: NDArray[np.int64], left_out: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return 11-point and all-points AP of filters from the reach of a class' samples.

    Only at positives does the curve's recall change. Equal ones are not told apart: the best
    precision at a recall or a higher one is that of the last of them.
    """
    n = positive.shape[1]
    # a sample that is left out comes before a positive that responds equally: it is not counted
    keys = np.sort(np.concatenate([2 * positive + 1, 2 * left_out], axis=1), axis=1)
    is_positive = keys % 2 == 1
    taken = keys // 2 - np.cumsum(~is_positive, axis=1)
    precision = np.arange(1, n + 1) / taken[is_positive].reshape(-1, n)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recalls = [max(0, -(-r * n // 10) - 1) for r in range(11)]  # the positive that reaches r / 10
    return np.stack([best[:, recalls].sum(axis=1) / 11, best.mean(axis=1)])


def interpolated_precision(
    score: "FloatArray", label: "IntArray", recalls: Sequence[float]
) -> NDArray[np.float64]:
    """Return the best precision at each recall or a higher one, 0 to 1.

    Parameters
    ----------
    score, label : arrays of shape (n_samples,)
        As for :func:`fstore.store.precision.ap`; at least one positive.
    recalls : sequence of float
        From 0 to 1.
    """
    order = np.argsort(-score, kind="stable")
    order = order[label[order] != 0]
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    hits = np.cumsum(label[order] > 0)[ends]
    best = np.maximum.accumulate((hits / (ends + 1))[::-1])[::-1]
    wanted = np.asarray(recalls) * hits[-1]
    at = np.searchsorted(hits, wanted - 1e-9 * hits[-1], side="left")  # 0.3 of 10 is 3
    return np.asarray(best[at])


def subset_sizes(n_filters: int) -> tuple[int, ...]:
    """Return the paper's sizes that a layer has, and all its filters."""
    return (*(k for k in SIZES if k < n_filters), n_filters)


def filter_weights(X: "FloatArray", Y: NDArray[np.int8]) -> NDArray[np.float64]:
    """Return each class's SVM weights of all filters, scaled to mean norm 20 over the rows.

    Parameters
    ----------
    X : array of shape (n_samples, n_filters)
        Of the training samples.
    Y : array of shape (n_samples, n_classes), int8

    Returns
    -------
    array of shape (n_classes, n_filters), float64
        NaN for a class without both labels; all 0 for one whose best weights are (its filters
        have no order).
    """
    scaled = X * factor(X)
    return np.stack([_weights(scaled, y) for y in Y.T])


def factor(X: "FloatArray") -> float:
    """Return what brings the rows' mean norm to 20.

    Raises
    ------
    DataError
        Every row is all zeros.
    """
    norm = float(np.linalg.norm(X, axis=1).mean())
    if norm == 0:
        raise DataError(f"no filter responds to any of {len(X)} training samples")
    return MEAN_NORM / norm


def subset_aps(
    train: "FloatArray",
    y_train: NDArray[np.int8],
    test: "FloatArray",
    *,
    y_test: NDArray[np.int8],
) -> Subsets | None:
    """Return the average precision of nested subsets of filters for one class (section 4.2).

    Filters are ranked by |w| of an SVM on all of them (equal ones by their index); each subset
    gets an SVM of its own. The features keep the one factor of the full set.

    Parameters
    ----------
    train, test : arrays of shape (n_samples, n_filters)
        Scaled alike, see :func:`factor`.
    y_train, y_test : arrays of shape (n_samples,), int8

    Returns
    -------
    Subsets or None
        None if the class has no positive or no negative to learn from, or no positive to test on.
    """
    weights = _weights(train, y_train)
    if np.isnan(weights).any() or not (y_test > 0).any():
        return None
    ranking = np.argsort(-np.abs(weights), kind="stable")
    sizes = subset_sizes(train.shape[1])
    fitted, converged = [], True
    for k in sizes:
        model = _svm(train[:, ranking[:k]], y_train)
        scores = test[:, ranking[:k]] @ model.weights  # the constant changes no order
        both = voc_ap(scores, y_test) or 0.0, ap(scores, y_test) or 0.0
        fitted.append((*both, model.no_direction))
        converged &= model.converged
    at_11, at_all, no_direction = zip(*fitted, strict=True)
    return Subsets(ranking, sizes, at_11, at_all, converged, no_direction)


def filters_needed(
    sizes: Sequence[int], fractions: Sequence[float], share: float
) -> tuple[int, float]:
    """Return how many filters reach a share of the complete AP.

    Parameters
    ----------
    sizes : sequence of int
        Ascending.
    fractions : sequence of float
        Of the complete AP; the last is 1.
    share : float
        From 0 to 1.

    Returns
    -------
    listed : int
        The smallest listed size that reaches it.
    interpolated : float
        Where the line between it and the size before crosses the share.
    """
    at = next(i for i, fraction in enumerate(fractions) if fraction >= share)
    if at == 0:
        return sizes[0], float(sizes[0])
    before, after = fractions[at - 1], fractions[at]
    part = (share - before) / (after - before)
    return sizes[at], sizes[at - 1] + part * (sizes[at] - sizes[at - 1])


def top_filters(n_filters: int) -> int:
    """Return how many filters are compared: 50, or the same share (50 of 256) of fewer than 256."""
    return min(TOP, max(1, round(TOP_SHARE * n_filters)))


def overlap(weights: NDArray[np.float64], *, top: int) -> NDArray[np.float64]:
    """Return the share of common filters among the best ``top`` of each two classes.

    Parameters
    ----------
    weights : array of shape (n_classes, n_filters)
        Filters are ranked by their size, equal ones by index.
    top : int

    Returns
    -------
    array of shape (n_classes, n_classes), float64
        0 to 1, 1 on the diagonal; by chance ``top / n_filters``.

    Raises
    ------
    DataError
        There are fewer filters than ``top``, or it is below 1.
    """
    n_filters = weights.shape[1]
    if top < 1:
        raise DataError(f"top must be at least 1, got {top}")
    if top > n_filters:
        raise DataError(f"the {top} best of {n_filters} filters cannot be taken; lower --top")
    chosen = np.zeros(weights.shape)
    best = np.argsort(-np.abs(weights), axis=1, kind="stable")[:, :top]
    np.put_along_axis(chosen, best, 1, axis=1)
    return np.asarray(chosen @ chosen.T / top)


C, MAX_ITER = 1e-3, 20_000


@dataclass(frozen=True, slots=True)
class _Model:
    """Weights of one SVM; exactly 0 where that is the optimum."""

    weights: NDArray[np.float64]
    no_direction: bool
    converged: bool


def _weights(X: "FloatArray", y: NDArray[np.int8]) -> NDArray[np.float64]:
    if not ((y > 0).any() and (y < 0).any()):
        return np.full(X.shape[1], np.nan)
    return _svm(X, y).weights


def _svm(X: "FloatArray", y: NDArray[np.int8]) -> _Model:
    """Fit the protocol's SVM; there are more samples than filters, so no kernel.

    Weights that lower the objective below that of the best constant prove that there is a
    direction. Only where the solver has none such is it asked whether there is one.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    model = LinearSVC(
        loss="hinge",
        dual=True,
        C=C,
        class_weight={1: POSITIVE_WEIGHT},
        intercept_scaling=BIAS,
        tol=1e-6,  # at 1e-4 filters of nearly the same weight changed places
        max_iter=MAX_ITER,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # Subsets.converged says it
        model.fit(X[y != 0], y[y != 0])
    features, labels = X[y != 0].astype(np.float64), y[y != 0].astype(np.float64)
    w, met = model.coef_[0].astype(np.float64), bool(np.all(model.n_iter_ < MAX_ITER))
    upper = np.where(labels > 0, POSITIVE_WEIGHT * C, C)
    constant, score = constant_objective(labels, upper), float(model.intercept_[0])
    losses = upper @ np.maximum(0, 1 - labels * (features @ w + score))
    if 0.5 * (w @ w + (score / BIAS) ** 2) + losses < (1 - EXACT) * constant:
        return _Model(w, no_direction=False, converged=met)
    if has_no_direction(features, labels, upper):
        return _Model(np.zeros_like(w), no_direction=True, converged=True)
    return _Model(w, no_direction=False, converged=False)  # too small for the solver to find
