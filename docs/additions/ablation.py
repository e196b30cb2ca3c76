"""The smallest response of each map."""

from fstore.queries.samples.ablations import Responses, ablation


@ablation(
    "sp_min",
    label="sp-min",
    sql="SELECT * REPLACE ([list_min(map)] AS map) FROM {source}",
    pooled=True,
)
def sp_min(X: Responses) -> Responses:
    """Give the smallest response of a map."""
    return X.min(axis=2, keepdims=True)
