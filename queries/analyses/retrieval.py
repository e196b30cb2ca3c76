"""Retrieval with real-valued features and with binary codes (section 5.1)."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fstore.queries.analyses._api import analysis
from fstore.queries.figures.retrieval import plot_retrieved
from fstore.queries.methods.queries import query_aps
from fstore.queries.samples.asked import Asked
from fstore.types import OnProgress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fstore.store import Store

__all__ = ["retrieval"]


@analysis(
    "retrieval",
    title="Mean average precision of retrieval, real-valued and binary codes",
    source="section 5.1",
    columns=("code", "mean_ap", "std", "queries", "unanswerable"),
    plot=plot_retrieved,
    negative="a binary code has 0 for them, as for what does not respond",
)
def retrieval(
    store: "Store",
    asked: Asked,
    *,
    on_progress: OnProgress | None = None,
) -> list[dict[str, Any]]:
    """Rank the training samples by likeness to each test sample, and score the ranking.

    Parameters
    ----------
    store : Store
        Where the activations are.
    asked : Asked
        Which responses of which samples.
    on_progress : callable or None
        Told of long work.

    Returns
    -------
    list of dict
        A row a kind of code. ``mean_ap`` from 0 to 1 over the queries that something answers,
        ``std`` over queries (None for a single one).

    Raises
    ------
    UnknownNameError
        Activations or the split are not there; the message has the command that makes them.
    DataError
        Nothing answers any query; a response is NaN or infinite.
    """
    place = asked.partition(store)
    aps = query_aps(
        store,
        asked.samples(store),
        network=place.network,
        ckpt=place.ckpt,
        layer=asked.layer,
        on_progress=on_progress,
    )
    return [_row(kind, values) for kind, values in aps.items()]


def _row(kind: str, values: "NDArray[np.float64]") -> dict[str, Any]:
    answered = values[~np.isnan(values)]
    return {
        "code": kind,
        "mean_ap": float(answered.mean()),
        "std": float(answered.std(ddof=1)) if len(answered) > 1 else None,
        "queries": len(answered),
        "unanswerable": len(values) - len(answered),
    }
