"""The paper's classifier: one linear SVM a class on a Gram matrix, scored by average precision.

Choices where the paper is silent are those of ``docs/classification.md``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.queries.methods.draws import (
    Ranking,
    class_means,
    drawn_accuracies,
    drawn_aps,
    draws_of,
)
from fstore.queries.methods.products import Products, scores_of
from fstore.queries.samples.problem import SplitRows
from fstore.store.precision import ap, voc_ap

if TYPE_CHECKING:
    from fstore.types import IntArray

__all__ = [
    "C_GRID",
    "PAPER_C",
    "Accuracy",
    "ClassResult",
    "accuracy",
    "average_precisions",
    "drawn_mean_ap",
    "mean_ap",
]

PAPER_C = 1e-3
C_GRID = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)


@dataclass(frozen=True, slots=True)
class ClassResult:
    """One class in one split.

    ``ap_11`` and ``ap_all`` are None where the class has no positive or no negative to learn from,
    or no positive to test on: it is left out, and does not count in a mean. ``gap`` is the duality
    gap of its SVM, relative to the objective. ``no_direction``: its best weights are exactly 0, so
    that all scores are equal and AP is the prior. ``drawn`` is the 11-point AP in draws of the test
    rows, NaN in a draw without a positive; None where that was not asked for.
    """

    column: int
    C: float
    ap_11: float | None
    ap_all: float | None
    positives_train: int
    positives_test: int
    gap: float | None
    no_direction: bool = False
    drawn: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Accuracy of one-against-rest SVMs in one split, from 0 to 1.

    ``class_averaged`` is the mean over classes of the share of their samples that are right;
    ``overall`` the share of all samples. ``gap`` is the largest duality gap of the SVMs, relative
    to the objective, ``no_direction`` how many of them have weights of exactly 0. ``drawn`` is
    ``class_averaged`` in draws of the test rows.
    """

    C: float
    class_averaged: float
    overall: float
    n_test: int
    gap: float
    no_direction: int
    drawn: NDArray[np.float64]


def average_precisions(
    kernel: Products,
    Y: NDArray[np.int8],
    split: SplitRows,
    *,
    C: float | None = PAPER_C,
    draw: bool = False,
) -> list[ClassResult]:
    """Return the average precision of every class's SVM on the test part (PASCAL-CLS).

    SVMs are fitted on train and val together. Features are scaled by one factor to a mean norm
    of 20 over the rows that are fitted.

    Parameters
    ----------
    kernel : array of shape (n_samples, n_samples), float32, or FeaturesFile
        Inner products of the features, see :func:`fstore.queries.methods.gram.gram`; or the
        features, see :func:`fstore.queries.methods.products.products`.
    Y : array of shape (n_samples, n_classes), int8
        1, -1, or 0: left out for that class.
    split : SplitRows
    C : float or None
        None: one C for all classes, that of :data:`C_GRID` with the best mean 11-point AP on val
        (the smaller of equals) when fitted on train alone.
    draw : bool
        Also in :data:`fstore.queries.methods.draws.DRAWS` draws of the test rows.

    Returns
    -------
    list of ClassResult, one a class

    Raises
    ------
    DataError
        No class can be trained and tested; C is to be chosen and there is no val part, or none
        that shows a class.
    """
    if C is None:
        C = choose_c(kernel, Y, split)
    usable = _usable(Y, split.fitted, split.test)
    if not usable.any():
        raise DataError(
            "no class has a positive and a negative sample to learn from and a positive one to "
            f"test on, among {len(split.fitted)} training and {len(split.test)} test samples"
        )
    scores, gaps, none = scores_of(kernel, Y[:, usable], split.fitted, test=split.test, C=C)
    results, at, times = [], 0, draws_of(split) if draw else None
    for column, use in enumerate(usable):
        labels = Y[split.test, column]
        both = (voc_ap(scores[:, at], labels), ap(scores[:, at], labels)) if use else (None, None)
        counts = [int((Y[rows, column] > 0).sum()) for rows in (split.fitted, split.test)]
        gap = float(gaps[at]) if use else None
        constant = bool(use and none[at])
        drawn = _drawn(scores[:, at], labels, times) if use and times is not None else None
        results.append(ClassResult(column, C, *both, counts[0], counts[1], gap, constant, drawn))
        at += use
    return results


