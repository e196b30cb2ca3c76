"""Whether weights of 0 are optimal for a linear SVM, by a linear program of its own."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

__all__ = ["C", "steepest"]

C = 1e-3


def steepest(X: NDArray[np.floating[Any]], y: NDArray[np.int8]) -> float:
    """Return how steeply the objective falls from the best constant, 0 if it falls nowhere.

    The hinge has a slope in every direction v of the weights and v0 of the bias (a feature of value
    10). The program looks for the lowest among -1 <= v, v0 <= 1, of features that are scaled to a
    largest value of 1.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
    y : array of shape (n_samples,), int8
        1 and -1.
    """
    u = np.where(y > 0, 2 * C, C)
    positive, negative = u[y > 0].sum(), u[y < 0].sum()
    score = min(1.0, max(-1.0, 100 * (positive - negative)))
    largest = np.abs(X).max(axis=0)
    Z = np.column_stack([X / np.where(largest > 0, largest, 1), np.full(len(y), 10.0)])
    at_kink = y * score >= 1
    pull = Z * y[:, None]
    slope = -(u[:, None] * pull)[~at_kink].sum(axis=0)
    slope[-1] += score / 10
    n = int(at_kink.sum())  # their losses rise by s >= -pull v, s >= 0
    found = linprog(
        np.concatenate([slope, u[at_kink]]) / C,
        A_ub=np.hstack([-pull[at_kink], -np.eye(n)]) if n else None,
        b_ub=np.zeros(n) if n else None,
        bounds=[(-1, 1)] * Z.shape[1] + [(0, None)] * n,
        method="highs",
    )
    assert found.status == 0
    return float(found.fun)
