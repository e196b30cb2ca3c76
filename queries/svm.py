"""Linear SVMs trained on inner products, many at once, down to a stated duality gap.

The model is the L1-hinge linear SVM whose bias is a feature of value 10 that is regularised like
the others: ``LinearSVC(loss="hinge", dual=True, intercept_scaling=10)``. Its dual on K + 100 has
box constraints only, which coordinate ascent handles one sample at a time.
(``SVC(kernel="precomputed")`` is another model: its bias is free.)
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.types import OnProgress

__all__ = ["BIAS", "POSITIVE_WEIGHT", "SVMs", "fit"]

BIAS = 10.0
POSITIVE_WEIGHT = 2.0

BLOCK, SMALL = 256, 16
"""Samples updated before all gradients follow in one product, and before those of the block do."""

RELAXATION = 1.5
"""How far a coordinate moves towards its own optimum and beyond it; any below 2 climbs."""


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
        products = _times(kernel, self.coefficients)
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
        Or after this many passes; ``gap`` then says how far each model came.
    on_progress : callable or None

    Returns
    -------
    SVMs

    Raises
    ------
    DataError
        A column has no positive or no negative; the kernel is not finite; C is not positive.
    """
    limits = np.broadcast_to(np.asarray(C, dtype=np.float64), (Y.shape[1],))
    _check(kernel, Y, limits)
    weight = np.where(Y > 0, positive_weight, 1.0) * (Y != 0)
    dual = _Dual(kernel, Y, weight * limits, scale, bias)
    draw = np.random.default_rng(0)  # any order will do; the same one gives the same bits
    passes = 0
    while passes < max_passes and len(dual.active):
        dual.climb(draw.permutation(len(Y)))
        passes += 1
        dual.settle(tolerance)
        if on_progress is not None:
            done = Y.shape[1] - len(dual.active)
            on_progress("SVMs", done, Y.shape[1], f"pass {passes}")
    dual.finish()
    return SVMs(dual.B, dual.objective, dual.gap, passes, scale, bias)


def _check(kernel: NDArray[np.float32], Y: NDArray[np.int8], limits: NDArray[np.float64]) -> None:
    if kernel.shape != (len(Y), len(Y)):
        raise ValueError(f"a kernel of shape {kernel.shape} does not fit {len(Y)} labels")
    if not ((limits > 0) & np.isfinite(limits)).all():
        bad = limits[~((limits > 0) & np.isfinite(limits))]
        raise DataError(f"C must be above 0 and finite, got {bad[0]:g}")
    lonely = np.flatnonzero((Y.max(axis=0, initial=-1) < 1) | (Y.min(axis=0, initial=1) > -1))
    if len(lonely):
        raise DataError(
            f"column {lonely[0]} of the labels has no positive or no negative sample: nothing can "
            "be learned from it; leave it out"
        )
    if not np.isfinite(np.diagonal(kernel)).all():
        raise DataError("the kernel has values that are not finite; its features are not either")


