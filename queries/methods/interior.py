"""An interior-point method for the dual of one SVM whose kernel has low rank.

Where there are more samples than features, many multipliers give the same weights. Coordinate
ascent and Newton steps on free multipliers then wander among them without end. Here bounds are kept
by barriers instead, and a step costs samples times the square of the rank (Mehrotra's predictor
and corrector; Ferris and Munson 2002, doi:10.1137/S1052623400374379, for SVMs).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["low_rank", "multipliers"]

Floats = NDArray[np.float64]

ROUNDING = 1e-6
"""Share of the largest inner product below which what is left of a kernel is rounding."""

STEPS = 60
"""At most; 13 to 15 is what it takes."""

REACH = 0.995
"""Share of the way to the nearest bound that a step goes."""


def low_rank(kernel: NDArray[np.float32], *, at_most: int) -> Floats | None:
    """Return a factor L of a kernel, L L^T to its rounding to float32; None if it has more columns.

    By Cholesky's method, the sample first that the others explain least.

    Parameters
    ----------
    kernel : array of shape (n_samples, n_samples), float32
    at_most : int
        Columns of L.

    Returns
    -------
    array of shape (n_samples, rank), float64, or None
    """
    left = np.diagonal(kernel).astype(np.float64)
    least = ROUNDING * left.max()
    L = np.empty((len(kernel), 16))
    for rank in range(at_most + 1):
        i = int(left.argmax())
        if left[i] <= least:
            return np.ascontiguousarray(L[:, :rank])
        if rank == L.shape[1]:
            L = np.concatenate([L, np.empty_like(L)], axis=1)
        column = kernel[:, i] - L[:, :rank] @ L[i, :rank]
        L[:, rank] = column / np.sqrt(left[i])
        left = left - L[:, rank] ** 2
        left[i] = 0
    return None


@dataclass(slots=True)
class _Point:
    """Multipliers and their distances to the upper bound, and the two bounds' own multipliers."""

    a: Floats
    v: Floats
    z: Floats
    s: Floats

    def moved(self, by: "_Point", way: float) -> "_Point":
        """Return the point some way along a direction."""
        return _Point(
            self.a + way * by.a, self.v + way * by.v, self.z + way * by.z, self.s + way * by.s
        )

    @property
    def slack(self) -> float:
        """Mean product of a distance to a bound and its multiplier: 0 at the optimum."""
        return float(self.a @ self.z + self.v @ self.s) / (2 * len(self.a))

    def way(self, by: "_Point") -> float:
        """Return how far along a direction all stays above 0, at most 1."""
        pairs = ((self.a, by.a), (self.v, by.v), (self.z, by.z), (self.s, by.s))
        return min(1.0, 1 / max(1e-300, *(float((-d / x).max()) for x, d in pairs)))


def multipliers(L: Floats, y: Floats, upper: Floats, *, tolerance: float) -> Floats:
    """Return the signed multipliers that maximise b y - 1/2 |L^T b|^2, b between 0 and y upper.

    Parameters
    ----------
    L : array of shape (n_samples, rank), float64
        Features, that of the bias included.
    y : array of shape (n_samples,), float64
        1 and -1.
    upper : array of shape (n_samples,), float64
        Above 0.
    tolerance : float
        Steps end when the duality gap is below this share of the objective, or after 60 of them.

    Returns
    -------
    array of shape (n_samples,), float64
        Between the bounds, not at them.
    """
    A = L * y[:, None]
    slope = A @ (A.T @ (upper / 2)) - 1
    start = np.abs(slope) + 0.1
    z = np.maximum(slope, 0) + start
    at = _Point(upper / 2, upper / 2, z, z - slope)
    for _ in range(STEPS):
        w = A.T @ at.a
        slope = A @ w - 1
        norms = 0.5 * float(w @ w)
        primal = norms + float(upper @ np.maximum(0, -slope))
        if primal - (float(at.a.sum()) - norms) < tolerance * primal:
            break
        at = _step(A, at, slope - at.z + at.s)
    return at.a * y


def _step(A: Floats, at: _Point, wrong: Floats) -> _Point:
    """Return the next point: a step aimed at the optimum says how far the real one may aim.

    ``wrong`` is by how much the bounds' multipliers miss the slope.
    """
    from scipy.linalg import cho_factor, cho_solve

    D = at.z / at.a + at.s / at.v
    factor = cho_factor(np.eye(A.shape[1]) + A.T @ (A / D[:, None]), lower=True)

    def towards(lower: Floats, above: Floats) -> _Point:
        q = (lower / at.a - above / at.v - wrong) / D
        da: Floats = q - (A @ cho_solve(factor, A.T @ q)) / D  # (D + A A^T)^-1 by Woodbury
        return _Point(da, -da, (lower - at.z * da) / at.a, (above + at.s * da) / at.v)

    by = towards(-at.a * at.z, -at.v * at.s)
    mu = at.slack
    aim = mu * (at.moved(by, at.way(by)).slack / mu) ** 3
    by = towards(aim - at.a * at.z - by.a * by.z, aim - at.v * at.s - by.v * by.s)
    return at.moved(by, REACH * at.way(by))
