"""The mean of a map's largest responses."""

import numpy as np

from fstore.errors import DataError
from fstore.queries.samples.ablations._api import Responses, ablation

__all__ = ["top_k"]


@ablation(
    "top_k",
    label="mean of the largest",
    sql="SELECT * REPLACE ([top_k(map, {number})] AS map) FROM {source}",
    pooled=True,
)
def top_k(X: Responses, k: int) -> Responses:
    """Give the mean of the K largest responses of a map: 1 is sp_max, all places the mean."""
    if k < 1:
        raise DataError(f"top_k={k}: the mean is of at least 1 response")
    positions = X.shape[2]
    if k < positions:
        X = np.partition(X, positions - k, axis=2)[:, :, positions - k :]
    mean: Responses = X.mean(axis=2, keepdims=True, dtype=np.float64).astype(np.float32)
    return mean
