"""Columns of the feature matrix of equal length: no filter counts for more because it is louder."""

import numpy as np

from fstore.queries.samples.ablations._api import Responses, ablation

__all__ = ["l2_columns"]


@ablation(
    "l2_columns",
    label="columns of length 1",
    sql="""
        WITH places AS (
            SELECT * EXCLUDE (map), unnest(map) AS value, generate_subscripts(map, 1) AS place
            FROM {source}
        ),
        scaled AS (
            SELECT *, sqrt(sum(value::DOUBLE ** 2) OVER (PARTITION BY channel, place)) AS length
            FROM places
        )
        SELECT * EXCLUDE (value, place, length),
               list(CASE WHEN length > 0 THEN (value / length)::FLOAT ELSE 0 END ORDER BY place)
                   AS map
        FROM scaled GROUP BY ALL
    """,
    all_samples=True,
)
def l2_columns(X: Responses) -> Responses:
    """Divide each column of the matrix, a filter at a place, by its L2 norm over all samples.

    A column of zeros stays as it is. The norm is that over all samples of the question, those that
    are tested on among them: their labels play no part in it.
    """
    lengths = np.sqrt(np.einsum("scp,scp->cp", X, X, dtype=np.float64))
    return np.divide(X, np.where(lengths > 0, lengths, 1), out=X, casting="same_kind")
