"""Linear probes: what a linear classifier can tell from a layer, its C chosen by cross-validation.

The test part is looked at once, after C is chosen.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.queries.methods.classification import C_GRID
from fstore.queries.methods.gram import MEAN_NORM
from fstore.queries.methods.products import Products, scores_of
from fstore.store.precision import ap

if TYPE_CHECKING:
    from fstore.queries.samples.problem import SplitRows
    from fstore.types import FloatArray, IntArray

__all__ = [
    "LOGISTIC_GRID",
    "SVM_GRID",
    "Measure",
    "Probe",
    "Scorer",
    "fit_logistic",
    "folds_of",
    "logistic_scorer",
    "probe",
    "svm_scorer",
    "worth",
]

LOGISTIC_GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""C of logistic regression: weight of the loss against half the squared norm of the weights."""

SVM_GRID = C_GRID

STEPS = 5_000
"""Of an optimiser, at most."""

FEW = 1_000_000
"""Numbers in a feature matrix, below which one thread is quicker."""

Measure: TypeAlias = Literal["accuracy", "ap"]

Scorer: TypeAlias = "Callable[[IntArray, IntArray, Sequence[float]], list[NDArray[np.float64]]]"
"""``scorer(train, test, Cs)``: scores of shape (n_test, n_classes), one array for each C; -inf for
a class that ``train`` does not show."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear classifier in the units of the features: scores are X @ weights + offset.

    Attributes
    ----------
    weights : array of shape (n_features, n_classes), float64
    offset : array of shape (n_classes,), float64
        -inf for a class that was not seen.
    """

    weights: NDArray[np.float64]
    offset: NDArray[np.float64]

    def scores(self, X: "FloatArray") -> NDArray[np.float64]:
        """Return scores of shape (n_samples, n_classes)."""
        found: NDArray[np.float64] = X @ self.weights + self.offset
        return found


@dataclass(frozen=True, slots=True)
class Probe:
    """How well a layer is read by a linear classifier.

    Attributes
    ----------
    value : float
        Accuracy, or the mean over classes of the all-points AP, on test; 0 to 1.
    prior : float
        What knowing nothing gives: the share of the class that is commonest among what is learned
        from; for AP the mean share of positives in test.
    C : float
    at_end : bool
        Whether C is the first or the last of the grid: a better one may lie beyond.
    validation : float
        The value at C in cross-validation, a mean over folds.
    classes : int
        How many count.
    scores : array of shape (n_test, n_classes), float64
        On test.
    """

    value: float
    prior: float
    C: float
    at_end: bool
    validation: float
    classes: int
    scores: NDArray[np.float64]


def probe(
    scorer: Scorer,
    Y: NDArray[np.int8],
    split: "SplitRows",
    *,
    images: "IntArray",
    grid: Sequence[float],
    measure: Measure,
    folds: int = 5,
) -> Probe:
    """Choose C by cross-validation on train and val, fit on them, and score on test.

    Parameters
    ----------
    scorer : callable
        See :data:`Scorer`.
    Y : array of shape (n_samples, n_classes), int8
        1, -1, or 0: left out for that class.
    split : SplitRows
    images : array of shape (n_samples,), int
        Samples of one image have one number: they are in one fold.
    grid : sequence of float
        Values of C, ascending. The smallest of equals is chosen.
    measure : {"accuracy", "ap"}
        Accuracy is for samples that show exactly one class.
    folds : int

    Raises
    ------
    DataError
        Samples do not show exactly one class each, though accuracy is asked for; no class can be
        learned and tested; there are fewer images to learn from than folds.
    """
    fitted, test = split.fitted, split.test
    _check(Y, fitted, test, measure=measure)
    per_fold = []
    for held in folds_of(Y, fitted, images=images, folds=folds):
        scores = scorer(fitted[~held], fitted[held], grid)
        per_fold.append([worth(s, Y[fitted[held]], measure) for s in scores])
    means = np.nanmean(np.asarray(per_fold, dtype=np.float64), axis=0)
    best = int(np.argmax(means.round(9)))  # equals, but for how their mean was rounded
    (scores_on_test,) = scorer(fitted, test, [grid[best]])
    return Probe(
        value=worth(scores_on_test, Y[test], measure),
        prior=_prior(Y, fitted, test, measure=measure),
        C=float(grid[best]),
        at_end=best in (0, len(grid) - 1),
        validation=float(means[best]),
        classes=int(_learnable(Y, fitted, test).sum()),
        scores=scores_on_test,
    )


