"""What is exported is what is stored, read back by the library of each format."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import lance
import numpy as np
import pytest
from deltalake import DeltaTable
from pyarrow import parquet as pq

import fstore
from _build import Built, add_dataset, add_layers, build, put, relu
from _exports import READERS, features
from _scenes import Thing, add_boxes
from fstore.cli.export import SUFFIXES
from fstore.errors import DataError, MissingExtraError, StorageError
from fstore.store import Store
from fstore.store.export import FORMATS, export_features
from fstore.store.export.formats import Table
from fstore.store.files import Partition
from fstore.store.parts import Part, part_samples
from fstore.types import DatasetManifest, SampleRecord, ViewManifest

WITH_ROWS = [suffix for suffix in SUFFIXES if suffix != ".npy"]
"""Formats that say what the rows are."""


each_format = pytest.mark.parametrize("suffix", SUFFIXES)
each_with_rows = pytest.mark.parametrize("suffix", WITH_ROWS)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Return six samples with labels, layers ``conv1`` and ``fc``."""
    return build(tmp_path_factory.mktemp("built") / "s")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Return 30 samples of 40 maps of 64 x 64 (20 MB), in three files that interleave."""
    store, values = Store.create(tmp_path_factory.mktemp("many") / "s"), relu(0, 30, 40, 4096)
    built = Built(store, {"l": values})
    add_dataset(store, parts=["test"] * 30)
    add_layers(store, "net", {"l": (40, 64, 64)})
    for ids in ([0, 2, 4, 6, 8], [1, 3, 5, 7], list(range(9, 30))):
        put(store, built.partition("l"), values[ids], sample_ids=ids)
    return built


def test_each_format_is_listed() -> None:
    """The endings of the command's help are those of the registered formats, each with a reader."""
    assert sorted(SUFFIXES) == sorted(entry.name for entry in FORMATS)
    assert set(READERS) == set(WITH_ROWS)


@each_format
def test_maps(built: Built, tmp_path: Path, suffix: str) -> None:
    """The matrix has a row a sample, channels outermost, float32."""
    out = tmp_path / f"x{suffix}"
    assert export_features(built.store, built.partition("conv1"), out) == out
    X = features(out)
    assert X.dtype == np.float32
    np.testing.assert_array_equal(X, built.values["conv1"].reshape(6, 12))
    assert list(tmp_path.iterdir()) == [out]


@each_with_rows
def test_rows(built: Built, tmp_path: Path, suffix: str) -> None:
    """Rows have ids, names and labels, and the file says what it is of."""
    out, part = tmp_path / f"x{suffix}", Part.parse("official:test")
    samples = part_samples(built.store, "d", view="image", part=str(part))
    where = built.partition("fc")
    export_features(built.store, where, out, samples=samples, part=part)
    read = READERS[suffix](out)
    np.testing.assert_array_equal(read.features, built.values["fc"][3:, :, 0])
    assert (read.sample_ids, read.image_ids) == ([3, 4, 5], ["i3", "i4", "i5"])
    assert read.labels.tolist() == [[-1, 1], [1, -1], [-1, 1]]
    assert read.labels.dtype == np.int8
    assert read.classes == ["a", "b"]
    assert read.shape == [4, 1, 1]
    (file,) = built.store.files(layer="fc")
    assert read.provenance == {
        "network": "net", "ckpt": "5", "dataset": "d", "view": "image", "layer": "fc",
        "split": "official", "part": "test", "precision": None, "what": "map",
        "fingerprint": file.fingerprint, "computed_from": {"weights": "5", "samples": "s"},
        "fstore": fstore.__version__, "shape": [4, 1, 1],
    }  # fmt: skip


@each_format
def test_largest_responses(built: Built, tmp_path: Path, suffix: str) -> None:
    """``sp_max`` keeps the largest response of each map."""
    out = tmp_path / f"x{suffix}"
    export_features(built.store, built.partition("conv1"), out, what="sp_max")
    np.testing.assert_array_equal(features(out), built.values["conv1"].max(axis=2))
    if suffix in READERS:
        read = READERS[suffix](out)
        assert (read.shape, read.provenance["what"]) == ([3, 1, 1], "sp_max")
        assert (read.provenance["split"], read.provenance["part"]) == (None, None)


