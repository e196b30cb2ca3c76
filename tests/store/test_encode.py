"""A shard's file of one layer: what outside readers find in it, and its checksum."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from _build import responses
from fstore.store import encode
from fstore.store.encode import ShardFile, row_checksum, write_layer
from fstore.types import LayerResponses

MANY = settings(max_examples=30, deadline=None)
ODD_BITS = np.array(
    [
        0x80000000,
        0x00000001,
        0x80000001,
        0x7F800000,
        0xFF800000,
        0x7FC00000,
        0xFFC00000,
        0x7F7FFFFF,
    ],
    np.uint32,
)


def checksum(*columns: Any) -> int:  # noqa: ANN401 - sample, channel, largest response, sum
    """Return the checksum of rows that are given as four columns."""
    sample_id, channel, act_max, act_sum = columns
    return row_checksum(sample_id, channel, act_max, act_sum=act_sum)


@st.composite
def layers(draw: st.DrawFn) -> NDArray[np.float32]:
    """Draw responses of shape (n_samples, n_channels, positions)."""
    shape = (
        draw(st.integers(1, 70)),
        draw(st.integers(1, 12)),
        draw(st.sampled_from((1, 2, 9, 36, 400))),
    )
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    density = draw(st.sampled_from((0.0, 0.02, 0.3, 0.9, 1.0)))
    odd = draw(st.sampled_from((0.0, 0.05)))
    x = random.normal(size=shape).astype(np.float32)
    x = np.where(random.random(shape) < density, x, np.float32(0))
    return np.where(random.random(shape) < odd, random.choice(ODD_BITS, shape).view(np.float32), x)


@st.composite
def sample_ids(draw: st.DrawFn, n: int) -> NDArray[np.int64]:
    """Draw ascending ids, with and without gaps."""
    first, step = draw(st.integers(0, 2**33)), draw(st.sampled_from((1, 1, 7)))
    gaps = np.random.default_rng(draw(st.integers(0, 99))).integers(1, step + 1, size=n)
    return first + np.cumsum(gaps, dtype=np.int64)


def summaries(values: NDArray[np.float32]) -> LayerResponses:
    """Summarise; infinities of both signs in one map have no sum, which is no warning here."""
    with np.errstate(invalid="ignore"):
        return responses(values)


def write(
    path: Path, ids: NDArray[np.int64], values: NDArray[np.float32], cut: int = 0
) -> ShardFile:
    """Write one layer's file from two batches cut at a place."""
    parts = [slice(0, cut), slice(cut, None)] if 0 < cut < len(ids) else [slice(None)]
    return write_layer(
        path, [ids[p] for p in parts], [summaries(values[p]) for p in parts], metadata={"a": "b"}
    )


def bits(values: NDArray[Any]) -> NDArray[Any]:
    """Return bit patterns."""
    return np.ascontiguousarray(values).view(f"u{values.itemsize}")


def by_channel(values: NDArray[Any]) -> NDArray[Any]:
    """Put responses (n_samples, n_channels, ...) in the order of the file's rows."""
    rows: NDArray[Any] = values.swapaxes(0, 1).reshape(-1, *values.shape[2:])
    return rows


@MANY
@given(data=st.data(), values=layers())
def test_outside_readers_find_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, values: NDArray[np.float32]
) -> None:
    """Keys, summaries and maps come back, channel by channel, from Arrow, DuckDB and Polars."""
    n_samples, n_channels, positions = values.shape
    ids = data.draw(sample_ids(n_samples))
    path = tmp_path_factory.mktemp("e") / "f.parquet"
    write(path, ids, values, cut=data.draw(st.integers(0, n_samples)))
    with duckdb.connect(config={"threads": 1}) as connection:
        relation = connection.sql("SELECT * FROM read_parquet(?)", params=[str(path)])
        duck = relation.to_arrow_table()
    arrow = pq.read_table(path, page_checksum_verification=True, partitioning=None)
    expected = summaries(values)
    for table in (arrow, duck, pl.read_parquet(path).to_arrow()):
        assert np.array_equal(table["sample_id"].to_numpy(), np.tile(ids, n_channels))
        assert np.array_equal(table["channel"].to_numpy(), np.repeat(range(n_channels), n_samples))
        largest = table["act_max"].combine_chunks().fill_null(0).to_numpy(zero_copy_only=False)
        assert np.array_equal(bits(largest), bits(by_channel(expected.act_max)))
        for name in ("act_sum", "nnz", "npos", "argmax"):
            column = getattr(expected, name)
            if column is None:
                assert table[name].null_count == len(table)
            else:
                assert np.array_equal(bits(table[name].to_numpy()), bits(by_channel(column)))
        if positions == 1:
            assert table["map"].null_count == len(table)
        else:
            maps = table["map"].combine_chunks().flatten().fill_null(0)
            found = maps.to_numpy(zero_copy_only=False).reshape(-1, positions)
            assert np.array_equal(bits(found), bits(by_channel(values)))


