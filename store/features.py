"""Read one layer's responses as a feature matrix, a block of channels at a time."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError, UnknownNameError
from fstore.store.files import Partition, StoredFile, make_again, present
from fstore.store.readers import THREADS, Reader, reader_of
from fstore.store.remedies import how_to_make, how_to_replace
from fstore.store.schema import ACT_MAX, MAP

if TYPE_CHECKING:
    from fstore.store.store import Store

__all__ = [
    "Block",
    "LayerShape",
    "What",
    "layer_shape",
    "read_features",
    "read_samples",
    "refuse_bits",
    "stored_samples",
]

What: TypeAlias = Literal["map", "sp_max"]
Block: TypeAlias = tuple[NDArray[np.int32], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class LayerShape:
    """Channels of a stored layer, and rows and columns of one map (1 and 1: a value a channel)."""

    channels: int
    height: int
    width: int

    @property
    def positions(self) -> int:
        """Places in one map: height times width."""
        return self.height * self.width


def stored_samples(store: "Store", partition: Partition) -> NDArray[np.int64]:
    """Return the samples that a partition holds, ascending; shape (n_samples,).

    Raises
    ------
    UnknownNameError
        The store has no such partition.
    """
    return present(_files(store, partition))


def layer_shape(store: "Store", partition: Partition) -> LayerShape:
    """Return the shape of a partition's layer.

    Raises
    ------
    UnknownNameError
        The layer is not recorded for the network.
    """
    rows = store.rows("layers", network=partition.network, layer=partition.layer).to_pylist()
    if not rows:
        raise UnknownNameError(
            f"network '{partition.network}' has no layer '{partition.layer}' on record; if "
            "another program changed table 'layers', undo that (deltalake: "
            "DeltaTable(FOLDER).restore(VERSION)), or drop the layer and extract it again"
        )
    return LayerShape(rows[0]["channels"], rows[0]["height"], rows[0]["width"])


def read_features(
    store: "Store",
    partition: Partition,
    *,
    channels: Sequence[int] | None = None,
    samples: NDArray[np.int64] | None = None,
    what: What = "map",
    bits: bool = False,
) -> Iterator[Block]:
    """Yield a layer's responses, some channels at a time, for all samples at once.

    Every row group is read at most once, and only those that hold a wanted channel. One block
    is held at a time, about a row group of each of the partition's files: as a rule some MB for
    a thousand samples, whatever the size of the layer.

    Parameters
    ----------
    store : Store
    partition : Partition
    channels : sequence of int or None
        Wanted channels, any order; None for all. Blocks come in ascending order.
    samples : array of int64 or None
        Wanted samples, ascending; None for all that are stored.
    what : {"map", "sp_max"}
        Whole maps, or only the largest response of each (then ``map`` is not read).
    bits : bool
        Whether responses that are stored as bits (1 above 0, else 0) will do.

    Yields
    ------
    channels : array of shape (n_channels,), int32
    X : array of shape (n_samples, n_channels, positions), float32
        Rows in ascending order of sample; ``positions`` is 1 for ``sp_max`` and for layers
        without maps. Laid out with channels outermost; the caller may change it.

    Raises
    ------
    UnknownNameError
        No such partition, or a wanted channel or sample is not in it.
    DataError
        It is stored as bits, and they will not do.
    """
    shape = layer_shape(store, partition)
    files = _files(store, partition)
    if not bits:
        refuse_bits(files)
    wanted = _wanted_channels(channels, shape, partition)
    n_samples, readers = _place(files, samples, partition)
    positions = 1 if what == "sp_max" else shape.positions
    column = ACT_MAX if positions == 1 else MAP
    for reader in readers:
        reader.open(column, positions)
    # the least: a file of few samples has many channels in a row group, others would have to give
    # as many, and all of them at once may not fit in memory
    step = min(reader.step for reader in readers)
    n_threads = min(THREADS, len(readers))
    with ThreadPoolExecutor(n_threads, thread_name_prefix="fstore-read") as pool:
        for start in range(0, len(wanted), step):
            block = wanted[start : start + step]
            out = np.empty((len(block), n_samples, positions), dtype=np.float32)
            for filled in [pool.submit(reader.fill, out, block) for reader in readers]:
                filled.result()
            yield block, out.swapaxes(0, 1)


def read_samples(
    store: "Store",
    partition: Partition,
    samples: NDArray[np.int64],
    *,
    what: What = "map",
    max_bytes: int = 1 << 28,
    bits: bool = False,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Yield a layer's responses, some samples at a time, for all channels at once.

    The other way round than :func:`read_features`, for questions that go through more samples than
    memory holds. A block is what one file has of the wanted samples, so each file is read once;
    but a file with more than ``max_bytes`` of them is read again for each part of it.

    Parameters
    ----------
    store : Store
    partition : Partition
    samples : array of int64
        Wanted samples; those that are not stored are passed over.
    what : {"map", "sp_max"}
        Whole maps, or only the largest response of each.
    max_bytes : int
        Of a block, as float32.
    bits : bool
        Whether responses that are stored as bits will do.

    Yields
    ------
    samples : array of shape (n_samples,), int64
        Ascending; blocks come by their files' first sample.
    X : array of shape (n_samples, n_channels, positions), float32
        As from :func:`read_features`.

    Raises
    ------
    UnknownNameError
        No such partition.
    """
    shape = layer_shape(store, partition)
    positions = 1 if what == "sp_max" else shape.positions
    channels = np.arange(shape.channels, dtype=np.int32)
    step = max(1, max_bytes // (4 * shape.channels * positions))
    files = sorted(_files(store, partition), key=lambda f: f.first_sample)
    if not bits:
        refuse_bits(files)
    for file in files:
        wanted = np.intersect1d(file.sample_ids, samples)
        for start in range(0, len(wanted), step):
            ids = wanted[start : start + step]
            rows = np.searchsorted(file.sample_ids, ids)
            reader = reader_of(file, rows, np.arange(len(ids)))
            reader.open(ACT_MAX if positions == 1 else MAP, positions)
            out = np.empty((shape.channels, len(ids), positions), dtype=np.float32)
            reader.fill(out, channels)
            yield ids, out.swapaxes(0, 1)


def refuse_bits(files: Sequence[StoredFile]) -> None:
    """Refuse responses of which only the sign is stored.

    Parameters
    ----------
    files : sequence of StoredFile
        Of one partition: all have the same precision.

    Raises
    ------
    DataError
        Or a file does not say which it is: another program wrote it.
    """
    foreign = next((file for file in files if file.is_foreign), None)
    if foreign is not None:
        raise DataError(
            f"{foreign.partition}: another program wrote {foreign.name}, which does not say "
            "whether it has responses or only their signs; sql and export read it as it is. "
            + make_again(foreign)
        )
    if files and files[0].identity.parts.get("stored precision") == "bit":
        raise DataError(
            f"{files[0].partition} is stored as bits (1 where a response is above 0), which tell "
            "binarized features only; for this question extract the layer under another checkpoint "
            "name, or replace it: "
            + how_to_replace(
                files[0].place,
                files[0].partition,
                precision="tf32",
                rectify=files[0].is_rectified,
            )
        )


def _files(store: "Store", partition: Partition) -> list[StoredFile]:
    files = store.files(**partition.values)
    if not files:
        raise UnknownNameError(
            f"no activations of {partition} in the store; {how_to_make(store, partition)}"
        )
    return files


def _wanted_channels(
    channels: Sequence[int] | None, shape: LayerShape, partition: Partition
) -> NDArray[np.int32]:
    if channels is None:
        return np.arange(shape.channels, dtype=np.int32)
    if len(channels) == 0:
        raise DataError(f"no channel of {partition} is asked for; name at least one, or all")
    if bad := [c for c in channels if not 0 <= c < shape.channels]:
        raise UnknownNameError(
            f"no channel {bad[0]} in {partition}; it has 0 to {shape.channels - 1}"
        )
    return np.unique(np.asarray(channels, dtype=np.int32))


def _place(
    files: Sequence[StoredFile], samples: NDArray[np.int64] | None, partition: Partition
) -> tuple[int, list[Reader]]:
    """Return how many samples a block has, and for each file which of them it gives."""
    ids = [file.sample_ids for file in files]
    order = np.sort(np.concatenate(ids))
    if samples is not None:
        wanted = np.unique(samples)
        absent = np.setdiff1d(wanted, order)
        if len(absent) or len(wanted) == 0:
            what = f"samples {absent[:5].tolist()}" if len(absent) else "no sample at all"
            raise UnknownNameError(f"{what} of {partition}: not among the {len(order)} stored")
        order = wanted
    readers = []
    for file, own in zip(files, ids, strict=True):
        rows = np.flatnonzero(np.isin(own, order))
        if len(rows):
            readers.append(reader_of(file, rows, np.searchsorted(order, own[rows])))
    return len(order), readers
