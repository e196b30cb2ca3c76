"""What every registered analysis and report keeps to, whatever it asks."""

import json
import re
from pathlib import Path
from typing import Any, get_origin

import numpy as np
import pytest
from msgspec.structs import replace

from _build import add_checkpoint, add_layers
from _charts import check_drawn, words
from _studies import CKPTS, SHAPES, STUDY, StudyWorld, add_samples, make_study
from fstore.errors import UnknownNameError
from fstore.queries.analyses import ANALYSES, ask, options_of
from fstore.queries.cells.needs import BESIDE, ROW_COLUMNS
from fstore.queries.publish.titles import report_title
from fstore.queries.refresh.show import show_report
from fstore.queries.reports import REPORTS, paper_numbers
from fstore.queries.studies.study import Study, parse_study
from fstore.store import Store

TESTS = Path(__file__).parent
WITH_MORE = {
    "nearest": "test_nearest_samples.py",
    "top-images": "test_top_images.py",
    "figure2": "test_figure2.py",
    "figure6": "test_figure6.py",
    "table1": "test_table1.py",
    "table2": "test_table2.py",
    "table4": "test_table4.py",
    "table8": "test_table8.py",
    "proposal-recall": "test_proposal_recall.py",
    "dissection": "test_dissection.py",
}
"""What needs images, weights, proposals or tuned checkpoints too, and the test that has them."""

ONE_CLASS = ("accuracy", "confusion")
"""What asks for samples of one class each."""

FEWER: dict[str, dict[str, Any]] = {
    "probe": {"layer": ("conv5",), "folds": 2},
    "confusion": {"folds": 2},
    "ablate-filters": {"folds": 2},
}
"""Options that leave out work which proves nothing more."""

ANALYSIS_NAMES = [entry.name for entry in ANALYSES if entry.name not in WITH_MORE]
REPORT_NAMES = [entry.name for entry in REPORTS if entry.name not in WITH_MORE]

PAPER = {
    "table3": ("conv5", "15k", 53.4),
    "table5": ("finetuned 90%", "cat", 20),
    "table6": ("conv5", "nonzero_percent", 27.7),
    "table7": ("conv5", "sp_max", 62.5),
    "table7_accuracy": ("conv5, pre-training set", "sp_max", 41.5),
    "table9": ("fc7", "weighted 0.1", 20.58),
    "table10": ("finetuned 90%", "cat", 8),
}
"""One of the paper's numbers from each of its tables, read off the paper."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> StudyWorld:
    """Return a store that has what a study needs, layers and classes named as the paper's."""
    return make_study(tmp_path_factory.mktemp("world") / "s")


