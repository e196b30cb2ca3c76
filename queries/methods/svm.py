"""Linear SVMs trained on inner products, many at once, down to a stated duality gap.

The model is the L1-hinge linear SVM whose bias is a feature of value 10 that is regularised like
the others: ``LinearSVC(loss="hinge", dual=True, intercept_scaling=10)``. Its dual on K + 100 has
box constraints only; :mod:`fstore.queries.methods.dual` solves it.
(``SVC(kernel="precomputed")`` is another model: its bias is free.)
"""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.queries.methods.dual import LEAP_EVERY, PATIENCE, Dual, times
from fstore.types import OnProgress

__all__ = [
    "BIAS",
    "POSITIVE_WEIGHT",
    "SVMs",
    "UnfinishedWarning",
    "check_labels",
    "fit",
    "limits_of",
    "tell",
]

BIAS = 10.0
POSITIVE_WEIGHT = 2.0


class UnfinishedWarning(UserWarning):
    """SVMs ended above the duality gap that was asked for."""


@dataclass(frozen=True, slots=True)
class SVMs:
    """Trained models.

    Attributes
    ----------
    coefficients : array of shape (n_train, n_models), float64
        alpha * y: the weights are their combination of the training samples' features. 0 for a
        sample that is left out.
    objective : array of shape (n_models,), float64
        1/2 |w|^2 + sum of weighted losses.
    gap : array of shape (n_models,), float64
        Duality gap relative to the objective: how far above its least the objective may be.
    passes : int
        Over the training samples, until the last model was done.
    scale, bias : float
        Factor of the inner products, value of the bias feature.
    """

    coefficients: NDArray[np.float64]
    objective: NDArray[np.float64]
    gap: NDArray[np.float64]
    passes: int
    scale: float = 1.0
    bias: float = BIAS

    def scores(self, kernel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scores of samples from their inner products with the training samples.

        Summed in float64 and rounded at the end, so that scores that are equal are found equal:
        with binarized features, whose inner products are whole numbers, many are.

        Parameters
        ----------
        kernel : array of shape (n_samples, n_train), float32
            As in the kernel that was trained on, before its scaling.

        Returns
        -------
        array of shape (n_samples, n_models), float32
            w x + b; above 0 is positive.
        """
        products = times(kernel, self.coefficients)
        return (self.scale * products + self.intercepts).astype(np.float32)

    @property
    def intercepts(self) -> NDArray[np.float64]:
        """What each model adds to every score; shape (n_models,)."""
        return np.asarray(self.bias**2 * self.coefficients.sum(axis=0))


def fit(
    kernel: NDArray[np.float32],
    Y: NDArray[np.int8],
    *,
    C: float | NDArray[np.float64] = 1e-3,
    scale: float = 1.0,
    positive_weight: float = POSITIVE_WEIGHT,
    bias: float = BIAS,
    tolerance: float = 1e-6,
    max_passes: int = 1000,
    on_progress: OnProgress | None = None,
) -> SVMs:
    """Train linear SVMs, one a column of labels.

    Minimises 1/2 |w|^2 + C sum_i c_i max(0, 1 - y_i (w x_i + bias w_0)), w_0 a part of w and c_i
    the weight of positives or 1, through the dual.

    Parameters
    ----------
    kernel : array of shape (n_samples, n_samples), float32
        Inner products of the training samples.
    Y : array of shape (n_samples, n_models), int8
        1 and -1; 0 leaves a sample out of that model.
    C : float or array of shape (n_models,)
        Weight of the losses.
    scale : float
        Of the inner products: the square of the factor of the features. Applied here, in float64,
        and not to the kernel, which would round each inner product.
    positive_weight, bias : float
        Those of R-CNN by default.
    tolerance : float
        Training ends when every model's duality gap is below this share of its objective.
    max_passes : int
        Or after this many passes; a warning and ``gap`` then say how far each model came.
    on_progress : callable or None

    Returns
    -------
    SVMs

    Raises
    ------
    DataError
        A column has no positive or no negative; the kernel is not finite; C is not positive.
    """
    limits = limits_of(C, Y.shape[1])
    _check(kernel, Y)
    weight = np.where(Y > 0, positive_weight, 1.0) * (Y != 0)
    dual = Dual(kernel, Y, weight * limits, scale=scale, bias=bias)
    draw = np.random.default_rng(0)  # any order will do; the same one gives the same bits
    passes = 0
    while passes < max_passes and len(dual.active):
        dual.climb(draw.permutation(len(Y)))
        passes += 1
        if passes % LEAP_EVERY == 0:
            dual.leap()
        dual.settle(tolerance)
        if passes == PATIENCE and len(dual.active):
            dual.through_factor(tolerance)
        if on_progress is not None:
            done = Y.shape[1] - len(dual.active)
            on_progress("SVMs", done, Y.shape[1], f"pass {passes}")
    dual.finish()
    tell(dual.gap, tolerance)
    return SVMs(dual.B, dual.objective, dual.gap, passes, scale, bias)


def limits_of(C: float | NDArray[np.float64], n_models: int) -> NDArray[np.float64]:
    """Return the C of each model.

    Raises
    ------
    DataError
        One is not positive and finite.
    """
    limits = np.broadcast_to(np.asarray(C, dtype=np.float64), (n_models,))
    good = (limits > 0) & np.isfinite(limits)
    if not good.all():
        raise DataError(f"C must be above 0 and finite, got {limits[~good][0]:g}")
    return limits


def check_labels(Y: NDArray[np.int8]) -> None:
    """Refuse labels that nothing can be learned from; columns are models.

    Raises
    ------
    DataError
        A column has no positive or no negative.
    """
    lonely = np.flatnonzero((Y.max(axis=0, initial=-1) < 1) | (Y.min(axis=0, initial=1) > -1))
    if len(lonely):
        raise DataError(
            f"column {lonely[0]} of the labels has no positive or no negative sample: nothing can "
            "be learned from it; leave it out"
        )


def tell(gap: NDArray[np.float64], tolerance: float) -> None:
    """Warn of models whose gap is not below the tolerance."""
    above = int((gap >= tolerance).sum())
    if above:
        warnings.warn(
            f"{above} of {len(gap)} SVMs ended at a duality gap of up to {gap.max():.1e} of their "
            f"objective; {tolerance:g} was asked for",
            UnfinishedWarning,
            stacklevel=3,
        )


def _check(kernel: NDArray[np.float32], Y: NDArray[np.int8]) -> None:
    if kernel.shape != (len(Y), len(Y)):
        raise ValueError(f"a kernel of shape {kernel.shape} does not fit {len(Y)} labels")
    check_labels(Y)
    if not np.isfinite(np.diagonal(kernel)).all():
        raise DataError("the kernel has values that are not finite; its features are not either")
