"""Samples that cannot be read are noted with the data set, and forgotten with it."""

from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from fstore.errors import DataError
from fstore.store import Store
from fstore.store.maintenance import Selection, drop
from fstore.store.unreadable import noting_unreadable, unreadable


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give an empty store."""
    return Store.create(tmp_path / "s")


def bad(sample: int, dataset: str = "d", view: str = "image") -> dict[str, Any]:
    """Return what is told of a sample."""
    where = {"dataset": dataset, "view": view, "sample_id": sample}
    return {**where, "uri": f"{sample}.png", "reason": "truncated"}


def noted_on_disk(store: Store) -> list[tuple[str, str, int, str]]:
    """Return table ``unreadable`` as any program reads it that knows Delta."""
    rows = DeltaTable(str(store.path / "unreadable")).to_pyarrow_table().to_pylist()
    return sorted((r["dataset"], r["view"], r["sample_id"], r["reason"]) for r in rows)


def test_noted_once(store: Store) -> None:
    """What several runs could not read is noted once; other views and data sets are others."""
    for samples in ([bad(3), bad(5)], [], [bad(5), bad(5, view="gt"), bad(5, dataset="e")]):
        with noting_unreadable(store, samples):
            pass
    assert noted_on_disk(store) == [
        ("d", "gt", 5, "truncated"),
        ("d", "image", 3, "truncated"),
        ("d", "image", 5, "truncated"),
        ("e", "image", 5, "truncated"),
    ]
    assert unreadable(store) == {("d", "image"): {3, 5}, ("d", "gt"): {5}, ("e", "image"): {5}}


def fail(store: Store, samples: list[dict[str, Any]]) -> None:
    """Find two samples that cannot be read, and fail."""
    with noting_unreadable(store, samples):
        samples += [bad(1), bad(2)]
        raise DataError("too many")


def test_noted_by_a_run_that_fails(store: Store) -> None:
    """What was found by then is noted, and the error is raised as it is."""
    with pytest.raises(DataError, match="too many"):
        fail(store, [])
    assert unreadable(store) == {("d", "image"): {1, 2}}


def test_forgotten_with_the_data_set(store: Store) -> None:
    """A drop takes the notes along: another data set of that name is not taken for unreadable."""
    row = {"format": "voc", "task": "multi", "classes": ["a"], "root": "/r"}
    for name in "de":
        views = [
            {"view": view, "samples": 9, "manifest": "m", "labels": "l"}
            for view in ("image", "proposal")
        ]
        store.append("datasets", [{**row, "name": name, "views": views}])
    samples = [bad(1), bad(2, view="proposal"), bad(3, dataset="e")]
    with noting_unreadable(store, samples):
        pass
    drop(store.place, Selection(dataset="d", view="proposal"))
    assert unreadable(store) == {("d", "image"): {1}, ("e", "image"): {3}}
    drop(store.place, Selection(dataset="d"))
    assert unreadable(store) == {("e", "image"): {3}}
