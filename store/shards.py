"""Read one file of responses whole, sample by sample: what training from a store goes through."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from fstore.store.features import LayerShape, What, _reader
from fstore.store.files import StoredFile
from fstore.store.schema import ACT_MAX, MAP

__all__ = ["read_shard"]


def read_shard(
    file: StoredFile,
    shape: LayerShape,
    *,
    rows: NDArray[np.intp] | None = None,
    what: What = "map",
    threads: int = 1,
) -> NDArray[np.float32]:
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
    what : {"map", "sp_max"}
        Whole maps, or only the largest response of each.
    threads : int
        That decode; each holds a row group.

    Returns
    -------
    array of shape (n_samples, n_channels, positions), float32, contiguous
        ``positions`` is 1 for ``sp_max`` and for layers without maps.

    Raises
    ------
    StorageError
        The file cannot be read, or a page of it is damaged.
    DataError
        Another program wrote it, and it has not every sample in every channel.
    """
    wanted = np.arange(file.n_samples) if rows is None else rows
    positions = 1 if what == "sp_max" else shape.positions
    out = np.empty((len(wanted), shape.channels, positions), dtype=np.float32)
    by_channel = out.swapaxes(0, 1)
    channels = np.arange(shape.channels, dtype=np.int32)

    def fill(part: NDArray[np.int32]) -> None:
        """Decode some channels; each thread has the file open for itself."""
        reader = _reader(file, wanted, np.arange(len(wanted)))
        reader.open(ACT_MAX if positions == 1 else MAP, positions)
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
