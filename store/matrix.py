"""Read one layer as a matrix, a row a sample: what programs for learning take.

The files of a partition are decoded at the same time, each straight into its rows of the matrix.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fstore.store.features import _files, _place, _Reader, layer_shape
from fstore.store.files import Partition
from fstore.store.schema import ACT_MAX, ACT_SUM, MAP

if TYPE_CHECKING:
    from fstore.store.store import Store

__all__ = ["Column", "read_matrix"]

Column: TypeAlias = Literal["map", "act_max", "act_sum"]
THREADS = 8


def read_matrix(
    store: "Store", partition: Partition, ids: NDArray[np.int64], *, what: Column = "map"
) -> NDArray[Any]:
    """Return a layer's responses to some samples.

    Parameters
    ----------
    store : Store
    partition : Partition
    ids : array of shape (n_samples,), int64
        Ascending, each once.
    what : {"map", "act_max", "act_sum"}
        Whole maps, or the largest response or the sum of each. Of a layer without maps each of
        them is the response itself.

    Returns
    -------
    array of shape (n_samples, n_channels * n_places)
        C-contiguous, channel by channel, rows in the order of ``ids``. float32; ``act_sum`` of a
        layer with maps float64, as it is stored.

    Raises
    ------
    UnknownNameError
        No such partition, or a sample is not in it.
    DataError
        Another program wrote a file, and samples in it lack channels.
    """
    shape = layer_shape(store, partition)
    n_samples, readers = _place(_files(store, partition), ids, partition)
    positions = shape.positions if what == "map" else 1
    column = {"map": MAP, "act_max": ACT_MAX, "act_sum": ACT_SUM}[what]
    if shape.positions == 1:
        column = ACT_MAX
    kind = np.float64 if column == ACT_SUM else np.float32
    out = np.empty((n_samples, shape.channels, positions), dtype=kind)

    def fill(reader: _Reader) -> None:
        reader.open(column, positions)
        by_channel = out.swapaxes(0, 1)  # the reader's way round; its copy turns it
        for start in range(0, shape.channels, reader.step):
            channels = np.arange(start, min(start + reader.step, shape.channels), dtype=np.int32)
            reader.fill(by_channel[start : start + reader.step], channels)

    with ThreadPoolExecutor(min(THREADS, len(readers)), thread_name_prefix="fstore-read") as pool:
        for _ in pool.map(fill, readers):
            pass
    return out.reshape(n_samples, -1)
