"""A study from raw images to its reports: only what is missing is done, whenever it was stopped."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import fstore.cli.reproduce  # adds the command
from _detection import add_images, make_scenes
from fstore.cli import app
from fstore.errors import DataError, UnknownNameError
from fstore.queries.refresh.show import show_report
from fstore.queries.studies.study import load_study, parse_study
from fstore.store import Store
from fstore.types import OnProgress
from fstore.workflows.reproduce.steps import Context, making_steps
from fstore.workflows.reproduce.study import Result, Step, reproduce

assert fstore.cli.reproduce.__doc__

STUDY = """
name = "small"
network = "caffenet-mini"
layers = ["fc6", "fc7"]
top_layer = "fc7"
sweep = ["1", "2"]
pretrained = "2"
tuned = [
    { task = "scenes", mode = "scratch" },
    { task = "scenes", mode = "ft", parent = "2" },
    { task = "scenes", mode = "fc-ft", parent = "2" },
]

[scenes]
dataset = "places"
split = "random"
seeds = [0, 1]

[[make.datasets]]
name = "shapes"
format = "imagefolder"
root = "shapes"

[[make.datasets]]
name = "places"
format = "imagefolder"
root = "places"

[make.pretrain]
dataset = "shapes"
iterations = 2
snapshots = [1, 2]
batch_size = 4

[[make.finetune]]
task = "scenes"
iterations = 2
batch_size = 4
lr = 0.01
"""
SHORT = STUDY[: STUDY.index("tuned")] + STUDY[STUDY.index("[scenes]") : STUDY.index("[[make.fine")]
"""The same without fine-tuning: quick."""

BOXES = """
name = "boxes"
network = "caffenet-mini"
layers = ["conv5", "fc7"]
mid_layer = "conv5"
top_layer = "fc7"
pretrained = "1"
tuned = [{ task = "detection", mode = "ft", parent = "1" }]

[detection]
dataset = "scenes"

[[make.datasets]]
name = "shapes"
format = "imagefolder"
root = "shapes"

[[make.datasets]]
name = "scenes"
format = "digit-scenes"
images = 60

[[make.proposals]]
dataset = "scenes"
method = "components"
max_proposals = 6

[make.pretrain]
dataset = "shapes"
iterations = 1
snapshots = [1]
batch_size = 4

