"""``fstore detect``: from a trained network to boxes on a picture, and devkit results."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import fstore.cli  # all commands
from _detection import Scenes, add_images, make_scenes
from _devkit import Object, write_devkit
from fstore import workflows
from fstore.cli.app import app
from fstore.cli.detectors import listed_classes
from fstore.store import Store
from fstore.types import Part
from fstore.workflows.extract.run import extract
from fstore.workflows.proposals import Choice, add_proposals

Run = Callable[..., Result]
NAME = "voc-caffenet-mini-random-conv5-none"

assert fstore.cli.__doc__


def runner(store: Store) -> Run:
    """Return a function that runs ``fstore detect ...`` on a store."""

    def invoke(*words: str, before: tuple[str, ...] = ()) -> Result:
        return CliRunner().invoke(app, ["--store", str(store.path), *before, "detect", *words])

    return invoke


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path]:
    """Return a store with real pictures of rectangles, wide or high, and a detector of them."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    images: dict[str, list[Object]] = {}
    for i in range(12):
        x, y = (int(v) for v in rng.integers(5, 30, 2))
        images[f"{i:06d}"] = [
            ("wide", (x, y, x + 45, y + 14), 0),
            ("high", (x + 50, y, x + 62, y + 45), 0),
        ]
    parts = {name: ("train", "train", "test")[int(name) % 3] for name in images}
    devkit = write_devkit(folder, images, parts)
    store = Store.create(folder / "store")
    workflows.add_dataset(store, "voc", "voc", root=devkit)
    workflows.init_checkpoint(store, network="caffenet-mini", name="random", seed=0)
    add_proposals(store, "voc", Choice(method="components", max_proposals=9), workers=1)
    extract(store, layers=["conv5"], ckpts=["random"], views=["gt", "proposal"])
    done = runner(store)("train", "--layer", "conv5", "--ckpt", "random", "--dataset", "voc")
    assert done.exit_code == 0, done.output
    return store, devkit / "JPEGImages"


@pytest.fixture
def run(pictures: tuple[Store, Path]) -> Run:
    """Run ``fstore detect`` where a detector of pictures is."""
    return runner(pictures[0])


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    """Return a store with features, without a network behind them."""
    return make_scenes(tmp_path_factory.mktemp("scenes") / "s")


def refused(result: Result, code: int, *says: str) -> None:
    """Check an exit code, that stdout is empty, and what stderr says."""
    assert result.exit_code == code
    assert result.stdout == ""
    for text in says:
        assert text in " ".join(result.stderr.split())


def test_a_picture_gives_what_is_stored(run: Run, pictures: tuple[Store, Path]) -> None:
    """A test image searched anew has the detections that the stored proposals gave."""
    store, folder = pictures
    assert run("eval").exit_code == 0
    found = json.loads(run(str(folder / "000002.png"), "--min-score", "-9", "--json").stdout)
    rows = store.sql(
        "SELECT class, score, box.xmin, box.ymin, box.xmax, box.ymax FROM detections "
        "WHERE image_id = '000002' ORDER BY score DESC"
    )
    stored = [tuple(row.values()) for row in rows.rows()]
    assert len(found) == len(stored) > 2
    for row, (name, score, *box) in zip(found, stored, strict=True):
        assert (row["class"], [row[s] for s in ("xmin", "ymin", "xmax", "ymax")]) == (name, box)
        # batches of another size round otherwise in the last bits of float32, then to TF32
        assert row["score"] == pytest.approx(score, abs=1e-3)


