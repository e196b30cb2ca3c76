"""Spatial mean pooling: what most networks since put before their classifier."""

import numpy as np

from fstore.queries.samples.ablations._api import Responses, ablation

__all__ = ["sp_mean"]


@ablation(
    "sp_mean",
    label="sp-mean",
    sql="SELECT * REPLACE ([list_avg(map::DOUBLE[])::FLOAT] AS map) FROM {source}",
    pooled=True,
)
def sp_mean(X: Responses) -> Responses:
    """Give the mean response of a map, summed in float64 (global average pooling)."""
    mean: Responses = X.mean(axis=2, keepdims=True, dtype=np.float64).astype(np.float32)
    return mean