def folds_of(
    Y: NDArray[np.int8], rows: "IntArray", *, images: "IntArray", folds: int
) -> list[NDArray[np.bool_]]:
    """Return which rows each fold holds back: images of a class are dealt out in turn.

    Parameters
    ----------
    Y : array of shape (n_samples, n_classes), int8
    rows : array of int
        What is learned from.
    images : array of shape (n_samples,), int
    folds : int

    Returns
    -------
    list of arrays of shape (len(rows),), bool
        Each row is held back once. The same arguments give the same folds.

    Raises
    ------
    DataError
        There are fewer images than folds, or fewer than two folds.
    """
    numbers, first, own = np.unique(images[rows], return_index=True, return_inverse=True)
    if not 2 <= folds <= len(numbers):
        raise DataError(
            f"cross-validation needs 2 folds or more, and an image for each; got {folds} folds "
            f"and {len(numbers)} images to learn from"
        )
    drawn = np.random.default_rng(0).permutation(len(numbers))
    leading = Y[rows[first]].argmax(axis=1)  # the first class that an image shows
    order = drawn[np.argsort(leading[drawn], kind="stable")]
    dealt = np.empty(len(numbers), dtype=np.int64)
    dealt[order] = np.arange(len(numbers)) % folds
    return [dealt[own] == fold for fold in range(folds)]


def worth(scores: NDArray[np.float64], Y: NDArray[np.int8], measure: Measure) -> float:
    """Return the accuracy, or the mean all-points AP over classes that have one; NaN without.

    Parameters
    ----------
    scores : array of shape (n_samples, n_classes), float64
        -inf for a class that was not learned: it has no AP.
    Y : array of shape (n_samples, n_classes), int8
    measure : {"accuracy", "ap"}
    """
    if measure == "accuracy":
        return float((scores.argmax(axis=1) == Y.argmax(axis=1)).mean())
    seen = [c for c in range(Y.shape[1]) if not np.isneginf(scores[:, c]).all()]
    found = [ap(scores[:, c], Y[:, c]) for c in seen]
    kept = [value for value in found if value is not None]
    return float(np.mean(kept)) if kept else float("nan")


def _learnable(Y: NDArray[np.int8], fitted: "IntArray", test: "IntArray") -> NDArray[np.bool_]:
    """Say which classes have both labels to learn from and a positive to test on."""
    both = (Y[fitted] > 0).any(axis=0) & (Y[fitted] < 0).any(axis=0)
    return np.asarray(both & (Y[test] > 0).any(axis=0))


def _check(Y: NDArray[np.int8], fitted: "IntArray", test: "IntArray", *, measure: Measure) -> None:
    rows = np.concatenate([fitted, test])
    other = int(((Y[rows] > 0).sum(axis=1) != 1).sum())
    if measure == "accuracy" and other:
        raise DataError(
            f"{other} of {len(rows)} samples show no class or several; accuracy and confusion are "
            "for samples of one class each: take average precision, or ground-truth boxes"
        )
    if not _learnable(Y, fitted, test).any():
        raise DataError(
            "no class has a positive and a negative sample to learn from and a positive one to "
            f"test on, among {len(fitted)} training and {len(test)} test samples"
        )


def _prior(Y: NDArray[np.int8], fitted: "IntArray", test: "IntArray", *, measure: Measure) -> float:
    if measure == "accuracy":
        commonest = int((Y[fitted] > 0).sum(axis=0).argmax())
        return float((Y[test, commonest] > 0).mean())
    positive, told = (Y[test] > 0).sum(axis=0), (Y[test] != 0).sum(axis=0)
    kept = _learnable(Y, fitted, test)
    return float(np.mean(positive[kept] / told[kept]))


# classifiers


def svm_scorer(inputs: Products, Y: NDArray[np.int8]) -> Scorer:
    """Return the scores of the one-against-rest SVMs of :mod:`fstore.queries.methods.svm`.

    Parameters
    ----------
    inputs : array of shape (n_samples, n_samples), float32, or FeaturesFile
        See :func:`fstore.queries.methods.products.products`.
    Y : array of shape (n_samples, n_classes), int8
    """

    def scores(
        train: "IntArray", test: "IntArray", Cs: Sequence[float]
    ) -> list[NDArray[np.float64]]:
        known = (Y[train] > 0).any(axis=0) & (Y[train] < 0).any(axis=0)
        many = np.tile(Y[:, known], len(Cs))
        models = np.repeat(np.asarray(Cs, dtype=np.float64), int(known.sum()))
        found, *_ = scores_of(inputs, many, train, test=test, C=models)
        out = np.full((len(Cs), len(test), Y.shape[1]), -np.inf)
        out[:, :, known] = np.moveaxis(found.reshape(len(test), len(Cs), -1), 1, 0)
        return list(out)

    return scores


