"""One linear SVM on features in memory, warm-started: dual coordinate ascent on w itself.

The model is that of :mod:`fstore.queries.methods.svm`. That engine works on inner products, which
suits many models on the same samples; here every class has samples of its own, which come and go
while negatives are mined, so n x n products would be made anew for each class and each time. Memory
is that of the features, which are not copied.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.queries.methods.svm import BIAS, POSITIVE_WEIGHT

__all__ = ["Model", "ascend"]

BLOCK = 32
"""Samples that are updated one by one before w follows."""

PIECE = 256
"""Rows that are copied at a time."""

REPEATS = 9
"""Sweeps over the samples that moved, behind each sweep over all."""


@dataclass(frozen=True, slots=True)
class Model:
    """A trained SVM.

    Attributes
    ----------
    w : array of shape (n_features,), float32
    b : float
        Scores are ``X @ w + b``.
    coefficients : array of shape (n_samples,), float64
        alpha * y of the training samples: where the next training may start.
    scores : array of shape (n_samples,), float64
        Of the training samples.
    objective, dual : float
        1/2 |w|^2 + C times the weighted losses, and the dual's value: the least possible objective
        lies between them.
    passes : int
    """

    w: NDArray[np.float32]
    b: float
    coefficients: NDArray[np.float64]
    scores: NDArray[np.float64]
    objective: float
    dual: float
    passes: int

    @property
    def gap(self) -> float:
        """How far above its least the objective may be, as a share of it."""
        return (self.objective - self.dual) / self.objective


def ascend(
    X: NDArray[np.float32],
    rows: NDArray[np.intp],
    y: NDArray[np.int8],
    *,
    C: float,
    positive_weight: float = POSITIVE_WEIGHT,
    bias: float = BIAS,
    start: NDArray[np.float64] | None = None,
    tolerance: float = 1e-4,
    max_passes: int = 1000,
) -> Model:
    """Train the L1-hinge linear SVM with a regularised bias feature on some rows of a matrix.

    Minimises 1/2 |w|^2 + 1/2 (b / bias)^2 + C sum_i c_i max(0, 1 - y_i (w x_i + b)), c_i the
    weight of positives or 1.

    Parameters
    ----------
    X : array of shape (n, n_features), float32
        Rows may be empty memory where ``rows`` does not name them.
    rows : array of shape (n_samples,), int
    y : array of shape (n_samples,), int8
        1 and -1, both at least once.
    C, positive_weight, bias : float
    start : array of shape (n_samples,) or None
        ``coefficients`` of an earlier training, 0 for new samples; those out of bounds are cut.
    tolerance : float
        Training ends when the duality gap is below this share of the objective.
    max_passes : int
        Or after this many passes over all samples.

    Raises
    ------
    DataError
        There is no positive or no negative.
    """
    if not ((y > 0).any() and (y < 0).any()):
        raise DataError("an SVM needs at least one positive and one negative sample")
    dual = _Dual(
        X, rows, y.astype(np.float64), limit=C * np.where(y > 0, positive_weight, 1.0), bias=bias
    )
    if start is not None:
        dual.b = np.clip(start, dual.low, dual.high)
    dual.settle()
    draw = np.random.default_rng(0)  # any order will do; the same one gives the same bits
    passes = 0
    while dual.gap >= tolerance and passes < max_passes:
        dual.climb(draw)
        passes += 1
        dual.settle()
    return Model(dual.w, dual.shift, dual.b, dual.scores, dual.primal, dual.value, passes)


class _Dual:
    """The dual problem: signed multipliers b = alpha y between bounds, and what they make of w.

    Maximise b y - 1/2 (|X^T b|^2 + (bias sum b)^2) with b between 0 and y times its limit.
    """

    def __init__(
        self,
        X: NDArray[np.float32],
        rows: NDArray[np.intp],
        y: NDArray[np.float64],
        *,
        limit: NDArray[np.float64],
        bias: float,
    ) -> None:
        self.X, self.rows, self.y, self.limit, self.constant = X, rows, y, limit, bias**2
        self.low, self.high = np.where(y > 0, 0, -limit), np.where(y > 0, limit, 0)
        self.b = np.zeros(len(rows))
        squares = [np.einsum("ij,ij->i", x, x, dtype=np.float64) for x in self._pieces()]
        self.diagonal = np.concatenate(squares) + self.constant

    def settle(self) -> None:
        """Compute w, scores, objective and dual from the multipliers: what rounding added goes."""
        parts = np.split(self.b.astype(np.float32), range(PIECE, len(self.b), PIECE))
        w = np.zeros(self.X.shape[1])
        for part, x in zip(parts, self._pieces(), strict=True):
            w += part @ x
        self.w = w.astype(np.float32)
        self.shift = self.constant * float(self.b.sum())
        self.scores = np.concatenate([x @ self.w for x in self._pieces()]) + self.shift
        squared = float(w @ w) + self.shift**2 / self.constant
        losses = self.limit * np.maximum(0, 1 - self.y * self.scores)
        self.primal = 0.5 * squared + float(losses.sum())
        self.value = float(self.b @ self.y) - 0.5 * squared

    @property
    def gap(self) -> float:
        """Relative to the objective, as of the last :meth:`settle`."""
        return (self.primal - self.value) / self.primal

    def climb(self, draw: np.random.Generator) -> None:
        """Update every sample once, then some times those that still move."""
        moving = self._sweep(draw.permutation(len(self.rows)))
        for _ in range(REPEATS):
            if len(moving) == 0:
                return
            free = np.flatnonzero((self.b > self.low) & (self.b < self.high))
            moving = self._sweep(draw.permutation(np.union1d(moving, free)))

    def _sweep(self, order: NDArray[np.intp]) -> NDArray[np.intp]:
        """Update samples in this order, a block at a time; return those that moved."""
        moved = []
        for start in range(0, len(order), BLOCK):
            at = order[start : start + BLOCK]
            x = self.X[self.rows[at]]  # (block, n_features)
            slope = (x @ self.w).astype(np.float64) + self.shift - self.y[at]
            able = np.flatnonzero(self._step(at, slope) != self.b[at])
            if len(able):
                moved.append(at[able])
                self._update(at[able], x[able], slope[able])
        return np.concatenate(moved) if moved else np.empty(0, dtype=np.intp)

    def _step(self, at: NDArray[np.intp], slope: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where each sample alone would go."""
        goal = self.b[at] - slope / self.diagonal[at]
        return np.minimum(np.maximum(goal, self.low[at]), self.high[at])

    def _update(
        self, at: NDArray[np.intp], x: NDArray[np.float32], slope: NDArray[np.float64]
    ) -> None:
        """Move samples one after the other, each exactly; then w follows."""
        Q = (x @ x.T).astype(np.float64) + self.constant
        change = np.zeros(len(at))
        low, high = (self.low[at] - self.b[at]).tolist(), (self.high[at] - self.b[at]).tolist()
        for i, curvature in enumerate(self.diagonal[at].tolist()):
            step = min(max(-float(slope[i]) / curvature, low[i]), high[i])
            if step:
                slope += Q[i] * step
                change[i] = step
        self.b[at] += change
        self.w += change.astype(np.float32) @ x
        self.shift += self.constant * float(change.sum())

    def _pieces(self) -> Iterator[NDArray[np.float32]]:
        """Yield the samples' features, some rows at a time."""
        for start in range(0, len(self.rows), PIECE):
            yield self.X[self.rows[start : start + PIECE]]
