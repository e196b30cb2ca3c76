"""Linear SVMs on a matrix of features too long for inner products, down to a stated duality gap.

The model is that of :mod:`fstore.queries.methods.svm`, many at once. Its dual is climbed a block of
samples at a time: their features are read, their inner products made, their multipliers moved to
where they are best together, and the weights follow. Memory is that of the weights and of a block,
not of n x n products and not of the matrix (docs/decisions/0019-beyond-gram.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fstore.queries.methods.dual import INSIDE, RANK, gaps
from fstore.queries.methods.features_file import FeaturesFile
from fstore.queries.methods.gram import norm_factor
from fstore.queries.methods.interior import multipliers
from fstore.queries.methods.svm import BIAS, POSITIVE_WEIGHT, check_labels, limits_of, tell
from fstore.types import IntArray, OnProgress

__all__ = ["MEMORY", "WideSVMs", "fit_wide"]

MEMORY = 4 << 30
"""Bytes that training holds at most, as long as one model fits in them."""

BLOCK, ROUNDS = 256, 10
"""Samples whose multipliers move together, and how often each does before the weights follow."""

SWEEPS = 4
"""Over the samples, from one look at the gap to the next."""

MARGIN = 0.02
"""A multiplier that is at a bound, with a margin this far beyond, is left there until that look."""

PER_FEATURE, PER_SAMPLE = 24, 80
"""Bytes that a model takes."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class WideSVMs:
    """Trained models.

    Attributes
    ----------
    weights : array of shape (n_features, n_models), float32
        Of the features as they are in the file.
    intercepts : array of shape (n_models,), float64
        What each model adds to every score.
    objective : array of shape (n_models,), float64
        1/2 |w|^2 + sum of weighted losses, of the scaled features.
    gap : array of shape (n_models,), float64
        Duality gap relative to the objective.
    sweeps : int
        Over the training samples, until the last model was done.
    """

    weights: NDArray[np.float32]
    intercepts: Floats
    objective: Floats
    gap: Floats
    sweeps: int

    def scores(self, features: FeaturesFile, rows: IntArray) -> NDArray[np.float32]:
        """Return the scores of some rows, (len(rows), n_models); above 0 is positive."""
        out = np.empty((len(rows), len(self.gap)), dtype=np.float32)
        for part, x in features.pieces(rows):
            out[part] = x @ self.weights + self.intercepts
        return out


def fit_wide(
    features: FeaturesFile,
    rows: IntArray,
    Y: NDArray[np.int8],
    *,
    C: float | Floats = 1e-3,
    positive_weight: float = POSITIVE_WEIGHT,
    bias: float = BIAS,
    tolerance: float = 1e-4,
    max_sweeps: int = 200,
    on_progress: OnProgress | None = None,
) -> WideSVMs:
    """Train linear SVMs, one a column of labels, on features that are read a block at a time.

    Features are scaled by one factor to a mean norm of 20 over the training rows. As many models
    are trained together as 4 GiB allow (:data:`MEMORY`).

    Parameters
    ----------
    features : FeaturesFile
    rows : array of shape (n_train,), int
        Rows of the file to learn from.
    Y : array of shape (n_train, n_models), int8
        1 and -1; 0 leaves a sample out of that model.
    C : float or array of shape (n_models,)
        Weight of the losses.
    positive_weight, bias : float
        Those of R-CNN by default.
    tolerance : float
        Training ends when every model's duality gap is below this share of its objective.
    max_sweeps : int
        Or after this many; a warning and ``gap`` then say how far each model came.
    on_progress : callable or None

    Raises
    ------
    DataError
        A column has no positive or no negative; C is not positive; all features are 0.
    """
    limits = limits_of(C, Y.shape[1])
    check_labels(Y)
    scale = norm_factor(features.squares[rows]) ** 2
    upper = np.where(Y > 0, positive_weight, 1.0) * (Y != 0) * limits
    duals, sweeps = [], 0
    for of in _groups(features.n_features, Y):
        dual = _WideDual(features, rows, Y[:, of], upper=upper[:, of], scale=scale, bias=bias)
        thin = 3 * features.squares.itemsize * len(rows) * features.n_features < MEMORY
        if features.n_features <= RANK and thin:
            dual.through_features(tolerance)
        else:
            sweeps = max(sweeps, dual.climb(tolerance, max_sweeps, on_progress))
        duals.append(dual)
    gap = np.concatenate([d.gap for d in duals])
    tell(gap, tolerance)
    return WideSVMs(
        np.concatenate([d.W for d in duals], axis=1),
        np.concatenate([d.intercepts for d in duals]),
        np.concatenate([d.objective for d in duals]),
        gap,
        sweeps,
    )


