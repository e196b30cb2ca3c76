"""Splits and their parts: how they are written, and which samples they have."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from _build import PARTS
from fstore.errors import DataError, FstoreError, UnknownNameError
from fstore.store import Store
from fstore.store.parts import (
    PART_NAMES,
    Part,
    Samples,
    Split,
    default_split,
    is_there,
    part_samples,
    parts_of,
    sample_ids,
    splits_of,
    used_parts,
)
from fstore.types import DatasetManifest, SampleRecord, ViewManifest
from fstore.types import Split as Registered

NAMES = st.text(min_size=1).filter(
    lambda text: ":" not in text and not any(c.isspace() for c in text) and text not in PART_NAMES
)
SPLITS = st.builds(
    Split, st.sampled_from(["official", "random"]) | NAMES, st.integers(-9, 2**63 - 1)
)


def store_of(path: Path, **datasets: Sequence[Split]) -> Store:
    """Make a store of data sets with some splits; samples 0 and 1 train, 2 val, 3 to 5 test."""
    store = Store.create(path)
    samples = tuple(
        SampleRecord(f"i{n}", f"{n}.png", f"{n:032x}", 8, 8, {"a": 1}) for n in range(6)
    )
    for name, splits in datasets.items():
        own = tuple(Registered(s.name, s.seed, PARTS) for s in splits)  # type: ignore[arg-type]
        view = ViewManifest("image", samples, own)
        store.register_dataset(DatasetManifest(name, "single", ("a",), store.path / "x", (view,)))
    return store


@given(SPLITS)
def test_a_split_is_read_as_it_is_printed(split: Split) -> None:
    """What is printed of a split is read as that split."""
    assert Split.parse(str(split)) == split


@given(st.builds(Part, st.sampled_from(PART_NAMES), st.none() | SPLITS))
def test_a_part_is_read_as_it_is_printed(part: Part) -> None:
    """What is printed of a part is read as that part, with its split or without."""
    assert Part.parse(str(part)) == part


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("test", Part("test")),
        ("trainval", Part("trainval")),
        ("official:val", Part("val", Split("official", 0))),
        ("official:0:val", Part("val", Split("official", 0))),
        ("random:test", Part("test", Split("random", 0))),
        ("random:3:test", Part("test", Split("random", 3))),
        ("random:-1:train", Part("train", Split("random", -1))),
    ],
)
def test_forms_of_a_part(text: str, part: Part) -> None:
    """A part stands alone or after its split, whose seed is 0 unless it is there."""
    assert Part.parse(text) == part


@pytest.mark.parametrize(
    ("kind", "text", "error"),
    [
        (Split, "", DataError),
        (Split, "test", DataError),
        (Split, "random:", DataError),
        (Split, "random:x", DataError),
        (Split, "random:٣", DataError),
        (Split, "random:0:test", DataError),
        (Split, "random 0", DataError),
        (Split, f"random:{2**63}", DataError),
        (Split, "random:" + "9" * 40, DataError),
        (Part, "", UnknownNameError),
        (Part, "tset", UnknownNameError),
        (Part, "random:0", UnknownNameError),
        (Part, "random:0:tset", UnknownNameError),
        (Part, "a:b:c:test", DataError),
    ],
)
def test_other_forms_are_refused(
    kind: type[Split] | type[Part], text: str, error: type[FstoreError]
) -> None:
    """A text that names no split or part is refused, and told which forms there are."""
    with pytest.raises(error, match=r"a (split|part) is|64 bits|63 bits"):
        kind.parse(text)


def test_words_of_the_command_line() -> None:
    """The options of a split name it, those of a part its split and itself."""
    assert Split("random", 3).options() == ["--split", "random:3"]
    assert Split().options() == ["--split", "official"]
    assert Part("test").options() == ["--part", "test"]
    assert Part("test", Split()).options() == ["--split", "official", "--part", "test"]


RANDOM = [Split("random", seed) for seed in range(4)]


def test_the_default_split(tmp_path: Path) -> None:
    """It is the only one that data sets have, else official, also where they have none."""
    store = store_of(
        tmp_path / "s", none=[], only=[RANDOM[3]], both=[RANDOM[3], Split()], many=RANDOM[:2],
        other=RANDOM[1:3],
    )  # fmt: skip
    assert default_split(store, ["none"]) == Split()
    assert default_split(store, ["only"]) == RANDOM[3]
    assert default_split(store, ["both"]) == Split()
    assert default_split(store, ["both", "only"]) == RANDOM[3]
    assert default_split(store, ["many", "other"]) == RANDOM[1]
    with pytest.raises(
        UnknownNameError, match=r"'many' has no .* add: --split random:0; or --split random:1$"
    ):
        default_split(store, ["many"])
    assert splits_of(store, "both") == [Split(), RANDOM[3]]


def test_samples_of_a_part(tmp_path: Path) -> None:
    """A part has the samples that its split gives it; trainval those of both."""
    store = store_of(tmp_path / "s", d=[Split("random", 5)])
    assert part_samples(store, "d", view="image", part="test").tolist() == [3, 4, 5]
    assert part_samples(store, "d", view="image", part="random:5:trainval").tolist() == [0, 1, 2]
    val = Samples("d", "image", "random", 5, "val")
    assert sample_ids(store, val).tolist() == [2]
    assert is_there(store, val)
    assert not is_there(store, Samples("d", "image", "random", 4, "val"))
    assert not is_there(store, Samples("e", "image", "random", 5, "val"))
    assert parts_of(store, "d", split=Split("random", 5)) == {"train", "val", "test"}
    assert parts_of(store, "d", split=Split()) == set()


def test_parts_that_are_used(tmp_path: Path) -> None:
    """Of the parts that are wanted those are used that there are, each once."""
    store = store_of(tmp_path / "s", d=[Split()])
    used = used_parts(store, "d", split=Split(), wanted=["test", "trainval", "val", "none"])
    assert [s.part for s in used] == ["test", "train", "val"]
    assert used_parts(store, "d", split=RANDOM[0]) == []


def test_a_part_that_is_not_there(tmp_path: Path) -> None:
    """The error lists the parts that there are, and the options that choose one."""
    store = store_of(tmp_path / "s", d=[RANDOM[1], Split()], none=[])
    message = (
        "has no part 'random:0:val'; it has: official:train, official:val, official:test, "
        "random:1:train, random:1:val, random:1:test; choose one with: --split official --part val"
    )
    with pytest.raises(UnknownNameError, match=message):
        part_samples(store, "d", view="image", part="random:0:val")
    with pytest.raises(UnknownNameError, match=r"no part 'official:val'; it has: no split$"):
        part_samples(store, "none", view="image", part="val")
