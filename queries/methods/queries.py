"""Retrieval from a store: each query's average precision."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fstore.errors import DataError
from fstore.queries.samples.labels import Samples
from fstore.types import OnProgress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fstore.store import Store

__all__ = ["query_aps"]


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

    asked = problem(store, samples, network=network, ckpt=ckpt, layer=layer)
    (split,) = asked.splits.values()
    relevant = codes.relevance(asked.Y[split.test], asked.Y[split.fitted])
    if not (relevant > 0).any():
        raise DataError(
            f"none of {len(split.test)} test samples shares a class with any of the "
            f"{len(split.fitted)} training samples: there is nothing to retrieve"
        )
    kernel = gram(store, asked.rows, on_progress=on_progress).kernel
    binary = gram(store, asked.rows, ablation="binarize", on_progress=on_progress).kernel
    similar = {
        "cosine": codes.cosine_similarity(kernel),
        "cosine_binarized": codes.cosine_similarity(binary),
        "hamming": codes.hamming_similarity(binary),
    }
    pairs = np.ix_(split.test, split.fitted)
    return {kind: codes.retrieval_ap(all_[pairs], relevant) for kind, all_ in similar.items()}