def test_more_samples_than_two_byte_indices(tmp_path: Path) -> None:
    """70,000 samples of a fully connected layer make one file that reads back."""
    values = np.random.default_rng(0).normal(size=(70_000, 2, 1)).astype(np.float32)
    ids = np.arange(70_000) * 2
    written = write(tmp_path / "f.parquet", ids, values)
    assert (written.rows, written.first_sample, written.last_sample) == (140_000, 0, 139_998)
    table = pq.read_table(tmp_path / "f.parquet", page_checksum_verification=True)
    assert np.array_equal(table["sample_id"].to_numpy(), np.tile(ids, 2))
    assert np.array_equal(table["act_max"].to_numpy(), by_channel(values)[:, 0])


def test_a_row_group_holds_whole_channels(tmp_path: Path) -> None:
    """Row groups cover ascending ranges of channels, said in their statistics, of 1 MiB or less."""
    values = np.ones((50, 40, 400), np.float32)  # 80,000 bytes a channel: 13 in 1 MiB
    write(tmp_path / "f.parquet", np.arange(10, 60), values)
    meta = pq.read_metadata(tmp_path / "f.parquet")
    ranges = []
    for i in range(meta.num_row_groups):
        sample, channel = meta.row_group(i).column(0), meta.row_group(i).column(1)
        assert (sample.statistics.min, sample.statistics.max) == (10, 59)
        ranges.append((channel.statistics.min, channel.statistics.max))
        assert meta.row_group(i).num_rows == 50 * (ranges[-1][1] - ranges[-1][0] + 1)
    assert ranges == [(0, 12), (13, 25), (26, 38), (39, 39)]
    assert meta.metadata[b"a"] == b"b"
    assert meta.num_rows == 2000


def test_one_channel_is_read_without_the_others(tmp_path: Path) -> None:
    """Zone maps prune: of 40 channels DuckDB scans the row group that holds the asked-for one."""
    values = np.random.default_rng(0).normal(size=(50, 40, 400)).astype(np.float32)
    path = tmp_path / "f.parquet"
    write(path, np.arange(50), values)
    rows = pq.read_table(path, filters=[("channel", "=", 27)])
    assert rows["channel"].unique().to_pylist() == [27]
    assert np.array_equal(
        rows["map"].combine_chunks().flatten().to_numpy(), values[:, 27].reshape(-1)
    )


@pytest.mark.parametrize(("density", "nulls"), [(0.5, True), (0.9, False)])
def test_zeros_are_null_where_they_are_many(tmp_path: Path, density: float, nulls: bool) -> None:
    """A layer with under 70 % non-zeros stores zeros as NULL, a denser one as numbers."""
    there = np.random.default_rng(0).random((8, 4, 100)) < density
    write(tmp_path / "f.parquet", np.arange(8), there.astype(np.float32))
    maps = pq.read_table(tmp_path / "f.parquet")["map"].combine_chunks().flatten()
    assert maps.null_count == (np.count_nonzero(~there) if nulls else 0)


def test_sparse_files_are_small(tmp_path: Path) -> None:
    """At 20 % density a layer takes at most 0.5 x 0.2 + 0.12 of raw float32, footer included."""
    random = np.random.default_rng(0)
    values = np.maximum(random.normal(-0.84, 1, size=(64, 32, 169)), 0).astype(np.float32)
    density = np.count_nonzero(values) / values.size
    rounded = (bits(values) & np.uint32(0xFFFFE000)).view(np.float32)  # 10 bits of mantissa
    written = write(tmp_path / "f.parquet", np.arange(64), rounded)
    assert written.size_bytes <= (0.5 * density + 0.12) * values.nbytes


