"""Maximise a concave quadratic function between bounds, for many right-hand sides at once.

Passes of coordinate ascent find which multipliers stay at a bound, and steps of Newton's method
find the values of the others (docs/decisions/0006-gram-svm.md has what else was tried). Kernels of
low rank are left to :mod:`fstore.queries.methods.interior`.
"""

import numpy as np
from numpy.typing import NDArray

from fstore.queries.methods.interior import low_rank, multipliers

__all__ = ["INSIDE", "LEAP_EVERY", "PATIENCE", "RANK", "Dual", "gaps", "times"]

BLOCK, SMALL = 256, 16
"""Samples updated before all gradients follow in one product, and before those of the block do."""

RELAXATION = 1.5
"""How far a coordinate moves, in distances to its own optimum; any below 2 ascends."""

LEAP_EVERY = 4
"""Passes from one Newton step to the next."""

SETTLED = 0.1
"""A model steps if no more than this share of its free multipliers came or went since."""

LARGEST = 2000
"""Free multipliers that a Newton step is made for: their matrix takes 32 MB, 0.1 s to factor. With
more, passes go on alone; ``gap`` says how far they came."""

PATIENCE = 1000
"""Passes after which models that are not done are solved through the kernel's factor, where it has
few columns."""

RANK = 512
"""Columns of that factor; with more, passes cost less than the steps on it."""

INSIDE = 0.1
"""Share of the tolerance that is asked of those steps."""

RIDGE = 1e-7
"""Added to their diagonal, relative to it: about what rounding to float32 did to the kernel."""


