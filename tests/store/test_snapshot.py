"""A snapshot answers as the store did when it was first asked."""

from pathlib import Path

import pytest

from _build import Built, add_checkpoint, add_dataset, add_layers, build
from fstore.store import Store
from fstore.store.maintenance import Selection, drop
from fstore.store.snapshot import FrozenStore


@pytest.fixture
def built(tmp_path: Path) -> Built:
    """Build a small store."""
    return build(tmp_path / "s")


def answers(store: Store) -> list[object]:
    """Ask for everything that a snapshot remembers."""
    return [
        store.rows("layers").to_pylist(),
        store.rows("layers", network="net", layer="fc").to_pylist(),
        store.rows("splits", dataset="d").to_pylist(),
        store.files(),
        store.files(layer="fc"),
        store.datasets(),
        store.dataset("d"),
        store.checkpoints(),
        store.checkpoints("other"),
        store.samples("d", "image").to_pylist(),
        store.labels("d", "image").to_pylist(),
        store.splits("d", "image").to_pylist(),
    ]


def test_it_answers_as_the_store(built: Built) -> None:
    """A new snapshot and the store say the same."""
    assert answers(FrozenStore(built.store.place)) == answers(built.store)


def test_it_does_not_change(built: Built) -> None:
    """What was asked once stays, whatever is added or dropped; a new one sees it."""
    frozen = FrozenStore(built.store.place)
    before = answers(frozen)
    add_dataset(built.store, "e")
    add_layers(built.store, "other", {"fc": (2, 1, 1)})
    add_checkpoint(built.store, "other", "1")
    drop(built.store.place, Selection(layer="fc"))
    assert answers(frozen) == before
    assert answers(FrozenStore(built.store.place)) == answers(built.store) != before
