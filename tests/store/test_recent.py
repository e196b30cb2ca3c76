"""Rows that were read last are kept while nothing changed, and no longer."""

import threading
from functools import partial

import pyarrow as pa
import pytest

from _build import add_dataset
from fstore.errors import StorageError
from fstore.store import Store
from fstore.store.recent import LEAST_BYTES, Recent

SMALL = pa.table({"x": [1]})  # counts for LEAST_BYTES
LARGE = pa.table({"x": pa.array(range(LEAST_BYTES), pa.int64())})


class Counted:
    """Rows that note when they are read."""

    def __init__(self, rows: pa.Table = SMALL) -> None:
        self.rows, self.reads = rows, list[object]()

    def get(self, recent: Recent, key: object) -> pa.Table:
        """Ask for the rows of a key."""

        def read() -> pa.Table:
            self.reads.append(key)
            return self.rows

        return recent.get(key, read)


def test_a_key_is_read_once() -> None:
    """What is kept is not read again, and other keys are."""
    rows, recent = Counted(), Recent(most_bytes=10 * LEAST_BYTES)
    assert [rows.get(recent, key) for key in ("a", "a", "b", "a")] == [SMALL] * 4
    assert rows.reads == ["a", "b"]


def test_the_oldest_go_first() -> None:
    """More than is allowed is not kept: what was asked for longest ago is read again."""
    rows, recent = Counted(), Recent(most_bytes=10 * LEAST_BYTES)
    for key in [*range(10), 0, 10, 1, 0]:  # ten fit; 10 displaces 1
        rows.get(recent, key)
    assert rows.reads == [*range(10), 10, 1]


def test_a_large_answer_is_not_kept() -> None:
    """An answer of more than an eighth of all would displace many."""
    rows, recent = Counted(LARGE), Recent(most_bytes=10 * LEAST_BYTES)
    assert [rows.get(recent, "a").num_rows for _ in range(2)] == [LEAST_BYTES] * 2
    assert rows.reads == ["a", "a"]


def test_threads_may_ask_at_once() -> None:
    """Each gets the rows of its key."""
    recent, wrong = Recent(most_bytes=8 * LEAST_BYTES), []

    def ask(number: int) -> None:
        for i in range(300):
            key = (number + i) % 20
            rows = recent.get(key, partial(pa.table, {"x": [key] * 10}))
            if rows["x"][0].as_py() != key:
                wrong.append(key)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_commit_is_seen(empty: Store) -> None:
    """Rows of another process, here of another object, are seen at once."""
    add_dataset(empty, "d")
    assert [d.name for d in empty.datasets()] == ["d"]
    add_dataset(Store.open(empty.path), "e")
    assert [d.name for d in empty.datasets()] == ["d", "e"]
    assert len(empty.labels("e", "image")) == 6


def test_damage_is_told_though_rows_are_kept(empty: Store) -> None:
    """A file that changed since it was read is refused as before."""
    add_dataset(empty, "d")
    empty.labels("d", "image")
    path = next((empty.path / "labels").rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(StorageError, match="damaged"):
        empty.labels("d", "image")
