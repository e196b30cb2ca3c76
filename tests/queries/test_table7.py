"""The classification reports give what scikit-learn gives on the dense, ablated matrix."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score

from _charts import channels, domain, points, titles, words
from _problems import N, World, make, scores_of
from fstore.errors import DataError
from fstore.queries.cells.needs import Row
from fstore.queries.figures.retrieval import plot_retrieval
from fstore.queries.figures.table3 import plot_table3
from fstore.queries.refresh.show import show_report
from fstore.queries.reports import REPORTS, paper_numbers
from fstore.queries.studies.study import parse_study
from fstore.store.permutation import permutation
from fstore.store.precision import ap, voc_ap

STUDY = """
name = "small"
network = "net"
layers = ["conv", "fc"]
mid_layer = "conv"
pretrained = "5"
sweep = ["5", "15"]
seeds = [0, 1, 2]
[classification]
dataset = "d"
split = "random"
"""
AP = 0.1  # points: a margin that two solvers put on different sides moves one rank


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return samples of several classes each, two checkpoints."""
    return make(tmp_path_factory.mktemp("world") / "s", ckpts=("5", "15"))


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return samples of one class each."""
    return make(tmp_path_factory.mktemp("single") / "s", single=True)


Maps = NDArray[np.float32]


def shuffled(X: Maps, seed: int) -> Maps:
    """Permute the places of every sample as the project says it does."""
    out = np.empty_like(X)
    for n, x in enumerate(X):
        out[n] = x[:, permutation(9, seed=seed, view="image", sample_id=n)]
    return out


ABLATE: dict[str, Callable[[Maps], list[Maps]]] = {
    "none": lambda X: [X],
    "binarize": lambda X: [(X > 0).astype(np.float32)],
    "sp_shuffle": lambda X: [shuffled(X, seed) for seed in range(5)],
    "sp_max": lambda X: [X.max(axis=2, keepdims=True)],
}


def dense_map(world: World, X: NDArray[np.float32], seed: int) -> tuple[float, float]:
    """Return mean 11-point and all-points AP in percent of one split, by scikit-learn."""
    flat = X.reshape(N, -1).astype(np.float64)
    fitted, test = world.rows(seed, "train", "val"), world.rows(seed, "test")
    # the rows that are fitted come in the order train, val; the mean norm does not mind
    pairs = [(scores_of(flat, y, fitted, test), y[test]) for y in world.Y.T]
    means = [np.mean([f(s, y) for s, y in pairs]) for f in (voc_ap, ap)]
    return 100 * float(means[0]), 100 * float(means[1])


def test_table7(world: World) -> None:
    """Value, deviation and n over three splits, for every layer and ablation."""
    shown = show_report(world.store, parse_study(STUDY), "table7")
    cells = {(row["row"], row["col"]): row for row in shown.rows}
    wanted = [("conv", name) for name in ABLATE] + [("fc", "none"), ("fc", "binarize")]
    assert [key for key in cells if ":" not in key[1]] == wanted
    for layer, name in wanted:
        drawn = np.array(
            [
                [dense_map(world, X, seed) for seed in range(3)]
                for X in ABLATE[name](world.values[layer])
            ]
        )  # (permutations, splits, measures)
        runs = drawn.mean(axis=0)
        cell = cells[layer, name]
        assert cell["value"] == pytest.approx(runs[:, 0].mean(), abs=AP)
        assert cell["std"] == pytest.approx(runs[:, 0].std(ddof=1), abs=AP)
        assert cell["n"] == 3
        assert cells[layer, f"{name}:all_points"]["value"] == pytest.approx(
            runs[:, 1].mean(), abs=AP
        )
        assert cells[layer, f"{name}:classes"]["value"] == 3
        assert ((layer, f"{name}:permutations_std") in cells) == (len(drawn) > 1)
        if len(drawn) > 1:
            spread = drawn[:, :, 0].std(axis=0, ddof=1).mean()
            assert spread > 10 * AP
            found = cells[layer, f"{name}:permutations_std"]["value"]
            assert found == pytest.approx(spread, abs=AP)


def test_not_by_name(world: World, tmp_path: Path) -> None:
    """The same images under another name give the same numbers, shuffled or not."""
    other = make(tmp_path / "s", ckpts=("5",), name="voc07").store
    study = parse_study(STUDY.replace('"5", "15"', '"5"'))
    there = parse_study(
        STUDY.replace('"5", "15"', '"5"').replace('dataset = "d"', 'dataset = "voc07"')
    )
    first, second = show_report(world.store, study, "table7"), show_report(other, there, "table7")
    assert len(first.rows) > 20
    assert first.rows == second.rows


def test_table3(world: World) -> None:
    """A cell for each layer and checkpoint; equal activations give equal cells."""
    shown = show_report(world.store, parse_study(STUDY), "table3")
    cells = {(row["row"], row["col"]): row["value"] for row in shown.rows}
    (X,) = ABLATE["none"](world.values["fc"])
    runs = [dense_map(world, X, seed)[0] for seed in range(3)]
    assert cells["fc", "15"] == pytest.approx(np.mean(runs), abs=AP)
    assert cells["fc", "5"] == cells["fc", "15"]


def test_a_new_checkpoint_adds_its_cells(world: World, tmp_path: Path) -> None:
    """Cells of a checkpoint that is added to the sweep are computed, the others reused."""
    other = make(tmp_path / "s", ckpts=("5", "15"))
    first = parse_study(STUDY.replace('["5", "15"]', '["5"]'))
    assert show_report(other.store, first, "table3").computed == 2
    shown = show_report(other.store, parse_study(STUDY), "table3")
    assert (shown.computed, shown.reused) == (2, 2)
    assert world.Y.shape == other.Y.shape


def test_official_split(world: World) -> None:
    """One split has no deviation."""
    study = parse_study(STUDY.replace('split = "random"\n', ""))
    rows = show_report(world.store, study, "table7").rows
    assert {row["n"] for row in rows} == {1}
    assert {row["std"] for row in rows} == {None}


def test_accuracy(single: World) -> None:
    """Class-averaged accuracy of one-against-rest LinearSVCs; the pre-training set's own rows."""
    text = STUDY.replace("[classification]", "[scenes]") + '[pretrain]\ndataset = "d"\n'
    shown = show_report(single.store, parse_study(text), "table7_accuracy")
    cells = {(row["row"], row["col"]): row for row in shown.rows}
    (pooled,) = ABLATE["sp_max"](single.values["conv"])
    X = pooled.reshape(N, -1).astype(np.float64)
    truth = single.Y.argmax(axis=1)
    runs = []
    for seed in range(3):
        fitted, test = single.rows(seed, "train", "val"), single.rows(seed, "test")
        found = np.stack([scores_of(X, y, fitted, test) for y in single.Y.T]).argmax(axis=0)
        runs.append(100 * balanced_accuracy_score(truth[test], found))
    assert cells["conv", "sp_max"]["value"] == pytest.approx(np.mean(runs))
    assert cells["conv", "sp_max"]["std"] == pytest.approx(np.std(runs, ddof=1))
    own = cells["conv, pre-training set", "sp_max"]
    assert own["value"] == pytest.approx(runs[0])  # its official split is that of seed 0
    assert ("fc", "sp_max") not in cells