# The checksum of rows

Rows = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32], NDArray[np.float64]]


def some_rows(n: int = 200) -> Rows:
    """Return rows of (sample, channel, act_max, act_sum)."""
    random = np.random.default_rng(5)
    ids, channels = np.divmod(np.arange(n), 7)
    largest = random.normal(size=n).astype(np.float32)
    return ids, channels.astype(np.int32), largest, random.normal(size=n)


def chosen(rows: Rows, index: Sequence[int] | NDArray[np.int64]) -> Rows:
    """Take rows."""
    a, b, c, d = rows
    return a[index], b[index], c[index], d[index]


@MANY
@given(st.randoms(use_true_random=False), st.integers(0, 200))
def test_the_checksum_knows_neither_order_nor_files(random: Random, cut: int) -> None:
    """Shuffled, and summed over two parts, rows have the same checksum modulo 2^64."""
    rows = some_rows()
    order = list(range(200))
    random.shuffle(order)
    first, second = chosen(rows, order[:cut]), chosen(rows, order[cut:])
    assert (checksum(*first) + checksum(*second)) % 2**64 == checksum(*rows)


@pytest.mark.parametrize("column", range(4))
def test_the_checksum_sees_each_column(column: int) -> None:
    """One more in one row's sample or channel, one bit more in a number: another checksum."""
    rows = some_rows()
    seen = {checksum(*rows)}
    for row in (0, 77, 199):
        changed = [x.copy() for x in rows]
        if column < 2:
            changed[column][row] += 1
        else:
            changed[column].view(f"u{changed[column].itemsize}")[row] ^= 1
        seen.add(checksum(*changed))
    assert len(seen) == 4


def test_the_checksum_sees_a_swap() -> None:
    """Two samples that trade values have another checksum, though the values are the same."""
    ids, channels, largest, total = some_rows()
    swapped = largest.copy()
    swapped[[3, 60]] = largest[[60, 3]]
    assert row_checksum(ids, channels, swapped, act_sum=total) != row_checksum(
        ids, channels, largest, act_sum=total
    )


def test_a_negative_zero_counts_as_zero() -> None:
    """-0.0 and 0.0, which compare equal, give one checksum."""
    zeros = np.zeros(1), np.zeros(1, np.float32)
    key = np.array([1]), np.array([2], np.int32)
    assert checksum(*key, zeros[1], zeros[0]) == checksum(*key, -zeros[1], -zeros[0])


def test_a_files_checksum_is_that_of_its_rows(tmp_path: Path) -> None:
    """Written in two files or in one, with maps or without, the checksums of rows add up."""
    random = np.random.default_rng(0)
    for positions in (1, 9):
        values = random.normal(size=(10, 3, positions)).astype(np.float32)
        ids = np.arange(10)
        whole = write(tmp_path / "whole", ids, values).checksum
        parts = [
            write(tmp_path / "p", ids[p], values[p]).checksum for p in (slice(4), slice(4, 10))
        ]
        assert sum(parts) % 2**64 == whole
        summary = summaries(values)
        total = summary.act_max.astype(float) if summary.act_sum is None else summary.act_sum
        keys = np.repeat(ids, 3), np.tile(np.arange(3, dtype=np.int32), 10)
        assert whole == checksum(*keys, summary.act_max.reshape(-1), total.reshape(-1))


def test_signalling_nans_are_counted_without_a_warning(tmp_path: Path) -> None:
    """A NaN of any payload goes through the checksum quietly, as every other value."""
    values = np.array([0x7FA00001, 0x3F800000], np.uint32).view(np.float32).reshape(2, 1, 1)
    batch = LayerResponses(act_max=values[:, :, 0])
    written = write_layer(tmp_path / "f", [np.arange(2)], [batch], metadata={})
    assert written.checksum
    assert replace(written, checksum=0).rows == 2


def test_the_choice_of_encoding_needs_no_summary() -> None:
    """Density comes from counts where there are maps, from the responses where there are none."""
    ones = np.ones((2, 2, 4), np.float32)
    assert encode._density([responses(ones)]) == 1.0
    assert encode._density([responses(np.zeros((2, 2, 1), np.float32))]) == 0.0