@each_format
def test_many_blocks(many: Built, tmp_path: Path, suffix: str) -> None:
    """A matrix of several blocks of channels and of rows, from files that interleave, is whole."""
    out = export_features(many.store, many.partition("l"), tmp_path / f"x{suffix}")
    # compared as bytes: lists of Python's numbers would take minutes
    if suffix in {".parquet", ".lance"}:
        table = pq.read_table(out) if suffix == ".parquet" else lance.dataset(str(out)).to_table()
        X = table["features"].combine_chunks().flatten().to_numpy().reshape(30, -1)
    else:
        X = features(out)
    np.testing.assert_array_equal(X, many.values["l"].reshape(30, -1))


def test_odd_names(tmp_path: Path) -> None:
    """Names with dots, spaces, slashes and letters beyond ASCII are kept; one sample is a row."""
    store = Store.create(tmp_path / "s")
    add_dataset(store, "my d.ä", parts=["test"])
    add_layers(store, "n.1", {"features.0/a b": (2, 1, 1)})
    where = Partition("n.1", "a.b", "my d.ä", "image", "features.0/a b")
    put(store, where, relu(3, 1, 2, 1))
    for suffix in SUFFIXES:
        out = export_features(store, where, tmp_path / f"a new. folder/x y.1{suffix}")
        assert features(out).shape == (1, 2)
        if suffix in READERS:
            read = READERS[suffix](out)
            assert {key: read.provenance[key] for key in where.values} == where.values


def test_difficult_boxes(tmp_path: Path) -> None:
    """Of view ``gt`` all boxes are exported; a difficult one shows its class as 0."""
    store = Store.create(tmp_path / "s")
    box = (0, 0, 9, 9)
    things = [Thing(0, box, "cat"), Thing(0, box, "dog", difficult=True), Thing(1, box, "dog")]
    add_boxes(store, "boxes", ["train", "test"], things)
    add_layers(store, "n", {"l": (2, 1, 1)})
    where = Partition("n", "5", "boxes", "gt", "l")
    values = relu(4, 3, 2, 1)
    put(store, where, values)
    for suffix in WITH_ROWS:
        read = READERS[suffix](export_features(store, where, tmp_path / f"x{suffix}"))
        np.testing.assert_array_equal(read.features, values[:, :, 0])
        assert read.labels.tolist() == [[1, -1], [-1, 0], [-1, 1]]
        assert read.image_ids == ["i0", "i0", "i1"]


def test_no_classes(tmp_path: Path) -> None:
    """A data set without classes has labels of no column."""
    store = Store.create(tmp_path / "s")
    add_unlabelled(store)
    add_layers(store, "n", {"l": (2, 1, 1)})
    where = Partition("n", "5", "plain", "image", "l")
    put(store, where, relu(5, 2, 2, 1))
    for suffix in WITH_ROWS:
        read = READERS[suffix](export_features(store, where, tmp_path / f"x{suffix}"))
        assert (read.labels.shape, read.classes) == ((2, 0), [])


def add_unlabelled(store: Store) -> None:
    """Register two images that show nothing."""
    samples = tuple(SampleRecord(f"i{n}", f"{n}.png", f"{n:032x}", 8, 8, {}) for n in range(2))
    view = ViewManifest("image", samples, ())
    store.register_dataset(DatasetManifest("plain", "multi", (), store.path / "x", (view,)))


def test_files_of_another_program(tmp_path: Path) -> None:
    """Files that another program rewrote are read as they are; where they come from is not told."""
    built = build(tmp_path / "s")
    where = built.partition("fc", "6")
    put(built.store, where, built.values["fc"][:3], sample_ids=[0, 1, 2])
    put(built.store, where, built.values["fc"][3:], sample_ids=[3, 4, 5])
    DeltaTable(built.store.path / "activations").optimize.compact()
    for suffix in SUFFIXES:
        out = export_features(built.store, where, tmp_path / f"x{suffix}")
        np.testing.assert_array_equal(features(out), built.values["fc"][:, :, 0])
        if suffix in READERS:
            told = READERS[suffix](out).provenance
            assert (told["fingerprint"], told["precision"], told["computed_from"]) == (None,) * 3


