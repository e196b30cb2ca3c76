"""Which samples a question is about, and what they show."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from _build import add_dataset
from fstore.errors import DataError, UnknownNameError
from fstore.queries.samples.labels import class_names, label_matrix
from fstore.store import Store
from fstore.store.parts import Samples, sample_ids
from fstore.types import Box, DatasetManifest, SampleRecord, Split, ViewManifest

BOX: Box = (1.0, 1.0, 4.0, 4.0)


@pytest.fixture
def boxes(tmp_path: Path) -> Store:
    """Return a store with a view gt of four boxes, the second flagged difficult."""
    store = Store.create(tmp_path / "s")
    labels: list[Mapping[str, int]] = [{"a": 1}, {"a": 0}, {"b": 1}, {"b": 1, "a": 0}]
    samples = tuple(
        SampleRecord(f"i{n}", "0.png", f"{n:032x}", 8, 8, dict(own), box=BOX, difficult=n == 1)
        for n, own in enumerate(labels)
    )
    view = ViewManifest("gt", samples, (Split("official", 0, ("train", "train", "val", "test")),))
    store.register_dataset(DatasetManifest("d", "multi", ("a", "b", "c"), tmp_path, (view,)))
    return store


def test_difficult_boxes(boxes: Store) -> None:
    """Boxes flagged difficult are left out unless asked for."""
    train = Samples("d", "gt", "official", 0, "train")
    assert sample_ids(boxes, train).tolist() == [0]
    assert sample_ids(boxes, train, difficult=True).tolist() == [0, 1]


def test_label_matrix(boxes: Store) -> None:
    """1 present, 0 difficult only, -1 absent; columns follow the classes that are asked for."""
    ids = np.array([0, 1, 3])
    found = label_matrix(boxes, "d", "gt", ids=ids, classes=("b", "a", "c"))
    assert found.tolist() == [[-1, 1, -1], [-1, 0, -1], [1, 0, -1]]


def test_samples_differ_from_labels(boxes: Store) -> None:
    """A sample that the view does not have is an error that names it."""
    with pytest.raises(UnknownNameError, match=r"\[9\] are not in view 'gt'"):
        label_matrix(boxes, "d", "gt", ids=np.array([0, 9]), classes=("a",))


def test_classes_of_several_sets(boxes: Store) -> None:
    """Data sets are used as one only if they have the same classes."""
    assert class_names(boxes, ["d", "d"]) == ("a", "b", "c")
    add_dataset(boxes, "e")
    with pytest.raises(DataError, match="only one of them has class c"):
        class_names(boxes, ["d", "e"])


def test_difficult_boxes_that_are_kept(boxes: Store) -> None:
    """A difficult box that is kept shows its class; what others show as difficult stays 0."""
    found = label_matrix(boxes, "d", "gt", ids=np.arange(4), classes=("a", "b"), difficult=True)
    assert found.tolist() == [[1, -1], [1, -1], [-1, 1], [0, 1]]