class _Dual:
    """The dual problems: signed multipliers B = alpha y between bounds, and their gradients.

    Maximise sum(B Y) - 1/2 B^T Q B with B between 0 and y U, Q = scale K + bias^2.
    """

    def __init__(
        self,
        kernel: NDArray[np.float32],
        Y: NDArray[np.int8],
        upper: NDArray[np.float64],
        scale: float,
        bias: float,
    ) -> None:
        self.kernel, self.scale, self.constant = kernel, scale, bias**2
        self.Y, self.U = Y.astype(np.float64), upper
        self.low, self.high = np.where(Y > 0, 0, -upper), np.where(Y > 0, upper, 0)
        self.B = np.zeros(Y.shape)
        self.objective, self.gap = np.zeros(Y.shape[1]), np.full(Y.shape[1], np.inf)
        # what the models that are not done need, side by side; f = Q b
        self.active = np.arange(Y.shape[1])
        self.b, self.f, self.y, self.u = self.B.copy(), np.zeros(Y.shape), self.Y, self.U
        self.l, self.h = np.where(Y > 0, 0, -upper), np.where(Y > 0, upper, 0)

    def climb(self, order: NDArray[np.intp]) -> None:
        """Update every sample's multipliers once, in this order.

        A random order: in a fixed one, features that are all positive, as responses are, take
        more passes (measured, see docs/decisions/0006-gram-svm.md).
        """
        for start in range(0, len(order), BLOCK):
            at = order[start : start + BLOCK]
            rows = self.kernel[at]  # (block, n)
            Q = self.scale * rows[:, at].astype(np.float64) + self.constant
            change = _ascend(Q, self.f[at] - self.y[at], self.b[at], self.l[at], self.h[at])
            self.b[at] += change
            total = rows.T @ (self.scale * change).astype(np.float32)
            total += (self.constant * change.sum(axis=0)).astype(np.float32)
            self.f += total

    def settle(self, tolerance: float) -> None:
        """Take out the models whose gap is small enough."""
        near = _gaps(self.b, self.f, self.y, self.u)[1] < tolerance
        if not near.any():
            return
        self.f[:, near] = self._product(self.b[:, near])  # without the rounding of many updates
        ready = self._note() < tolerance
        self.active = self.active[~ready]
        self.b, self.f, self.y, self.u, self.l, self.h = (
            x[:, ~ready] for x in (self.b, self.f, self.y, self.u, self.l, self.h)
        )

    def finish(self) -> None:
        """Note how far the models came that are not done."""
        self.f = self._product(self.b)
        self._note()

    def _note(self) -> NDArray[np.float64]:
        """Keep where the models that are not done stand; return their gaps."""
        self.B[:, self.active] = self.b
        objective, gap = _gaps(self.b, self.f, self.y, self.u)
        self.objective[self.active], self.gap[self.active] = objective, gap
        return gap

    def _product(self, b: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return Q b."""
        total: NDArray[np.float64] = b.sum(axis=0)
        return self.scale * _times(self.kernel, b) + self.constant * total


def _times(kernel: NDArray[np.float32], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a product in float64, some rows of the kernel at a time."""
    out = np.empty((len(kernel), b.shape[1]))
    for start in range(0, len(kernel), 512):
        out[start : start + 512] = kernel[start : start + 512].astype(np.float64) @ b
    return out


def _ascend(
    Q: NDArray[np.float64],
    slope: NDArray[np.float64],
    b: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Update the samples of a block one after the other, all models at once; return the changes.

    ``goal`` is where each coordinate would go next were it free. What follows a change is only
    written where it is needed: in the few samples of the same small block, then in the rest.
    """
    diagonal = np.maximum(np.diagonal(Q), np.finfo(np.float64).tiny)
    goal = b - RELAXATION * slope / diagonal[:, None]
    pull = RELAXATION * Q / diagonal  # [i, j]: by how much a change of i moves the goal of j
    change = np.empty_like(b)
    for start in range(0, len(b), SMALL):
        end = min(start + SMALL, len(b))
        for i in range(start, end):
            new = np.minimum(np.maximum(goal[i], low[i]), high[i])
            step = np.subtract(new, b[i], out=change[i])
            goal[i + 1 : end] -= pull[i, i + 1 : end, None] * step
        goal[end:] -= pull[start:end, end:].T @ change[start:end]
    return change


def _gaps(
    b: NDArray[np.float64], f: NDArray[np.float64], y: NDArray[np.float64], u: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return primal objectives and relative duality gaps; f = Q b are the scores."""
    norms: NDArray[np.float64] = 0.5 * (b * f).sum(axis=0)
    primal = norms + (u * np.maximum(0, 1 - y * f)).sum(axis=0)
    dual = (b * y).sum(axis=0) - norms
    return primal, (primal - dual) / primal