def _drawn(
    scores: NDArray[np.float32], labels: NDArray[np.int8], times: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the 11-point AP of one class in every draw, times of shape (n_draws, n_test)."""
    ranking = Ranking(scores, labels, np.arange(len(labels)))
    at_11: NDArray[np.float64] = drawn_aps(ranking, times @ (labels > 0), times)[0]
    return at_11


def drawn_mean_ap(results: Sequence[ClassResult]) -> NDArray[np.float64]:
    """Return mean 11-point AP (0 to 1) in every draw, over the classes that it has a positive of.

    NaN where a draw has none of any class.
    """
    return class_means([r.drawn for r in results if r.drawn is not None])


def mean_ap(results: Sequence[ClassResult]) -> tuple[float, float, int]:
    """Return mean 11-point AP, mean all-points AP (0 to 1) and the number of classes in them."""
    pairs = [(r.ap_11, r.ap_all) for r in results if r.ap_11 is not None and r.ap_all is not None]
    first, second = np.mean(pairs, axis=0)
    return float(first), float(second), len(pairs)


def accuracy(
    kernel: Products,
    Y: NDArray[np.int8],
    split: SplitRows,
    *,
    C: float | None = PAPER_C,
) -> Accuracy:
    """Return the class-averaged accuracy on the test part (SUN-CLS): the class of highest score.

    Parameters
    ----------
    kernel, Y, split, C
        As for :func:`average_precisions`; C is chosen by class-averaged accuracy on val.

    Raises
    ------
    DataError
        A sample shows no class or several; a class is absent from the rows that are fitted or
        tested.
    """
    _check_single_label(Y, split)
    if C is None:
        C = choose_c(kernel, Y, split, by_accuracy=True)
    scores, gaps, none = scores_of(kernel, Y, split.fitted, test=split.test, C=C)
    truth, chosen = Y[split.test].argmax(axis=1), scores.argmax(axis=1)
    right = chosen == truth
    averaged = _class_average(right, truth)
    drawn = drawn_accuracies(right, truth, draws_of(split))
    overall, gap = float(right.mean()), float(gaps.max())
    return Accuracy(C, averaged, overall, len(truth), gap, int(none.sum()), drawn)


def choose_c(
    kernel: Products, Y: NDArray[np.int8], split: SplitRows, *, by_accuracy: bool = False
) -> float:
    """Return the C of :data:`C_GRID` that does best on val, fitted on train; never sees test.

    Raises
    ------
    DataError
        There is no val part, or no class can be trained on train and tested on val.
    """
    if len(split.val) == 0:
        raise DataError("C cannot be chosen: the split has no val part; use a fixed C instead")
    usable = _usable(Y, split.train, split.val)
    if not usable.any():
        raise DataError(
            f"C cannot be chosen: no class can be learned from {len(split.train)} training and "
            f"tested on {len(split.val)} val samples; use a fixed C instead"
        )
    Y = Y[:, usable]
    many = np.tile(Y, len(C_GRID))  # models: all classes at the first C, then at the second, ...
    models = np.repeat(C_GRID, Y.shape[1])
    scores, *_ = scores_of(kernel, many, split.train, test=split.val, C=models)
    labels = Y[split.val]
    worth: list[float] = []
    for of_c in np.split(scores, len(C_GRID), axis=1):
        if by_accuracy:
            truth = labels.argmax(axis=1)
            worth.append(_class_average(of_c.argmax(axis=1) == truth, truth))
        else:
            aps = [voc_ap(s, y) for s, y in zip(of_c.T, labels.T, strict=True)]
            worth.append(sum(a for a in aps if a is not None) / len(aps))
    return C_GRID[int(np.argmax(worth))]


def _usable(Y: NDArray[np.int8], train: "IntArray", test: "IntArray") -> NDArray[np.bool_]:
    """Say which classes have both labels to learn from and a positive to test on."""
    both = (Y[train].max(axis=0) > 0) & (Y[train].min(axis=0) < 0)
    return np.asarray(both & (Y[test].max(axis=0) > 0))


def _check_single_label(Y: NDArray[np.int8], split: SplitRows) -> None:
    rows = np.concatenate([split.fitted, split.test])
    shown = (Y[rows] > 0).sum(axis=1)
    if (shown != 1).any():
        raise DataError(
            f"{int((shown != 1).sum())} of {len(rows)} samples show no class or several; accuracy "
            "is for data sets with one class a sample, average precision for the others"
        )
    if not (usable := _usable(Y, split.fitted, split.test)).all():
        raise DataError(
            f"{int((~usable).sum())} of {len(usable)} classes have no sample to learn from or none "
            "to test on; take another split or more samples a class"
        )


def _class_average(right: NDArray[np.bool_], truth: "IntArray") -> float:
    return float(np.mean([right[truth == c].mean() for c in np.unique(truth)]))