def logistic_scorer(X: "FloatArray", Y: NDArray[np.int8], *, measure: Measure) -> Scorer:
    """Return the scores of logistic regression; see :func:`fit_logistic`.

    Parameters
    ----------
    X : array of shape (n_samples, n_features), float32 or float64
    Y : array of shape (n_samples, n_classes), int8
    measure : {"accuracy", "ap"}
        One model of all classes for accuracy, one a class against the rest for AP.
    """

    def scores(
        train: "IntArray", test: "IntArray", Cs: Sequence[float]
    ) -> list[NDArray[np.float64]]:
        models = fit_logistic(X[train], Y[train], Cs=Cs, measure=measure)
        return [model.scores(X[test]) for model in models]

    return scores


def fit_logistic(
    X: "FloatArray", Y: NDArray[np.int8], *, Cs: Sequence[float], measure: Measure
) -> list[Linear]:
    """Fit logistic regressions with an L2 penalty, one for each C (scikit-learn).

    Features are centred, and multiplied by one factor, so that their mean norm is 20; the offset
    is not penalised. More features than samples are first turned to as many axes as there are
    samples, which changes no score.

    Parameters
    ----------
    X : array of shape (n_samples, n_features), float32 or float64
    Y : array of shape (n_samples, n_classes), int8
        1, -1, or 0: left out for that class.
    Cs : sequence of float
    measure : {"accuracy", "ap"}
        Multinomial over all classes, or one class against the rest.

    Raises
    ------
    DataError
        All samples have the same features; the optimum was not reached.
    """
    from threadpoolctl import threadpool_limits

    mean = X.mean(axis=0, dtype=np.float64)
    Z = X - mean
    length = float(np.linalg.norm(Z, axis=1).mean())
    if not length > 0:
        raise DataError("all samples to learn from have the same features: no probe can be fitted")
    Z *= MEAN_NORM / length
    axes = None
    if Z.shape[1] > len(Z):
        axes, turned = np.linalg.qr(Z.T)
        Z = turned.T
    found = []
    with threadpool_limits(1 if Z.size < FEW else None):  # short steps: threads would only wait
        models = _by_classes(Z, Y, Cs, measure=measure)
    for weights, offset in models:
        own = (weights if axes is None else axes @ weights) * (MEAN_NORM / length)
        found.append(Linear(own, offset - mean @ own))
    return found


def _by_classes(
    Z: NDArray[np.float64], Y: NDArray[np.int8], Cs: Sequence[float], *, measure: Measure
) -> "list[tuple[NDArray[np.float64], NDArray[np.float64]]]":
    """Return weights of shape (n_features, n_classes) and offsets, for each C."""
    weights = np.zeros((len(Cs), Z.shape[1], Y.shape[1]))
    offset = np.full((len(Cs), Y.shape[1]), -np.inf)
    if measure == "accuracy":
        own = Y.argmax(axis=1)
        known = np.unique(own)
        if len(known) == 1:  # of one class alone: it is always right
            offset[:, known] = 0.0
        else:
            for at, (coefficients, intercepts) in enumerate(_fits(Z, own, Cs)):
                weights[at][:, known], offset[at, known] = coefficients.T, intercepts
        return list(zip(weights, offset, strict=True))
    for column, y in enumerate(Y.T):
        if (y > 0).any() and (y < 0).any():
            used = y != 0
            for at, (coefficients, intercepts) in enumerate(_fits(Z[used], y[used], Cs)):
                weights[at, :, column], offset[at, column] = coefficients[-1], intercepts[-1]
    return list(zip(weights, offset, strict=True))


def _fits(
    Z: NDArray[np.float64], y: "IntArray", Cs: Sequence[float]
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield coefficients and intercepts, a line for each class, for one C after the other.

    Each C starts from the optimum of the one before.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=STEPS, warm_start=True)
    for C in Cs:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # said below, as an error
            model.set_params(C=C).fit(Z, y)
        if model.n_iter_.max() >= STEPS:
            raise DataError(
                f"logistic regression with C = {C:g} did not reach its optimum in {STEPS:,} "
                "steps; take --classifier svm"
            )
        w, b = model.coef_, model.intercept_
        # of two classes scikit-learn has one line, that of the second
        yield (np.concatenate([-w, w]), np.concatenate([-b, b])) if len(w) == 1 else (w, b)
