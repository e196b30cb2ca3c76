"""What a process keeps of a log is what the log says, whoever writes to it meanwhile."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction

from _build import put
from fstore.store import Store, appending
from fstore.store.files import Partition
from fstore.store.tables import read_log

PLACES = [Partition("n", "5", "d", "image", layer) for layer in ("conv1", "fire2/concat", "é %")]
VALUES = np.arange(8, dtype=np.float32).reshape(2, 2, 2)


def add(store: Store, first: int, *places: Partition) -> None:
    """Commit two samples to some partitions."""
    for place in places or PLACES:
        put(store, place, VALUES + first, sample_ids=[first, first + 1])


@pytest.fixture
def kept(tmp_path: Path) -> Store:
    """Return a store of three partitions whose log this process has read."""
    store = Store.create(tmp_path / "store")
    add(store, 0)
    assert len(store.files()) == 3
    return store


def library(store: Store) -> set[str]:
    """Return the files of the log as Delta's library reads it now."""
    return {file.rpartition("/")[2] for file in DeltaTable(store.path / "activations").file_uris()}


def sample_count(store: Store) -> int:
    """Count samples by SQL."""
    query = "SELECT count(DISTINCT (layer, sample_id)) AS n FROM activations WHERE network = 'n'"
    (n,) = store.sql(query).arrow()["n"].to_pylist()
    return int(n)


def by_another_process(store: Store) -> None:
    """Drop a partition, and extract again, as another fstore does."""
    program = (
        "import sys; sys.path[:0] = [sys.argv[2]]; from fstore.store import Store; "
        "from fstore.store.local import LocalPlace; from pathlib import Path; "
        "from test_log_state import *; store = Store(LocalPlace(Path(sys.argv[1]))); "
        "add(store, 2); add(store, 4, PLACES[1])"
    )
    tests = str(Path(__file__).parent)
    paths = f"import sys; sys.path[:0] = [{tests!r}, {str(Path(tests).parent)!r}]; "
    subprocess.run([sys.executable, "-c", paths + program, store.path, tests], check=True)


def by_delete(store: Store) -> None:
    """Delete a layer with another program."""
    DeltaTable(store.path / "activations").delete("layer = 'conv1'")


def by_compaction(store: Store) -> None:
    """Compact the files with another program, checkpoint the log and vacuum."""
    add(store, 2)
    table = DeltaTable(store.path / "activations")
    table.optimize.compact()
    table.create_checkpoint()
    table.vacuum(0, dry_run=False, enforce_retention_duration=False)


def by_restore(store: Store) -> None:
    """Go back to the first version that has rows."""
    add(store, 2)
    assert len(store.files()) == 6
    DeltaTable(store.path / "activations").restore(1)


def by_an_older_copy(store: Store) -> None:
    """Put an older copy of the table in its place, and write to that."""
    shutil.copytree(store.path, store.path.parent / "old")
    add(store, 2)
    assert len(store.files()) == 6
    shutil.rmtree(store.path)
    (store.path.parent / "old").rename(store.path)
    add(Store(store.place), 10, PLACES[0])


def by_settings(store: Store) -> None:
    """Change a setting of the table."""
    DeltaTable(store.path / "activations").alter.set_table_properties({"delta.appendOnly": "true"})


@pytest.mark.parametrize(
    ("change", "n_samples"),
    [
        (by_another_process, 14),
        (by_delete, 4),
        (by_compaction, 12),
        (by_restore, 2),
        (by_an_older_copy, 8),
        (by_settings, 6),
    ],
)
def test_others_are_seen(kept: Store, change: Callable[[Store], None], n_samples: int) -> None:
    """After any other writer, files and rows are those that the library finds in the log."""
    before = read_log(kept.place, "activations")
    sample_count(kept)
    change(kept)
    assert {file.name for file in kept.files()} == library(kept)
    assert sample_count(kept) == n_samples
    assert read_log(kept.place, "activations") is not before


