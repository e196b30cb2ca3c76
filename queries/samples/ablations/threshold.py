"""Responses above a threshold."""

import numpy as np

from fstore.queries.samples.ablations._api import Responses, ablation

__all__ = ["threshold"]


@ablation(
    "threshold",
    label="threshold",
    negative="threshold makes 0 of them unless T is below them, too",
    sql="SELECT * REPLACE (threshold(map, {number}) AS map) FROM {source}",
)
def threshold(X: Responses, t: float) -> Responses:
    """Give a response where it is above T, else 0."""
    return np.where(np.float32(t) < X, X, np.float32(0))