def _groups(n_features: int, Y: NDArray[np.int8]) -> Iterator[slice]:
    """Cut models into as many as half of the memory holds; the rest is for features."""
    each = PER_FEATURE * n_features + PER_SAMPLE * len(Y)
    step = max(1, MEMORY // 2 // each)
    for start in range(0, Y.shape[1], step):
        yield slice(start, start + step)


class _WideDual:
    """The duals of several SVMs, and the weights that their multipliers make.

    Maximise sum(B Y) - 1/2 B^T (scale X X^T + bias^2) B with B between 0 and y times its limit.
    """

    def __init__(
        self,
        features: FeaturesFile,
        rows: IntArray,
        Y: NDArray[np.int8],
        *,
        upper: Floats,
        scale: float,
        bias: float,
    ) -> None:
        n_models = Y.shape[1]
        self.features, self.rows, self.scale, self.constant = features, rows, scale, bias**2
        self.W = np.zeros((features.n_features, n_models), dtype=np.float32)
        self.intercepts, self.objective = np.zeros(n_models), np.zeros(n_models)
        self.gap = np.full(n_models, np.inf)
        # what the models that are not done need; rows are models
        self.active = np.arange(n_models)
        self.y, self.u = Y.T.astype(np.float64), np.ascontiguousarray(upper.T)
        self.b, self.w = np.zeros(self.y.shape), np.zeros((features.n_features, n_models))
        self.shift = np.zeros(n_models)
        self.near = np.arange(len(rows))  # samples that some model may still move

    def climb(self, tolerance: float, max_sweeps: int, on_progress: OnProgress | None) -> int:
        """Sweep over the samples until all models are done; return how often."""
        draw = np.random.default_rng(0)  # any order will do; the same one gives the same bits
        for sweep in range(1, max_sweeps + 1):
            self._sweep(draw.permutation(self.near))
            if sweep % SWEEPS == 0 or sweep == max_sweeps:
                self._settle(tolerance)
            if on_progress is not None:
                done, total = len(self.gap) - len(self.active), len(self.gap)
                on_progress("SVMs", done, total, f"sweep {sweep}")
            if len(self.active) == 0:
                return sweep
        return max_sweeps

    def through_features(self, tolerance: float) -> None:
        """Solve by steps on the features themselves, which are few."""
        bias = np.full((len(self.rows), 1), np.sqrt(self.constant))
        X = np.sqrt(self.scale) * self.features.read(self.rows).astype(np.float64)
        L = np.concatenate([X, bias], axis=1)
        for y, b, upper in zip(self.y, self.b, self.u, strict=True):
            at = upper > 0
            b[at] = multipliers(L[at], y[at], upper[at], tolerance=INSIDE * tolerance)
        self._settle(tolerance)

    def _sweep(self, order: IntArray) -> None:
        """Move the multipliers of some samples, a block at a time."""
        from fstore.queries.methods.dual_loops import ascend_block

        for start in range(0, len(order), BLOCK):
            at = order[start : start + BLOCK]
            x = self.features.read(self.rows[at])  # (block, n_features)
            f = self._scores(x, self.w.astype(np.float32))
            Q = self.scale * (x @ x.T).astype(np.float64) + self.constant
            now, y, u = (np.ascontiguousarray(v[:, at]) for v in (self.b, self.y, self.u))
            low, high = np.where(y > 0, 0, -u), np.where(y > 0, u, 0)
            ascend_block(Q, (f - y, now, low, high), ROUNDS)
            change = now - self.b[:, at]
            self.b[:, at] = now
            moved = change.any(axis=0)
            self.w += x[moved].T @ change.T[moved].astype(np.float32)
            self.shift += self.constant * change.sum(axis=1)

    def _scores(self, x: NDArray[np.float32], w: NDArray[np.float32]) -> Floats:
        """Return the scores of some samples, (n_models, n_samples)."""
        return np.ascontiguousarray(self.scale * (x @ w).T.astype(np.float64)) + self.shift[:, None]

    def _settle(self, tolerance: float) -> None:
        """Compute weights and gaps from the multipliers; take out the models that are done."""
        self.w = np.zeros_like(self.w)
        for part, x in self.features.pieces(self.rows):
            self.w += x.T @ self.b[:, part].T.astype(np.float32)
        self.shift = self.constant * self.b.sum(axis=1)
        w, f = self.w.astype(np.float32), np.empty_like(self.b)
        for part, x in self.features.pieces(self.rows):
            f[:, part] = self._scores(x, w)
        norms = 0.5 * (self.scale * np.einsum("ij,ij->j", self.w, self.w))
        norms += 0.5 * self.shift**2 / self.constant
        objective, gap = gaps(norms, self.b.T, f.T, y=self.y.T, u=self.u.T)
        self.W[:, self.active] = self.scale * self.w
        self.intercepts[self.active] = self.shift
        self.objective[self.active], self.gap[self.active] = objective, gap
        beyond = self.y * f - 1
        stays = (self.b == 0) & (beyond > MARGIN)
        stays |= (np.abs(self.b) == self.u) & ((beyond < -MARGIN) | (self.u == 0))
        self._keep(gap >= tolerance)
        self.near = np.flatnonzero(~stays[gap >= tolerance].all(axis=0))

    def _keep(self, kept: NDArray[np.bool_]) -> None:
        """Take the other models out."""
        self.active, self.shift = self.active[kept], self.shift[kept]
        self.b, self.y, self.u = self.b[kept], self.y[kept], self.u[kept]
        self.w = np.ascontiguousarray(self.w[:, kept])