class Dual:
    """The duals of several SVMs: signed multipliers B = alpha y between bounds, and scores Q B.

    Maximise sum(B Y) - 1/2 B^T Q B with B between 0 and y U, Q = scale K + bias^2.

    Attributes
    ----------
    active : array of int
        The models that are not done.
    B : array of shape (n_samples, n_models), float64
    objective, gap : arrays of shape (n_models,), float64
        Of the primal, and relative to it the distance to the dual; see :meth:`settle`.
    """

    def __init__(
        self,
        kernel: NDArray[np.float32],
        Y: NDArray[np.int8],
        upper: NDArray[np.float64],
        *,
        scale: float,
        bias: float,
    ) -> None:
        self.kernel, self.scale, self.constant = kernel, scale, bias**2
        self.B: NDArray[np.float64] = np.zeros(Y.shape)
        self.objective, self.gap = np.zeros(Y.shape[1]), np.full(Y.shape[1], np.inf)
        # what the models that are not done need, side by side; f = Q b
        self.active = np.arange(Y.shape[1])
        self.b, self.f, self.y, self.u = self.B.copy(), self.B.copy(), Y.astype(np.float64), upper
        self.l, self.h = np.where(Y > 0, 0, -upper), np.where(Y > 0, upper, 0)
        self.free: NDArray[np.bool_] = np.zeros(Y.shape, dtype=np.bool_)

    def climb(self, order: NDArray[np.intp]) -> None:
        """Update every sample's multipliers once, in this order.

        A random order: in a fixed one, features that are all positive, as responses are, come
        nowhere in a thousand passes (measured, see docs/decisions/0006-gram-svm.md).
        """
        for start in range(0, len(order), BLOCK):
            at = order[start : start + BLOCK]
            rows = self.kernel[at]  # (block, n)
            Q = self.scale * rows[:, at].astype(np.float64) + self.constant
            before = self.b[at]
            after = _ascend(Q, self.f[at] - self.y[at], before, low=self.l[at], high=self.h[at])
            self.b[at] = after
            self.f += self._follow(rows.T, after - before)

    def leap(self) -> None:
        """Step to the optimum of the free multipliers, were they all to stay free.

        What would leave its bounds stops there, and all go along the way to that point as far as
        the objective rises: no step makes it worse, whatever rounding did to the solution.
        """
        free = (self.l < self.b) & (self.b < self.h)
        count, moved = free.sum(axis=0), (free != self.free).sum(axis=0)
        self.free = free
        slope, goal = self.y - self.f, self.b.copy()
        settled = (count > 0) & (moved <= SETTLED * count)
        for j in np.flatnonzero(settled & (count <= LARGEST)):
            at = np.flatnonzero(free[:, j])
            Q = self.scale * self.kernel[np.ix_(at, at)].astype(np.float64) + self.constant
            goal[at, j] += _solved(Q, slope[at, j])
        change = np.clip(goal, self.l, self.h) - self.b
        follow = self._follow(self.kernel, change)
        rise, bend = (change * slope).sum(axis=0), (change * follow).sum(axis=0)
        way = np.clip(np.divide(rise, bend, out=np.zeros_like(rise), where=bend > 0), 0, 1)
        self.b = np.clip(self.b + way * change, self.l, self.h)
        self.f += way * follow

    def settle(self, tolerance: float) -> None:
        """Take out the models whose gap is below the tolerance, computed in float64."""
        near = _gaps(self.b, self.f, self.y, u=self.u)[1] < tolerance
        if not near.any():
            return
        self.f[:, near] = self._product(self.b[:, near])  # without the rounding of many updates
        self._keep(self._note() >= tolerance)

    def through_factor(self, tolerance: float) -> None:
        """Solve the models that are left, if the kernel's rank is at most half of its size.

        Their gaps are those on the kernel's factor: the kernel less what rounding put into it.
        """
        L = low_rank(self.kernel, at_most=min(RANK, len(self.kernel) // 2))
        if L is None:
            return
        bias = np.full((len(L), 1), np.sqrt(self.constant))
        L = np.concatenate([np.sqrt(self.scale) * L, bias], axis=1)
        for j, upper in enumerate(self.u.T):
            at = upper > 0
            found = multipliers(L[at], self.y[at, j], upper[at], tolerance=INSIDE * tolerance)
            self.b[at, j] = found
        self.f = L @ (L.T @ self.b)
        self._keep(self._note() >= tolerance)

    def _keep(self, kept: NDArray[np.bool_]) -> None:
        """Take the others out."""
        self.active = self.active[kept]
        self.b, self.f, self.y = self.b[:, kept], self.f[:, kept], self.y[:, kept]
        self.u, self.l, self.h = self.u[:, kept], self.l[:, kept], self.h[:, kept]
        self.free = self.free[:, kept]

    def finish(self) -> None:
        """Note how far the models came that are not done."""
        if len(self.active):
            self.f = self._product(self.b)
            self._note()

    def _note(self) -> NDArray[np.float64]:
        """Keep where the models that are not done stand; return their gaps."""
        self.B[:, self.active] = self.b
        objective, gap = _gaps(self.b, self.f, self.y, u=self.u)
        self.objective[self.active], self.gap[self.active] = objective, gap
        return gap

    def _follow(
        self, rows: NDArray[np.float32], change: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Return by how much the scores change, in float32: :meth:`settle` mends what is lost."""
        follow: NDArray[np.float32] = rows @ (self.scale * change).astype(np.float32)
        follow += (self.constant * change.sum(axis=0)).astype(np.float32)
        return follow

    def _product(self, b: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return Q b."""
        total: NDArray[np.float64] = b.sum(axis=0)
        return self.scale * times(self.kernel, b) + self.constant * total


def times(kernel: NDArray[np.float32], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return kernel @ b in float64, converting some rows of the kernel at a time."""
    out = np.empty((len(kernel), b.shape[1]))
    for start in range(0, len(kernel), 512):
        out[start : start + 512] = kernel[start : start + 512].astype(np.float64) @ b
    return out


def _ascend(
    Q: NDArray[np.float64],
    slope: NDArray[np.float64],
    b: NDArray[np.float64],
    *,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Update the samples of a block one after the other, all models at once.

    ``goal`` is where each coordinate would go next were it free. What follows a change is only
    written where it is needed: in the few samples of the same small block, then in the rest.
    """
    from fstore.queries.methods.dual_loops import ascend_small

    diagonal = np.maximum(np.diagonal(Q), np.finfo(np.float64).tiny)
    goal = np.ascontiguousarray(b - RELAXATION * slope / diagonal[:, None])
    pull = RELAXATION * Q / diagonal  # [i, j]: by how much a change of i moves the goal of j
    b, low, high = b.copy(), np.ascontiguousarray(low), np.ascontiguousarray(high)
    change = np.empty_like(b)
    for start in range(0, len(b), SMALL):
        end = min(start + SMALL, len(b))
        small = slice(start, end)
        own = np.ascontiguousarray(pull[small, small])
        ascend_small(own, (goal[small], b[small], low[small], high[small], change[small]))
        goal[end:] -= pull[small, end:].T @ change[small]
    return b


def _solved(Q: NDArray[np.float64], slope: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Q^-1 slope, or 0 where rounding has made Q indefinite; Q is overwritten."""
    from scipy.linalg import cho_factor, cho_solve

    Q.flat[:: len(Q) + 1] *= 1 + RIDGE
    try:
        factor = cho_factor(Q, lower=True, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        return np.zeros_like(slope)
    solution: NDArray[np.float64] = cho_solve(factor, slope, check_finite=False)
    return solution


def gaps(
    norms: NDArray[np.float64],
    b: NDArray[np.float64],
    f: NDArray[np.float64],
    *,
    y: NDArray[np.float64],
    u: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return primal objectives and relative duality gaps, of shape (n_models,).

    Parameters
    ----------
    norms : array of shape (n_models,)
        1/2 |w|^2.
    b, f, y, u : arrays of shape (n_samples, n_models)
        Multipliers, scores, labels, limits.
    """
    primal = norms + (u * np.maximum(0, 1 - y * f)).sum(axis=0)
    dual = (b * y).sum(axis=0) - norms
    return primal, (primal - dual) / primal


def _gaps(
    b: NDArray[np.float64],
    f: NDArray[np.float64],
    y: NDArray[np.float64],
    *,
    u: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return primal objectives and relative duality gaps; f = Q b are the scores."""
    return gaps(0.5 * (b * f).sum(axis=0), b, f, y=y, u=u)