@pytest.fixture(scope="module")
def study() -> Study:
    """Return the study of the store, with two seeds."""
    return parse_study(STUDY.replace("[0, 1, 2]", "[0, 1]"))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a store with the data sets and checkpoints of the study and no activations."""
    store = Store.create(tmp_path_factory.mktemp("bare") / "s")
    add_layers(store, "net", SHAPES)
    for ckpt in CKPTS:
        add_checkpoint(store, "net", ckpt)
    Y = np.where(np.eye(4, dtype=bool)[np.arange(12) % 4], 1, -1).astype(np.int8)
    parts: dict[int, Any] = {k: ["train", "val", "test"] * 4 for k in range(3)}
    for name in ("d", "s"):
        add_samples(store, name, Y, parts)
    add_samples(store, "g", Y, {0: parts[0]}, view="gt")
    return store


def options(name: str) -> dict[str, Any]:
    """Return what an analysis must be told: layer conv5 of the data set that suits its view."""
    parameters = options_of(ANALYSES[name].function)
    dataset = {"gt": "g", "image": "s" if name in ONE_CLASS else "d"}[parameters["view"].default]
    number = "int" in str(parameters["channel"].annotation) if "channel" in parameters else False
    known = {
        "layer": "conv5",
        "ckpt": "5k",
        "other": "15k",
        "dataset": dataset,
        "channel": (0, 2) if number else ("0", "2"),
    }
    needed = [n for n, p in parameters.items() if p.default is p.empty]
    return {n: of_kind(parameters[n], known[n]) for n in needed} | FEWER.get(name, {})


def of_kind(parameter: Any, value: Any) -> Any:  # noqa: ANN401 - of any option
    """Return a value as an option takes it: alone, or as one of several."""
    several = get_origin(parameter.annotation) is tuple and not isinstance(value, tuple)
    return (value,) if several else value


def is_plain(value: object) -> bool:
    """Say whether a value is one that JSON and CSV know, and a number."""
    return (
        value is None
        or type(value) in {str, bool, int}
        or (type(value) is float and np.isfinite(value))
    )


# analyses


@pytest.mark.parametrize("name", ANALYSIS_NAMES)
def test_analysis(world: StudyWorld, name: str) -> None:
    """Asked twice it gives the same rows, of its declared columns and plain values; it is drawn."""
    entry = ANALYSES[name]
    first, second = (ask(world.store, name, **options(name)) for _ in range(2))
    assert first
    assert first == second
    for row in first:
        assert set(row) == set(entry.meta["columns"])
        assert all(is_plain(value) for value in row.values()), row
    assert json.loads(json.dumps(first)) == first
    if entry.meta["plot"] is not None:
        chart = entry.meta["plot"](first, title="conv5")
        check_drawn(chart)
        assert words(chart).startswith("conv5")


@pytest.mark.parametrize("name", [entry.name for entry in ANALYSES])
def test_analysis_says_what_it_is(name: str) -> None:
    """It has a help line, a title and its source; each column is named once."""
    entry = ANALYSES[name]
    assert entry.summary.endswith(".")
    assert entry.meta["title"]
    assert entry.meta["source"]
    assert len(set(entry.meta["columns"])) == len(entry.meta["columns"])


@pytest.mark.parametrize("name", ANALYSIS_NAMES)
def test_analysis_of_a_layer_that_is_not_there(world: StudyWorld, name: str) -> None:
    """Of a layer that is not extracted: the command; of a checkpoint: those that there are."""
    given, taken = options(name), options_of(ANALYSES[name].function)
    view = taken["view"].default
    layer, ckpt = of_kind(taken["layer"], "conv9"), of_kind(taken["ckpt"], "305k")
    command = (
        "fstore extract --layer conv9 --ckpt 5k "
        f"--dataset {given['dataset']} --view {view} --store {world.store.path}"
    )
    with pytest.raises(UnknownNameError, match=command):
        ask(world.store, name, **{**given, "layer": layer})
    with pytest.raises(UnknownNameError, match="no checkpoint '305k'; there are: ") as caught:
        ask(world.store, name, **{**given, "ckpt": ckpt})
    assert "fstore extract" not in str(caught.value)


# reports


@pytest.mark.parametrize("name", REPORT_NAMES)
def test_report(world: StudyWorld, study: Study, name: str) -> None:
    """Cells are the same when computed twice, finite, each once, of the declared columns."""
    entry = REPORTS[name]
    needs = entry.meta["needs"](world.store, study)
    first = {need: list(cells) for need, cells in entry.function(world.store, needs)}
    assert set(first) == set(needs)
    cells = [cell for need in first.values() for cell in need]
    assert len({(cell.row, cell.col) for cell in cells}) == len(cells) > 0
    declared = entry.meta["columns"]
    for cell in cells:
        assert type(cell.value) is float
        assert np.isfinite(cell.value)
        assert cell.std is None or np.isfinite(cell.std)
        assert not declared or cell.col.split(BESIDE)[0] in declared
    shown = show_report(world.store, study, name)  # computes them again
    assert [tuple(row) for row in shown.rows] == [ROW_COLUMNS] * len(cells)
    assert {(r["row"], r["col"]): r["value"] for r in shown.rows} == {
        (c.row, c.col): c.value for c in cells
    }
    again = show_report(world.store, study, name)
    assert (again.computed, again.rows) == (0, shown.rows)


@pytest.mark.parametrize("name", REPORT_NAMES)
def test_report_is_drawn(world: StudyWorld, study: Study, name: str) -> None:
    """Its plot takes the rows that it shows, with and without those beside; it says how many."""
    rows = show_report(world.store, study, name).rows
    plot = REPORTS[name].meta["plot"]
    check_drawn(plot(rows, title=report_title(name, study)))
    chart = plot([row for row in rows if BESIDE not in row["col"]], title="T")
    check_drawn(chart)
    assert re.search(r"n = [0-9]|One split", words(chart))


@pytest.mark.parametrize("name", REPORT_NAMES)
def test_report_on_one_checkpoint(world: StudyWorld, study: Study, name: str) -> None:
    """Without a fine-tuned checkpoint it shows the other, or says what the study lacks."""
    study = replace(study, finetuned=None)
    if name == "table9":
        with pytest.raises(ValueError, match="says nothing of 'finetuned'"):
            show_report(world.store, study, name)
        return
    shown = show_report(world.store, study, name)
    assert not any("finetuned" in row["row"] for row in shown.rows)
    check_drawn(REPORTS[name].meta["plot"](shown.rows))


@pytest.mark.parametrize("name", REPORT_NAMES)
def test_report_with_the_papers_numbers(world: StudyWorld, study: Study, name: str) -> None:
    """The paper's number stands beside the cell of the same row and column, and nowhere else."""
    rows = show_report(world.store, study, name).rows
    beside = {(row["row"], row["col"]): row["paper"] for row in rows if row["paper"] is not None}
    paper = REPORTS[name].meta["paper"]
    assert (paper is not None) == (name in PAPER)
    if paper is None:
        assert beside == {}
        return
    row, col, number = PAPER[name]
    assert beside[row, col] == number
    shown = {(r["row"], r["col"]) for r in rows}
    assert beside == {key: v for key, v in paper_numbers(paper).items() if key in shown}


@pytest.mark.parametrize("name", REPORT_NAMES)
def test_report_without_activations(bare: Store, study: Study, name: str) -> None:
    """The error has the commands that make what the report reads, for each checkpoint."""
    with pytest.raises(UnknownNameError, match="has nothing to show: ") as caught:
        show_report(bare, study, name)
    for need in REPORTS[name].meta["needs"](bare, study):
        for reading in need.readings:
            samples = reading.samples
            command = (
                f" --ckpt net/{reading.ckpt} --dataset {samples.dataset} --view {samples.view}"
            )
            assert command in str(caught.value)
            assert f"--layer {reading.layer}" in str(caught.value)


# what is proven elsewhere


@pytest.mark.parametrize("name", WITH_MORE)
def test_proven_elsewhere(name: str) -> None:
    """What this file leaves out is registered only together with the test that proves it."""
    if name in ANALYSES or name in REPORTS:
        assert (TESTS / WITH_MORE[name]).exists()
