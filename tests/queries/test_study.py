"""A study file is read strictly, kept in the store, and checked against its names."""

from pathlib import Path

import pytest

from _build import build
from fstore.errors import DataError, UnknownNameError
from fstore.queries.study import (
    Bound,
    load_study,
    parse_study,
    set_study,
    study_rows,
    study_text,
    unknown_names,
)
from fstore.store import Store

SMALL = """
name = "small"
network = "net"
layers = ["conv1", "fc"]
seeds = [3, 4]
sweep = ["5", "15"]
pretrained = "5"

[classification]
dataset = "d"

[scenes]
dataset = "e"
split = "random"
"""
STUDIES = Path(__file__).parents[2] / "study"


def test_read() -> None:
    """Every key lands where it belongs; random splits take the study's seeds."""
    study = parse_study(SMALL)
    assert (study.name, study.network, study.layers) == ("small", "net", ("conv1", "fc"))
    assert study.classification == (Bound("d", "official", (0,)),)
    assert study.scenes == (Bound("e", "random", (3, 4)),)
    assert (study.sweep, study.pretrained, study.finetuned) == (("5", "15"), "5", None)


def test_role_of_several_data_sets() -> None:
    """A role may bind a list of data sets and splits."""
    head = SMALL.split("[classification]", maxsplit=1)[0]
    more = (
        '[[detection]]\ndataset = "a"\n[[detection]]\ndataset = "b"\nsplit = "random"\nseeds = [7]'
    )
    bounds = parse_study(head + more).detection
    assert bounds == (Bound("a"), Bound("b", "random", (7,)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("network =", "netwerk ="), "x.toml: unknown key 'netwerk'; there are: name, network"),
        (('name = "small"\n', ""), "x.toml: key 'name' is missing"),
        (('["conv1", "fc"]', '"conv1"'), 'x.toml: layers must be a list like ["a", "b"]'),
        (("[3, 4]", "3"), "x.toml: seeds must be a list like [0, 1, 2], got 3"),
        (("[3, 4]", "[true]"), "x.toml: seeds must be a list"),
        (('"5"\n', "5\n"), "x.toml: pretrained must be text in quotes, got 5"),
        (('dataset = "d"', ""), "x.toml: classification: key 'dataset' is missing"),
        (('dataset = "d"', 'data = "d"'), "x.toml: classification: unknown key 'data'"),
        (('[classification]\ndataset = "d"', ""), ""),
        (("[classification]", "[[[classification]"), "x.toml is not TOML"),
    ],
)
def test_mistakes_are_named(change: tuple[str, str], message: str) -> None:
    """An unknown key, a missing key and a wrong type are each named with their place."""
    text = SMALL.replace(*change)
    if not message:
        assert parse_study(text).classification == ()
        return
    with pytest.raises(DataError) as caught:
        parse_study(text, source="x.toml")
    assert message in str(caught.value)


def test_unbound_parts_are_named() -> None:
    """A report that needs a part which is not bound says which, and how to bind it."""
    study = parse_study(SMALL)
    with pytest.raises(DataError, match="says nothing of 'finetuned'"):
        study.checkpoint("finetuned")
    with pytest.raises(DataError, match=r"add \[detection\] with dataset"):
        study.bound("detection")


def test_newest_wins(tmp_path: Path) -> None:
    """The study set last is the current one; an older one is there by its name."""
    store = Store.create(tmp_path / "s")
    with pytest.raises(UnknownNameError, match="fstore study set FILE"):
        load_study(store)
    set_study(store, SMALL)
    other = SMALL.replace('"small"', '"other"')
    set_study(store, other)
    set_study(store, other.replace('"5", "15"', '"25"'))
    assert (load_study(store).name, load_study(store).sweep) == ("other", ("25",))
    assert load_study(store, "small").sweep == ("5", "15")
    assert study_text(store, "small") == SMALL
    with pytest.raises(UnknownNameError, match="there are: other, small"):
        load_study(store, "third")


def test_a_bad_study_is_not_kept(tmp_path: Path) -> None:
    """A file with a mistake changes nothing."""
    store = Store.create(tmp_path / "s")
    with pytest.raises(DataError):
        set_study(store, "name = 1")
    assert store.rows("studies").num_rows == 0


def test_unknown_names(tmp_path: Path) -> None:
    """Names that the store lacks are listed, those that it has are not."""
    store = build(tmp_path / "s").store
    text = SMALL.replace('"fc"]', '"fc9"]') + '[detection]\ndataset = "d"\nsplit = "random"'
    assert unknown_names(store, parse_study(text)) == [
        "detection: data set 'd' has no random split with seed 3",
        "detection: data set 'd' has no random split with seed 4",
        "scenes: no data set 'e' is registered",
        "network 'net' has no checkpoint 15",
        "network 'net' has no layer fc9 on record",
    ]


def test_rows() -> None:
    """Rows say each part that is bound, in words."""
    rows = {row["role"]: row["value"] for row in study_rows(parse_study(SMALL))}
    assert rows["seeds"] == [3, 4]
    assert rows["scenes"] == ["e, random split (seeds 3, 4)"]
    assert "finetuned" not in rows


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.toml")), ids=lambda p: p.stem)
def test_studies_of_the_project(path: Path) -> None:
    """The study files that come with fstore are in order and carry their file's name."""
    study = parse_study(path.read_text(), source=str(path))
    assert study.name == path.stem
    assert not study.sweep or study.pretrained == study.sweep[-1]
