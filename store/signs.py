"""Whether stored responses are below 0 anywhere: what many questions of the paper take for granted.

``write_layer`` puts the number of negative responses into each file's footer, under
``fstore.negative``. Files of an older fstore, and of other programs, do not have it: their summary
columns are read.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

from fstore.store.encode import NEGATIVE_KEY

if TYPE_CHECKING:
    from fstore.store.files import StoredFile
    from fstore.store.identity import Partition
    from fstore.store.store import Store

__all__ = ["has_negative"]


def has_negative(store: "Store", partition: "Partition") -> bool:
    """Tell whether a response of a partition is below 0; False where nothing is stored.

    Parameters
    ----------
    store : Store
    partition : Partition
    """
    told = [_negative(file) for file in store.files(**partition.values)]
    if any(told):
        return True
    return None in told and _seen(store, partition)


@lru_cache(maxsize=4096)
def _negative(file: "StoredFile") -> int | None:
    """Return how many a file's footer counts; None if it does not. Files never change in place."""
    count = file.footer().get(NEGATIVE_KEY.encode())
    return None if count is None else int(count)


def _seen(store: "Store", partition: "Partition") -> bool:
    """Look for a response that is neither 0 nor above it; NaN is none of either."""
    where = " AND ".join(f'"{column}" = ?' for column in partition.values)
    rows = store.sql(
        f"SELECT 1 FROM activations WHERE {where} AND nnz > npos AND NOT isnan(act_sum) LIMIT 1",
        list(partition.values.values()),
    )
    return bool(list(rows.rows()))
