"""What samples show, for people: the names of their classes."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

    from fstore.store import Store
    from fstore.store.files import Partition

__all__ = ["rows_of", "shown_classes"]


def shown_classes(store: "Store", place: "Partition", ids: NDArray[np.int64]) -> list[list[str]]:
    """Return the classes that each sample shows, in the data set's order.

    An object that is flagged difficult counts in its own box, and not in the whole image.
    """
    from fstore.store.parts import without_difficult

    names = store.dataset(place.dataset).classes
    plain = set(without_difficult(store, ids, dataset=place.dataset, view=place.view).tolist())
    shown: dict[int, set[str]] = {int(sample): set() for sample in ids}
    for row in rows_of(store.labels(place.dataset, place.view), ids):
        sample = row["sample_id"]
        if row["label"] > 0 or sample not in plain:
            shown[sample].add(row["class"])
    return [[name for name in names if name in own] for own in shown.values()]


def rows_of(table: "pa.Table", ids: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return the rows of some samples; those of all others are not made Python's."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pa.array(np.unique(ids), pa.int64())
    rows: list[dict[str, Any]] = table.filter(pc.is_in(table["sample_id"], wanted)).to_pylist()
    return rows
