"""The loops of coordinate ascent, compiled."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fstore.compiled import compiled

__all__ = ["ascend_block", "ascend_small"]

Floats: TypeAlias = NDArray[np.float64]


@compiled
def ascend_block(Q: Floats, models: tuple[Floats, Floats, Floats, Floats], rounds: int) -> None:
    """Move the samples of a block to their own optima one after the other, model by model.

    Parameters
    ----------
    Q : array of shape (n, n)
        Second derivatives of the dual, negated.
    models : four arrays of shape (n_models, n)
        First derivatives, negated, changed as multipliers move; multipliers, changed; their lower
        and upper bounds.
    rounds : int
        How often the block is gone through.
    """
    slope, b, low, high = models
    n = len(Q)
    for j in range(len(b)):
        for _ in range(rounds):
            moved = False
            for i in range(n):
                if Q[i, i] <= 0:
                    continue
                new = min(max(b[j, i] - slope[j, i] / Q[i, i], low[j, i]), high[j, i])
                step = new - b[j, i]
                if step != 0:
                    moved = True
                    b[j, i] = new
                    for k in range(n):
                        slope[j, k] += step * Q[i, k]
            if not moved:
                break


@compiled
def ascend_small(pull: Floats, models: tuple[Floats, Floats, Floats, Floats, Floats]) -> None:
    """Move a few samples one after the other, all models at once.

    Parameters
    ----------
    pull : array of shape (n, n)
        By how much a change of i moves the goal of j.
    models : five arrays of shape (n, n_models)
        Goals, where each multiplier would go were it free, changed as others move; multipliers,
        changed; their lower and upper bounds; by how much they changed, written.
    """
    goal, b, low, high, change = models
    n, n_models = b.shape
    for i in range(n):
        for m in range(n_models):
            new = min(max(goal[i, m], low[i, m]), high[i, m])
            change[i, m] = new - b[i, m]
            b[i, m] = new
        for k in range(i + 1, n):
            for m in range(n_models):
                goal[k, m] -= pull[i, k] * change[i, m]
