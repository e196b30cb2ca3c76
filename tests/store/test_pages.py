"""Our own reader of pages gives what pyarrow gives, and leaves to it what is not ours."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyarrow import parquet as pq

from _build import responses
from conftest import NETWORK, SHAPES, Known
from fstore.store import readers
from fstore.store.encode import write_layer
from fstore.store.files import Partition
from fstore.store.matrix import read_matrix
from fstore.store.pages import read_floats

ODD = np.array([0x80000000, 0x7FC00001, 0x7F800000, 1], dtype=np.uint32).view(np.float32)
"""-0.0, a NaN with a payload, infinity, the smallest number."""


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
    left = 0
    for at in range(start, end):
        for flip in (0x01, 0x80, 0xFF):
            path.write_bytes(plain[:at] + bytes([plain[at] ^ flip]) + plain[at + 1 :])
            found = ours(path, file, "map")
            left += found is None
            assert found is None or found.shape == (72,)
    assert left > (end - start) / 2


def test_without_our_reader_the_matrix_is_the_same(
    known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where pages are left to pyarrow, NULLs become zeros in the same places."""
    for layer in SHAPES:
        partition = Partition(NETWORK, "5", "d", "image", layer)
        ids = np.array([1, 2, 5, 11])
        expected = read_matrix(known.store, partition, ids)
        with monkeypatch.context() as patched:
            patched.setattr(readers, "read_floats", lambda *_, **__: None)
            X = read_matrix(known.store, partition, ids)
        assert same_bits(X, expected)
        assert np.array_equal(X, known.values["5", layer][ids].reshape(4, -1))
