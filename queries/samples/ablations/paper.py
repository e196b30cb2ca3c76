"""The paper's ablations: of magnitude (binarize) and of place (sp-shuffle, sp-max)."""

import numpy as np

from fstore.queries.samples.ablations._api import Permutations, Responses, ablation

__all__ = ["NAMES", "binarize", "none", "sp_max", "sp_shuffle"]

NAMES = ("none", "binarize", "sp_shuffle", "sp_max")


@ablation("none", label="as they are", sql="SELECT * FROM {source}")
def none(X: Responses) -> Responses:
    """Return responses as they are."""
    return X


@ablation(
    "binarize",
    label="binarized",
    sql="SELECT * REPLACE (binarize(map, {number}) AS map) FROM {source}",
    binary=True,
    negative="binarize makes 0 of them, as of what does not respond",
)
def binarize(X: Responses, t: float = 0.0) -> Responses:
    """Give 1 where a response is above 0 (or above T), else 0."""
    return np.greater(X, np.float32(t), out=X)


@ablation(
    "sp_shuffle",
    label="sp-shuffle",
    sql="SELECT * REPLACE (sp_shuffle(map, sp_permutation({seed}, "
    '"view", sample_id, len(map)::INTEGER)) AS map) FROM {source}',
)
def sp_shuffle(X: Responses, *, permutations: Permutations | None) -> Responses:
    """Permute places, all channels of a sample together."""
    if permutations is None:
        raise ValueError("sp_shuffle needs permutations")
    if X.shape[2] == 1:
        return X
    shuffled: Responses = np.take_along_axis(X, permutations[:, None, :], axis=2)
    return shuffled


@ablation(
    "sp_max",
    label="sp-max",
    sql="SELECT * REPLACE ([sp_max(map)] AS map) FROM {source}",
    reads="sp_max",
    pooled=True,
    negative="sp_max takes the largest, which may be below 0, and none of the smallest",
)
def sp_max(X: Responses) -> Responses:
    """Give the largest response of a map."""
    return X
