"""Stores of older versions are opened, and lose nothing."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError

from _build import add_dataset
from fstore.errors import StorageError
from fstore.store import Store
from fstore.store import upgrade as upgrade_module
from fstore.store.local import LocalPlace
from fstore.store.schema import SCHEMA_VERSION, TABLES
from fstore.store.upgrade import upgrade

NOW = datetime(2026, 11, 1, tzinfo=UTC)
LATER = ("seconds", "draws")
"""Columns that reports of version 1 lack."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Make a store as version 1 wrote it: reports of fewer columns, no table ``refreshes``."""
    root = Store.create(tmp_path / "s").path
    for name in ("reports", "refreshes"):
        shutil.rmtree(root / name)
    shutil.rmtree(root / "sums")
    schema = pa.schema([f for f in TABLES["reports"].schema if f.name not in LATER])
    place = str(root / "reports")
    DeltaTable.create(place, schema, configuration={"delta.dataSkippingNumIndexedCols": "0"})
    for i in range(2):
        add_old_row(root, i)
    (root / "fstore.json").write_text('{"schema_version": 1}\n')
    return root


def add_old_row(root: Path, i: int) -> None:
    """Add a row as version 1 did."""
    schema = pa.schema([f for f in TABLES["reports"].schema if f.name not in LATER])
    row = {**dict.fromkeys(schema.names, "x"), "value": float(i), "std": None, "n": i}
    rows = pa.Table.from_pylist([{**row, "computed_at": NOW}], schema=schema)
    write_deltalake(str(root / "reports"), rows, mode="append")


NEW = {"datasets": "proposals", "runs": "seconds", "reports": "draws"}
"""What version 2 had no column for."""


def as_version_2(root: Path) -> None:
    """Make a store as version 2 wrote it: how proposals were found stood in a run's row only."""
    shutil.rmtree(root / "sums")
    shutil.rmtree(root / "unreadable")
    for name, column in NEW.items():
        place = str(root / name)
        rows = DeltaTable(place).to_pyarrow_table().drop_columns([column])
        shutil.rmtree(place)
        DeltaTable.create(
            place, rows.schema, configuration={"delta.dataSkippingNumIndexedCols": "0"}
        )
        write_deltalake(place, rows, mode="append")
    (root / "fstore.json").write_text('{"schema_version": 2}\n')


def test_how_proposals_were_found(tmp_path: Path) -> None:
    """What a run on record told stands beside the proposals; the last run of these very ones.

    Where no run tells it, and where there are no proposals, nothing does.
    """
    store = Store.create(tmp_path / "s")
    names = ("searched", "unknown", "bare")
    views = {"searched": ("image", "proposal"), "unknown": ("proposal",), "bare": ("image",)}
    for name in names:
        held = [{"view": v, "samples": 1, "manifest": v + name, "labels": "l"} for v in views[name]]
        row = {"name": name, "format": "voc", "task": "multi", "classes": ["a"], "root": "/r"}
        store.append("datasets", [{**row, "views": held, "registered_at": NOW}])

    def ran(hour: int, manifest: str, ended: str, method: str) -> None:
        told = {"dataset": "searched", "identity": {"method": method}, "added": {"kept": hour}}
        row = {"run_id": str(hour), "kind": "proposals", "exit": ended, "started_at": NOW}
        row |= {"finished_at": NOW.replace(hour=hour), "parameters": json.dumps(told)}
        prints = json.dumps({"searched.proposal": manifest})
        store.append("runs", [{**row, "fingerprints": prints}])

    ran(1, "proposalsearched", "ok", "components")
    ran(3, "proposalsearched", "ok", "selective-search")
    ran(2, "proposalsearched", "ok", "components")
    ran(4, "proposalsearched", "failed", "components")
    ran(5, "of an earlier search", "ok", "components")
    as_version_2(store.path)
    opened = Store.open(store.path)
    found = {"identity": {"method": "selective-search"}, "added": {"kept": 3}}
    assert {d.name: d.proposals for d in opened.datasets()} == {
        "searched": found, "unknown": {}, "bare": {}
    }  # fmt: skip
    rows = DeltaTable(str(store.path / "datasets")).to_pyarrow_table().to_pylist()
    assert sorted((r["name"], len(r["views"]), bool(r["proposals"])) for r in rows) == [
        ("bare", 1, False), ("searched", 2, True), ("unknown", 1, False)
    ]  # fmt: skip
    assert opened.rows("runs").num_rows == 5
    assert opened.rows("runs")["seconds"].null_count == 5
    assert json.loads((store.path / "fstore.json").read_text()) == {
        "schema_version": SCHEMA_VERSION
    }


def test_what_cannot_be_read(tmp_path: Path) -> None:
    """Samples that runs on record could not read are noted, each once, whatever became of the run.

    Not those of a data set that is gone: another one may be given its name. A second upgrade, after
    one that was killed, adds nothing.
    """
    store = Store.create(tmp_path / "s")
    add_dataset(store, "d")
    for i, (ended, ids) in enumerate((("ok", (3, 5)), ("failed", (5, 8)), ("ok", ()))):
        bad = [
            {"dataset": name, "view": "image", "sample_id": n, "uri": f"{n}.png", "reason": "cut"}
            for name in ("d", "gone")
            for n in ids
        ]
        row = {"run_id": str(i), "kind": "extract", "exit": ended, "finished_at": NOW}
        store.append("runs", [{**row, "quarantined": bad or None}])
    as_version_2(store.path)
    upgrade(store.place)  # all but the last step, the marker
    Store.open(store.path)
    rows = DeltaTable(str(store.path / "unreadable")).to_pyarrow_table().to_pylist()
    told = sorted((r["dataset"], r["view"], r["sample_id"], r["uri"], r["reason"]) for r in rows)
    assert told == [("d", "image", n, f"{n}.png", "cut") for n in (3, 5, 8)]
    assert {row["noted_at"] for row in rows} == {NOW}


