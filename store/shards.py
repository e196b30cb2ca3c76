"""Read one file of responses whole, sample by sample: what training from a store goes through."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fstore.store.features import LayerShape
from fstore.store.files import StoredFile
from fstore.store.readers import reader_of
from fstore.store.schema import ACT_MAX, ACT_SUM, MAP

__all__ = ["Column", "read_shard"]

Column: TypeAlias = Literal["map", "act_max", "act_sum"]


def read_shard(
    file: StoredFile,
    shape: LayerShape,
    *,
    rows: NDArray[np.intp] | None = None,
    what: Column = "map",
    threads: int = 1,
    into: tuple[NDArray[Any], NDArray[np.intp]] | None = None,
) -> NDArray[Any]:
    """Return the responses in one file, samples outermost.

    A file has its channels outermost, so all of it is decoded whichever samples are wanted. Row
    groups are turned as they are decoded: no second copy of the whole is held.

    Parameters
    ----------
    file : StoredFile
    shape : LayerShape
        Of its layer.
    rows : array of int or None
        Wanted ones among ``file.sample_ids``, ascending; None for all.
    what : {"map", "act_max", "act_sum"}
        Whole maps, or the largest response or the sum of each. Of a layer without maps each of
        them is the response itself.
    threads : int
        That decode; each holds a row group.
    into : (array of shape (n, n_channels, positions), array of int), or None
        Where to write the samples, and at which of its places, ascending; None: a new array.

    Returns
    -------
    array of shape (n_samples, n_channels, positions), contiguous
        ``positions`` is 1 but for whole maps. float32; ``act_sum`` of maps float64, as stored.
        Or the array that was given.

    Raises
    ------
    StorageError
        The file cannot be read, or a page of it is damaged.
    DataError
        Another program wrote it, and it has not every sample in every channel.
    """
    wanted = np.arange(file.n_samples) if rows is None else rows
    positions = shape.positions if what == "map" else 1
    column = {"map": MAP, "act_max": ACT_MAX, "act_sum": ACT_SUM}[what]
    column = ACT_MAX if shape.positions == 1 else column
    kind = np.float64 if column == ACT_SUM else np.float32
    out, to = into or (
        np.empty((len(wanted), shape.channels, positions), dtype=kind),
        np.arange(len(wanted)),
    )
    by_channel = out.swapaxes(0, 1)
    channels = np.arange(shape.channels, dtype=np.int32)

    def fill(part: NDArray[np.int32]) -> None:
        """Decode some channels; each thread has the file open for itself."""
        reader = reader_of(file, wanted, to)
        reader.open(column, positions)
        first = int(part[0])
        for start in range(first, first + len(part), reader.step):
            block = channels[start : min(start + reader.step, first + len(part))]
            reader.fill(by_channel[start : start + len(block)], block)

    parts = [part for part in np.array_split(channels, threads) if len(part)]
    if len(parts) == 1:
        fill(parts[0])
        return out
    with ThreadPoolExecutor(len(parts), thread_name_prefix="fstore-decode") as pool:
        list(pool.map(fill, parts))
    return out
