"""A layer read as a matrix equals the array that was written."""

from io import BufferedReader
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from _build import add_checkpoint, add_dataset, add_layers, build, put, relu
from fstore.errors import DataError, UnknownNameError
from fstore.store import Store, readers
from fstore.store.export import export_features, find_partition
from fstore.store.features import What, read_features, read_samples, stored_samples
from fstore.store.files import Partition
from fstore.store.pages import read_pages
from fstore.store.parts import part_samples

WHERE = Partition("n", "5", "d", "image", "l")


def collect(
    store: Store,
    where: Partition,
    *,
    channels: list[int] | None = None,
    samples: NDArray[np.int64] | None = None,
    what: What = "map",
) -> tuple[list[int], NDArray[np.float32], int]:
    """Return channels, the whole matrix (n, channels, positions), and the number of blocks."""
    blocks = list(read_features(store, where, channels=channels, samples=samples, what=what))
    X = np.concatenate([x for _, x in blocks], axis=1)
    return [int(c) for channel, _ in blocks for c in channel], X, len(blocks)


@pytest.fixture
def wide(tmp_path: Path) -> tuple[Store, NDArray[np.float32]]:
    """Store a sparse layer of 40 channels of 64 x 64, three files of 30 samples interleaved."""
    store = Store.create(tmp_path / "s")
    add_layers(store, "n", {"l": (40, 64, 64)})
    values = relu(0, 30, 40, 4096)
    values[3, 7] = 0
    for ids in ([0, 2, 4, 6, 8], [1, 3, 5, 7], list(range(9, 30))):
        put(store, WHERE, values[ids], sample_ids=ids)
    return store, values


def test_all_channels(wide: tuple[Store, NDArray[np.float32]]) -> None:
    """Every value comes back, samples in order over files that interleave, block by block."""
    store, values = wide
    channels, X, n_blocks = collect(store, WHERE)
    assert channels == list(range(40))
    assert n_blocks > 1
    np.testing.assert_array_equal(X, values)
    assert X.dtype == np.float32


def test_some_channels(wide: tuple[Store, NDArray[np.float32]]) -> None:
    """Chosen channels come in ascending order, over the borders of row groups."""
    store, values = wide
    channels, X, _ = collect(store, WHERE, channels=[39, 0, 17, 18, 5])
    assert channels == [0, 5, 17, 18, 39]
    np.testing.assert_array_equal(X, values[:, channels])


def test_some_samples(wide: tuple[Store, NDArray[np.float32]]) -> None:
    """Chosen samples come in ascending order, whichever files they are in."""
    store, values = wide
    ids = np.array([1, 2, 3, 28])
    _, X, _ = collect(store, WHERE, samples=ids)
    np.testing.assert_array_equal(X, values[ids])


def test_sp_max(wide: tuple[Store, NDArray[np.float32]]) -> None:
    """sp_max is the largest response of each map."""
    store, values = wide
    _, X, _ = collect(store, WHERE, what="sp_max")
    np.testing.assert_array_equal(X[:, :, 0], values.max(axis=2))


