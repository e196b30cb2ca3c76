"""Features as files for other programs: what ``fstore export`` writes, of what is at hand."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fstore.api.reading import pool_places
from fstore.errors import DataError
from fstore.queries.samples.ablations import parse_ablation
from fstore.queries.samples.blocks import Rows, ablated_blocks
from fstore.store.export import RowLabels, check_out, partition_source, write_features
from fstore.store.features import Block, read_features

if TYPE_CHECKING:
    from fstore.api.reading import Taken
    from fstore.store import Store
    from fstore.store.features import LayerShape
    from fstore.store.files import Partition
    from fstore.store.parts import Part

__all__ = ["Exported", "export"]


class Exported(Protocol):
    """What is asked of features that are written: :class:`fstore.api.features.Features`."""

    partition: "Partition"
    layer_shape: "LayerShape"
    taken: "Taken"
    part: "Part | None"

    def __len__(self) -> int: ...

    @property
    def ids(self) -> NDArray[np.int64]:
        """Sample ids."""
        ...

    @property
    def X(self) -> NDArray[np.float32]:  # noqa: N802 - the field's name for a matrix
        """The matrix."""
        ...

    @property
    def Y(self) -> NDArray[np.int8]:  # noqa: N802 - the field's name for a matrix
        """What samples show."""
        ...

    @property
    def images(self) -> list[str]:
        """Image ids."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        ...


def export(store: "Store", features: Exported, path: Path, *, overwrite: bool = False) -> Path:
    """Write features to a file; see :meth:`fstore.api.features.Features.export`."""
    check_out(store.place, path, overwrite=overwrite)
    if len(features) == 0:
        raise DataError(f"there is no sample to be written to {path}")
    source = partition_source(
        store,
        features.partition,
        _blocks(store, features),
        ids=features.ids,
        part=features.part,
        describe=lambda: _labels(features),
        **_how(features),
    )
    return write_features(store.place, path, source, overwrite=overwrite)


def _blocks(store: "Store", features: Exported) -> Iterator[Block]:
    """Yield the features, some channels at a time, rows in the order of their ids."""
    taken, ids, place = features.taken, features.ids, features.partition
    if taken.ablation is None and (taken.pool is not None or "X" in features.__dict__):
        # a value a map at most, from columns of their own; or read already
        X = features.X
        yield np.arange(features.layer_shape.channels, dtype=np.int32), _by_channel(features, X)
        return
    unique, back = np.unique(ids, return_inverse=True)
    if taken.ablation is None:
        blocks = read_features(store, place, samples=unique)
    else:
        rows = [Rows(place, unique)]
        blocks = ablated_blocks(store, rows, ablation=taken.ablation, seed=taken.shuffle_seed)
    for channels, block in blocks:
        yield channels, pool_places(block, taken.pool)[back]


def _by_channel(features: Exported, X: NDArray[np.float32]) -> NDArray[np.float32]:
    return X.reshape(len(X), features.layer_shape.channels, -1)


def _labels(features: Exported) -> RowLabels:
    """Return what the rows are."""
    images = pa.array(features.images, pa.string())
    return RowLabels(features.ids, images, features.Y, features.classes)


def _how(features: Exported) -> dict[str, Any]:
    """Return what was done to responses, for the file's provenance."""
    taken = features.taken
    how: dict[str, Any] = {"what": "map"}
    if taken.ablation is not None:
        change = parse_ablation(taken.ablation)
        how = {"what": change.what, "ablation": taken.ablation}
        how |= {"shuffle_seed": taken.shuffle_seed} if change.shuffles else {}
    return how if taken.pool is None else {**how, "pool": taken.pool}