def test_drawing(run: Run, pictures: tuple[Store, Path], tmp_path: Path) -> None:
    """Boxes are drawn at their place, and the path is printed; the picture stays as large."""
    source, out = pictures[1] / "000002.png", tmp_path / "new" / "x.png"
    words = ["--min-score", "-9", "--limit", "1", "--out", str(out)]
    result = run(*words, str(source))  # options first: the word image may still be left out
    assert result.stdout == f"{out}\n"
    drawn, plain = (np.asarray(Image.open(p).convert("RGB")).astype(int) for p in (out, source))
    assert drawn.shape == plain.shape
    changed = np.abs(drawn - plain).sum(axis=2) > 0
    rows = json.loads(
        run("image", str(source), "--min-score", "-9", "--limit", "1", "--json").stdout
    )
    assert {row["class"] for row in rows} == {"wide", "high"}
    for row in rows:
        assert changed[int(row["ymax"]) - 1, int(row["xmin"]) - 1]
        assert changed[int(row["ymax"]) - 1, int(row["xmax"]) - 1]
    assert not changed.all()
    refused(run(*words, str(source)), 1, "exists; choose another name, or add --overwrite")
    both = run(*words, "--overwrite", "--json", str(source))
    assert json.loads(both.stdout) == rows
    assert str(out) in both.stderr


def test_nothing_scores_enough(run: Run, pictures: tuple[Store, Path]) -> None:
    """Where nothing is shown, stderr tells what would be."""
    result = run(str(pictures[1] / "000002.png"), "--min-score", "99", "--json")
    assert result.stdout == "[]\n"
    assert "no box scores 99 or more, the best is a " in result.stderr


def test_which_words_are_a_picture(run: Run, tmp_path: Path) -> None:
    """Without the word image, a file or a name like one is a picture; other words are commands."""
    refused(run("nothing.jpg"), 1, "cannot read nothing.jpg")
    (tmp_path / "text").write_text("no picture")
    refused(run(str(tmp_path / "text")), 1, "error: ")
    refused(run("nonsense"), 2, "No such command 'nonsense'")
    assert "fstore detect photo.jpg --out found.png" in run("image", "--help").stdout
    shown = run("--help").stdout
    assert all(name in shown for name in ("image", "train", "eval", "export", "list"))


def test_picture_refused(run: Run, pictures: tuple[Store, Path], tmp_path: Path) -> None:
    """Unknown detectors and methods, and names that Pillow cannot draw to, are errors."""
    source = str(pictures[1] / "000002.png")
    refused(run(source, "--detector", "x"), 1, f"no detector 'x'; there are: {NAME}")
    refused(run(source, "--method", "x"), 1, "no proposal method 'x'")
    refused(run(source, "--out", str(tmp_path / "x.txt")), 1, "must end in .png")


def test_train(scenes: Scenes, tmp_path: Path) -> None:
    """A row a class and ablation; what is trained is not trained again; other options are."""
    detect = runner(scenes.store)
    words = ["train", "--layer", "conv", "--ckpt", "5", "--dataset", "d"]
    both = [*words, "--ablation", "none", "--ablation", "sp_max", "--json"]
    result = detect(*both, "--verify")
    rows = json.loads(result.stdout)
    assert [(r["detector"], r["class"]) for r in rows] == [
        (f"d-net-5-conv-{a}", c) for a in ("none", "sp_max") for c in "abc"
    ]
    assert all(0 <= row["gap"] < 0.01 for row in rows)
    assert "left out, without a box to learn from: unseen" in result.stderr
    assert json.loads(detect(*both).stdout) == rows
    refused(detect(*words, "--c", "0.1"), 1, "differs in options", "--overwrite")
    refused(detect(*words, "--name", "x", *both[-5:-1]), 1, "one --name cannot stand for")
    refused(detect(*words[:-1], "nothing"), 1, "no data set 'nothing'")
    refused(detect(*words, "--layer", "fc"), 2, "--layer is given 2 times")
    refused(detect("train", "--layer", "fc", *words[3:]), 1, "no activations of layer 'fc'")
    refused(detect(*words, "--part", "none"), 1, "no part 'official:none'")
    refused(detect("eval"), 1, "there are several detectors, name one: d-net-5-conv-none")
    assert detect(*words, "--name", "x", "--class", "b", before=("--quiet",)).stderr == ""
    listed = json.loads(detect("list", "--json").stdout)
    assert [(row["detector"], row["classes"]) for row in listed] == [
        ("d-net-5-conv-none", 3), ("d-net-5-conv-sp_max", 3), ("x", 1)
    ]  # fmt: skip
    assert listed[0]["trained_on"] == "d train, d val"
    empty = runner(Store.create(tmp_path / "s"))
    refused(empty("eval"), 1, "no detector is trained yet")
    assert empty("list", "--json").stdout == "[]\n"