def test_one_row_group_is_held(
    wide: tuple[Store, NDArray[np.float32]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No row group is read twice."""
    read: list[tuple[str, int]] = []

    def counted(
        file: BufferedReader, chunk: pq.ColumnChunkMetaData, *, length: int | None
    ) -> object:
        read.append((file.name, chunk.data_page_offset))
        return read_pages(file, chunk, length=length)

    monkeypatch.setattr(readers, "read_pages", counted)
    collect(wide[0], WHERE)
    assert len(read) == len(set(read)) > 3


@pytest.mark.parametrize("what", ["map", "sp_max"])
@pytest.mark.parametrize("max_bytes", [1, 3 * 40 * 4096 * 4, 1 << 30])
def test_by_sample(
    wide: tuple[Store, NDArray[np.float32]],
    what: What,
    max_bytes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All channels of some samples; each file is opened once where it fits into a block."""
    store, values = wide
    values = values.max(axis=2, keepdims=True) if what == "sp_max" else values
    opened: list[object] = []
    kept = pq.ParquetFile

    def count(path: object, **options: object) -> object:
        opened.append(path)
        return kept(path, **options)

    monkeypatch.setattr(pq, "ParquetFile", count)
    wanted = np.array([29, 3, 4, 8, 5, 10, 1000])
    blocks = list(read_samples(store, WHERE, wanted, what=what, max_bytes=max_bytes))
    ids = np.concatenate([block for block, _ in blocks])
    assert ids.tolist() == [4, 8, 3, 5, 10, 29]
    np.testing.assert_array_equal(np.concatenate([X for _, X in blocks]), values[ids])
    assert len(opened) == (6 if max_bytes == 1 else 3)


def test_vectors(tmp_path: Path) -> None:
    """A layer without maps gives its values, zeros included."""
    built = build(tmp_path / "s")
    _, X, _ = collect(built.store, built.partition("fc"))
    np.testing.assert_array_equal(X, built.values["fc"])


def test_what_is_not_there(wide: tuple[Store, NDArray[np.float32]]) -> None:
    """A missing partition, channel or sample is named; the partition with its command."""
    store, _ = wide
    add_layers(store, "n", {"other": (3, 2, 2)})
    add_dataset(store)
    add_checkpoint(store, "n", "5")
    other = Partition("n", "5", "d", "image", "other")
    with pytest.raises(UnknownNameError, match="fstore extract --layer other --ckpt n/5"):
        next(read_features(store, other))
    with pytest.raises(UnknownNameError, match=r"no channel 40 in .* 0 to 39"):
        next(read_features(store, WHERE, channels=[40]))
    with pytest.raises(UnknownNameError, match=r"samples \[30\]"):
        next(read_features(store, WHERE, samples=np.array([1, 30])))
    with pytest.raises(DataError, match="no channel"):
        next(read_features(store, WHERE, channels=[]))


def test_export_npy(tmp_path: Path) -> None:
    """Column c*H*W + y*W + x of the matrix is channel c at row y, column x."""
    built = build(tmp_path / "s")
    out = tmp_path / "x.npy"
    assert export_features(built.store, built.partition("conv1"), out) == out
    X = np.load(out)
    assert X.dtype == np.float32
    c, y, x = 2, 1, 0
    np.testing.assert_array_equal(X[:, c * 4 + y * 2 + x], built.values["conv1"][:, c, y * 2 + x])
    np.testing.assert_array_equal(X, built.values["conv1"].reshape(6, 12))
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_export_npz(tmp_path: Path) -> None:
    """The archive holds features, samples and labels, and needs no pickle."""
    built = build(tmp_path / "s")
    samples = part_samples(built.store, "d", view="image", part="official:test")
    out = tmp_path / "x.npz"
    export_features(built.store, built.partition("fc"), out, samples=samples)
    with np.load(out, allow_pickle=False) as z:
        np.testing.assert_array_equal(z["features"], built.values["fc"][3:, :, 0])
        assert z["sample_ids"].tolist() == [3, 4, 5]
        assert z["image_ids"].tolist() == ["i3", "i4", "i5"]
        assert z["classes"].tolist() == ["a", "b"]
        assert z["labels"].tolist() == [[-1, 1], [1, -1], [-1, 1]]


def test_export_parquet(tmp_path: Path) -> None:
    """A Parquet file has a row a sample, with its id and a list of features."""
    built = build(tmp_path / "s")
    out = tmp_path / "x.parquet"
    export_features(built.store, built.partition("conv1"), out, what="sp_max")
    rows = pq.read_table(out).to_pylist()
    assert [r["sample_id"] for r in rows] == list(range(6))
    assert [r["image_id"] for r in rows] == [f"i{n}" for n in range(6)]
    want = built.values["conv1"].max(axis=2)
    np.testing.assert_array_equal(np.array([r["features"] for r in rows], dtype="f4"), want)


def test_export_refuses(tmp_path: Path) -> None:
    """A file that is there stays unless asked otherwise; an unknown suffix is named."""
    built = build(tmp_path / "s")
    where, out = built.partition("fc"), tmp_path / "x.npy"
    out.write_text("mine")
    with pytest.raises(DataError, match="--overwrite"):
        export_features(built.store, where, out)
    assert out.read_text() == "mine"
    export_features(built.store, where, out, overwrite=True)
    assert np.load(out).shape == (6, 4)
    with pytest.raises(DataError, match=r"\.npy, \.npz, \.parquet"):
        export_features(built.store, where, tmp_path / "x.mat")


def test_part_that_is_not_there(tmp_path: Path) -> None:
    """A split that does not exist is refused, with those that do."""
    built = build(tmp_path / "s")
    with pytest.raises(UnknownNameError, match="it has: official:train, official:val"):
        part_samples(built.store, "d", view="image", part="random:1:test")


def test_find_partition(tmp_path: Path) -> None:
    """A checkpoint's name finds its partition; two networks' need the network."""
    built = build(tmp_path / "s")
    store, which = built.store, {"layer": "fc", "dataset": "d"}
    assert find_partition(store, ckpt="5", **which) == built.partition("fc")
    put(store, Partition("other", "5", "d", "image", "fc"), relu(0, 6, 4, 1))
    with pytest.raises(UnknownNameError, match="net/5, other/5"):
        find_partition(store, ckpt="5", **which)
    assert find_partition(store, ckpt="5", network="net", **which) == built.partition("fc")
    assert find_partition(store, ckpt="net/5", **which) == built.partition("fc")
    with pytest.raises(UnknownNameError, match="those of net/5, other/5"):
        find_partition(store, ckpt="15", **which)


def test_samples_ascend(tmp_path: Path) -> None:
    """The stored samples are ascending whatever the order of the files."""
    store = Store.create(tmp_path / "s")
    add_dataset(store)
    put(store, WHERE, relu(0, 2, 2, 4), sample_ids=[4, 5])
    put(store, WHERE, relu(0, 2, 2, 4), sample_ids=[0, 2])
    assert stored_samples(store, WHERE).tolist() == [0, 2, 4, 5]
