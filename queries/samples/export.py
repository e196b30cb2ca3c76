"""Export responses as an ablation leaves them: what an analysis reads, for other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fstore.queries.samples.ablations import parse_ablation
from fstore.queries.samples.blocks import Rows, ablated_blocks

if TYPE_CHECKING:
    from fstore.store import Store
    from fstore.store.files import Partition
    from fstore.store.parts import Part

__all__ = ["export_ablated"]


def export_ablated(
    store: "Store",
    partition: "Partition",
    out: Path,
    *,
    ablation: str,
    shuffle_seed: int = 0,
    samples: NDArray[np.int64] | None = None,
    part: "Part | None" = None,
    overwrite: bool = False,
) -> Path:
    """Write a layer's ablated responses, one row a sample in ascending order.

    Parameters
    ----------
    store : Store
    partition : Partition
    out : Path
        As for :func:`fstore.store.export.export_features`.
    ablation : str
        See :func:`fstore.queries.samples.ablations.parse_ablation`. Where it leaves one value of a
        map, the matrix has shape (n_samples, channels).
    shuffle_seed : int
        Of the permutations of sp-shuffle.
    samples : array of int64 or None
        Wanted samples; None for all that are stored.
    part : Part or None
        What these samples are, for the file's provenance.
    overwrite : bool
        Replace a file that is there.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    DataError
        The name has another ending, or the file exists; a response is NaN or infinite; the
        responses are stored as bits, and the ablation is another than binarize.
    MissingExtraError
        The format needs a library that is not installed.
    StorageError
        The file would lie among the store's own, or cannot be written.
    UnknownNameError
        No such ablation or partition, or a sample is not stored.
    """
    from fstore.store.export import check_out, partition_source, write_features
    from fstore.store.features import stored_samples

    change = parse_ablation(ablation)
    check_out(store.place, out, overwrite=overwrite)
    ids = stored_samples(store, partition) if samples is None else np.unique(samples)
    rows = [Rows(partition, ids)]
    blocks = ablated_blocks(store, rows, ablation=ablation, seed=shuffle_seed)
    how: dict[str, Any] = {
        "ablation": ablation,
        **({"shuffle_seed": shuffle_seed} if change.shuffles else {}),
    }
    source = partition_source(store, partition, blocks, ids=ids, part=part, what=change.what, **how)
    return write_features(store.place, out, source, overwrite=overwrite)