def test_eval_and_export(scenes: Scenes, tmp_path: Path) -> None:
    """Detections, the stored ones, and the exported results folder give the same numbers."""
    detect, name = runner(scenes.store), "e"
    words = ["--layer", "conv", "--ckpt", "5", "--dataset", "d", "--name", name]
    assert detect("train", *words).exit_code == 0
    refused(detect("eval", name, "--stored"), 1, "fstore detect eval e")
    result = detect("eval", name, "--json")
    rows = json.loads(result.stdout)
    assert [row["class"] for row in rows] == ["a", "b", "c", "(mean)"]
    assert rows[-1]["ap_11"] == pytest.approx(np.mean([row["ap_11"] for row in rows[:3]]))
    assert json.loads(detect("eval", name, "--stored", "--json").stdout) == rows
    folder = tmp_path / "results"
    files = detect("export", name, str(folder)).stdout.split()
    assert files == [str(folder / f"comp3_det_test_{c}.txt") for c in "abc"]
    back = detect("eval", "--results", str(folder), "--dataset", "d", "--json")
    again = {row["class"]: row for row in json.loads(back.stdout)}
    for row in rows:
        assert again[row["class"]]["ap_11"] == row["ap_11"]
        assert again[row["class"]]["detections"] == row["detections"]
    assert "classes without a file: unseen" in back.stderr
    assert "without an object to find: unseen" in back.stderr
    refused(detect("export", name, str(folder)), 1, "exists; choose another folder")
    refused(detect("eval", "--results", str(folder)), 1, "--results needs one --dataset")
    refused(detect("eval", name, "--results", str(folder), "--dataset", "d"), 1, "no DETECTOR")
    few = json.loads(detect("eval", name, "--min-score", "-0.9", "--limit", "1", "--json").stdout)
    assert few[-1]["detections"] < rows[-1]["detections"]
    half = [*words[:-1], "half"]
    assert detect("train", *half, "--part", "train").exit_code == 0
    on_val = json.loads(detect("eval", "half", "--part", "val", "--json").stdout)
    assert on_val[-1]["objects"] != rows[-1]["objects"]


def test_no_test_on_images_that_were_learned_from(tmp_path: Path) -> None:
    """A detector is not tested on its own images, in whichever data set, split or part they are."""
    scenes = make_scenes(tmp_path / "s")
    add_images(scenes, "r", np.arange(36), seeds=(0,))
    detect, words = runner(scenes.store), ["train", "--layer", "conv", "--ckpt", "5"]
    assert detect(*words, "--dataset", "d", "--name", "x").exit_code == 0
    assert detect("eval", "x").exit_code == detect("eval", "x", "--dataset", "r").exit_code == 0
    random = ("--split", "random:0")
    order = np.random.default_rng(0).permutation(36)
    tested = {i for i in range(36) if scenes.part[order[i]] == "test"}
    first = min(i for i in tested if scenes.part[i] == "train")
    n = sum(scenes.part[i] == "train" for i in tested)
    says = (
        f"error: {n} test images of 'r' (random:0:test) are among the training images of 'd' "
        f"(official:train), such as 'i{first:03d}'; test 'x' on images that it did not learn from"
    )
    for more in ((), ("--stored",)):
        refused(detect("eval", "x", "--dataset", "r", *random, *more), 1, says)
    own = detect("eval", "x", "--part", "val")
    assert own.exit_code == 0
    assert "learned from d (val) itself: this tells how well it knows its own images" in own.stderr
    assert detect(*words, "--dataset", "r", "--name", "y", *random).exit_code == 0
    said = "test images of 'r' (official:test) are among the training images of 'r'"
    refused(detect("eval", "y"), 1, said)
    assert detect("eval", "y", *random).exit_code == 0


