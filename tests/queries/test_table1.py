"""Table 1 gives what scikit-learn gives on the features of each run's own checkpoint."""

from pathlib import Path

import numpy as np
import pytest

from _charts import points, words
from _problems import World
from _tuned import RUNS, SOFTMAX, STUDY, accuracy_of, add_run, exported, make_tuned, mean_ap_of
from fstore.errors import DataError, UnknownNameError
from fstore.queries.cells.needs import Row
from fstore.queries.figures.vega import spec_of
from fstore.queries.refresh.show import show_report
from fstore.queries.reports import REPORTS, paper_numbers
from fstore.queries.studies.study import parse_study
from fstore.queries.studies.tasks import TASKS, task_row

AP = 0.1  # points: a margin that two solvers put on different sides moves one rank


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return samples of one class each, and checkpoints tuned for them."""
    return make_tuned(tmp_path_factory.mktemp("world") / "s")


def test_each_run_has_its_own_checkpoint(world: World, tmp_path: Path) -> None:
    """Run i is seed i of the split with checkpoint i; pre-training is the same in all runs."""
    shown = show_report(world.store, parse_study(STUDY), "table1")
    cells = {(row["row"], row["col"]): row for row in shown.rows}
    names = {"scratch": "d-scratch", "finetune": "15-d-ft", "pretrain": "15"}
    for col, name in names.items():
        ckpts = [name + ("" if col == "pretrain" else run) for run in RUNS]
        runs = [
            accuracy_of(world, exported(world.store, ckpt, tmp_path), seed)
            for seed, ckpt in enumerate(ckpts)
        ]
        assert len(set(runs)) > 1
        cell = cells["scene classification on d", col]
        assert cell["value"] == pytest.approx(np.mean(runs))
        assert cell["std"] == pytest.approx(np.std(runs, ddof=1))
        assert cell["n"] == 3
    assert cells["scene classification on d", "finetune"]["paper"] == 52.2


def test_softmax_stands_beside(world: World) -> None:
    """The networks' own accuracy is shown where training recorded it on test, and only there."""
    shown = show_report(world.store, parse_study(STUDY), "table1")
    cells = {row["col"]: row for row in shown.rows}
    cell = cells["finetune:softmax"]
    assert (cell["value"], cell["n"]) == (pytest.approx(100 * np.mean(SOFTMAX)), 3)
    assert cell["std"] == pytest.approx(100 * np.std(SOFTMAX, ddof=1))
    assert "scratch:softmax" not in cells
    assert "pretrain:softmax" not in cells
    assert "finetune:chosen_c" in cells


def test_several_classes_a_sample(tmp_path: Path) -> None:
    """On images of several classes the value is mean AP; the paper's table has no such row."""
    world = make_tuned(tmp_path / "s", single=False)
    study = parse_study(STUDY.replace("scenes", "classification"))
    rows = show_report(world.store, study, "table1").rows
    cells = {(row["row"], row["col"]): row for row in rows}
    runs = [
        mean_ap_of(world, exported(world.store, f"d-scratch{run}", tmp_path), seed)
        for seed, run in enumerate(RUNS)
    ]
    cell = cells["classification on d", "scratch"]
    assert cell["value"] == pytest.approx(np.mean(runs), abs=AP)
    assert cell["std"] == pytest.approx(np.std(runs, ddof=1), abs=AP)
    assert (cell["n"], cell["paper"]) == (3, None)


def test_another_run_is_another_cell(tmp_path: Path) -> None:
    """Naming another checkpoint for one run computes the cells of its kind anew, no others."""
    world = make_tuned(tmp_path / "s")
    assert show_report(world.store, parse_study(STUDY), "table1").computed == 3
    add_run(world, "mine", seed=99, recipe={})
    named = 'parent = "15", ckpts = ["15-d-ft", "mine", "15-d-ft-s2"] }'
    study = parse_study(STUDY.replace('parent = "15" }', named, 1))
    shown = show_report(world.store, study, "table1")
    assert (shown.computed, shown.reused) == (1, 2)
    assert "finetune:softmax" not in {row["col"] for row in shown.rows}


def test_a_recorded_accuracy_is_an_input(tmp_path: Path) -> None:
    """A softmax accuracy that changes makes its cell stale, though the features are the same."""
    world = make_tuned(tmp_path / "s")
    study = parse_study(STUDY)
    needs = REPORTS["table1"].meta["needs"](world.store, study)
    (tuned,) = [need for need in needs if need.col == "finetune"]
    assert [value for name, value in tuned.parameters if name.startswith("own")] == [50, 62.5, 75]