def test_accuracy_needs_a_data_set(world: World) -> None:
    """A study without scenes says which line is missing."""
    with pytest.raises(DataError, match="says nothing of 'scenes'"):
        show_report(world.store, parse_study(STUDY), "table7_accuracy")


def test_retrieval(world: World) -> None:
    """Means over the queries of the first split, against a direct loop over features."""
    shown = show_report(world.store, parse_study(STUDY), "retrieval")
    cells = {row["col"]: row for row in shown.rows}
    assert {row["row"] for row in shown.rows} == {"fc"}
    X = world.values["fc"][:, :, 0]
    base, test = world.rows(0, "train", "val"), world.rows(0, "test")
    found = []
    for q in test:
        near = [-float(np.sum((X[q] > 0) != (X[i] > 0))) for i in base]
        both = [[a * b for a, b in zip(world.Y[q] > 0, world.Y[i] > 0, strict=True)] for i in base]
        maybe = [
            [a * b for a, b in zip(world.Y[q] >= 0, world.Y[i] >= 0, strict=True)] for i in base
        ]
        y = [1 if any(s) else 0 if any(m) else -1 for s, m in zip(both, maybe, strict=True)]
        found.append(ap(np.array(near), np.array(y)))
    known = [100 * value for value in found if value is not None]
    assert cells["hamming"]["value"] == pytest.approx(np.mean(known))
    assert cells["hamming"]["n"] == len(known)
    assert cells["cosine"]["value"] != cells["hamming"]["value"]


