"""Read one layer as a matrix, a row a sample: what programs for learning take.

Each file of a partition is decoded straight into its rows of the matrix, by as many threads as
there are cores, up to eight. Each thread has four pieces of work, if there are as many row groups,
so that all end at about the same time.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fstore.store.features import LayerShape, _files, _place, layer_shape
from fstore.store.files import Partition, StoredFile
from fstore.store.readers import THREADS, Reader
from fstore.store.schema import ACT_MAX, ACT_SUM, MAP

if TYPE_CHECKING:
    from fstore.store.store import Store

__all__ = ["Column", "read_matrix"]

PIECES = 4
"""Of work, for each thread."""

Column: TypeAlias = Literal["map", "act_max", "act_sum"]


def read_matrix(
    store: "Store",
    partition: Partition,
    ids: NDArray[np.int64],
    *,
    what: Column = "map",
    shape: LayerShape | None = None,
    files: Sequence[StoredFile] = (),
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
    shape : LayerShape or None
        Of the layer, where it is known already.
    files : sequence of StoredFile
        Of the partition, where they are listed already; listed again where one is gone.

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
    shape = shape or layer_shape(store, partition)
    if not files or not all(file.place.entry(file.key) for file in files):
        files = _files(store, partition)
    n_samples, readers = _place(files, ids, partition)
    positions = shape.positions if what == "map" else 1
    column = {"map": MAP, "act_max": ACT_MAX, "act_sum": ACT_SUM}[what]
    if shape.positions == 1:
        column = ACT_MAX
    kind = np.float64 if column == ACT_SUM else np.float32
    out = np.empty((n_samples, shape.channels, positions), dtype=kind)

    by_channel = out.swapaxes(0, 1)  # the readers' way round; their copy turns it

    def fill(work: tuple[Reader, range]) -> None:
        reader, starts = work
        for start in starts:
            channels = np.arange(start, min(start + reader.step, shape.channels), dtype=np.int32)
            reader.fill(by_channel[start : start + reader.step], channels)

    with ThreadPoolExecutor(THREADS, thread_name_prefix="fstore-read") as pool:
        for _ in pool.map(lambda reader: reader.open(column, positions), readers):
            pass
        for _ in pool.map(fill, _pieces(readers, shape.channels)):
            pass
    return out.reshape(n_samples, -1)


def _pieces(readers: Sequence[Reader], n_channels: int) -> Iterator[tuple[Reader, range]]:
    """Yield pieces of work: a file's reader, and where its row groups or blocks begin."""
    wanted = -(-PIECES * THREADS // len(readers))  # of a file
    for reader in readers:
        starts = range(0, n_channels, reader.step)
        n = min(wanted, len(starts))
        for i in range(n):
            yield reader.again(), starts[i * len(starts) // n : (i + 1) * len(starts) // n]
