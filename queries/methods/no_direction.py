"""Whether the best weights of a linear SVM are exactly 0, so that it tells no sample from another.

Where features are weak and one label is rare, constant scores can have the least objective. What
a solver then returns as weights, some 1e-10, is what its steps left over, and ranks by chance.
"""

import numpy as np
from numpy.typing import NDArray

from fstore.queries.methods.svm import BIAS

__all__ = ["EXACT", "constant_objective", "has_no_direction"]

Floats = NDArray[np.float64]

EXACT = 1e-9
"""What counts as 0: a share of the pull of all samples on a weight, of the constant's objective."""

TURNS = 50
"""Turns for each weight, the bias included, at most.

On the 600 SVMs of the demo's Tables 5 and 10, of up to 256 features, none took more than 34 turns
in all, or 4.5 for each weight. On the 360 of Table 5 of SqueezeNet on VOC 2007 the most were 101,
or 6.3 for each weight (``benchmarks/no_direction.py``).
"""


def constant_objective(y: Floats, upper: Floats) -> float:
    """Return the least objective of constant scores, the best SVM's without weights.

    Parameters
    ----------
    y : array of shape (n_samples,), float64
        1 and -1.
    upper : array of shape (n_samples,), float64
        Weights of the samples' losses, C included.
    """
    score = _constant(y, upper)
    return 0.5 * (score / BIAS) ** 2 + float(upper @ np.maximum(0, 1 - y * score))


def has_no_direction(X: Floats, y: Floats, upper: Floats) -> bool | None:
    """Say whether weights of exactly 0 are optimal.

    They are if there are multipliers between 0 and ``upper`` with which no sample's pull is left
    over: sum_i alpha_i y_i x_i = 0, the optimality conditions at the best constant score. There a
    sample whose loss is above 0 has its multiplier at ``upper``; multipliers of the others are
    free. What these can reach is a polytope; its point nearest to the goal is found by Wolfe's
    method, and either lies at the goal or gives a plane that separates the two.

    Parameters
    ----------
    X : array of shape (n_samples, n_features), float64
    y : array of shape (n_samples,), float64
        1 and -1.
    upper : array of shape (n_samples,), float64
        Weights of the samples' losses, C included.

    Returns
    -------
    bool or None
        True: what is left over is at most 1e-9 of the sum of all pulls on a weight. False: it is
        proved to be more. None: neither was found.

    References
    ----------
    Wolfe 1976, doi:10.1007/BF01580381.
    """
    score = _constant(y, upper)
    pulls = np.column_stack([X, np.ones(len(X))]) * (upper * y)[:, None]
    most = np.abs(pulls).sum(axis=0)
    most[most == 0] = 1
    pulls /= most
    free = y * score >= 1
    goal = -pulls[~free].sum(axis=0)
    goal[-1] += score / BIAS**2 / most[-1]
    return _reaches(pulls[free], goal)


def _constant(y: Floats, upper: Floats) -> float:
    """Return the best constant score: the label of more weight, unless the two nearly balance."""
    return float(np.clip(BIAS**2 * float(upper @ y), -1, 1))


def _reaches(parts: Floats, goal: Floats) -> bool | None:
    """Say whether a sum of shares of some vectors, each from 0 to 1, can be a vector.

    ``corners`` are corners of what sums can be, seen from the goal; ``near`` is the point of their
    hull nearest to it.
    """

    def corner(towards: Floats) -> Floats:
        return np.asarray(parts[parts @ towards > 0].sum(axis=0) - goal)

    corners = corner(goal - parts.sum(axis=0) / 2)[None]
    shares = np.ones(1)
    for _ in range(TURNS * len(goal)):
        near = shares @ corners
        distance = float(np.linalg.norm(near))
        if distance <= EXACT:
            return True
        new = corner(-near)
        if float(new @ near) > EXACT * distance:  # all corners lie beyond this plane
            return False
        corners, shares = _nearest(np.vstack([corners, new]), np.append(shares, 0.0))
    return None


def _nearest(corners: Floats, shares: Floats) -> tuple[Floats, Floats]:
    """Drop corners until the point of least norm of the others' plane lies among them."""
    while True:
        steps = (corners[1:] - corners[0]).T
        rest = np.linalg.lstsq(steps, -corners[0], rcond=None)[0]
        wanted = np.append(1 - rest.sum(), rest)
        down = wanted <= 0
        if not down.any():
            return corners, wanted
        fall = np.maximum(shares - wanted, np.finfo(np.float64).tiny)
        way = min(1.0, float((shares[down] / fall[down]).min()))
        shares = np.maximum(shares + way * (wanted - shares), 0)
        shares[np.flatnonzero(down)[(shares[down]).argmin()]] = 0
        corners, shares = corners[shares > 0], shares[shares > 0] / shares.sum()
