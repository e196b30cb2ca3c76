"""A statement's time, its files on disk, and values that Python has not."""

import threading
import time
from datetime import datetime
from pathlib import Path

import pytest

from fstore.errors import DataError, QueryError, UnknownNameError
from fstore.names import check_storable
from fstore.store import Store
from fstore.store.interrupt import SPILL_BYTES, Limit, interruptible

LONG = "SELECT count(*) FROM range(1000000000) a, range(1000000) b"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Make an empty store."""
    return Store.create(tmp_path_factory.mktemp("limits") / "s")


@pytest.mark.parametrize("read", ["arrow", "rows", "polars"])
def test_a_statement_has_a_limit(store: Store, read: str) -> None:
    """With a timeout, a statement that goes on is stopped, and the session answers the next one."""
    began = time.monotonic()
    with pytest.raises(QueryError, match=r"stopped after 0\.5 s"):
        list(getattr(store.sql(LONG, timeout=0.5), read)())
    assert time.monotonic() - began < 5
    assert list(store.sql("SELECT 1 AS a", timeout=60).rows()) == [{"a": 1}]


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_no_limit(store: Store, seconds: float) -> None:
    """A limit that is no number of seconds above 0 is refused."""
    with pytest.raises(QueryError, match="no number of seconds above 0"):
        store.sql("SELECT 1", timeout=seconds)


def test_an_interruption_cancels_the_call() -> None:
    """What is raised where one waits, as Ctrl-C does, cancels the call and goes on."""
    cancelled = threading.Event()

    class Never(Limit):
        @property
        def left(self) -> float | None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interruptible(lambda: cancelled.wait(10), cancelled.set, Never(None))
    assert cancelled.is_set()


def test_the_disk_is_limited(store: Store, tmp_path: Path) -> None:
    """DuckDB may put 16 GB at most on disk, in a folder that is not the caller's."""
    rows = store.sql(
        "SELECT name, value FROM duckdb_settings() "
        "WHERE name IN ('temp_directory', 'max_temp_directory_size')"
    ).rows()
    found = {row["name"]: row["value"] for row in rows}
    assert "fstore-sql-" in found["temp_directory"]
    number, unit = found["max_temp_directory_size"].split()
    size = float(number) * {"MiB": 2**20, "GiB": 2**30}[unit]
    assert 0 < size <= SPILL_BYTES
    assert str(tmp_path) not in found["temp_directory"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("TIMESTAMP 'infinity'", "infinity"),
        ("TIMESTAMPTZ '-infinity'", "-infinity"),
        ("DATE 'infinity'", "infinity"),
        ("DATE '12000-01-01'", "12000-01-01"),
        ("TIMESTAMP '12000-01-01 10:00:00'", "12000-01-01T10:00:00.000000"),
        ("[TIMESTAMP_S 'infinity']", ["infinity"]),
        ("{'a': DATE '12000-01-01'}", {"a": "12000-01-01"}),
        ("MAP {'k': DATE 'infinity'}", [("k", "infinity")]),
        ("TIMESTAMP '2026-01-02 03:04:05'", datetime(2026, 1, 2, 3, 4, 5)),  # noqa: DTZ001
    ],
)
def test_times_that_python_has_not(store: Store, text: str, value: object) -> None:
    """A time or date beyond Python's is text, wherever it stands; others are as ever."""
    assert list(store.sql(f"SELECT {text} AS a").rows()) == [{"a": value}]


@pytest.mark.parametrize("text", ["'1'::UHUGEINT", "'101'::BIT", "['1'::UHUGEINT]"])
def test_types_that_change_on_the_way(store: Store, text: str) -> None:
    """A type whose values come out as others is refused, with the way out."""
    with pytest.raises(QueryError, match="cast it"):
        store.sql(f"SELECT {text} AS a")


def test_columns_that_are_not_there(store: Store) -> None:
    """A table or column that is not there is named, with those there are."""
    with pytest.raises(UnknownNameError, match="no table 'nope'; there are: datasets"):
        store.rows("nope")
    with pytest.raises(UnknownNameError, match="table 'runs' has no column 'x'; it has: run_id"):
        store.rows("runs", x="1")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("x" * 300, "takes 300 bytes"),
        ("\u00fc" * 40, "takes 240 bytes"),
        ("a\x00b", "control character"),
        ("a\nb", "control character"),
        ("\udcff", "no UTF-8"),
        (" ", "needs a name"),
    ],
)
def test_names_that_cannot_be_stored(name: str, why: str) -> None:
    """A name that no folder can have is refused before anything is written."""
    with pytest.raises(DataError, match=why):
        check_storable(name, "data set")
    assert check_storable("x" * 200, "data set") == "x" * 200
