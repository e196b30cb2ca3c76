"""Runs on record: a row for whatever way a run ends, and none that hides what ended it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from fstore.errors import DataError, StorageError
from fstore.store import Store
from fstore.store.runs import Run, append_run, listed_runs, recorded, replace_run


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give an empty store."""
    return Store.create(tmp_path / "s")


def rows_on_disk(store: Store) -> list[dict[str, Any]]:
    """Return table ``runs`` as any program reads it that knows Delta."""
    table = DeltaTable(str(store.path / "runs")).to_pyarrow_table()
    rows: list[dict[str, Any]] = table.sort_by("started_at").to_pylist()
    return rows


def test_a_run_that_ends(store: Store) -> None:
    """Its row has what was asked, what came of it, how long it took, and on which versions."""
    with recorded(store, "extract", {"layers": ("a", "b")}, libraries=["numpy"]) as run:
        run.samples, run.fingerprints = 7, {"net/5 d.image fc": "f"}
        time.sleep(0.05)
    (row,) = rows_on_disk(store)
    assert (row["kind"], row["exit"], row["message"]) == ("extract", "ok", "")
    assert row["run_id"] == run.run_id
    assert json.loads(row["parameters"]) == {"layers": ["a", "b"]}
    assert json.loads(row["fingerprints"]) == {"net/5 d.image fc": "f"}
    assert json.loads(row["versions"]).keys() == {"python", "fstore", "numpy"}
    assert (row["samples"], row["rows"], row["quarantined"]) == (7, None, [])
    assert 0.05 <= row["seconds"] < 30
    took = (row["finished_at"] - row["started_at"]).total_seconds()
    assert took == pytest.approx(row["seconds"], abs=1)  # two clocks, on a machine at work


def work(store: Store, error: BaseException, *, failure: str = "") -> None:
    """Do three samples and end with an error, after a part may have failed."""
    with recorded(store, "extract", {}) as run:
        run.samples = 3
        if failure:
            run.fail(failure)
        raise error


@pytest.mark.parametrize(
    ("error", "ended", "message"),
    [
        (DataError("no luck"), "failed", "DataError: no luck"),
        (ZeroDivisionError("of 1"), "failed", "ZeroDivisionError: of 1"),
        (SystemExit(3), "failed", "SystemExit: 3"),
        (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt"),
    ],
)
def test_a_run_that_does_not(store: Store, error: BaseException, ended: str, message: str) -> None:
    """An error is raised as it is; the row says failed or interrupted, and what it was."""
    with pytest.raises(type(error)):
        work(store, error)
    (row,) = rows_on_disk(store)
    assert (row["exit"], row["message"], row["samples"]) == (ended, message, 3)


def test_a_run_that_fails_in_part(store: Store) -> None:
    """What failed while the run went on to its end, or was ended later, makes it a failed one."""
    with recorded(store, "refresh", {}) as run:
        run.fail("table6: no luck")
    with pytest.raises(KeyboardInterrupt):
        work(store, KeyboardInterrupt(), failure="table7: no luck")
    told = [(row["exit"], row["message"]) for row in rows_on_disk(store)]
    assert told == [("failed", "table6: no luck"), ("failed", "table7: no luck")]


def test_a_run_that_nobody_waits_for(store: Store) -> None:
    """Work that is yielded piece by piece, and of which the rest is not wanted, is interrupted."""

    def pieces() -> Iterator[int]:
        with recorded(store, "refresh", {}) as run:
            for i in range(3):
                run.samples = i
                yield i

    work = pieces()
    next(work)
    assert rows_on_disk(store) == []
    del work
    (row,) = rows_on_disk(store)
    assert (row["exit"], row["samples"]) == ("interrupted", 0)


KILLED = """
import os, signal, sys
from fstore.store import Store
from fstore.store.runs import recorded
store = Store.open(sys.argv[1])
with recorded(store, "extract", {}):
    pass
with recorded(store, "extract", {}):
    os.kill(os.getpid(), int(sys.argv[2]))
"""


@pytest.mark.parametrize(("number", "left"), [(signal.SIGKILL, 1), (signal.SIGINT, 2)])
def test_a_run_that_is_killed(store: Store, number: int, left: int) -> None:
    """A run that is killed at once leaves no row; what was on record before stays."""
    words = [sys.executable, "-c", KILLED, str(store.path), str(number)]
    done = subprocess.run(words, check=False, capture_output=True, env={**os.environ})
    assert done.returncode != 0
    assert len(rows_on_disk(store)) == left


def test_a_store_that_fails(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the row cannot be written that is the error, unless the work itself had one."""

    def full(*_: object) -> None:
        raise StorageError("No space left")

    monkeypatch.setattr(Store, "append", full)
    with pytest.raises(StorageError, match="No space left"), recorded(store, "extract", {}):
        pass
    with pytest.raises(DataError, match="no luck"), recorded(store, "extract", {}):
        raise DataError("no luck")


def test_the_list(store: Store) -> None:
    """The latest comes first, of one kind or of all; a row that is replaced keeps its place."""
    for kind in ("extract", "schedule", "extract"):
        append_run(store, Run(kind, {"n": len(rows_on_disk(store))}))
    assert [row["parameters"]["n"] for row in listed_runs(store)] == [2, 1, 0]
    (scheduled,) = listed_runs(store, "schedule")
    assert scheduled["exit"] == "running"
    raw = next(row for row in rows_on_disk(store) if row["kind"] == "schedule")
    replace_run(store, {**raw, "exit": "ok"})
    assert [row["exit"] for row in listed_runs(store)] == ["running", "ok", "running"]