def test_what_was_learned_from_is_gone(tmp_path: Path) -> None:
    """A detector whose training images are not in the store any more is tested, with a note."""
    scenes = make_scenes(tmp_path / "s")
    add_images(scenes, "r", np.arange(36))
    detect = runner(scenes.store)
    words = ["--layer", "conv", "--ckpt", "5", "--dataset", "r", "--name", "x"]
    assert detect("train", *words).exit_code == 0
    scenes.store.drop(dataset="r")
    result = detect("eval", "x", "--dataset", "d")
    assert result.exit_code == 0
    assert "learned from r, which the store does not have any more" in result.stderr


def test_train_on_what_cannot_be_tested(tmp_path: Path) -> None:
    """Training tells at once on which test part of its data sets the detector cannot be tested."""
    scenes = make_scenes(tmp_path / "s")
    for name in ("e", "f"):
        add_images(scenes, name, np.arange(36))
    detect = runner(scenes.store)
    words = ["train", "--layer", "conv", "--ckpt", "5", "--dataset", "e"]
    both = [*words, "--dataset", "f"]
    assert "test images" not in detect(*both).stderr
    swapped: list[Part] = ["train" if part == "test" else "test" for part in scenes.part]
    add_images(scenes, "g", np.arange(36), parts=swapped)
    result = detect(*words, "--dataset", "g")
    assert result.exit_code == 0
    told = (
        "test images of 'e' (official:test) are among the training images of 'g' "
        "(official:train), such as 'i001'"
    )
    assert told in result.stderr
    name = "e+g-net-5-conv-none"
    refused(detect("eval", name), 1, told)
    assert detect(*words, "--dataset", "g", "--overwrite", before=("--quiet",)).stderr == ""


def test_eval_plot(scenes: Scenes, tmp_path: Path) -> None:
    """Precision and recall are drawn, their points are in a CSV beside the figure."""
    detect = runner(scenes.store)
    words = ["--layer", "conv", "--ckpt", "5", "--dataset", "d", "--name", "p"]
    assert detect("train", *words).exit_code == 0
    out = tmp_path / "pr.png"
    assert detect("eval", "p", "--plot", str(out)).stdout == f"{out}\n"
    assert out.stat().st_size > 10_000
    header, *lines = out.with_suffix(".csv").read_text().splitlines()
    assert header == "class,ap_11,objects,score,recall,precision"
    assert {line.split(",")[0] for line in lines} == {"a", "b", "c"}
    refused(detect("eval", "p", "--plot", str(out)), 1, "exists")


def test_shuffled_features_need_a_sample(pictures: tuple[Store, Path]) -> None:
    """A picture has no permutation of its own: sp-shuffle cannot be asked of it."""
    store, folder = pictures
    detect, words = runner(store), ["--layer", "conv5", "--ckpt", "random", "--dataset", "voc"]
    name = NAME.replace("none", "sp_shuffle")
    assert detect("train", *words, "--ablation", "sp_shuffle").exit_code == 0
    try:
        result = detect(str(folder / "000002.png"), "--detector", name)
    finally:
        (store.path / "detectors" / f"{name}.safetensors").unlink()
    refused(result, 1, "use a detector of another ablation")


def test_a_class_whose_name_has_a_comma() -> None:
    """``--class`` takes names joined by commas, and a name that itself has one."""
    classes = {"birds": ("tench, Tinca tinca", "wren"), "more": ("crow",)}
    store: Any = SimpleNamespace(dataset=lambda name: SimpleNamespace(classes=classes[name]))
    words = ["tench, Tinca tinca", "wren, crow"]
    assert listed_classes(store, list(classes), words) == ["tench, Tinca tinca", "wren", "crow"]
