"""Write the rows of several files of one partition into one, whole channels after whole channels.

Rows are ordered by channel, then sample, as in every file of ours, so the new file cannot be made
by putting files one behind the other. A *slab* of channels of all samples is put together at a
time, and no more than that, and of each file the part that lies in it, is ever in memory.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fstore.store.encode import (
    ROW_GROUP_BYTES,
    ROW_GROUP_ROWS,
    SPARSE,
    Group,
    ShardFile,
    write_groups,
)
from fstore.store.files import IDENTITY_KEY
from fstore.store.sources import Source, UnfitError
from fstore.types import LayerResponses

__all__ = ["merge_files"]

MOST_ROW_GROUPS = 512
"""Of a merged file: its footer has half a megabyte then, less than those of what it was made of."""
LEAST_ROW_GROUPS = 32
"""Where that many are smaller than :data:`GROUP_BYTES`: as many as other files may have."""
GROUP_BYTES = 1 << 19
"""Of a row group on disk: with smaller ones the footer grows, and little less is read."""
SLAB_BYTES = 1 << 27
"""Of a slab, as bare float32; one channel of all samples, at least."""
READERS = 4
"""Files that are read at once; a remote place has most of its time to wait."""


def merge_files(
    path: Path,
    sources: Sequence[Source],
    *,
    on_channels: Callable[[int], object] | None = None,
) -> ShardFile:
    """Write the rows of several files into a new one.

    Parameters
    ----------
    path : Path
        New file; its folder exists. Synced to disk before this returns.
    sources : sequence of Source
        Of one partition, at least one; not read yet.
    on_channels : callable or None
        Told how many channels, of all, are written.

    Returns
    -------
    ShardFile
        Its checksum is the sum of theirs.

    Raises
    ------
    UnfitError
        A file is damaged, or they do not belong together: some of their samples are the same, or
        their layers have other shapes.
    """
    ids = np.sort(np.concatenate([source.sample_ids for source in sources]))
    _check_together(sources, ids)
    metadata = {IDENTITY_KEY: json.dumps(dict(sources[0].identity.parts), sort_keys=True)}
    positions = sources[0].positions
    groups = _row_groups(sources, ids, positions=positions, on_channels=on_channels)
    file = write_groups(
        path, ids, groups, sparse=_is_sparse(sources, ids, positions), metadata=metadata
    )
    for source in sources:
        source.check()
    return file


def _check_together(sources: Sequence[Source], ids: NDArray[np.int64]) -> None:
    first = sources[0]
    for source in sources:
        if (source.n_channels, source.positions) != (first.n_channels, first.positions):
            raise UnfitError(
                f"{source.file.uri} has {source.n_channels} channels of {source.positions} places, "
                f"{first.file.uri} {first.n_channels} of {first.positions}: one of them is damaged"
            )
    if again := np.flatnonzero(ids[1:] == ids[:-1]).tolist():
        raise UnfitError(
            f"{first.file.partition}: {len(again)} samples, the first {ids[again[0]]}, are in two "
            "files"
        )


def _is_sparse(sources: Sequence[Source], ids: NDArray[np.int64], positions: int) -> bool:
    """Whether so many responses are 0 that they become NULL; True where footers do not count."""
    counts = [source.nonzero for source in sources]
    nonzero = sum(count for count in counts if count is not None)
    return None in counts or nonzero < SPARSE * len(ids) * sources[0].n_channels * positions


def _row_groups(
    sources: Sequence[Source],
    ids: NDArray[np.int64],
    *,
    positions: int,
    on_channels: Callable[[int], object] | None,
) -> Iterator[Group]:
    """Yield the channels of a new file, as many in a row group as are good to be read at once."""
    n_channels = sources[0].n_channels
    most = ROW_GROUP_BYTES // (4 * positions) if positions > 1 else ROW_GROUP_ROWS
    size = sum(source.size_bytes for source in sources)
    n_groups = min(max(size // GROUP_BYTES, LEAST_ROW_GROUPS), MOST_ROW_GROUPS)
    step = max(1, most // len(ids), -(-n_channels // n_groups))
    with ThreadPoolExecutor(READERS, thread_name_prefix="fstore-merge") as pool:
        for start, stop in _slabs(sources, step, channel_bytes=4 * positions * len(ids)):
            slab = _slab(pool, sources, ids, start=start, stop=stop)
            for low in range(start, stop, step):
                yield slab.cut(low - start, min(low + step, stop) - start)
            del slab
            if on_channels is not None:
                on_channels(stop)


def _slabs(
    sources: Sequence[Source], step: int, *, channel_bytes: int
) -> Iterator[tuple[int, int]]:
    """Yield first and last channels of slabs: whole row groups of the new file.

    A slab ends, where it can, at a channel where row groups of many of the files end: what lies in
    two slabs is read twice.
    """
    n_channels = sources[0].n_channels
    most = max(step, SLAB_BYTES // channel_bytes // step * step)
    ends = np.zeros(n_channels + 1, dtype=np.int64)
    for source in sources:
        ends[source.starts] += 1
    start = 0
    while start < n_channels:
        stops = np.arange(start + step, min(start + most, n_channels) + 1, step)
        if n_channels <= start + most:
            stops = np.append(stops, n_channels)
        best = len(stops) - 1 - int(np.argmax(ends[stops[::-1]]))  # of equal ones the last
        yield start, int(stops[best])
        start = int(stops[best])


def _slab(
    pool: ThreadPoolExecutor,
    sources: Sequence[Source],
    ids: NDArray[np.int64],
    *,
    start: int,
    stop: int,
) -> Group:
    """Return some channels of all samples."""
    channels = np.arange(start, stop, dtype=np.int32)
    columns = _room(sources[0], len(channels), len(ids))

    def fill(source: Source) -> None:
        """Put a file's samples in their places; no two files have the same."""
        to = _as_slice(np.searchsorted(ids, source.sample_ids))
        for group in source.read(start, stop):
            at = slice(int(group.channels[0]) - start, int(group.channels[-1]) + 1 - start)
            for name, column in columns.items():
                column[at, to] = getattr(group.values, name)

    list(pool.map(fill, sources))
    return Group(channels, ids, LayerResponses(**columns))


def _room(source: Source, n_channels: int, n_samples: int) -> dict[str, NDArray[Any]]:
    """Return columns for so many channels and samples of a layer, to be filled."""
    shape = (n_channels, n_samples)
    kinds: dict[str, Any] = {"act_max": np.float32}
    if source.positions > 1:
        kinds |= {"act_sum": np.float64, **dict.fromkeys(("nnz", "npos", "argmax"), np.int32)}
    columns: dict[str, NDArray[Any]] = {name: np.empty(shape, kind) for name, kind in kinds.items()}
    if source.positions > 1:
        columns["maps"] = np.empty((*shape, source.positions), np.float32)
    return columns


def _as_slice(places: NDArray[np.intp]) -> NDArray[np.intp] | slice:
    first, last = int(places[0]), int(places[-1])
    return slice(first, last + 1) if last - first + 1 == len(places) else places
