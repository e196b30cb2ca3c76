"""The Parquet writer against readers that others wrote: Arrow, DuckDB, Polars."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from fstore.store import parquet
from fstore.store.parquet import Chunk, Leaf, ParquetFile

Reader = Callable[[Path], pa.Table]
# float32 bit patterns that a writer may get wrong: zeros of both signs, denormals, infinities,
# NaNs with payloads, the largest and smallest numbers
ODD_BITS = (
    0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007FFFFF, 0x7F800000, 0xFF800000,
    0x7FC00000, 0xFFC00001, 0x7F7FFFFF, 0xFF7FFFFF, 0x00800000, 0x3F800000, 0xBF800000,
)  # fmt: skip


def with_arrow(path: Path) -> pa.Table:
    """Read with Arrow, checking each page's checksum."""
    return pq.read_table(path, page_checksum_verification=True, partitioning=None)


def with_duckdb(path: Path) -> pa.Table:
    """Read with DuckDB."""
    with duckdb.connect(config={"threads": 1}) as connection:
        relation = connection.sql("SELECT * FROM read_parquet(?)", params=[str(path)])
        return relation.to_arrow_table()


def with_polars(path: Path) -> pa.Table:
    """Read with Polars."""
    return pl.read_parquet(path).to_arrow()


READERS = (with_arrow, with_duckdb, with_polars)
reader = pytest.mark.parametrize("read", READERS)


def write(path: Path, groups: Sequence[Sequence[Chunk]], n_rows: Sequence[int]) -> Path:
    """Write row groups of chunks to a file."""
    with path.open("wb") as file:
        writer = ParquetFile(file, [c.leaf for c in groups[0]], {"k": "v", "ü": "é"})
        for chunks, n in zip(groups, n_rows, strict=True):
            writer.write_group([parquet.packed(chunk) for chunk in chunks], n)
        writer.close()
    return path


def flat(column: pa.ChunkedArray, dtype: str) -> NDArray[Any]:
    """Return a column's numbers, of lists those inside; NULL numbers as +0."""
    whole = pa.concat_arrays(
        [chunk.flatten() if is_list(chunk) else chunk for chunk in column.chunks]
    )
    numbers: NDArray[Any] = whole.fill_null(0).to_numpy(zero_copy_only=False).astype(dtype)
    return numbers


def is_list(array: pa.Array) -> bool:
    """Tell whether an array holds lists, as any reader calls them."""
    return bool(pa.types.is_list(array.type) or pa.types.is_large_list(array.type))


def bits(values: NDArray[Any]) -> NDArray[Any]:
    """Return the bit patterns of numbers: equal for -0.0 and -0.0, and for NaNs of one payload."""
    return np.ascontiguousarray(values).view(f"u{values.itemsize}")


SHAPES = st.tuples(st.integers(1, 70), st.integers(1, 40))
MANY = settings(max_examples=25, deadline=None)


@st.composite
def arrays(draw: st.DrawFn) -> NDArray[np.float32]:
    """Draw (n, length) float32: dense, sparse, all zero or odd throughout."""
    shape = draw(SHAPES)
    seed, kind = (
        draw(st.integers(0, 2**32 - 1)),
        draw(st.sampled_from(("bits", "sparse", "odd", "zero"))),
    )
    random = np.random.default_rng(seed)
    if kind == "bits":  # any pattern, NaNs of all payloads among them
        return random.integers(0, 2**32, size=shape, dtype=np.uint32).view(np.float32)
    if kind == "odd":
        return random.choice(np.array(ODD_BITS, np.uint32), size=shape).view(np.float32)
    if kind == "zero":
        return np.zeros(shape, np.float32)
    return np.where(random.random(shape) < 0.2, random.normal(size=shape), 0).astype(np.float32)


@MANY
@given(values=arrays(), zeros_as_null=st.booleans())
def test_lists_are_read_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, *, values: NDArray[np.float32], zeros_as_null: bool
) -> None:
    """Every reader gives the numbers and lengths that were written, signs and payloads too."""
    chunk = parquet.lists(Leaf("x", "float32", is_list=True), values, zeros_as_null=zeros_as_null)
    path = write(tmp_path_factory.mktemp("p") / "f.parquet", [[chunk]], [len(values)])
    for read in READERS:
        column = read(path)["x"]
        assert np.array_equal(bits(flat(column, "f4")), bits(values.reshape(-1))), read.__name__
        assert [len(x) for x in column.to_pylist()] == [values.shape[1]] * len(values)


