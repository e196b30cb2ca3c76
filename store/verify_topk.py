"""Check sidecars: each must be whole, and hold what its data file gives."""

from typing import TYPE_CHECKING

import numpy as np

from fstore import commands
from fstore.errors import DataError, StorageError
from fstore.store.index import Shape, fits, kept_of_file
from fstore.store.kept import Kept, order_keys
from fstore.store.sidecars import read_sidecar, sidecar_problem
from fstore.store.status import LoggedFile

if TYPE_CHECKING:
    from fstore.store.place import Place

__all__ = ["sidecar_problems"]


def sidecar_problems(root: "Place", logged: LoggedFile, shape: Shape | None) -> list[str]:
    """Say what is wrong with the sidecar of a data file; nothing if it has none.

    Parameters
    ----------
    root : Place
        The store.
    logged : LoggedFile
        The data file, which is whole.
    shape : (int, int) or None
        Channels and places of its layer; None if they are not on record.
    """
    file = logged.file
    if file.is_foreign:
        return []
    again = commands.index(root, file.partition.values)
    if problem := sidecar_problem(root, file.key):
        return [f"{problem}; it is not used; it is written again by: {again}"]
    kept = read_sidecar(root, file.key)
    if kept is None or shape is None:
        return []
    try:
        right = kept_of_file(file, shape)
    except (StorageError, DataError):  # the data file is damaged, which is told
        return []
    if fits(kept, file, shape) and _same(kept, right):
        return []
    wrong = (
        "it does not hold the strongest samples of its data file, so answers about those are "
        f"wrong; delete it, and have it written again by: {again}"
    )
    return [wrong]


def _same(kept: Kept, right: Kept) -> bool:
    return (
        np.array_equal(kept.sample_ids, right.sample_ids)
        and np.array_equal(order_keys(kept.values), order_keys(right.values))
        and np.array_equal(kept.places, right.places)
        and kept.not_finite == right.not_finite
    )
