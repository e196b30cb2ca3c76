"""Detection in Tables 1, 2 and 4 is what R-CNN's detectors reach."""

from pathlib import Path

import numpy as np
import pytest

from _build import add_checkpoint, put
from _detection import Scenes, add_images, add_proposals_of, make_scenes
from _devkit import Devkit
from fstore.errors import DataError, UnknownNameError
from fstore.queries.cells.inputs import Inputs
from fstore.queries.detection.detector import detector_names
from fstore.queries.detection.regions import detection_set
from fstore.queries.detection.run import detection_map
from fstore.queries.detection.scoring import read_detections
from fstore.queries.detection.voc_eval import Boxes
from fstore.queries.refresh.show import Shown, show_report
from fstore.queries.refresh.standing import look
from fstore.queries.studies.study import parse_study
from fstore.store import Store
from fstore.store.files import Partition
from fstore.store.parts import Samples

STUDY = """
name = "small"
network = "net"
layers = ["conv"]
top_layer = "conv"
sweep = ["4", "5"]
pretrained = "5"
tuned = [
    { task = "detection", mode = "scratch", ckpts = ["raw"] },
    { task = "detection", mode = "ft", parent = "5", ckpts = ["tuned"] },
    { task = "detection", mode = "fc-ft", parent = "5", ckpts = ["part"] },
    { task = "detection", mode = "ft", parent = "4", ckpts = ["short"] },
]
[detection]
dataset = "d"
"""
MORE = """
name = "more"
network = "net"
layers = ["conv"]
top_layer = "conv"
pretrained = "5"
tuned = [{ task = "detection_more", mode = "ft", parent = "5", ckpts = ["5"] }]
"""
BOTH = MORE.replace("[{", '[{ task = "detection", mode = "ft", parent = "5", ckpts = ["5"] }, {')
CELLS = {
    "table1": {"scratch": "raw", "pretrain": "5", "finetune": "tuned"},
    "table2": {"ft": "tuned", "fc_ft": "part"},
    "table4": {"4": "short", "5": "tuned"},
}
"""Columns of each table, and the checkpoint whose features each shows."""


LARGE = "detection with more data on"


def make_tuned(path: Path) -> Scenes:
    """Make a store with four more checkpoints, each with noise of its own in its features."""
    scenes = make_scenes(path)
    for seed, ckpt in enumerate(("raw", "tuned", "part", "short")):
        add_checkpoint(scenes.store, "net", ckpt)
        rng = np.random.default_rng(seed)
        for view, values in (("gt", scenes.gt_values), ("proposal", scenes.values)):
            noisy = np.maximum(values + (1 + seed) * rng.normal(size=values.shape), 0)
            where = Partition("net", ckpt, "d", view, "conv")
            put(scenes.store, where, noisy.astype(np.float32))
    return scenes


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    """Return a store with objects, proposals and features of both, at five checkpoints."""
    return make_tuned(tmp_path_factory.mktemp("scenes") / "s")


def values_of(shown: Shown, row: str = "detection on d") -> dict[str, float]:
    """Return the values of a row by column."""
    return {r["col"]: r["value"] for r in shown.rows if r["row"] == row}


def mean_ap(store: Store, *parts: Samples, ckpt: str = "5") -> float:
    """Return mean 11-point AP in percent of a detector on all parts."""
    found = detection_map(store, parts, network="net", ckpt=ckpt, layer="conv")
    return 100 * found.map_11


@pytest.mark.parametrize("table", CELLS)
def test_cells_are_those_of_detection_map(scenes: Scenes, table: str) -> None:
    """A cell is the detector's mean AP on its own checkpoint's features; one run, no spread."""
    shown = show_report(scenes.store, parse_study(STUDY), table)
    main = {r["col"]: r for r in shown.rows if ":" not in r["col"]}
    assert list(main) == list(CELLS[table])
    parts = scenes.samples("train", "val", "test")
    for col, ckpt in CELLS[table].items():
        assert main[col]["value"] == pytest.approx(mean_ap(scenes.store, *parts, ckpt=ckpt))
        assert (main[col]["row"], main[col]["n"], main[col]["std"]) == ("detection on d", 1, None)
    assert len({row["value"] for row in main.values()}) == len(main)
    assert not shown.missing


def test_paper(scenes: Scenes) -> None:
    """The paper's numbers of its row PASCAL-DET stand beside."""
    shown = show_report(scenes.store, parse_study(STUDY), "table1")
    paper = {r["col"]: r["paper"] for r in shown.rows if ":" not in r["col"]}
    assert paper == {"scratch": 40.7, "pretrain": 45.5, "finetune": 54.1}


