"""The portable copy: any engine that reads it has the same sums."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from pyarrow import parquet as pq

import fstore
from _build import add_checkpoint, add_dataset, add_layers, put, relu
from _engines import OF_COPY, OF_SCAN, Sums, numpy_sums
from conftest import Known
from fstore.errors import StorageError
from fstore.store import Store
from fstore.store.files import Partition
from fstore.store.locks import alone
from fstore.store.portable import write_portable

ENGINES = [
    pytest.param(name, marks=pytest.mark.slow) if name == "spark" else name for name in OF_COPY
]


def _same(sums: Sums, known: Known) -> None:
    wanted = numpy_sums(known.values)
    assert sums.keys() == wanted.keys()
    for key, row in sums.items():
        assert row == pytest.approx(wanted[key], rel=1e-6), key


@pytest.fixture(scope="module")
def copied(known: Known, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a portable copy of all that is known."""
    folder = tmp_path_factory.mktemp("copied") / "copy"
    copy = write_portable(known.store.files(), folder)
    assert (copy.path, copy.partitions) == (folder, len(known.values))
    assert [path.name for path in folder.parent.iterdir()] == ["copy"]
    return folder


@pytest.mark.parametrize("engine", ENGINES)
def test_engines_have_the_same_sums(known: Known, copied: Path, engine: str) -> None:
    """Each engine that reads the copy by itself sums up what was stored, as NumPy does."""
    _same(OF_COPY[engine](copied), known)


@pytest.mark.parametrize("engine", OF_SCAN)
def test_engines_have_the_same_sums_of_a_scan(known: Known, engine: str) -> None:
    """Each engine that is given what ``store.scan`` gives sums up what was stored."""
    store = fstore.open(known.store.path)
    frames = [store.scan(layer, ckpt, "d") for ckpt, layer in known.values]
    _same(OF_SCAN[engine](pl.concat(frames)), known)


def test_the_stored_files_would_mislead(known: Known) -> None:
    """Without the copy or the scan, an engine counts fewer values: the NULLs of sparse layers."""
    files = known.store.files(layer="fire2/concat")
    table = pa.concat_tables(pq.ParquetFile(file.uri).read() for file in files)
    assert table["map"].combine_chunks().flatten().null_count > 0
    assert json.loads(pq.read_metadata(files[0].uri).metadata[b"fstore.null_means"]) == {
        "act_max": 0,
        "map": 0,
    }


def test_the_copy_says_that_it_has_no_null(copied: Path) -> None:
    """Footers of the copy name no column in which NULL stands for something, and none has any."""
    for path in copied.rglob("*.parquet"):
        assert json.loads(pq.read_metadata(path).metadata[b"fstore.null_means"]) == {}
        table = pq.ParquetFile(path).read()
        assert not any(column.null_count for column in table.columns)
        assert not table["map"].combine_chunks().flatten().null_count


def test_many_files_become_few(tmp_path: Path) -> None:
    """Files of one partition go into one of the copy, which has all their samples."""
    store = Store.create(tmp_path / "s")
    add_dataset(store)
    add_layers(store, "net", {"fc": (4, 1, 1)})
    add_checkpoint(store, "net", "5")
    x = relu(2, 6, 4, 1)
    for first in (0, 2, 4):
        partition = Partition("net", "5", "d", "image", "fc")
        put(store, partition, x[first : first + 2], sample_ids=[first, first + 1])
    seen: list[tuple[int, int]] = []
    copy = write_portable(
        store.files(),
        tmp_path / "copy",
        on_progress=lambda _what, done, total, _note: seen.append((done, total)),
    )
    assert (copy.files, copy.rows) == (1, 24)
    assert seen[:3] == [(1, 3), (2, 3), (3, 3)]
    rows = pl.scan_delta(str(copy.path)).sort("sample_id", "channel").collect()
    assert rows["act_max"].to_list() == x.ravel().tolist()
    assert rows["map"].list.first().to_list() == x.ravel().tolist()


def test_full_files_are_followed_by_others(
    known: Known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy in many row groups and files has the same sums."""
    monkeypatch.setattr("fstore.store.portable_files.GROUP_BYTES", 1)
    monkeypatch.setattr("fstore.store.portable_files.FILE_BYTES", 1)
    monkeypatch.setattr("fstore.store.portable_files._batch_rows", lambda _parquet: 7)
    copy = write_portable(known.store.files(), tmp_path / "copy")
    assert copy.files > 2 * copy.partitions
    _same(OF_COPY["pyarrow"](copy.path), known)


KILLED = """
import os, signal, sys
from pathlib import Path
from fstore.store import Store
from fstore.store.portable import write_portable
write_portable(
    Store.open(sys.argv[1]).files(), Path(sys.argv[2]),
    on_progress=lambda *_: os.kill(os.getpid(), signal.SIGKILL),
)
"""


def test_what_a_killed_run_left_goes(known: Known, tmp_path: Path) -> None:
    """The next run removes the folder of one that was killed, and none that is at work."""
    out = tmp_path / "copy"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(known.store.path), str(out)], check=False
    )
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    at_work = tmp_path / f"{left.name}-b"
    at_work.mkdir()
    with alone(at_work / "lock"):
        write_portable(known.store.files(), out)
    assert {path.name for path in tmp_path.iterdir()} == {"copy", at_work.name}


def test_a_wrong_file_leaves_nothing(tmp_path: Path) -> None:
    """Rows that differ from their committed checksum are not copied, and no folder is left."""
    store = Store.create(tmp_path / "s")
    add_dataset(store)
    add_layers(store, "net", {"fc": (4, 1, 1)})
    add_checkpoint(store, "net", "5")
    put(store, Partition("net", "5", "d", "image", "fc"), relu(2, 6, 4, 1), checksum=7)
    (tmp_path / "to").mkdir()
    with pytest.raises(StorageError, match="does not hold the rows"):
        write_portable(store.files(), tmp_path / "to" / "copy")
    assert list((tmp_path / "to").iterdir()) == []


def test_a_folder_that_is_there_is_kept(known: Known, tmp_path: Path) -> None:
    """An existing folder is refused."""
    with pytest.raises(StorageError, match="exists already"):
        write_portable(known.store.files(), tmp_path)
