"""Write one shard of one layer as a Parquet file, laid out so that questions read little of it.

Rows are ordered by channel, then sample, and a row group holds whole channels, so the zone maps
of ``channel`` prune. Where a layer is sparse, exact zeros are NULL on disk; the views put them
back. Both were chosen by measurement: ``docs/decisions/0003-encoding.md``.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fstore.store import parquet
from fstore.store.encoders import Encoders, in_order
from fstore.store.kept import Kept, kept_count, stacked, strongest_of
from fstore.store.parquet import Chunk, Leaf, Packed, ParquetFile, packed
from fstore.store.schema import ACT_MAX, ACT_SUM, ARGMAX, CHANNEL, MAP, NNZ, NPOS, SAMPLE_ID
from fstore.store.shapes import check_alike
from fstore.types import LayerResponses

__all__ = [
    "LEAVES",
    "Group",
    "ShardFile",
    "group_checksum",
    "group_negative",
    "group_totals",
    "row_checksum",
    "write_groups",
    "write_layer",
]

LEAVES = {
    leaf.name: leaf
    for leaf in (
        Leaf(SAMPLE_ID, "int64"),
        Leaf(CHANNEL, "int32"),
        Leaf(ACT_MAX, "float32"),
        Leaf(ACT_SUM, "float64"),
        Leaf(NNZ, "int32"),
        Leaf(NPOS, "int32"),
        Leaf(ARGMAX, "int32"),
        Leaf(MAP, "float32", is_list=True),
    )
}
COUNTS = (NNZ, NPOS, ARGMAX)
ROW_GROUP_BYTES = 1 << 20  # of raw float32: the least that is read for one filter
ROW_GROUP_ROWS = 1 << 17  # where a row is one value
MOST_ROW_GROUPS = 32  # a file: a footer must stay quick to read
TOTALS_KEY = "fstore.totals"  # in the footer: JSON, see store/totals.py
NULL_KEY = "fstore.null_means"  # in the footer: what another reader puts in the place of NULL
NEGATIVE_KEY = "fstore.negative"  # in the footer: how many responses are below 0
NULL_MEANS = json.dumps({ACT_MAX: 0, MAP: 0})
SPARSE = 0.7  # a layer with a smaller share of non-zeros stores zeros as NULL


@dataclass(frozen=True, slots=True)
class ShardFile:
    """What a commit must know of a written file."""

    path: Path
    rows: int
    size_bytes: int
    first_sample: int
    last_sample: int
    n_channels: int
    checksum: int
    kept: Kept | None = None
    """Its strongest samples; None where it has no more samples than would be kept."""


@dataclass(frozen=True, slots=True)
class Group:
    """Whole channels of a shard: arrays of shape (channels, samples[, positions])."""

    channels: NDArray[np.int32]
    sample_ids: NDArray[np.int64]
    values: LayerResponses

    def cut(self, start: int, stop: int) -> "Group":
        """Return some of its channels; nothing is copied."""
        columns: dict[str, Any] = {
            name: None if (column := getattr(self.values, name)) is None else column[start:stop]
            for name in LayerResponses.__slots__
        }
        return Group(self.channels[start:stop], self.sample_ids, LayerResponses(**columns))


def write_layer(
    path: Path,
    sample_ids: Sequence[NDArray[np.int64]],
    batches: Sequence[LayerResponses],
    *,
    metadata: dict[str, str],
    encoders: Encoders | None = None,
) -> ShardFile:
    """Write one layer's responses to the samples of a shard.

    Parameters
    ----------
    path : Path
        New file; its folder exists. Synced to disk before this returns.
    sample_ids : sequence of arrays of shape (n_i,), int64
        Samples of each batch, ascending over all of them.
    batches : sequence of LayerResponses, n_i samples each
    metadata : mapping
        Text for the file's footer (the identity of what it holds).
    encoders : Encoders or None
        Which encode several row groups at once; None: this thread, one after another. The file's
        bytes are the same.

    Returns
    -------
    ShardFile

    Raises
    ------
    DataError
        The batches differ in channels or positions, or a batch has not a row a sample.
    """
    check_alike(sample_ids, batches)
    ids = np.concatenate(sample_ids)
    sparse = _density(batches) < SPARSE
    tasks = (
        partial(_gathered, ids, batches, cut, sparse=sparse) for cut in _cuts(batches[0], len(ids))
    )
    return _write(path, ids, in_order(tasks, encoders), metadata=metadata)


def write_groups(
    path: Path,
    sample_ids: NDArray[np.int64],
    groups: Iterable[Group],
    *,
    sparse: bool,
    metadata: Mapping[str, str],
) -> ShardFile:
    """Write one layer's responses to some samples, that come some channels at a time.

    Parameters
    ----------
    path : Path
        New file; its folder exists. Synced to disk before this returns.
    sample_ids : array of shape (n_samples,)
        Ascending.
    groups : iterable of Group
        All channels, ascending; each becomes a row group, and is let go then.
    sparse : bool
        Whether zeros become NULL.
    metadata : mapping
        Text for the file's footer (the identity of what it holds).
    """
    encoded = (_encoded(group, sparse=sparse) for group in groups)
    return _write(path, sample_ids, encoded, metadata=metadata)


@dataclass(frozen=True, slots=True)
class _Encoded:
    """A row group as it lies in a file, and what the file or its commit say of it."""

    chunks: Sequence[Packed]
    rows: int
    checksum: int
    totals: NDArray[np.int64]
    negative: int
    kept: Sequence[Kept]


def _gathered(
    ids: NDArray[np.int64], batches: Sequence[LayerResponses], cut: slice, *, sparse: bool
) -> _Encoded:
    """Encode some channels of batches."""
    return _encoded(_group(ids, batches, cut), sparse=sparse)


def _encoded(group: Group, *, sparse: bool) -> _Encoded:
    return _Encoded(
        chunks=[packed(chunk) for chunk in _chunks(group, sparse=sparse)],
        rows=len(group.channels) * len(group.sample_ids),
        checksum=group_checksum(group),
        totals=group_totals(group),
        negative=group_negative(group),
        kept=_strongest(group),
    )


def _write(
    path: Path,
    sample_ids: NDArray[np.int64],
    groups: Iterable[_Encoded],
    *,
    metadata: Mapping[str, str],
) -> ShardFile:
    """Write row groups in order as they come."""
    checksum = rows = negative = 0
    totals = np.zeros(len(sample_ids), dtype=np.int64)
    kept: list[Kept] = []
    with path.open("wb") as file:
        writer = ParquetFile(file, list(LEAVES.values()))
        for group in groups:
            checksum = (checksum + group.checksum) % 2**64
            totals += group.totals
            negative += group.negative
            kept += group.kept
            writer.write_group(group.chunks, group.rows)
            rows += group.rows
        writer.metadata = {**metadata, **_counted(sample_ids, totals, negative)}
        writer.close()
        file.flush()
        os.fsync(file.fileno())
    return ShardFile(
        path=path,
        rows=rows,
        size_bytes=path.stat().st_size,
        first_sample=int(sample_ids[0]),
        last_sample=int(sample_ids[-1]),
        n_channels=rows // len(sample_ids),
        checksum=checksum,
        kept=stacked(kept) if kept else None,
    )


def _counted(
    sample_ids: NDArray[np.int64], totals: NDArray[np.int64], negative: int
) -> dict[str, str]:
    """Return what a footer says of a file's rows."""
    counts = {SAMPLE_ID: sample_ids.tolist(), NNZ: totals.tolist()}
    return {TOTALS_KEY: json.dumps(counts), NULL_KEY: NULL_MEANS, NEGATIVE_KEY: str(negative)}