def test_bits(tmp_path: Path) -> None:
    """Responses that are stored as bits are exported as 0 and 1, and the file says so."""
    store = Store.create(tmp_path / "s")
    add_dataset(store)
    add_layers(store, "n", {"l": (3, 2, 2)})
    where, values = Partition("n", "5", "d", "image", "l"), np.sign(relu(6, 6, 3, 4))
    put(store, where, values, identity={"stored precision": "bit"})
    for suffix in SUFFIXES:
        out = export_features(store, where, tmp_path / f"x{suffix}")
        np.testing.assert_array_equal(features(out), values.reshape(6, 12))
        if suffix in READERS:
            assert READERS[suffix](out).provenance["precision"] == "bit"


def test_tensors_begin_at_multiples_of_their_size(built: Built, tmp_path: Path) -> None:
    """PyTorch's reader gives the tensors too, of a file whose layout is as the format says."""
    from safetensors.torch import load_file

    out = export_features(built.store, built.partition("conv1"), tmp_path / "x.safetensors")
    tensors = load_file(out)
    np.testing.assert_array_equal(tensors["features"].numpy(), features(out))
    data = out.read_bytes()
    length = int.from_bytes(data[:8], "little")
    assert (8 + length) % 8 == 0
    header = json.loads(data[8 : 8 + length])
    sizes = {"I64": 8, "F32": 4, "I8": 1}
    for name in tensors:
        begin, _ = header[name]["data_offsets"]
        assert begin % sizes[header[name]["dtype"]] == 0


