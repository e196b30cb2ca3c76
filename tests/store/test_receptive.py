"""Receptive fields in a store: read back, bound to the layer's definition, dropped with it."""

from dataclasses import replace
from pathlib import Path

import pytest

from fstore.errors import DataError
from fstore.fields import Field
from fstore.store import Store
from fstore.store.field_files import add_fields, without_field
from fstore.store.receptive import box_of, receptive_field, receptive_fields
from fstore.types import LayerSpec

REGULAR = Field(11, 7, 4, 2, -5, -3, input=64)
LISTED = Field(28, 28, 0, 0, 0, 0, input=56, rows=((0, 28), (28, 56)), columns=((0, 28), (28, 56)))
WHOLE = Field(64, 64, 0, 0, 0, 0, input=64, whole=True)
SPEC = LayerSpec("conv1", 4, 9, 9, "conv", 0, "one")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a store that knows a network's layers, and nothing else."""
    store = Store.create(tmp_path / "store")
    names = ("conv1", "a/b", "fc", "none")
    store.add_layers("lib:net", [replace(SPEC, name=n, order=i) for i, n in enumerate(names)])
    return store


def test_fields_are_read_back(store: Store) -> None:
    """Regular, listed and whole fields come back equal; one that was not found is None."""
    fields = {"conv1": REGULAR, "a/b": LISTED, "fc": replace(WHOLE, gated=True)}
    found = {layer: ("one", field) for layer, field in fields.items()}
    add_fields(store.place, "lib:net", {**found, "none": ("one", "no pixel reaches it")})
    assert receptive_fields(Store.open(store.path), "lib:net") == fields
    assert receptive_field(store, "lib:net", "none") is None
    assert without_field(store.place, "lib:net") == {}


def test_another_definition_makes_a_field_unknown(store: Store) -> None:
    """A field that was computed of another definition is not given, and is wanted anew."""
    add_fields(store.place, "lib:net", {"conv1": ("another", REGULAR), "fc": ("one", WHOLE)})
    assert receptive_field(store, "lib:net", "conv1") is None
    assert receptive_field(store, "lib:net", "fc") == WHOLE
    assert set(without_field(store.place, "lib:net")) == {"conv1", "a/b", "none"}


def test_fields_are_added_to_those_that_are_there(store: Store) -> None:
    """A second call keeps what it does not name."""
    add_fields(store.place, "lib:net", {"conv1": ("one", REGULAR)})
    add_fields(store.place, "lib:net", {"fc": ("one", WHOLE)})
    assert receptive_fields(store, "lib:net") == {"conv1": REGULAR, "fc": WHOLE}


def test_a_dropped_network_loses_its_fields(store: Store) -> None:
    """With the record of a network's layers go their fields, and those of no other network."""
    store.add_layers("other", [SPEC])
    for network in ("lib:net", "other"):
        add_fields(store.place, network, {"conv1": ("one", REGULAR)})
    store.drop(network="lib:net")
    store.add_layers("lib:net", [SPEC])
    assert receptive_field(store, "lib:net", "conv1") is None
    assert receptive_field(store, "other", "conv1") == REGULAR


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"conv1": 3}', '{"conv1": {"definition": "one", "field": {"size_h": "<b>"}}}'],
)
def test_a_damaged_file_is_as_none(store: Store, text: str) -> None:
    """What cannot be understood counts as not computed, and is written anew."""
    add_fields(store.place, "lib:net", {"conv1": ("one", REGULAR)})
    (key,) = (entry.key for entry in store.place.entries("fields"))
    store.place.write(key, text.encode())
    assert receptive_field(store, "lib:net", "conv1") is None
    add_fields(store.place, "lib:net", {"conv1": ("one", REGULAR)})
    assert receptive_field(store, "lib:net", "conv1") == REGULAR


def test_a_store_without_fields_opens(store: Store) -> None:
    """A store that an earlier fstore wrote has no such folder: nothing is known, nothing fails."""
    assert not list(store.place.entries("fields"))
    assert receptive_fields(store, "lib:net") == {}
    assert len(without_field(store.place, "lib:net")) == 4


def test_boxes() -> None:
    """A place's box is cut to the input, or not; one in the padding keeps a pixel."""
    assert box_of(REGULAR, 0, 0) == (0, 0, 4, 6)
    assert box_of(REGULAR, 0, 0, clip=False) == (-3, -5, 4, 6)
    assert box_of(REGULAR, 2, 10) == (17, 3, 24, 14)
    assert box_of(REGULAR, 40, 40) == (63, 63, 64, 64)
    assert box_of(LISTED, 1, 0) == (0, 28, 28, 56)
    assert box_of(WHOLE, 5, 7) == (0, 0, 64, 64)


def test_a_place_that_is_none_is_refused() -> None:
    """A row behind the last one of a list, and a negative one, are errors."""
    with pytest.raises(DataError, match="no row 2"):
        box_of(LISTED, 2, 0)
    with pytest.raises(DataError, match="no column -1"):
        box_of(REGULAR, 0, -1)


def test_a_field_as_a_text() -> None:
    """Size and stride, sides apart where they differ."""
    assert str(Field(163, 163, 16, 16, -64, -64, input=227)) == "163/16"
    assert str(REGULAR) == "11x7/4x2"
    assert [str(LISTED), str(WHOLE)] == ["to 28", "whole"]
