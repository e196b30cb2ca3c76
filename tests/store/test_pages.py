"""Our own reader of pages gives what pyarrow gives, and leaves to it what is not ours."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyarrow import parquet as pq

from _build import responses
from conftest import NETWORK, SHAPES, Known
from fstore.errors import StorageError
from fstore.store import Store, readers
from fstore.store.encode import write_layer
from fstore.store.features import read_features
from fstore.store.files import Partition
from fstore.store.matrix import read_matrix
from fstore.store.pages import read_floats, read_pages

ODD = np.array([0x80000000, 0x7FC00001, 0x7F800000, 1], dtype=np.uint32).view(np.float32)
"""-0.0, a NaN with a payload, infinity, the smallest number."""

HEADER = 40  # bytes that a page's header has at most


def written(path: Path, values: NDArray[np.float32]) -> pq.ParquetFile:
    """Write responses of shape (n_samples, n_channels, positions) as an extraction does."""
    path.unlink(missing_ok=True)
    write_layer(path, [np.arange(len(values))], [responses(values)], metadata={})
    return pq.ParquetFile(path)


def ours(path: Path, file: pq.ParquetFile, name: str) -> NDArray[np.float32] | None:
    """Read a column, all row groups, by our own reader."""
    parts = []
    with path.open("rb") as raw:
        for i in range(file.num_row_groups):
            group = file.metadata.row_group(i)
            chunks = [group.column(k) for k in range(group.num_columns)]
            (chunk,) = [c for c in chunks if c.path_in_schema.split(".")[0] == name]
            length = chunk.num_values // group.num_rows if name == "map" else None
            part = read_floats(raw, chunk, length=length)
            if part is None:
                return None
            parts.append(part)
    return np.concatenate(parts)


def theirs(file: pq.ParquetFile, name: str) -> NDArray[np.float32]:
    """Read a column by pyarrow, NULL as 0."""
    array = file.read([name])[name].combine_chunks()
    flat = array.flatten() if name == "map" else array
    values: NDArray[np.float32] = flat.fill_null(0).to_numpy(zero_copy_only=False)
    return values


def same_bits(a: NDArray[np.float32] | None, b: NDArray[np.float32]) -> bool:
    """Say whether two arrays have the same bits, NaNs and signs of zeros included."""
    return a is not None and np.array_equal(a.view(np.uint32), b.view(np.uint32))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 9), st.sampled_from([1, 2, 7, 36, 169])),
    density=st.sampled_from([0.0, 0.05, 0.5, 0.9, 1.0]),
)
def test_equals_pyarrow(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    shape: tuple[int, int, int],
    density: float,
) -> None:
    """Bit by bit, of sparse and dense layers, maps and single values, odd numbers included."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=shape).astype(np.float32)
    values[rng.random(shape) >= density] = 0
    odd = rng.random(shape) < 0.02
    values[odd] = rng.choice(ODD, size=int(odd.sum()))
    path = tmp_path_factory.getbasetemp() / "pages.parquet"
    with np.errstate(invalid="ignore"):
        file = written(path, values)
    for name in ("act_max", "map") if shape[2] > 1 else ("act_max",):
        assert same_bits(ours(path, file, name), theirs(file, name))
    if shape[2] > 1:
        stored = values.swapaxes(0, 1).reshape(-1)
        assert same_bits(ours(path, file, "map"), stored)