def test_a_header_has_a_limit(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names that do not fit into a header of safetensors are refused, and what to do is said."""
    monkeypatch.setattr("fstore.store.export.formats.safetensors.LARGEST_HEADER", 100)
    with pytest.raises(DataError, match=r"names of 6 images take .* or to \.h5"):
        export_features(built.store, built.partition("fc"), tmp_path / "x.safetensors")
    assert list(tmp_path.iterdir()) == []


# What is there already


@each_format
def test_overwrite(built: Built, tmp_path: Path, suffix: str) -> None:
    """What is there stays, unless it is to be replaced; then nothing else remains."""
    out = tmp_path / f"x{suffix}"
    export_features(built.store, built.partition("fc"), out)
    with pytest.raises(DataError, match=r"exists; choose another name, or add --overwrite"):
        export_features(built.store, built.partition("conv1"), out)
    assert features(out).shape == (6, 4)
    export_features(built.store, built.partition("conv1"), out, overwrite=True)
    assert features(out).shape == (6, 12)
    assert list(tmp_path.iterdir()) == [out]


@each_format
def test_a_folder_that_is_something_else(built: Built, tmp_path: Path, suffix: str) -> None:
    """A folder of other files is never replaced."""
    out = tmp_path / f"x{suffix}"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="choose another name"):
        export_features(built.store, built.partition("fc"), out, overwrite=True)
    assert (out / "mine.txt").read_text() == "mine"


def test_a_lance_folder_with_more(built: Built, tmp_path: Path) -> None:
    """A Lance data set with a file of somebody's, a broken one, and a plain file stay."""
    out, where = tmp_path / "x.lance", built.partition("fc")
    export_features(built.store, where, out)
    note = out / "notes.txt"
    note.write_text("mine")
    with pytest.raises(DataError, match="is not replaced"):
        export_features(built.store, where, out, overwrite=True)
    note.unlink()
    for manifest in (out / "_versions").iterdir():
        manifest.unlink()
    with pytest.raises(DataError, match="is not replaced"):
        export_features(built.store, where, out, overwrite=True)
    plain = tmp_path / "y.lance"
    plain.write_text("mine")
    with pytest.raises(DataError, match="is not replaced"):
        export_features(built.store, where, plain, overwrite=True)
    assert plain.read_text() == "mine"


def test_a_lance_folder_comes_back(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the new folder cannot be moved to its place, the old one is there again."""
    out, where = tmp_path / "x.lance", built.partition("fc")
    export_features(built.store, where, out)
    kept = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if target == out:
            raise OSError(5, "Input/output error", str(target))
        return kept(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(StorageError, match="input/output error"):
        export_features(built.store, built.partition("conv1"), out, overwrite=True)
    assert features(out).shape == (6, 4)
    assert list(tmp_path.iterdir()) == [out]


# What goes wrong


@each_format
def test_a_missing_library(
    built: Built, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A format whose library is not installed says how it is; the others need none."""
    monkeypatch.setitem(sys.modules, "h5py", None)
    monkeypatch.setitem(sys.modules, "lance", None)
    out = tmp_path / f"x{suffix}"
    if suffix not in {".h5", ".lance"}:
        assert export_features(built.store, built.partition("fc"), out) == out
        return
    with pytest.raises(MissingExtraError, match=rf"pip install 'fstore\[{suffix[1:]}\]'"):
        export_features(built.store, built.partition("fc"), out)
    assert list(tmp_path.iterdir()) == []


@each_format
def test_a_full_disk(many: Built, small_disk: Callable[[int], Path], suffix: str) -> None:
    """On a disk that has no room for the matrix, or for it twice, the error says so, no file is."""
    place = small_disk(25)
    (place / "other").write_bytes(bytes(20 << 20 if suffix == ".npy" else 1))
    with pytest.raises(StorageError, match="No space left on device: the disk is full"):
        export_features(many.store, many.partition("l"), place / f"x{suffix}")
    assert [path.name for path in place.iterdir()] == ["other"]


def test_without_fallocate(built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system cannot reserve room, it is filled with zeros first."""
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    monkeypatch.setattr("fstore.store.export.writing.CHUNK", 7)
    out = export_features(built.store, built.partition("conv1"), tmp_path / "x.npy")
    np.testing.assert_array_equal(np.load(out), built.values["conv1"].reshape(6, 12))


INTERRUPTED = """
import os, signal, sys
from pathlib import Path
from fstore.store.export import formats
import fstore.cli
def half(path, table):
    path.write_bytes(b"half")
    os.kill(os.getpid(), signal.{signal})
entry = formats.FORMATS[".npz"]
formats.FORMATS._entries[".npz"] = type(entry)(entry.name, half, entry.meta)
sys.exit(fstore.cli.main())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_killed(built: Built, tmp_path: Path, number: signal.Signals) -> None:
    """Killed while the file is written, nothing is there under its name."""
    out = tmp_path / "out" / "x.npz"
    script = tmp_path / "fstore"
    script.write_text(INTERRUPTED.format(signal=number.name))
    words = [
        "--store", str(built.store.path), "export", str(out), "--layer", "fc", "--ckpt", "5",
        "--dataset", "d",
    ]  # fmt: skip
    done = subprocess.run([sys.executable, str(script), *words], check=False, capture_output=True)
    assert done.returncode in {-number, 128 + number}
    assert not out.exists()
    left = list(out.parent.iterdir())
    assert len(left) == (1 if number == signal.SIGKILL else 0)
    assert all(path.name.startswith(".fstore-export-") for path in left)


def test_memory_is_bounded(tmp_path: Path) -> None:
    """Rows are read some at a time, whatever the size of the matrix."""
    X = relu(0, 3000, 4096)
    np.save(tmp_path / "m.npy", X)
    table = Table(tmp_path / "m.npy", (4096, 1, 1), lambda: pytest.fail("not asked for"), {})
    blocks = list(table.blocks())
    assert max(block.nbytes for _, block in blocks) <= 1 << 24 < X.nbytes
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), X)
    assert [part.start for part, _ in blocks] == [0, 1024, 2048]