@MANY
@given(values=arrays(), zeros_as_null=st.booleans())
def test_numbers_are_read_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, *, values: NDArray[np.float32], zeros_as_null: bool
) -> None:
    """Plain columns, float32 and float64, come back as written from every reader."""
    single = values.reshape(-1)
    with np.errstate(invalid="ignore"):  # signalling NaNs
        double = single.astype(np.float64) * (1 + 2**-40)
    chunks = [
        parquet.floats(Leaf("x", "float32"), single, zeros_as_null=zeros_as_null),
        parquet.floats(Leaf("y", "float64"), double),
    ]
    path = write(tmp_path_factory.mktemp("p") / "f.parquet", [chunks], [len(single)])
    for read in READERS:
        table = read(path)
        assert np.array_equal(bits(flat(table["x"], "f4")), bits(single)), read.__name__
        assert np.array_equal(bits(flat(table["y"], "f8")), bits(double)), read.__name__


@MANY
@given(
    values=npst.arrays(np.int32, st.integers(1, 500), elements=st.integers(-(2**31), 2**31 - 1)),
)
def test_dictionaries_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, values: NDArray[np.int32]
) -> None:
    """Integers of any size and sign come back, and the statistics are their range."""
    chunk = parquet.dictionary(Leaf("n", "int32"), values)
    path = write(tmp_path_factory.mktemp("p") / "f.parquet", [[chunk]], [len(values)])
    for read in READERS:
        assert np.array_equal(flat(read(path)["n"], "i4"), values), read.__name__
    found = pq.read_metadata(path).row_group(0).column(0).statistics
    assert (found.min, found.max, found.null_count) == (values.min(), values.max(), 0)


@reader
@pytest.mark.parametrize("distinct", [1, 2, 256, 257, 65_536, 65_537])
def test_indices_of_one_two_and_four_bytes(read: Reader, tmp_path: Path, distinct: int) -> None:
    """Dictionaries at the edges of 1, 2 and 4 byte indices are read back."""
    values = np.arange(distinct, dtype=np.int64) * 3 - 7
    index = np.random.default_rng(1).integers(0, distinct, size=distinct + 11)
    chunk = parquet.indexed(Leaf("n", "int64"), values, index)
    path = write(tmp_path / "f.parquet", [[chunk]], [len(index)])
    assert np.array_equal(flat(read(path)["n"], "i8"), values[index])


@reader
@pytest.mark.parametrize("zeros_as_null", [False, True])
def test_several_pages_a_chunk_and_groups_a_file(
    read: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zeros_as_null: bool
) -> None:
    """Chunks of many small pages in 40 row groups come back whole and in order."""
    monkeypatch.setattr(parquet, "PAGE_VALUES", 100)
    random = np.random.default_rng(2)
    leaf, number = Leaf("x", "float32", is_list=True), Leaf("n", "float32")
    groups, parts = [], []
    for n in range(1, 41):
        x = np.maximum(random.normal(size=(n, 9)), 0).astype(np.float32)
        parts.append(x)
        groups.append(
            [
                parquet.lists(leaf, x, zeros_as_null=zeros_as_null),
                parquet.floats(number, x.reshape(-1)[:n].copy(), zeros_as_null=zeros_as_null),
            ]
        )
    assert len(groups[-1][0].pages) == 4
    path = write(tmp_path / "f.parquet", groups, list(range(1, 41)))
    assert np.array_equal(
        flat(read(path)["x"], "f4"), np.concatenate([p.reshape(-1) for p in parts])
    )
    expected = np.concatenate([p.reshape(-1)[: len(p)] for p in parts])
    assert np.array_equal(flat(read(path)["n"], "f4"), expected)
    assert pq.read_metadata(path).num_row_groups == 40