def test_rows_are_kept(old: Path) -> None:
    """Every row is there after the upgrade, NULL in the new column, in Arrow and in SQL."""
    store = Store.open(old)
    assert json.loads((old / "fstore.json").read_text()) == {"schema_version": SCHEMA_VERSION}
    rows = store.rows("reports").sort_by("value").to_pylist()
    assert [(r["value"], r["n"], r["inputs"], r["seconds"]) for r in rows] == [
        (0.0, 0, "x", None),
        (1.0, 1, "x", None),
    ]
    (counted,) = store.sql(
        "SELECT count(*) AS n, count(seconds) + count(draws) AS new FROM reports"
    ).rows()
    assert counted == {"n": 2, "new": 0}
    assert store.rows("refreshes").num_rows == 0


def test_rows_are_added(old: Path) -> None:
    """New rows stand beside old ones."""
    store = Store.open(old)
    store.append("reports", [{"study": "a", "value": 2.0, "seconds": 0.5}])
    (found,) = store.sql("SELECT count(*) AS n, sum(seconds) AS s FROM reports").rows()
    assert found == {"n": 3, "s": 0.5}
    assert Store.open(old).rows("reports").num_rows == 3


def test_reports_of_version_3(tmp_path: Path) -> None:
    """Cells that version 3 stored are there, without draws; new ones have them."""
    store = Store.create(tmp_path / "s")
    store.append("reports", [{"study": "a", "value": 1.0}])
    rows = DeltaTable(str(store.path / "reports")).to_pyarrow_table().drop_columns(["draws"])
    shutil.rmtree(store.path / "reports")
    shutil.rmtree(store.path / "sums")
    write_deltalake(str(store.path / "reports"), rows)
    (store.path / "fstore.json").write_text('{"schema_version": 3}\n')
    opened = Store.open(store.path)
    opened.append("reports", [{"study": "a", "value": 2.0, "draws": [1.5, 2.5]}])
    found = opened.rows("reports").sort_by("value").to_pylist()
    assert [(r["value"], r["draws"]) for r in found] == [(1.0, None), (2.0, [1.5, 2.5])]


def test_an_upgrade_that_was_killed(old: Path) -> None:
    """What an upgrade has done before it was killed is not done again."""
    upgrade(LocalPlace(old))  # all but the last step, the marker
    version = DeltaTable(str(old / "reports")).version()
    assert Store.open(old).rows("reports").num_rows == 2
    assert DeltaTable(str(old / "reports")).version() == version


def test_a_store_that_cannot_be_written(old: Path) -> None:
    """A damaged table of an old store is a named error, and the store stays an old one."""
    shutil.rmtree(old / "reports" / "_delta_log")
    with pytest.raises(StorageError, match="cannot upgrade table 'reports'"):
        Store.open(old)
    assert json.loads((old / "fstore.json").read_text()) == {"schema_version": 1}


def test_an_older_process_that_is_at_work(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that an older process adds while the table is rewritten are kept, and SQL reads them."""
    widened = upgrade_module._widened

    def meanwhile(delta: DeltaTable, name: str) -> pa.Table:
        monkeypatch.undo()
        found = widened(delta, name)
        add_old_row(old, 7)
        return found

    monkeypatch.setattr(upgrade_module, "_widened", meanwhile)
    store = Store.open(old)
    (counted,) = store.sql("SELECT sum(value) AS v, count(seconds) AS new FROM reports").rows()
    assert counted == {"v": 8.0, "new": 0}
    assert sorted(store.rows("reports")["value"].to_pylist()) == [0, 1, 7]


def test_an_upgrade_that_others_are_always_quicker_than(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the table cannot be rewritten that is a named error, and the store stays an old one."""

    def quicker(*_: object) -> pa.Table:
        raise CommitFailedError

    monkeypatch.setattr(upgrade_module, "_widened", quicker)
    with pytest.raises(StorageError, match="table 'reports': 100 commits in a row met another"):
        Store.open(old)
    assert json.loads((old / "fstore.json").read_text()) == {"schema_version": 1}


def test_two_upgrades_at_once(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the first, and rewrites nothing: rows added by then stay."""
    widened, begun, waits = upgrade_module._widened, Event(), Event()

    def slow(delta: DeltaTable, name: str) -> pa.Table:
        begun.set()
        waits.wait(0.5)
        return widened(delta, name)

    monkeypatch.setattr(upgrade_module, "_widened", slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(Store.open, old)
        assert begun.wait(60)
        second = pool.submit(Store.open, old)
        first.result()
        second.result()
    changes = [entry["operation"] for entry in DeltaTable(str(old / "reports")).history()]
    assert len(changes) == 4  # made, two rows, one upgrade
