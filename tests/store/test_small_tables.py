"""Files of small tables put together: the same rows, and who adds meanwhile goes on."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from deltalake import DeltaTable

from _build import add_checkpoint, build
from _cli import run
from fstore.errors import StorageError
from fstore.store import Store, small_tables
from fstore.store.small_tables import FEW_FILES, compact_tables, plan_tables

MANY = FEW_FILES + 4


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Make a store with a file of table checkpoints a checkpoint."""
    made = build(tmp_path / "s", ()).store
    for i in range(MANY):
        add_checkpoint(made, "net", f"c{i}")
    return made


def named(store: Store) -> list[str]:
    """Return the names of checkpoints, as another program reads them."""
    table = DeltaTable(str(store.path / "checkpoints")).to_pyarrow_table(columns=["name"])
    return sorted(table["name"].to_pylist())


def test_rows_are_the_same_in_one_file(store: Store) -> None:
    """All rows are in one file, in the order in which they were added, and verify finds nothing."""
    before = store.rows("checkpoints").to_pylist()
    assert plan_tables(store.place) == {"checkpoints": (MANY, 1)}
    assert compact_tables(store.place) == {"checkpoints": (MANY, 1)}
    after = Store.open(store.path).rows("checkpoints").to_pylist()
    assert sorted(after, key=str) == sorted(before, key=str)
    assert len(DeltaTable(str(store.path / "checkpoints")).file_uris()) == 1
    assert list(store.verify()) == []
    assert compact_tables(store.place) == {}


def test_a_damaged_file_gets_no_new_sum(store: Store) -> None:
    """A file that is not what was committed is named, and nothing is written again."""
    path = next((store.path / "checkpoints").glob("*.parquet"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(StorageError, match=path.name):
        compact_tables(Store.open(store.path).place)
    assert len(DeltaTable(str(store.path / "checkpoints")).file_uris()) == MANY


def _compact_now(store: Store) -> None:
    """Put files together however few there are."""
    small_tables._compact(store.place, "checkpoints")


def test_others_add_meanwhile(store: Store) -> None:
    """Rows that others append while files are put together are there once."""

    def add() -> None:
        for i in range(12):
            add_checkpoint(store, "net", f"d{i}")

    with ThreadPoolExecutor(1) as thread:
        adding = thread.submit(add)
        while not adding.done():
            _compact_now(store)
        adding.result()
    assert named(store) == sorted([f"c{i}" for i in range(MANY)] + [f"d{i}" for i in range(12)])


def test_the_command_does_tables_where_none_is_chosen(store: Store) -> None:
    """The command says what it does to tables, and does them only where nothing is chosen."""
    line = f"table checkpoints: {MANY} files"
    assert f"{line} would become 1" in run(store, "compact", "--dry-run").stderr
    assert f"{line} are now 1" in run(store, "compact").stderr
    assert named(store) == sorted(f"c{i}" for i in range(MANY))
    assert "table" not in run(store, "compact").stderr