@pytest.mark.parametrize("density", [0.3, 1.0])
def test_several_pages(tmp_path: Path, density: float) -> None:
    """A row group of more values than a page holds is read whole."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3000, 2, 100)).astype(np.float32)
    values[rng.random(values.shape) >= density] = 0
    file = written(tmp_path / "x.parquet", values)
    assert same_bits(ours(tmp_path / "x.parquet", file, "map"), theirs(file, "map"))


@pytest.mark.parametrize("codec", ["zstd", "snappy"])
def test_others_pages_are_left_to_pyarrow(tmp_path: Path, codec: str) -> None:
    """Files that another program wrote are not read by half."""
    path = tmp_path / "x.parquet"
    lists = pa.array([[1.0, 2.0], None, [], [3.0, None]], pa.list_(pa.float32()))
    table = pa.table({"map": lists, "act_max": pa.array([1, None, 0, 3], pa.float32())})
    for encoding in (None, {"map.list.element": "BYTE_STREAM_SPLIT"}):
        pq.write_table(
            table, path, compression=codec, use_dictionary=False, column_encoding=encoding
        )
        assert ours(path, pq.ParquetFile(path), "map") is None


def test_damage_is_left_to_pyarrow(tmp_path: Path) -> None:
    """Whatever byte of a page is changed, no error of ours comes, and no array of another size."""
    path = tmp_path / "x.parquet"
    values = np.maximum(np.random.default_rng(0).normal(size=(9, 2, 4)), 0).astype(np.float32)
    file = written(path, values)
    group = file.metadata.row_group(0)
    chunk = group.column(group.num_columns - 1)
    plain = path.read_bytes()
    start, end = chunk.data_page_offset, chunk.data_page_offset + chunk.total_compressed_size
    stored = values.swapaxes(0, 1).reshape(-1)
    taken = 0
    for at in range(start, end):
        for flip in (0x01, 0x80, 0xFF):
            path.write_bytes(plain[:at] + bytes([plain[at] ^ flip]) + plain[at + 1 :])
            found = ours(path, file, "map")
            taken += found is not None
            assert found is None or same_bits(found, stored)
    assert taken < 3 * HEADER  # what the header says of encodings, nobody asks


@pytest.mark.parametrize("name", ["map", "act_max"])
def test_pages_that_lie_are_left_to_pyarrow(tmp_path: Path, name: str) -> None:
    """Nothing is written outside an array where levels promise more, or fewer, than there are.

    The CRC is made anew, as a program that writes such a page would.
    """
    path = tmp_path / "x.parquet"
    values = np.maximum(np.random.default_rng(0).normal(size=(9, 2, 4)), 0).astype(np.float32)
    file = written(path, values)
    group = file.metadata.row_group(0)
    chunks = [group.column(k) for k in range(group.num_columns)]
    (chunk,) = [c for c in chunks if c.path_in_schema.split(".")[0] == name]
    length = 4 if name == "map" else None
    with path.open("rb") as raw:
        pages = read_pages(raw, chunk, length=length)
    assert pages is not None
    (page,) = pages.pages
    plain = bytes(page.opened())
    n = 72 if name == "map" else 18
    to = np.arange(0, n, length or 1)
    for at in range(len(plain)):
        for flip in (0x01, 0x80, 0xFF):
            page.body = memoryview(bytearray(plain))
            page.body[at] ^= flip
            out = np.full(n + 8, 7, dtype=np.uint32)
            pages.put(out, to)
            assert out[n:].tolist() == [7] * 8


@pytest.mark.parametrize("density", [0.3, 1.0])
@pytest.mark.parametrize("length", [None, 2, 27, 28, 29, 36, 169])
def test_some_lists(tmp_path: Path, density: float, length: int | None) -> None:
    """Wanted lists come to the places that are named, whichever they are; others are left out."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(11, 3, length or 1)).astype(np.float32)
    values[rng.random(values.shape) >= density] = 0
    path = tmp_path / "x.parquet"
    group = written(path, values).metadata.row_group(0)
    chunks = [group.column(k) for k in range(group.num_columns)]
    name = "map" if length else "act_max"
    (chunk,) = [c for c in chunks if c.path_in_schema.split(".")[0] == name]
    with path.open("rb") as raw:
        pages = read_pages(raw, chunk, length=length)
    assert pages is not None
    lists = values.swapaxes(0, 1).reshape(33, -1)
    for share in (0.0, 0.1, 0.9):
        wanted = np.flatnonzero(rng.random(33) < share)
        n = lists.shape[1]
        to = np.full(33, -1)
        to[wanted] = (n + 1) * rng.permutation(len(wanted))
        out = np.full((n + 1) * 33, 7, dtype=np.uint32)
        expected = out.copy()
        for i in wanted:
            expected[to[i] : to[i] + n] = lists[i].view(np.uint32)
        assert pages.put(out, to)
        assert np.array_equal(out, expected)