def _strongest(group: Group) -> list[Kept]:
    """Return what is kept of the strongest samples, or nothing where that would be all of them."""
    values = group.values
    k = kept_count(1 if values.maps is None else values.maps.shape[2])
    if len(group.sample_ids) <= k:
        return []
    return [strongest_of(group.sample_ids, values.act_max, values.argmax, k=k)]


def row_checksum(
    sample_id: NDArray[np.int64],
    channel: NDArray[np.int32],
    act_max: NDArray[np.float32],
    *,
    act_sum: NDArray[np.float64],
) -> int:
    """Return a 64-bit sum, over rows, of a hash of (sample, channel, act_max, act_sum).

    The sum depends neither on the order of rows nor on how they are spread over files, so a
    partition keeps its checksum through compaction. Where the map is 1x1, act_sum is act_max.
    -0.0 counts as 0.0: which of the two is a map's largest response, no engine promises.
    """
    from fstore.store.packing_loops import hash_rows

    keys = _loopable(sample_id, np.int64), _loopable(channel, np.int32)
    return int(hash_rows(keys, _loopable(act_max, np.float32), _loopable(act_sum, np.float64)))


def _loopable(column: NDArray[Any], kind: Any) -> NDArray[Any]:  # noqa: ANN401 - a dtype
    """Return a column as what the loop is compiled for: contiguous, and not read-only."""
    return np.require(column, dtype=kind, requirements=("C", "W"))


