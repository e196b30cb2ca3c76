"""Receptive fields get into a store by extraction, and for what is there by indexing."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fstore.extractor import receptive
from fstore.extractor.networks import Network, build_network
from fstore.extractor.receptive import find_fields
from fstore.store import Store
from fstore.store.field_files import forget_fields
from fstore.store.receptive import receptive_field, receptive_fields
from fstore.workflows.extract import run as extraction
from fstore.workflows.receptive import index_fields, note_fields
from test_extraction import SMALL, make_images, make_store

NET = "caffenet-mini"


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a store with twelve images and a checkpoint."""
    folder = tmp_path_factory.mktemp("fields")
    return make_store(folder / "store", make_images(folder / "images")).path


@pytest.fixture(scope="module")
def filled(empty: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the same with one layer extracted."""
    path = tmp_path_factory.mktemp("filled") / "store"
    shutil.copytree(empty, path)
    assert not fill(Store.open(path))
    return path


@pytest.fixture
def store(filled: Path, tmp_path: Path) -> Store:
    """Return a copy of the store with one layer extracted."""
    shutil.copytree(filled, tmp_path / "store")
    return Store.open(tmp_path / "store")


def fill(store: Store) -> list[str]:
    """Extract one layer; return what was said."""
    return extraction.extract(store, layers=["conv1"], ckpts=["random"], options=SMALL).notes


def test_extraction_stores_fields(store: Store) -> None:
    """After an extraction each layer on record has the field that the network has."""
    assert receptive_fields(store, NET) == find_fields(build_network(NET))


def test_indexing_stores_what_is_missing(store: Store) -> None:
    """Fields of a store that has none are computed without weights, and once only."""
    before = receptive_fields(store, NET)
    forget_fields(store.place, NET)
    assert index_fields(store) == len(before) > 3
    assert receptive_fields(store, NET) == before
    assert index_fields(store) == 0


def test_a_failure_is_said_once_and_fails_nothing(
    empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where fields cannot be found the extraction goes on, says so, and does not try again."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the code of this network is odd")

    shutil.copytree(empty, tmp_path / "store")
    store = Store.open(tmp_path / "store")
    monkeypatch.setattr(receptive, "find_fields", broken)
    (note,) = fill(store)
    assert "the code of this network is odd" in note
    assert receptive_field(store, NET, "conv1") is None
    assert len(store.rows("activations")) > 0
    assert note_fields(store, build_network(NET)) == (0, "")


def test_weights_that_are_no_numbers_leave_it_to_another_checkpoint(store: Store) -> None:
    """A diverged checkpoint does not make a network's fields unknown for good."""
    before = receptive_fields(store, NET)
    forget_fields(store.place, NET)
    network = build_network(NET)
    with torch.no_grad():
        next(network.model.parameters()).fill_(torch.nan)
    note_fields(store, network)
    note_fields(store, build_network(NET))
    assert receptive_fields(store, NET) == before


def test_code_that_changed_gives_no_field(store: Store) -> None:
    """A network that computes something else than what is stored has no fields there."""
    forget_fields(store.place, NET)
    network: Network = build_network(NET)
    count, note = note_fields(store, replace(network, code="edited"))
    assert count == 0
    assert "not what was stored" in note
    assert receptive_fields(store, NET) == {}


def test_networks_that_cannot_be_built_are_said(store: Store) -> None:
    """Indexing goes past a network whose code is gone, and says so."""
    row = store.rows("layers").to_pylist()[0]
    store.append("layers", [{**row, "network": "gone.py:net"}])
    forget_fields(store.place, NET)
    said: list[str] = []
    assert index_fields(store, say=said.append) > 0
    assert len(said) == 1
    assert "gone.py" in said[0]