def test_pages_of_which_nothing_is_wanted_stay_compressed(tmp_path: Path) -> None:
    """Of a row group of several pages only those are decompressed that hold a wanted list."""
    values = np.random.default_rng(0).normal(size=(3000, 2, 100)).astype(np.float32)
    path = tmp_path / "x.parquet"
    group = written(path, values).metadata.row_group(0)
    with path.open("rb") as raw:
        pages = read_pages(raw, group.column(group.num_columns - 1), length=100)
    assert pages is not None
    assert len(pages.pages) > 1
    to = np.full(group.num_rows, -1)
    to[-1] = 0
    out = np.zeros(100, dtype=np.float32)
    assert pages.put(out.view(np.uint32), to)
    assert same_bits(out, values[2999, group.num_rows // 3000 - 1])
    assert [page.body is not None for page in pages.pages] == [False] * (len(pages.pages) - 1) + [
        True
    ]


def test_without_our_reader_the_matrix_is_the_same(
    known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where pages are left to pyarrow, NULLs become zeros in the same places."""
    for layer in SHAPES:
        partition = Partition(NETWORK, "5", "d", "image", layer)
        ids = np.array([1, 2, 5, 11])
        expected = read_matrix(known.store, partition, ids)
        with monkeypatch.context() as patched:
            patched.setattr(readers, "read_pages", lambda *_, **__: None)
            X = read_matrix(known.store, partition, ids)
        assert same_bits(X, expected)
        assert np.array_equal(X, known.values["5", layer][ids].reshape(4, -1))


def copied(known: Known, folder: Path) -> Store:
    """Copy a store that other tests read, too."""
    shutil.copytree(known.store.path, folder / "copy")
    return Store.open(folder / "copy")


PAGES: dict[str, dict[str, Any]] = {
    "dictionaries": {"compression": "snappy"},
    "plain": {"use_dictionary": False, "compression": "zstd"},
    "version 2": {"use_dictionary": False, "compression": "zstd", "data_page_version": "2.0"},
    "split": {"use_dictionary": False, "compression": "zstd", "use_byte_stream_split": True},
    "not compressed": {"use_dictionary": False, "compression": "none"},
}
"""How pyarrow may write the rows of a file."""


@pytest.mark.parametrize("pages", PAGES)
@pytest.mark.parametrize("layer", SHAPES)
def test_pages_of_another_writer_are_read(
    known: Known, tmp_path: Path, pages: str, layer: str
) -> None:
    """A file whose pages pyarrow wrote, under a name of ours, gives the same responses."""
    partition = Partition(NETWORK, "5", "d", "image", layer)
    store = copied(known, tmp_path)
    for file in store.files(**partition.values):
        old = pq.ParquetFile(file.uri)
        table, n_rows = old.read(), old.metadata.row_group(0).num_rows
        table = table.replace_schema_metadata(old.schema_arrow.metadata)
        pq.write_table(table, file.uri, row_group_size=n_rows, **PAGES[pages])
    values = known.values["5", layer]
    ids = np.array([1, 2, 5, 11])
    assert same_bits(read_matrix(store, partition, ids), values[ids].reshape(4, -1))
    blocks = [X for _, X in read_features(store, partition)]
    assert same_bits(np.concatenate(blocks, axis=1), values)


def test_a_damaged_page_is_refused(known: Known, tmp_path: Path) -> None:
    """Whichever bit of a file's maps is flipped, reading says which file; it gives no number."""
    partition = Partition(NETWORK, "5", "d", "image", "conv1")
    store = copied(known, tmp_path)
    file = store.files(**partition.values)[0]
    path = Path(file.uri)
    plain, group = path.read_bytes(), file.parquet().metadata.row_group(0)
    chunk = group.column(group.num_columns - 1)
    end = chunk.data_page_offset + chunk.total_compressed_size
    for at in np.linspace(chunk.data_page_offset + HEADER, end - 1, 12, dtype=int).tolist():
        path.write_bytes(plain[:at] + bytes([plain[at] ^ 1 << at % 8]) + plain[at + 1 :])
        with pytest.raises(StorageError, match=re.escape(f"cannot read {file.uri}")):
            read_matrix(store, partition, file.sample_ids)
