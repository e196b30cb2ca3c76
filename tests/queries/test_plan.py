"""What is extracted for a study: what its reports read and the store lacks, once each."""

from pathlib import Path

import pytest

from _build import Built, add_checkpoint, build
from _detection import make_scenes
from fstore.queries.cells.needs import Need, Reading
from fstore.queries.refresh.extractions import Extraction, missing_extractions, study_needs
from fstore.queries.studies.study import parse_study
from fstore.store.maintenance import Selection, drop
from fstore.store.parts import Samples

STUDY = """
name = "small"
network = "net"
layers = ["conv1", "fc"]
pretrained = "5"
sweep = ["5", "15"]
[classification]
dataset = "d"
"""

DETECTION = """
name = "boxes"
network = "net"
layers = ["conv"]
mid_layer = "conv"
pretrained = "5"
[detection]
dataset = "d"
"""


@pytest.fixture
def built(tmp_path: Path) -> Built:
    """Build a store with two checkpoints, all layers of both."""
    return build(tmp_path / "s", ckpts=("5", "15"))


def need(layer: str, ckpt: str, *parts: str, split: str = "official", seed: int = 0) -> Need:
    """Return a need of some parts of a split."""
    samples = [Samples("d", "image", split, seed, part) for part in parts]
    return Need("r", "c", tuple(Reading("net", ckpt, layer, s) for s in samples))


def missing(built: Built, *needs: Need) -> list[Extraction]:
    """Return the extractions for some needs."""
    return missing_extractions(built.store, needs, layers=("conv1", "fc"))


def test_nothing_is_missing(built: Built) -> None:
    """What is stored is not asked for."""
    needs, _ = study_needs(built.store, parse_study(STUDY))
    assert missing(built, *(n for own in needs.values() for n in own)) == []


def test_checkpoints_that_lack_the_same_go_together(built: Built) -> None:
    """Layers in the network's order; checkpoints that want the same layers in one extraction."""
    drop(built.store.place, Selection(network="net"))
    needs, _ = study_needs(built.store, parse_study(STUDY))
    found = missing(built, *needs["table3"])
    assert found == [Extraction(("conv1", "fc"), ("net/5", "net/15"), "d", "image", None)]
    assert found[0].command(None) == (
        "fstore extract --layer conv1 --layer fc --ckpt net/5 --ckpt net/15 --dataset d "
        "--view image"
    )


def test_a_part_alone(built: Built) -> None:
    """Where a report reads one part only, or train and val, no other sample is extracted."""
    drop(built.store.place, Selection(layer="fc"))
    (found,) = missing(built, need("fc", "5", "test"))
    assert (found.layers, found.part) == (("fc",), "test")
    assert found.command(None).endswith("--part test")
    (found,) = missing(built, need("fc", "5", "val"), need("fc", "5", "train"))
    assert found.part == "trainval"
    (found,) = missing(built, need("fc", "5", "test"), need("fc", "5", "train"))
    assert found.part is None


def test_layers_that_want_different_parts(built: Built) -> None:
    """Layers of which different samples are wanted are extracted apart."""
    drop(built.store.place, Selection(network="net"))
    found = missing(built, need("fc", "5", "test"), need("conv1", "5", "train", "val", "test"))
    assert {(e.layers, e.part) for e in found} == {(("fc",), "test"), (("conv1",), None)}


def test_checkpoints_that_are_not_there(built: Built) -> None:
    """A checkpoint that is not registered is left out, unless it is to come."""
    wanted = need("fc", "305k", "test")
    assert missing(built, wanted) == []
    (found,) = missing_extractions(built.store, [wanted], layers=("fc",), to_come={("net", "305k")})
    assert found.ckpts == ("net/305k",)


def test_proposals_that_are_not_there(tmp_path: Path) -> None:
    """A need whose images were not searched asks for no extraction, not of its boxes either."""
    scenes = make_scenes(tmp_path / "t", n_images=12)
    study = parse_study(DETECTION)
    for view in ("gt", "proposal"):
        scenes.store.drop(dataset="d", view=view, layer="conv")
    needs, _ = study_needs(scenes.store, study)
    found = missing_extractions(scenes.store, needs["table8"], layers=("conv",))
    assert {(e.view, e.part) for e in found} == {("gt", "trainval"), ("proposal", None)}
    scenes.store.drop(dataset="d", view="proposal")
    needs, _ = study_needs(scenes.store, study)
    assert len(needs["table8"]) == 3
    assert missing_extractions(scenes.store, needs["table8"], layers=("conv",)) == []


def test_the_layer_of_table_8(tmp_path: Path) -> None:
    """Table 8 reads the middle layer, unless the study names another for it."""
    scenes = make_scenes(tmp_path / "t", n_images=12)
    needs, _ = study_needs(scenes.store, parse_study(DETECTION))
    assert {r.layer for need in needs["table8"] for r in need.readings} == {"conv"}
    other = DETECTION.replace("pretrained", 'detection_layer = "pool"\npretrained')
    needs, _ = study_needs(scenes.store, parse_study(other))
    assert {need.row for need in needs["table8"]} == {"pool"}
    assert {r.layer for need in needs["table8"] for r in need.readings} == {"pool"}
    assert {r.layer for need in needs["figure6"] for r in need.readings} == {"conv"}


def test_reports_without_their_parts(built: Built) -> None:
    """A report of which the study binds no part has no needs, but a reason."""
    needs, left_out = study_needs(built.store, parse_study(STUDY))
    assert {"table3", "table6", "table7"} <= set(needs)
    assert "says nothing of 'tuned'" in str(left_out["table1"])
    assert "says nothing of 'detection'" in str(left_out["table9"])


ASKED = "SELECT act_max FROM activations WHERE layer = $layer AND ckpt = $ckpt"

OWN = """
[[report]]
name = "r"
title = "R"
"""


@pytest.mark.parametrize(
    ("entry", "layers"),
    [
        ("analysis = 'cka'\noptions = { ckpt = '25', dataset = 'd', layer = 'fc' }", ("fc",)),
        ("analysis = 'cka'\noptions = { ckpt = 'net/25', dataset = 'd' }", ("conv1", "fc")),
        ("analysis = 'cka'\noptions = { ckpt = '25', dataset = 'd', view = 'gt' }", None),
        (ASKED, ("conv1", "fc")),
        (f"{ASKED} AND dataset = 'other'", None),
        (f"{ASKED} AND network = 'other'", None),
        (f"{ASKED} AND \"view\" = 'gt'", None),
        ("SELECT act_max FROM activations WHERE layer = 'fc' AND ckpt = '25'", None),
    ],
)
def test_own_reports_are_extracted_for(
    built: Built, entry: str, layers: tuple[str, ...] | None
) -> None:
    """What an own report lacks is extracted where it leaves no choice, and else left alone."""
    add_checkpoint(built.store, "net", "25")
    way = entry if entry.startswith("analysis") else f"sql = '''{entry}'''"
    study = parse_study(STUDY.replace('"15"]', '"25"]') + OWN + way)
    needs, _ = study_needs(built.store, study)
    found = missing_extractions(built.store, needs["r"], layers=study.layers, study=study)
    expected = [Extraction(layers, ("net/25",), "d", "image", None)] if layers else []
    assert found == expected
    assert missing_extractions(built.store, needs["r"], layers=study.layers) == []