def rows_of(columns: Sequence[str], *, paper: float | None, n: int) -> list[Row]:
    """Return rows of a report of two layers."""
    return [
        {
            "row": layer,
            "col": col,
            "value": 40.0 + i,
            "std": 1.0 if n > 1 else None,
            "n": n,
            "paper": paper,
        }
        for layer in ("conv1", "fc")
        for i, col in enumerate(columns)
        if layer == "conv1" or not col.startswith("sp_")
    ]


def test_plot_table7() -> None:
    """Bars are the values, an ablation each; marks the paper's; what stands beside is not drawn."""
    columns = REPORTS["table7"].meta["columns"]
    rows = rows_of([*columns, "none:classes"], paper=50.0, n=3)
    chart = REPORTS["table7"].meta["plot"](rows)
    drawn = points(chart)
    assert sorted(p["value"] for p in drawn) == [40, 40, 41, 41, 42, 43]
    assert [p["paper"] for p in drawn] == [50.0] * 6
    assert [p["bar"] for p in points(chart, group="fc")] == ["as they are", "binarized"]
    assert "n = 3 splits" in words(chart)
    assert titles(chart, "y") == {"Mean average precision (percent)"}


def test_plot_retrieval() -> None:
    """Lines are the standard error of the mean, and the note says so, and of how many queries."""
    rows = rows_of(REPORTS["retrieval"].meta["columns"], paper=None, n=200)
    chart = plot_retrieval([{**row, "std": 16.0} for row in rows])
    drawn = points(chart)
    assert len(drawn) == 6
    for p in drawn:
        assert (p["high"] - p["low"]) / 2 == pytest.approx(16 / 200**0.5)
    assert "n = 200 queries" in words(chart)
    assert "standard error of the mean" in words(chart)


def test_plot_table3() -> None:
    """A line a layer, through its values in the order of the checkpoints, on an axis from 0."""
    chart = plot_table3(rows_of(["5", "15", "5:classes"], paper=None, n=3))
    drawn = points(chart, line="fc")
    assert [(p["x"], p["y"], p["low"], p["high"]) for p in drawn] == [
        ("5", 40, 39, 41),
        ("15", 41, 40, 42),
    ]
    assert channels(chart, "x")[0]["sort"] == ["5", "15"]
    assert domain(chart, "y")[0] == 0
    assert [p["label"] for p in points(chart) if p.get("label")] == ["conv1", "fc"]
    (shapes, *_) = channels(chart, "shape")
    assert len(set(shapes["scale"]["range"])) == 2
    assert "± 1 standard deviation over splits, n = 3 splits" in words(chart)


def test_paper_numbers() -> None:
    """The paper's numbers are those of its Tables 3 and 7 and of section 5.2."""
    assert paper_numbers("table7.csv")["conv5", "sp_max"] == 62.5
    assert ("fc6", "sp_max") not in paper_numbers("table7.csv")
    assert paper_numbers("table3.csv")["fc7", "305k"] == 74.3
    assert paper_numbers("table7_accuracy.csv")["conv5, pre-training set", "sp_max"] == 41.5