def test_devkit_gives_the_same(scenes: Scenes) -> None:
    """The stored detections behind a cell, judged by the devkit's loops, give the cell's APs."""
    cells = values_of(show_report(scenes.store, parse_study(STUDY), "table1"))
    images = detection_set(scenes.store, scenes.samples("test"))
    classes = ("a", "b", "c")
    found = read_detections(scenes.store, "report-d-net-tuned-conv-none", images, classes=classes)
    aps = []
    for label, detections in enumerate(found):
        order = np.argsort(-detections.scores, kind="stable")
        aps.append(Devkit.run(detections, Boxes(*images.objects_of(label)), order).aps())
    at_11, at_all = 100 * np.mean(aps, axis=0)
    assert cells["finetune"] == pytest.approx(at_11)
    assert cells["finetune:all_points"] == pytest.approx(at_all)
    assert cells["finetune:classes"] == 3
    assert cells["finetune:low"] < cells["finetune"] < cells["finetune:high"]


def test_two_data_sets_are_their_union(tmp_path: Path) -> None:
    """Two data sets, the second without a test part, give what one of the same images gives."""
    scenes = make_scenes(tmp_path / "s", n_images=48)
    first = np.arange(24)
    second = scenes.images_of("train", "val")
    second = second[second >= 24]
    add_images(scenes, "one", first)
    add_images(scenes, "two", second)
    add_images(scenes, "both", np.concatenate([first, second]))
    roles = {
        "both": '[detection_more]\ndataset = "both"\n',
        "two": '[[detection_more]]\ndataset = "one"\n[[detection_more]]\ndataset = "two"\n',
        "one": '[detection_more]\ndataset = "one"\n',
    }
    found = {
        name: values_of(
            show_report(scenes.store, parse_study(MORE + role), "table1"), f"{LARGE} {on}"
        )
        for (name, role), on in zip(roles.items(), ("both", "one + two", "one"), strict=True)
    }
    assert found["two"]["pretrain"] == pytest.approx(found["both"]["pretrain"])
    assert found["two"]["pretrain:all_points"] == pytest.approx(
        found["both"]["pretrain:all_points"]
    )
    assert found["two"]["pretrain"] != found["one"]["pretrain"]
    assert "report-one+two-net-5-conv-none" in detector_names(scenes.store)


def test_test_images_are_not_learned_from_elsewhere(tmp_path: Path) -> None:
    """Two data sets that share images are refused where one tests on what the other learns from."""
    scenes = make_scenes(tmp_path / "s", n_images=24)
    for name in ("e", "f"):
        add_images(scenes, name, np.arange(24), seeds=(0,))
    role = '[[detection_more]]\ndataset = "e"\n[[detection_more]]\ndataset = "f"\n'
    random = 'split = "random"\nseeds = [0]\nparts = ["train", "val"]\n'
    with pytest.raises(
        DataError, match=r"\d+ test images of 'e' \(official:test\) are among the training"
    ):
        show_report(scenes.store, parse_study(MORE + role + random), "table1")
    assert show_report(scenes.store, parse_study(MORE + role), "table1").rows  # the same split


def test_parts_that_are_used(tmp_path: Path) -> None:
    """``parts`` limits a data set: halves of trainval are two roles, each with its detector."""
    scenes = make_scenes(tmp_path / "s")
    half = (
        '[detection]\ndataset = "d"\nparts = ["train", "test"]\n[detection_more]\ndataset = "d"\n'
    )
    shown = show_report(scenes.store, parse_study(BOTH + half), "table1")
    of = scenes.samples
    wanted = (
        mean_ap(scenes.store, *of("train", "test")),
        mean_ap(scenes.store, *of("train", "val", "test")),
    )
    found = values_of(shown)["finetune"], values_of(shown, f"{LARGE} d")["finetune"]
    assert found == pytest.approx(wanted)
    assert found[0] != found[1]
    names = [f"report-{data}-net-5-conv-none" for data in ("d", "d.train")]
    assert detector_names(scenes.store) == names