def group_totals(group: Group) -> NDArray[np.int64]:
    """Count each sample's responses that are not 0, over the channels of a group.

    The sum over all groups stands in the footer, which is read in a millisecond; the rows of a
    fully connected layer are in a hundred.
    """
    values = group.values
    counts: NDArray[np.int64] = ((values.act_max != 0) if values.nnz is None else values.nnz).sum(
        axis=0, dtype=np.int64
    )
    return counts


def group_negative(group: Group) -> int:
    """Count a group's responses below 0; whole maps are looked at only where there may be some."""
    values = group.values
    if values.maps is None or values.nnz is None or values.npos is None:
        return int(np.count_nonzero(values.act_max < 0))
    if np.array_equal(values.nnz, values.npos):
        return 0
    return int(np.count_nonzero(values.maps < 0))


def _density(batches: Sequence[LayerResponses]) -> float:
    """Share of non-zeros in the first batch, which is enough to choose how zeros are kept."""
    first = batches[0]
    if first.maps is None or first.nnz is None:
        return float(np.count_nonzero(first.act_max)) / first.act_max.size
    return float(first.nnz.sum(dtype=np.int64)) / first.maps.size


def _cuts(first: LayerResponses, n_samples: int) -> Iterator[slice]:
    """Yield the channels of each row group of a file of so many samples like those of a batch."""
    n_channels = first.act_max.shape[1]
    if first.maps is None:
        step = ROW_GROUP_ROWS // n_samples
    else:
        step = ROW_GROUP_BYTES // (4 * first.maps.shape[2] * n_samples)
    step = max(step, -(-n_channels // MOST_ROW_GROUPS))
    for start in range(0, n_channels, step):
        yield slice(start, min(start + step, n_channels))


def _group(ids: NDArray[np.int64], batches: Sequence[LayerResponses], cut: slice) -> Group:
    """Copy some channels out of batches."""
    columns: dict[str, Any] = {
        name: None
        if getattr(batches[0], name) is None
        else _gather([getattr(b, name) for b in batches], cut.start, cut.stop)
        for name in (ACT_MAX, ACT_SUM, NNZ, NPOS, ARGMAX, "maps")
    }
    return Group(np.arange(cut.start, cut.stop, dtype=np.int32), ids, LayerResponses(**columns))


def _gather(parts: Sequence[NDArray[Any]], start: int, stop: int) -> NDArray[Any]:
    """Cut channels out of batches of shape (n_i, C, ...); return (channels, samples, ...)."""
    n = sum(len(p) for p in parts)
    out = np.empty((stop - start, n, *parts[0].shape[2:]), dtype=parts[0].dtype)
    at = 0
    for part in parts:
        out[:, at : at + len(part)] = part[:, start:stop].swapaxes(0, 1)
        at += len(part)
    return out


def _chunks(group: Group, *, sparse: bool) -> list[Chunk]:
    values, n_channels, n_samples = group.values, len(group.channels), len(group.sample_ids)
    n_rows = n_channels * n_samples
    sample = np.tile(np.arange(n_samples, dtype=np.int32), n_channels)
    channel = np.repeat(np.arange(n_channels, dtype=np.int32), n_samples)
    chunks = [
        parquet.indexed(LEAVES[SAMPLE_ID], group.sample_ids, sample),
        parquet.indexed(LEAVES[CHANNEL], group.channels, channel),
        parquet.floats(LEAVES[ACT_MAX], values.act_max.reshape(-1), zeros_as_null=sparse),
    ]
    if values.maps is None or values.act_sum is None:
        return chunks + [parquet.nulls(LEAVES[c], n_rows) for c in (ACT_SUM, *COUNTS, MAP)]
    chunks.append(parquet.floats(LEAVES[ACT_SUM], values.act_sum.reshape(-1)))
    chunks += [parquet.dictionary(LEAVES[c], getattr(values, c).reshape(-1)) for c in COUNTS]
    maps = values.maps.reshape(n_rows, -1)
    return [*chunks, parquet.lists(LEAVES[MAP], maps, zeros_as_null=sparse)]


def group_checksum(group: Group) -> int:
    """Return the sum of :func:`row_checksum` over a group's rows."""
    values, n_samples = group.values, len(group.sample_ids)
    act_max = values.act_max.reshape(-1)
    with np.errstate(invalid="ignore"):  # signalling NaNs
        total = act_max.astype(np.float64) if values.act_sum is None else values.act_sum
    ids = np.tile(group.sample_ids, len(group.channels))
    return row_checksum(
        ids, np.repeat(group.channels, n_samples), act_max, act_sum=total.reshape(-1)
    )
