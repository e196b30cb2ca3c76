"""What is exported: responses, block by block of channels, what their rows are, and whence."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fstore.errors import UnknownNameError
from fstore.store.export.formats import RowLabels
from fstore.store.features import Block, LayerShape, layer_shape
from fstore.store.files import Partition
from fstore.store.parts import Part

if TYPE_CHECKING:
    from fstore.store.store import Store

__all__ = ["Source", "partition_source"]


@dataclass(frozen=True, slots=True)
class Source:
    """Features to be written.

    Attributes
    ----------
    ids : array of shape (n_samples,), int64
        The samples.
    describe : callable
        ``describe()`` gives what the rows are; formats that hold the matrix alone do not ask.
    layer : LayerShape
        Of the layer as it is stored; a block may have fewer places a map.
    blocks : iterable of (channels, X)
        As :func:`fstore.store.features.read_features` yields them: all channels, ascending; X of
        shape (n_samples, n_channels, positions), float32. Gone through once.
    provenance : mapping
        In types that JSON knows.
    """

    ids: NDArray[np.int64]
    describe: Callable[[], RowLabels]
    layer: LayerShape
    blocks: Iterable[Block]
    provenance: Mapping[str, Any]


def partition_source(
    store: "Store",
    partition: Partition,
    blocks: Iterable[Block],
    *,
    ids: NDArray[np.int64],
    part: Part | None = None,
    describe: Callable[[], RowLabels] | None = None,
    **how: object,
) -> Source:
    """Return blocks of a stored partition's responses with what their rows are.

    Parameters
    ----------
    store : Store
    partition : Partition
    blocks : iterable of (channels, X)
        See :class:`Source`.
    ids : array of shape (n_samples,), int64
        The samples, in the order of the blocks' rows.
    part : Part or None
        What these samples are, with its split; None if they are all or any.
    describe : callable or None
        See :class:`Source`; None where ids ascend and show what the store says.
    **how : object
        What was done to responses, for the provenance: ``what``, ``ablation``.
    """
    return Source(
        ids,
        describe or partial(_rows, store, partition, ids),
        layer_shape(store, partition),
        blocks,
        {**_provenance(store, partition, part), **how},
    )


def _provenance(store: "Store", partition: Partition, part: Part | None) -> dict[str, Any]:
    """Return where responses come from; what another program wrote says less, which is null."""
    from importlib.metadata import version

    file = next(iter(store.files(**partition.values)), None)
    ours = file is not None and not file.is_foreign
    identity = dict(file.identity.parts) if file is not None and ours else {}
    return {
        **partition.values,
        "split": str(part.split) if part and part.split else None,
        "part": part.name if part else None,
        "precision": identity.get("stored precision"),
        "fingerprint": file.fingerprint if file is not None and ours else None,
        "computed_from": identity or None,
        "fstore": version("fstore"),
    }


def _rows(store: "Store", partition: Partition, ids: NDArray[np.int64]) -> RowLabels:
    dataset, view = partition.dataset, partition.view
    samples = store.samples(dataset, view, ["sample_id", "image_id"])
    in_view = samples["sample_id"].to_numpy()
    if len(strange := np.setdiff1d(ids, in_view)):
        raise UnknownNameError(
            f"samples {strange[:5].tolist()} are not in view '{view}' of data set '{dataset}', "
            f"which has {len(in_view)}"
        )
    names = samples["image_id"].take(pa.array(np.searchsorted(in_view, ids)))
    image_ids = pa.concat_arrays(names.chunks) if names.num_chunks else pa.array([], pa.string())
    classes = tuple(store.dataset(dataset).classes)
    return RowLabels(ids, image_ids, _labels(store, partition, ids, classes=classes), classes)


def _labels(
    store: "Store", partition: Partition, ids: NDArray[np.int64], *, classes: tuple[str, ...]
) -> NDArray[np.int8]:
    """Return what samples show, shape (n_samples, n_classes): 1, 0 (only difficult) or -1."""
    table = store.labels(partition.dataset, partition.view)
    columns = pc.index_in(table["class"], value_set=pa.array(classes, pa.string()))
    columns = columns.fill_null(-1).to_numpy()
    samples, values = table["sample_id"].to_numpy(), table["label"].to_numpy()
    used = (columns >= 0) & np.isin(samples, ids)
    labels = np.full((len(ids), len(classes)), -1, dtype=np.int8)
    labels[np.searchsorted(ids, samples[used]), columns[used]] = values[used]
    return labels