[[make.finetune]]
task = "detection"
iterations = 1
batch_size = 4
"""

TUNED = {
    f"{kind}{run}"
    for kind in ("places-scratch", "2-places-ft", "2-places-fc-ft")
    for run in ("", "-s1")
}


def write_images(folder: Path, classes: str, n: int, seed: int) -> None:
    """Write n images a class: noise about the class's own colour."""
    rng = np.random.default_rng(seed)
    for name in classes:
        (folder / name).mkdir(parents=True)
        colour = rng.integers(60, 200, 3)
        for i in range(n):
            pixels = np.clip(colour + rng.normal(0, 40, (24, 24, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of raw images: one data set with train and val, one without parts."""
    folder = tmp_path_factory.mktemp("data")
    write_images(folder / "shapes" / "train", "ab", 6, seed=0)
    write_images(folder / "shapes" / "val", "ab", 2, seed=0)
    write_images(folder / "places", "xyz", 10, seed=1)
    return folder


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Store:
    """Return the store that a run without an interruption gives."""
    store = Store.create(tmp_path_factory.mktemp("done") / "s")
    assert {r.state for r in reproduce(store, STUDY, data=data)} == {"done", "left out"}
    return store


def fingerprint(store: Store) -> dict[str, Any]:
    """Return all that a study leaves: weights, activations, and the cells of its reports."""
    study = parse_study(STUDY)
    shown = [show_report(store, study, f"table{i}") for i in (1, 2, 4)]
    activations = "SELECT ckpt, layer, sum(act_max) AS s FROM activations GROUP BY ALL ORDER BY ALL"
    return {
        "weights": {r.name: r.sha256 for r in store.checkpoints()},
        "activations": store.sql(activations).arrow().to_pylist(),
        "cells": [row for report in shown for row in report.rows],
        "computed anew": sum(report.computed for report in shown),
    }


def test_everything_that_the_reports_read_and_no_more(done: Store) -> None:
    """Checkpoints of every run; activations of the layers that some report reads, no others."""
    assert {r.name for r in done.checkpoints()} == {"1", "2"} | TUNED
    rows = done.status()
    assert {(r["ckpt"], r["layer"]) for r in rows} == {("2", "fc6")} | {
        (ckpt, "fc7") for ckpt in TUNED | {"2"}
    }
    assert {(r["dataset"], r["samples"]) for r in rows} == {("places", 30)}
    assert load_study(done).name == "small"


def test_reports_are_filled(done: Store) -> None:
    """Tables 1, 2 and 4 have their cells, two runs each, and were stored on the way."""
    found = fingerprint(done)
    assert found["computed anew"] == 0
    cells = {(row["report"], row["col"]): row for row in found["cells"]}
    main = {key for key in cells if ":" not in key[1]}
    assert main == {
        *(("table1", col) for col in ("scratch", "pretrain", "finetune")),
        *(("table2", col) for col in ("ft", "fc_ft")),
        ("table4", "2"),
    }
    assert {cell["n"] for cell in cells.values()} == {2}
    assert ("table1", "finetune:softmax") in cells


def test_twice(done: Store, data: Path) -> None:
    """The second run does nothing: no file of the store changes."""

    def written() -> dict[Path, int]:
        files = (p for p in done.path.rglob("*") if p.is_file() and p.parent.name != "locks")
        return {p: p.stat().st_mtime_ns for p in files}

    before = written()
    results = list(reproduce(done, STUDY, data=data))
    assert {r.state for r in results} == {"was there", "left out"}
    assert written() == before


class Stopped(Exception):  # noqa: N818 - no error of the program's
    """Stands for a process that is killed."""


def stop_in(title: str, after: int) -> Callable[[Step], Any]:
    """Return a watch that stops in the step of some title, after it told so often how far it is."""

    @contextmanager
    def watch(step: Step) -> Iterator[OnProgress]:
        ticks = 0

        def tick(_what: str, _done: int, _total: int, _note: str) -> None:
            nonlocal ticks
            ticks += 1
            if ticks == after and step.title.startswith(title):
                raise Stopped

        if after == 0 and step.title.startswith(title):
            raise Stopped
        yield tick

    return watch


@pytest.mark.parametrize(
    ("title", "after"),
    [
        pytest.param("Register data set places", 9, marks=pytest.mark.slow),
        pytest.param("Pre-train", 2, marks=pytest.mark.slow),
        pytest.param("Fine-tune 2 on places (ft)", 1, marks=pytest.mark.slow),
        pytest.param("Extract", 1, marks=pytest.mark.slow),
        ("table2", 0),
    ],
)
def test_stopped_and_rerun(tmp_path: Path, data: Path, done: Store, title: str, after: int) -> None:
    """Stopped in any phase, the same call goes on and ends with the same weights and cells."""
    store = Store.create(tmp_path / "s")
    with pytest.raises(Stopped):
        list(reproduce(store, STUDY, data=data, watch=stop_in(title, after)))
    list(reproduce(store, STUDY, data=data))
    wanted, found = fingerprint(done), fingerprint(store)
    assert found == wanted


def test_a_new_entry_adds_its_steps_only(tmp_path: Path, data: Path) -> None:
    """An entry that is added to the file later is all that is done then."""
    store = Store.create(tmp_path / "s")
    list(reproduce(store, SHORT, data=data))
    tuned = 'tuned = [{ task = "scenes", mode = "fc-ft", parent = "2" }]\n\n[scenes]'
    more = SHORT.replace("[scenes]", tuned) + STUDY[STUDY.index("[[make.fine") :]
    results = {r.step: r.state for r in reproduce(store, more, data=data)}
    assert [step for step, state in results.items() if state == "done"] == [
        "Fine-tune 2 on places (fc-ft): 2-places-fc-ft",
        "Fine-tune 2 on places (fc-ft): 2-places-fc-ft-s1",
        "Set study small",
        "Extract fc7 for places.image at 2-places-fc-ft 2-places-fc-ft-s1",
        "table1: From scratch, pre-trained, fine-tuned",
        "table2: Fine-tuning all layers or the fully connected ones",
    ]
    assert results["table7_accuracy: Ablations of magnitude and place, accuracy"] == "was there"


def test_dry_run(tmp_path: Path, data: Path, done: Store) -> None:
    """A dry run changes nothing and says what is to do: all of it at first, nothing in the end."""
    store = Store.create(tmp_path / "s")
    before = {p: p.stat().st_mtime_ns for p in store.path.rglob("*")}
    results = list(reproduce(store, STUDY, data=data, dry_run=True))
    assert {p: p.stat().st_mtime_ns for p in store.path.rglob("*")} == before
    assert {r.state for r in results} == {"to do", "left out"}
    assert len([r for r in results if r.step.startswith(("Fine-tune", "Train"))]) == 6
    after = list(reproduce(done, STUDY, data=data, dry_run=True))
    assert {r.state for r in after} == {"was there", "left out"}


def test_dry_run_half_way(tmp_path: Path, data: Path) -> None:
    """With data sets registered, a dry run names the extractions of checkpoints to come."""
    store = Store.create(tmp_path / "s")
    with pytest.raises(Stopped):
        list(reproduce(store, STUDY, data=data, watch=stop_in("Pre-train", 1)))
    steps = [r.step for r in reproduce(store, STUDY, data=data, dry_run=True)]
    assert "Extract fc6 fc7 for places.image at 2" in steps
    tuned = next(s for s in steps if s.startswith("Extract fc7 "))
    assert set(tuned.split(" at ")[1].split()) == TUNED


def test_a_report_with_an_error_stops_no_other(
    done: Store, data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What goes wrong in one report is noted, the others are computed."""
    from fstore.queries.reports import table1

    def fail(*_: object) -> None:
        raise DataError("no class can be told")

    monkeypatch.setattr(table1, "task_cells", fail)
    again = STUDY.replace('name = "small"', 'name = "again"')
    found = {r.step.split(":")[0]: r for r in reproduce(done, again, data=data)}
    assert (found["table1"].state, found["table1"].note) == ("failed", "no class can be told")
    assert (found["table2"].state, found["table4"].state) == ("done", "done")
    file = tmp_path / "again.toml"
    file.write_text(again)
    words = ["--store", str(done.path), "reproduce", str(file), "--data", str(data), "--no-page"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1
    assert "failed: no class can be told" in result.stderr


def test_a_bug_in_a_report_ends_it(
    done: Store, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that is nobody's fault but ours is raised, and is on record as a failed refresh."""
    from fstore.queries.reports import table1

    def fail(*_: object) -> None:
        raise ZeroDivisionError("of nothing")

    monkeypatch.setattr(table1, "task_cells", fail)
    with pytest.raises(ZeroDivisionError, match="of nothing"):
        list(reproduce(done, STUDY.replace('name = "small"', 'name = "bug"'), data=data))
    runs = [r for r in done.rows("runs", kind="refresh").to_pylist() if '"bug"' in r["parameters"]]
    assert [(run["exit"], "ZeroDivisionError" in run["message"]) for run in runs] == [
        ("failed", True)
    ]


@pytest.mark.slow
def test_detection(tmp_path: Path, data: Path) -> None:
    """Proposals are found on the way, and what detectors reach is in the tables; then no more."""
    store = Store.create(tmp_path / "s")
    planned = [r.step for r in reproduce(store, BOXES, data=data, dry_run=True)]
    results = {r.step.split(":")[0]: r for r in reproduce(store, BOXES, data=data)}
    assert results["Find proposals in scenes"].note == "360 proposals in 60 images"
    assert {results[name].state for name in ("table1", "table2", "table4", "table8")} == {
        "done",
        "left out",
    }
    assert "says nothing of 'sweep'" in results["table4"].note
    assert planned.index("Register data set scenes") < planned.index("Find proposals in scenes")
    study = parse_study(BOXES)
    rows = show_report(store, study, "table1").rows
    assert [r["col"] for r in rows if ":" not in r["col"]] == ["pretrain", "finetune"]
    assert {r["row"] for r in rows} == {"detection on scenes"}
    again = list(reproduce(store, BOXES, data=data))
    assert {r.state for r in again} == {"was there", "left out"}
    other = BOXES.replace("max_proposals = 6", "max_proposals = 5")
    with pytest.raises(ValueError, match="has other proposals"):
        list(reproduce(store, other, data=data))


def test_fine_tuning_on_the_parts_that_are_used(tmp_path: Path, data: Path) -> None:
    """Without val a data set is fine-tuned on train; the role with all parts learns from both."""
    commands: list[str] = []

    @contextmanager
    def noted(step: Step) -> Iterator[OnProgress]:
        commands.append(step.command)
        yield lambda _what, _done, _total, _note: None

    role = '[detection]\ndataset = "scenes"\n'
    half = f'{role}parts = ["train", "test"]\n[detection_more]\ndataset = "scenes"\n'
    tuned = ' }, { task = "detection_more", mode = "ft", parent = "1" }]'
    text = BOXES.replace(role, half).replace(" }]", tuned)
    text += text[text.index("[[make.finetune]]") :].replace('"detection"', '"detection_more"')
    list(reproduce(Store.create(tmp_path / "s"), text, data=data, dry_run=True, watch=noted))
    one, both = [command for command in commands if "finetune" in command]
    assert "--name 1-scenes-gt-ft " in one
    assert "--trainval" not in one
    assert "--name 1-scenes-gt-more-ft " in both
    assert "--trainval" in both


TWO = """
name = "s"
network = "caffenet-mini"
layers = ["conv5"]
tuned = [{ task = "detection_more", mode = "scratch" }]
make.finetune = [{ task = "detection_more", iterations = 1, batch_size = 4 }]
[[detection_more]]
dataset = "d"
[[detection_more]]
dataset = "no test"
"""


def test_fine_tuning_on_two_data_sets(tmp_path: Path) -> None:
    """They are learned from together, and measured on the only part test; then nothing is left."""
    scenes = make_scenes(tmp_path / "s", n_images=12)
    add_images(scenes, "no test", scenes.images_of("train", "val"))
    (step,) = making_steps(Context(scenes.store, parse_study(TWO), None, "cpu"))
    assert "--dataset d --dataset 'no test' --view gt" in step.command
    assert "--name 'd+no test-gt-more-scratch' --iterations 1 --trainval" in step.command
    assert "boxes of d and no test" in step.title
    assert not step.there


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ('split = "random"\nseeds = [0]', "have other splits or seeds than one another"),
        ('split = "random"\nseeds = [1]', "d, official split; no test, random split"),
        ('parts = ["train"]', "leaves out part val of 'no test'; fine-tuning on several"),
    ],
)
def test_two_data_sets_that_fine_tuning_cannot_take(tmp_path: Path, given: str, says: str) -> None:
    """It takes one kind of split, and all of its parts: other studies are refused."""
    scenes = make_scenes(tmp_path / "s", n_images=12)
    add_images(scenes, "no test", scenes.images_of("train", "val"))
    with pytest.raises(DataError, match=says):
        list(making_steps(Context(scenes.store, parse_study(TWO + given), None, "cpu")))


@pytest.mark.parametrize(
    ("images", "parts", "learns_val"),
    [
        ("all", '["train", "val", "test"]', True),
        ("all", '["train", "val"]', False),
        ("no test", '["train", "val", "test"]', False),
    ],
)
def test_fine_tuning_does_not_learn_what_is_tested_on(
    tmp_path: Path, images: str, parts: str, *, learns_val: bool
) -> None:
    """Where val is what the study tests on, fine-tuning learns from train alone."""
    scenes = make_scenes(tmp_path / "s", n_images=12)
    add_images(scenes, "no test", scenes.images_of("train", "val"))
    name = "d" if images == "all" else images
    text = f"""
        name = "s"
        network = "caffenet-mini"
        layers = ["conv5"]
        tuned = [{{ task = "detection", mode = "scratch" }}]
        detection = {{ dataset = "{name}", parts = {parts} }}
        make.finetune = [{{ task = "detection", iterations = 3 }}]
        """
    (step,) = making_steps(Context(scenes.store, parse_study(text), None, "cpu"))
    assert ("--trainval" in step.command) == learns_val


def test_detection_without_proposals(tmp_path: Path, data: Path) -> None:
    """A study that makes no proposals leaves out what reads them, and says what would make them."""
    store = Store.create(tmp_path / "s")
    text = BOXES[: BOXES.index("[[make.proposals]]")] + BOXES[BOXES.index("[make.pretrain]") :]
    results = {r.step.split(":")[0]: r for r in reproduce(store, text, data=data)}
    for name in ("table1", "table2", "table8"):
        assert results[name].state == "left out"
        assert "fstore proposals --dataset scenes" in results[name].note
    assert "failed" not in {r.state for r in results.values()}
    assert not any("conv5" in step and "scenes.proposal" in step for step in results)
    planned = [r.step for r in reproduce(store, BOXES, data=data, dry_run=True)]
    assert "Extract features of proposals, known once scenes is searched" in planned


def test_left_out_reports_say_why(done: Store, data: Path) -> None:
    """A report of which the study binds no part is left out, with the line that would bind it."""
    found = {r.step.split(":")[0]: r for r in reproduce(done, STUDY, data=data, dry_run=True)}
    assert found["table6"].state == "left out"
    assert "add [classification]" in found["table6"].note


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (('name = "places"\nformat', 'name = "place"\nformat'), UnknownNameError, "scenes of stu"),
        (('format = "imagefolder"', 'format = "folder"'), UnknownNameError, "no data-set format"),
        (('root = "places"', 'root = "places"\nyear = "2007"'), DataError, "no option --year"),
        (('root = "places"', 'root = "none"'), DataError, "none"),
        (
            ("[make.pretrain]", '[[make.proposals]]\ndataset = "faces"\n[make.pretrain]'),
            UnknownNameError,
            "make.proposals of study 'small': no data set 'faces'; there are: places, shapes",
        ),
        (
            (
                "[make.pretrain]",
                '[[make.proposals]]\ndataset = "shapes"\nmethod = "luck"\n[make.pretrain]',
            ),
            UnknownNameError,
            "luck",
        ),
        (("batch_size = 4\n\n", "batches = 4\n\n"), DataError, "pretrain: unknown key 'batches'"),
    ],
)
def test_mistakes(
    tmp_path: Path, data: Path, change: tuple[str, str], kind: type[Exception], message: str
) -> None:
    """A wrong entry is named."""
    store = Store.create(tmp_path / "s")
    with pytest.raises(kind, match=message):
        list(reproduce(store, STUDY.replace(*change), data=data))
    assert store.checkpoints() == []


def test_folder_of_data_is_asked_for(tmp_path: Path) -> None:
    """Folders in the file that are relative need to know to what."""
    store = Store.create(tmp_path / "s")
    with pytest.raises(DataError, match="reads 'shapes'; say in which folder: --data DIR"):
        list(reproduce(store, STUDY))


def test_another_recipe_under_the_same_name_is_refused(done: Store, data: Path) -> None:
    """A file that says another recipe than the one a checkpoint was made with is refused."""
    other = STUDY.replace("lr = 0.01", "lr = 0.02")
    with pytest.raises(ValueError, match="was made with other recipe"):
        list(reproduce(done, other, data=data))


@pytest.mark.slow
def test_the_commands_shown_do_the_same(tmp_path: Path, data: Path, done: Store) -> None:
    """Typed one after the other, the commands that are shown leave nothing else to be done."""
    file = tmp_path / "small.toml"
    file.write_text(STUDY)
    store = Store.create(tmp_path / "s")

    @contextmanager
    def typed(step: Step) -> Iterator[OnProgress]:
        words = shlex.split(step.command)
        assert words[0] == "fstore"
        result = CliRunner().invoke(app, ["--store", str(store.path), *words[1:]])
        assert result.exit_code == 0, (step.command, result.stderr)
        names, runs = {r.name for r in store.checkpoints()}, store.rows("runs").num_rows
        yield lambda _what, _done, _total, _note: None
        assert {r.name for r in store.checkpoints()} == names  # of the same recipe, or refused
        assert store.rows("runs").num_rows <= runs + 1

    list(reproduce(store, STUDY, source=str(file), data=data, watch=typed))
    rows = [r for r in store.rows("runs").to_pylist() if r["kind"] == "extract"]
    assert sorted(r["samples"] > 0 for r in rows) == [False, False, True, True]
    assert fingerprint(store) == fingerprint(done)


def test_command(tmp_path: Path, data: Path) -> None:
    """The program shows titles and commands on stderr, the table of steps on stdout."""
    file = tmp_path / "small.toml"
    file.write_text(SHORT)
    where = ["--store", str(tmp_path / "s"), "reproduce", str(file), "--data", str(data)]
    dry = CliRunner().invoke(app, [*where, "--dry-run", "--json"])
    assert dry.exit_code == 0
    assert not (tmp_path / "s").exists()
    # of the store to come, not of the one that a dry run throws away
    assert set(re.findall(r"--store [^\s\"]+", f"{dry.stderr}\n{dry.stdout}")) == {
        f"--store {tmp_path / 's'}"
    }
    result = CliRunner().invoke(app, [*where, "--json"])
    assert result.exit_code == 0, result.stderr
    rows = json.loads(result.stdout)
    assert list(rows[0]) == ["step", "state", "seconds", "note"]
    assert [row["step"] for row in rows if row["state"] == "left out"] == [
        row["step"] for row in json.loads(dry.stdout) if row["state"] == "left out"
    ]
    assert "\n# Register data set shapes\n$ fstore dataset add shapes --format" in result.stderr
    assert "16 image" in result.stderr
    assert (tmp_path / "s" / "page" / "index.html").is_file()
    missing = CliRunner().invoke(app, ["reproduce", str(tmp_path / "none.toml")])
    assert missing.exit_code == 1
    assert f"no file {tmp_path / 'none.toml'}" in missing.stderr


@pytest.mark.slow
@pytest.mark.parametrize("fraction", [0.3, 0.5, 0.7, 0.9])
def test_killed(tmp_path: Path, data: Path, done: Store, fraction: float) -> None:
    """After SIGKILL at some moment the program goes on; the result is that of one run."""
    file = tmp_path / "small.toml"
    file.write_text(STUDY)

    def start(store: Path) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "fstore.cli", "--store", str(store), "--quiet"]
        return subprocess.Popen(
            [*command, "reproduce", str(file), "--data", str(data), "--no-page"],
            stdout=subprocess.DEVNULL,
            env=dict(os.environ),
        )

    began = time.perf_counter()
    assert start(tmp_path / "whole").wait() == 0
    seconds = time.perf_counter() - began
    process = start(tmp_path / "s")
    time.sleep(fraction * seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert start(tmp_path / "s").wait() == 0
    assert fingerprint(Store.open(tmp_path / "s")) == fingerprint(done)


def test_results_are_told_apart(done: Store, data: Path) -> None:
    """Each step has a title of its own."""
    results: list[Result] = list(reproduce(done, STUDY, data=data, dry_run=True))
    assert len({r.step for r in results}) == len(results)
