"""The strongest samples of one file from its columns: where no sidecar has them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fstore.store.files import StoredFile
from fstore.store.kept import Kept, strongest_of
from fstore.store.readers import reader_of
from fstore.store.schema import ACT_MAX, ARGMAX

__all__ = ["scan"]


def scan(
    file: StoredFile, channels: NDArray[np.int32], rows: NDArray[np.intp], *, k: int, positions: int
) -> Iterator[tuple[NDArray[np.int32], Kept]]:
    """Yield the strongest samples of a file, some channels at a time, from its columns.

    Parameters
    ----------
    file : StoredFile
    channels : array of int32
        Ascending.
    rows : array of int
        The samples to choose from, as places among the file's.
    k : int
    positions : int
        Of a map.

    Yields
    ------
    channels : array of int32
    kept : Kept
    """
    to = np.arange(len(rows))
    ids = file.sample_ids[rows]
    largest, place = (reader_of(file, rows, to) for _ in range(2))
    largest.open(ACT_MAX, 1)
    if positions > 1:
        place.open(ARGMAX, 1)
    for start in range(0, len(channels), largest.step):
        block = channels[start : start + largest.step]
        act_max = np.empty((len(block), len(rows), 1), np.float32)
        largest.fill(act_max, block)
        places: NDArray[Any] | None = None
        if positions > 1:
            places = np.empty(act_max.shape, np.int32)
            place.fill(places, block)
            places = places[..., 0]
        yield block, strongest_of(ids, act_max[..., 0], places, k=k)