def test_without_a_test_part(tmp_path: Path) -> None:
    """Where no data set has a test part, val is what is tested on, and is not learned from."""
    scenes = make_scenes(tmp_path / "s")
    role = '[detection_more]\ndataset = "d"\nparts = ["train", "val"]\n'
    shown = show_report(scenes.store, parse_study(MORE + role), "table1")
    copy = make_scenes(tmp_path / "t")
    held = copy.images_of("val")
    for i in range(len(copy.part)):
        copy.part[i] = {"val": "test", "test": "val"}.get(copy.part[i], "train")  # type: ignore[call-overload]
    add_images(copy, "e", np.sort(np.concatenate([held, copy.images_of("train")])))
    parts = [Samples("e", "image", "official", 0, part) for part in ("train", "test")]
    found = values_of(shown, f"{LARGE} d")["pretrain"]
    assert found == pytest.approx(mean_ap(copy.store, *parts))


def test_runs_are_seeds(tmp_path: Path) -> None:
    """On random splits a cell is the mean over seeds, with its deviation, and has no interval."""
    scenes = make_scenes(tmp_path / "s", n_images=48)
    add_images(scenes, "r", np.arange(48), seeds=(0, 1))
    role = '[detection_more]\ndataset = "r"\nsplit = "random"\nseeds = [0, 1]\n'
    study = parse_study(MORE.replace('["5"]', '["5", "5"]') + role)
    shown = show_report(scenes.store, study, "table1")
    runs = [
        mean_ap(
            scenes.store,
            *(Samples("r", "image", "random", seed, part) for part in ("train", "val", "test")),
        )
        for seed in (0, 1)
    ]
    cell = next(r for r in shown.rows if r["col"] == "finetune")
    assert cell["value"] == pytest.approx(np.mean(runs))
    assert cell["std"] == pytest.approx(np.std(runs, ddof=1))
    assert cell["n"] == 2
    assert runs[0] != runs[1]
    assert "finetune:low" not in {r["col"] for r in shown.rows}


def test_other_proposals_are_another_cell(tmp_path: Path) -> None:
    """Other proposals of a data set make the cells that read them stale, and no others."""
    scenes = make_scenes(tmp_path / "s")
    add_images(scenes, "e", np.arange(24))
    study = parse_study(BOTH + '[detection]\ndataset = "d"\n[detection_more]\ndataset = "e"\n')
    before = show_report(scenes.store, study, "table1")
    assert (before.computed, before.reused) == (4, 0)
    scenes.store.drop(dataset="e", view="proposal")
    lines = [str(missing) for missing in look(Inputs.now(scenes.store), study, "table1").missing]
    command = "fstore proposals --dataset e --method selective-search"
    command += f" --store {scenes.store.path}"
    assert lines == [f"no {LARGE} e: no proposals of data set e; make it with: {command}"]
    own = np.flatnonzero(scenes.image < 24)[::2]
    add_proposals_of(scenes, "e", np.arange(24), own)
    after = show_report(scenes.store, study, "table1")
    assert (after.computed, after.reused) == (2, 2)
    assert values_of(after) == values_of(before)
    row = f"{LARGE} e"
    assert values_of(after, row)["pretrain"] != values_of(before, row)["pretrain"]


def test_what_is_missing(tmp_path: Path) -> None:
    """Features of proposals that are not there are named with the command that makes them."""
    scenes = make_tuned(tmp_path / "s")
    scenes.store.drop(dataset="d", ckpt="tuned", view="proposal", layer="conv")
    shown = show_report(scenes.store, parse_study(STUDY), "table2")
    assert [r["col"] for r in shown.rows if ":" not in r["col"]] == ["fc_ft"]
    (line,) = [str(missing) for missing in shown.missing]
    assert "fstore extract --layer conv --ckpt net/tuned --dataset d --view proposal" in line
    scenes.store.drop(dataset="d", view="proposal")
    with pytest.raises(UnknownNameError, match="no proposals of data set d") as caught:
        show_report(scenes.store, parse_study(STUDY), "table2")
    assert "--view proposal" not in str(caught.value)


def test_nothing_to_find(tmp_path: Path) -> None:
    """Test images without an object of a learned class are an error that says so."""
    scenes = make_scenes(tmp_path / "s")
    shown = np.isin(np.arange(36), scenes.gt_image[~scenes.gt_difficult])
    empty = [i for i in scenes.images_of("test") if not shown[i]]
    images = np.sort([*scenes.images_of("train", "val"), *empty]).astype(np.intp)
    add_images(scenes, "e", images)
    study = parse_study(MORE + '[detection_more]\ndataset = "e"\n')
    with pytest.raises(DataError, match="show no object of a class that was learned"):
        show_report(scenes.store, study, "table1")
