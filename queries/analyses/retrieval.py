"""Retrieval with real-valued features and with binary codes (section 5.1)."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fstore.queries.analyses._api import analysis
from fstore.queries.methods.queries import query_aps
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
)
def retrieval(
    store: "Store",
    *,
    layer: str,
    ckpt: str,
    dataset: str,
    view: str = "image",
    network: str | None = None,
    split: str = "official",
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> list[dict[str, Any]]:
    """Rank the training samples by likeness to each test sample, and score the ranking.

    Parameters
    ----------
    store : Store
        Where the activations are.
    layer : str
        Layer whose responses are the features.
    ckpt : str
        Checkpoint, as NAME or NETWORK/NAME.
    dataset : str
        Data set.
    view : str
        image (whole images), gt (ground-truth boxes) or proposal.
    network : str or None
        Network, where several have a checkpoint of this name.
    split : str
        official or random.
    seed : int
        Which of the random splits.
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
    from fstore.queries.samples.problem import split_samples
    from fstore.store.export import find_partition

    found = find_partition(
        store, layer=layer, ckpt=ckpt, dataset=dataset, view=view, network=network
    )
    aps = query_aps(
        store,
        split_samples(store, dataset, view, split, seed),
        network=found.network,
        ckpt=found.ckpt,
        layer=layer,
        on_progress=on_progress,
    )
    return [_row(kind, values) for kind, values in aps.items()]


def _row(kind: str, values: "NDArray[np.float64]") -> dict[str, Any]:
    known = values[~np.isnan(values)]
    return {
        "code": kind,
        "mean_ap": float(known.mean()),
        "std": float(known.std(ddof=1)) if len(known) > 1 else None,
        "queries": len(known),
        "unanswerable": len(values) - len(known),
    }