def test_missing_checkpoints_are_named(world: World) -> None:
    """A checkpoint that is not there comes with the command that makes it."""
    study = parse_study(STUDY.replace('"ft", parent = "15" }', '"ft", parent = "25" }').replace(
        'pretrained = "15"', 'pretrained = "25"'))  # fmt: skip
    shown = show_report(world.store, study, "table1")
    assert {row["col"] for row in shown.rows if ":" not in row["col"]} == {"scratch"}
    lines = [str(missing) for missing in shown.missing]
    assert lines[0] == (
        "no scene classification on d: no checkpoint net/25; make it with: fstore ckpt import FILE "
        f"--network net --name 25 --store {world.store.path}"
    )
    assert lines[2] == (
        "no scene classification on d: no checkpoint net/25-d-ft-s1; make it with: fstore train "
        "finetune --network net --from 25 --mode ft --dataset d --view image --split random:1 "
        f"--seed 1 --name 25-d-ft-s1 --store {world.store.path}"
    )
    assert len(lines) == 4


def test_nothing_there(world: World) -> None:
    """Where no cell can be computed, the error lists what is missing."""
    study = parse_study(STUDY.replace('network = "net"', 'network = "other"'))
    with pytest.raises(UnknownNameError, match="no checkpoint other/d-scratch"):
        show_report(world.store, study, "table1")


def test_a_study_without_tuned_checkpoints(world: World) -> None:
    """A study that binds none says which lines to add."""
    text = STUDY[: STUDY.index("tuned =")] + STUDY[STUDY.index("[scenes]") :]
    with pytest.raises(DataError, match=r"add \[\[tuned\]\] with task = \"scenes\""):
        show_report(world.store, parse_study(text), "table1")
    with pytest.raises(DataError, match="says nothing of 'top_layer'"):
        show_report(world.store, parse_study(STUDY.replace('top_layer = "fc"\n', "")), "table1")


def test_plot() -> None:
    """A group a task with its measure, a bar a kind, the paper's numbers as marks."""
    columns = REPORTS["table1"].meta["columns"]
    tasks = (
        ("scene classification on sun", 3, 1.0, 50.0),
        ("classification on a + b", 1, None, None),
    )
    rows: list[Row] = [
        {"row": task, "col": col, "value": 40.0 + i, "std": std, "n": n, "paper": paper}
        for task, n, std, paper in tasks
        for i, col in enumerate((*columns, "finetune:softmax"))
    ]
    chart = REPORTS["table1"].meta["plot"](rows)
    drawn = points(chart)
    assert sorted(p["value"] for p in drawn) == [40, 40, 41, 41, 42, 42]
    assert [p["paper"] for p in drawn] == [50.0] * 3 + [None] * 3
    assert [(p["low"], p["high"]) for p in drawn[:3]] == [(39, 41), (40, 42), (41, 43)]
    assert [" ".join(p["group"].split()) for p in drawn[::3]] == [
        "scene classification on sun class-averaged accuracy",
        "classification on a + b mean average precision",
    ]
    assert "n = 1 to 3 runs" in words(chart)
    assert "Diamonds: the paper." in words(chart)


def test_many_labels_do_not_meet() -> None:
    """With a group for each of the four tasks, no label on the axis reaches into the next."""
    tasks = [task_row(role, ("voc2007", "voc2012")) for role in TASKS]
    rows: list[Row] = [
        {"row": task, "col": "scratch", "value": 40.0, "std": None, "n": 1, "paper": None}
        for task in tasks
    ]
    chart = REPORTS["table1"].meta["plot"](rows)
    groups = list(dict.fromkeys(p["group"] for p in points(chart)))
    assert len(groups) == 4
    longest = max(len(line) for group in groups for line in group.split("\n"))
    assert longest * 6.5 < spec_of(chart)["width"] / 4  # a character is about 6 pixels wide


def test_paper_numbers() -> None:
    """The paper's numbers are those of its Table 1."""
    numbers = paper_numbers("table1.csv")
    assert len(numbers) == 9
    assert numbers["SUN-CLS", "scratch"] == 35.7
    assert numbers["PASCAL-DET+DATA", "finetune"] == 59.2
