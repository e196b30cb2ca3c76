"""The samples whose responses are most like those of one sample."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fstore.errors import DataError, UnknownNameError
from fstore.queries.analyses._api import analysis
from fstore.queries.analyses.top_images import AskedStored

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fstore.store import Store
    from fstore.store.identity import Partition
    from fstore.store.nearest import Nearest

__all__ = ["nearest"]


@analysis(
    "nearest",
    title="Nearest samples by responses",
    source="section 5.1 (likeness of responses); groups of filters as in He et al. 2022",
    columns=("rank", "sample_id", "image_id", "uri", "classes", "distance", "n"),
)
def nearest(
    store: "Store",
    asked: AskedStored,
    *,
    sample: int,
    channel: tuple[int, ...] = (),
    ablation: str = "none",
    top: int = 9,
) -> list[dict[str, Any]]:
    """List the samples whose responses are nearest to those of a sample, nearest first.

    Parameters
    ----------
    store : Store
        Where the activations are.
    asked : AskedStored
        Which responses of which samples.
    sample : int
        Id of the sample that others are compared with.
    channel : tuple of int
        Index of a filter in the layer, from 0; all if none is named.
    ablation : str
        What is done to responses first: none compares whole maps, sp_max the largest of each.
    top : int
        Samples that are listed.

    Returns
    -------
    list of dict
        ``distance`` is Euclidean, over all filters and places that are asked about; equally near
        samples come in order of sample. The sample itself is left out; ``n`` others were compared.
        ``classes`` are those present in the sample.

    Raises
    ------
    UnknownNameError
        Activations, the filter, the sample, the part or the ablation are not there.
    DataError
        ``top`` is not positive; there is no other sample; a response is NaN or infinite.
    """
    from fstore.queries.samples.shown import shown_classes

    if top < 1:
        raise DataError(f"top must be at least 1, got {top}")
    rows = asked.rows(store)
    place, channels = rows.partition, list(dict.fromkeys(channel)) or None
    answer = _answer(
        store, place, rows.ids, sample=sample, channels=channels, ablation=ablation, k=top
    )
    table = store.samples(place.dataset, place.view, ["sample_id", "image_id", "uri"])
    about = {row["sample_id"]: row for row in table.to_pylist()}
    ids = answer.sample_ids.tolist()
    classes = dict(zip(ids, shown_classes(store, place, answer.sample_ids), strict=True))
    return [
        {
            "rank": rank,
            **about[i],
            "classes": classes[i],
            "distance": float(distance),
            "n": answer.n_samples,
        }
        for rank, (i, distance) in enumerate(zip(ids, answer.distances, strict=True), start=1)
    ]


def _answer(
    store: "Store",
    place: "Partition",
    ids: "NDArray[np.int64]",
    *,
    sample: int,
    channels: list[int] | None,
    ablation: str,
    k: int,
) -> "Nearest":
    from fstore.queries.samples.blocks import Rows, ablated_blocks
    from fstore.store.features import stored_samples
    from fstore.store.nearest import nearest as nearest_stored
    from fstore.store.nearest import nearest_by_blocks

    if ablation == "none":
        return nearest_stored(store, place, sample, channels=channels, ids=ids, k=k)
    if ablation == "sp_max":
        return nearest_stored(store, place, sample, channels=channels, ids=ids, k=k, what="sp_max")
    own = np.union1d(ids, [sample])
    if sample not in stored_samples(store, place):
        raise UnknownNameError(f"sample {sample} of {place}: not stored")
    if len(own) < 2:
        raise DataError(f"{place}: there is no other sample to compare sample {sample} with")
    blocks = ablated_blocks(store, [Rows(place, own)], ablation=ablation, channels=channels)
    return nearest_by_blocks(blocks, own, sample, k=k)
