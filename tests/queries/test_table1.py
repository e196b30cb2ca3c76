"""Table 1 gives what scikit-learn gives on the features of each run's own checkpoint."""

from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from _problems import World
from _tuned import RUNS, SOFTMAX, STUDY, accuracy_of, add_run, exported, make_tuned, mean_ap_of
from fstore.errors import DataError, UnknownNameError
from fstore.queries.cells.needs import Row
from fstore.queries.refresh.show import show_report
from fstore.queries.reports import REPORTS, paper_numbers
from fstore.queries.studies.study import parse_study
from fstore.queries.studies.tasks import TASKS, task_row

mpl.use("agg")

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
    ax: Axes = REPORTS["table1"].meta["plot"](rows)
    assert sorted(bar.get_height() for bar in ax.patches) == [40, 40, 41, 41, 42, 42]  # type: ignore[attr-defined]
    marks = [line for line in ax.get_lines() if line.get_marker() == "D"]
    assert sum(len(np.asarray(line.get_xdata())) for line in marks) == 3
    assert [label.get_text() for label in ax.get_xticklabels()] == [
        "scene classification on sun\nclass-averaged accuracy",
        "classification on a + b\nmean average precision",
    ]
    legend = ax.get_legend()
    assert legend is not None
    assert "n = 1 or 3 splits" in legend.get_title().get_text()
    plt.close("all")


def test_many_labels_do_not_meet() -> None:
    """With a group for each of the four tasks, no label on the axis reaches into the next."""
    tasks = [task_row(role, ("voc2007", "voc2012")) for role in TASKS]
    rows: list[Row] = [
        {"row": task, "col": "scratch", "value": 40.0, "std": None, "n": 1, "paper": None}
        for task in tasks
    ]
    ax: Axes = REPORTS["table1"].meta["plot"](rows)
    ax.figure.canvas.draw()
    boxes = [label.get_window_extent() for label in ax.get_xticklabels()]
    assert len(boxes) == 4
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes))
    plt.close("all")


def test_paper_numbers() -> None:
    """The paper's numbers are those of its Table 1."""
    numbers = paper_numbers("table1.csv")
    assert len(numbers) == 9
    assert numbers["SUN-CLS", "scratch"] == 35.7
    assert numbers["PASCAL-DET+DATA", "finetune"] == 59.2
