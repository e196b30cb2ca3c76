"""Retrieval with real-valued features and with binary codes (section 5.1)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fstore.errors import DataError
from fstore.queries.analyses._api import analysis
from fstore.store.parts import Samples
from fstore.types import OnProgress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fstore.store import Store

__all__ = ["query_aps", "retrieval"]


def query_aps(
    store: "Store",
    samples: Sequence[Samples],
    *,
    network: str,
    ckpt: str,
    layer: str,
    on_progress: OnProgress | None = None,
) -> "dict[str, NDArray[np.float64]]":
    """Return each query's average precision by kind of code.

    Samples of the test part ask; those of train and val answer.

    Parameters
    ----------
    store : Store
        Where the activations are.
    samples : sequence of Samples
        The parts of one split.
    network, ckpt, layer : str
    on_progress : callable or None
        Told of long work.

    Returns
    -------
    dict of array of shape (n_queries,), float64
        ``cosine``: of the features; ``cosine_binarized``: of the codes (1 where a response is
        above 0); ``hamming``: by Hamming distance of the codes. NaN for a query that nothing
        answers.

    Raises
    ------
    DataError
        Nothing answers any query; a response is NaN or infinite.
    """
    from fstore.queries.methods import retrieval as codes
    from fstore.queries.methods.gram import gram
    from fstore.queries.samples.problem import problem

    found = problem(store, samples, network=network, ckpt=ckpt, layer=layer)
    (split,) = found.splits.values()
    relevant = codes.relevance(found.Y[split.test], found.Y[split.fitted])
    if not (relevant > 0).any():
        raise DataError(
            f"none of {len(split.test)} test samples shares a class with any of the "
            f"{len(split.fitted)} training samples: there is nothing to retrieve"
        )
    kernel = gram(store, found.rows, on_progress=on_progress).kernel
    binary = gram(store, found.rows, ablation="binarize", on_progress=on_progress).kernel
    similar = {
        "cosine": codes.cosine_similarity(kernel),
        "cosine_binarized": codes.cosine_similarity(binary),
        "hamming": codes.hamming_similarity(binary),
    }
    pairs = np.ix_(split.test, split.fitted)
    return {kind: codes.retrieval_ap(all_[pairs], relevant) for kind, all_ in similar.items()}


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
