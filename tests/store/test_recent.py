"""Rows that were read last are kept while nothing changed, and no longer."""

import threading

import pyarrow as pa
import pytest

from _build import add_dataset
from fstore.errors import StorageError
from fstore.store import Store
from fstore.store.recent import Recent

EIGHTY = pa.table({"x": pa.array(range(10), pa.int64())})  # 80 bytes


def test_a_key_is_read_once() -> None:
    """What is kept is not read again, and other keys are."""
    reads: list[str] = []

    def read(key: str) -> pa.Table:
        return recent.get(key, lambda: reads.append(key) or EIGHTY)  # type: ignore[func-returns-value]

    recent = Recent(most_bytes=1000)
    assert [read(key) for key in ("a", "a", "b", "a")] == [EIGHTY] * 4
    assert reads == ["a", "b"]


def test_the_oldest_go_first() -> None:
    """More bytes than are allowed are not kept: what was asked for longest ago is read again."""
    reads: list[int] = []
    recent = Recent(most_bytes=800)
    for key in [*range(10), 0, 10, 1, 0]:  # ten fit; 10 displaces 1
        recent.get(key, lambda k=key: reads.append(k) or EIGHTY)  # type: ignore[func-returns-value]
    assert reads == [*range(10), 10, 1]


def test_a_large_answer_is_not_kept() -> None:
    """An answer of more than an eighth of all would displace many."""
    recent, reads = Recent(most_bytes=600), []
    for _ in range(2):
        recent.get("a", lambda: reads.append(1) or EIGHTY)  # type: ignore[func-returns-value]
    assert len(reads) == 2


def test_threads_may_ask_at_once() -> None:
    """Each gets the rows of its key."""
    recent, wrong = Recent(most_bytes=8 * 80), []

    def ask(number: int) -> None:
        for i in range(300):
            key = (number + i) % 20
            rows = recent.get(key, lambda k=key: pa.table({"x": [k] * 10}))
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