@reader
def test_pages_of_full_size(read: Reader, tmp_path: Path) -> None:
    """A chunk beyond the size of a page at its real setting is read back."""
    values = np.arange(2 * parquet.PAGE_VALUES + 5, dtype=np.float32)
    chunk = parquet.floats(Leaf("x", "float32"), values)
    assert len(chunk.pages) == 3
    path = write(tmp_path / "f.parquet", [[chunk]], [len(values)])
    assert np.array_equal(flat(read(path)["x"], "f4"), values)


@reader
def test_columns_of_nulls(read: Reader, tmp_path: Path) -> None:
    """A column that holds nothing reads as NULL throughout: no list, not an empty one."""
    leaves = [Leaf("a", "int32"), Leaf("b", "float64"), Leaf("c", "float32", is_list=True)]
    path = write(tmp_path / "f.parquet", [[parquet.nulls(leaf, 5) for leaf in leaves]], [5])
    table = read(path)
    assert {name: table[name].null_count for name in table.column_names} == {"a": 5, "b": 5, "c": 5}


def test_zeros_as_null_is_what_other_readers_see(tmp_path: Path) -> None:
    """Positive zeros are NULL in the file; a negative zero, a denormal and NaN are values."""
    values = np.array([[0.0, -0.0, 1e-45, np.nan, 2.0]], np.float32)
    chunk = parquet.lists(Leaf("x", "float32", is_list=True), values, zeros_as_null=True)
    path = write(tmp_path / "f.parquet", [[chunk]], [1])
    (row,) = with_arrow(path)["x"].to_pylist()
    assert [v is None for v in row] == [True, False, False, False, False]
    assert np.signbit(row[1])


def test_the_footer_says_what_the_file_holds(tmp_path: Path) -> None:
    """Arrow finds schema, rows, sizes, codec, offsets and text as they were written."""
    x = np.ones((6, 4), np.float32)
    chunks = [
        parquet.dictionary(Leaf("n", "int64"), np.array([5, 3, 3, 9, 5, 3])),
        parquet.lists(Leaf("x", "float32", is_list=True), x),
    ]
    path = write(tmp_path / "f.parquet", [chunks, chunks], [6, 6])
    found = pq.ParquetFile(path)
    meta = found.metadata
    assert found.schema_arrow.equals(
        pa.schema([("n", pa.int64()), ("x", pa.list_(pa.field("element", pa.float32())))]),
        check_metadata=False,
    )
    assert (meta.num_rows, meta.num_row_groups, meta.created_by) == (12, 2, "fstore version 1")
    assert {k: meta.metadata[k.encode()] for k in ("k", "ü")} == {"k": b"v", "ü": "é".encode()}
    end_of_last = 4  # after the magic
    for group in (meta.row_group(0), meta.row_group(1)):
        sizes = 0
        for column in (group.column(0), group.column(1)):
            first = column.dictionary_page_offset or column.data_page_offset
            assert first == end_of_last  # chunks lie one after another, without gaps
            end_of_last += column.total_compressed_size
            sizes += column.total_uncompressed_size
            assert column.compression == "ZSTD"
        assert group.total_byte_size == sizes
        assert (group.column(0).num_values, group.column(1).num_values) == (6, 24)
    assert path.stat().st_size > end_of_last


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    """Each page carries a checksum that Arrow verifies."""
    values = np.random.default_rng(3).normal(size=500).astype(np.float32)
    path = write(tmp_path / "f.parquet", [[parquet.floats(Leaf("x", "float32"), values)]], [500])
    data = bytearray(path.read_bytes())
    data[600] ^= 1
    path.write_bytes(data)
    with pytest.raises(OSError, match=r"(?i)crc|checksum"):
        with_arrow(path)


def test_the_writer_leaves_the_file_open() -> None:
    """``close`` writes the footer; the caller owns the file."""
    file = io.BytesIO()
    writer = ParquetFile(file, [Leaf("x", "float32")])
    chunk = parquet.floats(Leaf("x", "float32"), np.ones(3, np.float32))
    writer.write_group([parquet.packed(chunk)], 3)
    writer.close()
    assert not file.closed
    assert pq.read_table(file)["x"].to_pylist() == [1.0, 1.0, 1.0]