def test_new_commits_are_read_as_the_library_reads_them(kept: Store) -> None:
    """A log that was read commit by commit has the rows of one that the library read at once."""
    from fstore.store.delta_log import log_entries

    for first in (2, 4):
        add(kept, first)
        read_log(kept.place, "activations")
    rows = log_entries(read_log(kept.place, "activations"))
    whole = log_entries(DeltaTable(kept.path / "activations"))
    assert rows.schema == whole.schema
    assert rows.sort_by("path").equals(whole.sort_by("path"))


def test_a_damaged_commit_is_refused(kept: Store) -> None:
    """A commit that was changed after its sum was noted is not read."""
    add(Store(kept.place), 2, PLACES[0])
    newest = max((kept.path / "activations" / "_delta_log").glob("*.json"))
    newest.write_bytes(newest.read_bytes().replace(b'"size":', b'"size":1'))
    with pytest.raises(Exception, match="was changed"):
        kept.files()


@pytest.fixture
def always_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write commits to short logs, too, without the library."""
    monkeypatch.setattr(appending, "LONG", 0)


@pytest.mark.usefixtures("always_ours")
def test_our_commits_are_delta(tmp_path: Path) -> None:
    """Commits that are written without the library are read by it, with statistics and versions."""
    store = Store.create(tmp_path / "store")
    add(store, 0)
    add(store, 2)
    table = DeltaTable(store.path / "activations")
    assert table.version() == 6
    assert {file.name for file in store.files()} == library(store)
    assert table.to_pyarrow_table().num_rows == 3 * 2 * 2 * 2
    assert sum(pa.table(table.get_add_actions())["num_records"].to_pylist()) == 24
    key = f"partition:{PLACES[0].folder}"
    assert table.transaction_version(key) == 4  # committed as versions 1 and 4
    assert table.history(1)[0]["operation"] == "WRITE"
    table.create_checkpoint()
    assert library(store) == {file.name for file in Store(store.place).files()}
    # the library's own commit of the same key follows, and ours after it
    once = CommitProperties(app_transactions=[Transaction(key, 9)])
    table = DeltaTable(store.path / "activations")
    table.create_write_transaction(
        [], "append", table.schema(), list(PLACES[0].values), commit_properties=once
    )
    add(store, 4)
    assert sample_count(store) == 18


@pytest.mark.usefixtures("always_ours")
def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    """Threads that commit to one long log at once all succeed, and each file is there once."""
    from concurrent.futures import ThreadPoolExecutor

    store = Store.create(tmp_path / "store")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: add(store, 2 * n, PLACES[n % 3]), range(12)))
    assert len(library(store)) == 12
    assert sample_count(store) == 24


@pytest.mark.usefixtures("always_ours")
def test_the_library_writes_when_a_checkpoint_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each hundredth commit leaves a checkpoint, which is noted among the sums."""
    from fstore.store import sums

    store = Store.create(tmp_path / "store")
    add(store, 0, PLACES[0])
    log = read_log(store.place, "activations")
    assert appending.is_ours(log)
    monkeypatch.setattr(appending, "CHECKPOINT", log.version + 2)
    assert not appending.is_ours(log)
    monkeypatch.undo()
    monkeypatch.setattr(appending, "LONG", 0)
    for n in range(1, 99):
        put(store, PLACES[0], VALUES[:1], sample_ids=[2 * n])
    names = [f for f in sums.noted(store.place, "activations") if ".checkpoint" in f]
    assert names == [f"_delta_log/{99:020d}.checkpoint.parquet"]


@pytest.mark.usefixtures("always_ours")
def test_an_answer_that_was_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that was made, and of which the place says that it was not, keeps its files."""
    store = Store.create(tmp_path / "store")
    add(store, 0, PLACES[0])
    place = type(store.place)
    create = place.create
    monkeypatch.setattr(place, "create", lambda *a: create(*a) and False)
    add(store, 2, PLACES[0])
    monkeypatch.undo()
    assert [Path(file.uri).exists() for file in store.files()] == [True, True]
    assert sample_count(store) == 4
