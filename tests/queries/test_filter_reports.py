"""Figures 3 to 5, Tables 5 and 10, supplementary Figure 2: numbers and drawings, by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.svm import LinearSVC

from _charts import channels, domain, points, titles, words
from _studies import CKPTS, CLASSES, StudyWorld, make_study
from fstore.queries.analyses.filter_subsets import filter_subsets
from fstore.queries.figures.figure3 import plot_figure3
from fstore.queries.figures.figure5 import plot_figure5
from fstore.queries.figures.subsets import plot_filter_subsets, plot_fractions, plot_needed
from fstore.queries.figures.vega import spec_of
from fstore.queries.refresh.show import show_report
from fstore.queries.reports import REPORTS, paper_numbers
from fstore.queries.samples.asked import AskedBoxes
from fstore.store.maintenance import Selection, drop
from fstore.store.precision import ap, voc_ap

ROLES = dict(zip(("pretrained", "finetuned"), CKPTS, strict=True))
ROLE_WORDS = {"pretrained": "pre-trained", "finetuned": "fine-tuned"}
AP = 1e-3  # 0.1 point
LAYERS = {"figure4": "conv5", "table5": "conv5", "s_figure2": "fc7", "table10": "fc7"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> StudyWorld:
    """Return boxes of one class each, three of them difficult, and two checkpoints."""
    return make_study(tmp_path_factory.mktemp("world") / "s")


def cells_of(world: StudyWorld, name: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Return a report's rows by row and column."""
    shown = show_report(world.store, world.study, name)
    assert not shown.missing
    return {(row["row"], row["col"]): row for row in shown.rows}


def largest(world: StudyWorld, ckpt: str, layer: str) -> NDArray[np.float64]:
    """Return the largest response of each filter to each box."""
    found: NDArray[np.float64] = world.values["g", ckpt, layer].max(axis=2).astype(np.float64)
    return found


def svc(X: NDArray[np.float64], y: NDArray[np.int8]) -> LinearSVC:
    """Fit the protocol's SVM to its last digits."""
    model = LinearSVC(
        loss="hinge",
        dual=True,
        C=1e-3,
        class_weight={1: 2},
        intercept_scaling=10,
        tol=1e-10,
        max_iter=1_000_000,
    )
    return model.fit(X, y)


def subset_curves(
    world: StudyWorld, ckpt: str, layer: str
) -> dict[str, tuple[list[int], list[float], list[float]]]:
    """Return, for each class, sizes, 11-point and all-points AP of nested subsets of filters."""
    X, fitted, test = (
        largest(world, ckpt, layer),
        world.rows("g", 0, "train", "val"),
        world.rows("g", 0, "test"),
    )
    X *= 20 / np.linalg.norm(X[fitted], axis=1).mean()
    sizes = [k for k in (1, 2, 3, 5, 10, 15, 20, 25, 30, 35) if k < X.shape[1]] + [X.shape[1]]
    found = {}
    for name, y in zip(CLASSES, world.Y["g"].T, strict=True):
        order = np.argsort(-np.abs(svc(X[fitted], y[fitted]).coef_[0]))
        pairs = []
        for k in sizes:
            part = X[:, order[:k]]
            scores = svc(part[fitted], y[fitted]).decision_function(part[test])
            pairs.append((voc_ap(scores, y[test]) or 0, ap(scores, y[test]) or 0))
        found[name] = (sizes, [p[0] for p in pairs], [p[1] for p in pairs])
    return found


@pytest.fixture(scope="module")
def curves(world: StudyWorld) -> dict[tuple[str, str], Any]:
    """Return :func:`subset_curves` by role and layer."""
    return {
        (role, layer): subset_curves(world, ckpt, layer)
        for role, ckpt in ROLES.items()
        for layer in ("conv5", "fc7")
    }


# subsets of filters


@pytest.mark.parametrize("layer", ["conv5", "fc7"])
def test_filter_subsets(world: StudyWorld, curves: dict[tuple[str, str], Any], layer: str) -> None:
    """Every class, every size: APs are those of LinearSVCs that were fitted on the subset alone."""
    rows = filter_subsets(world.store, AskedBoxes(layer=layer, ckpt="5k", dataset="g"))
    for name, (sizes, at_11, at_all) in curves["pretrained", layer].items():
        mine = [row for row in rows if row["class"] == name]
        assert [row["filters"] for row in mine] == sizes
        assert [row["ap_11"] for row in mine] == pytest.approx(at_11, abs=AP)
        assert [row["ap_all"] for row in mine] == pytest.approx(at_all, abs=AP)
        assert len({row["last_channel"] for row in mine}) == len(sizes)
        assert all(row["converged"] for row in mine)


@pytest.mark.parametrize("name", ["figure4", "s_figure2"])
def test_fractions(world: StudyWorld, curves: dict[tuple[str, str], Any], name: str) -> None:
    """The fraction of the complete AP by class, checkpoint and number of filters; AP beside it."""
    cells = cells_of(world, name)
    wanted = {}
    for role in ROLES:
        for label, (sizes, at_11, _) in curves[role, LAYERS[name]].items():
            for k, value in zip(sizes, at_11, strict=True):
                wanted[f"{label} {role}", str(k)] = value / at_11[-1]
                wanted[f"{label} {role}", f"{k}:ap"] = 100 * value
                wanted[f"{label} {role}", f"{k}:no_direction"] = 0
    assert set(cells) == set(wanted)
    for (row, col), cell in cells.items():
        close = 100 * AP if col.endswith(":ap") else AP
        assert cell["value"] == pytest.approx(wanted[row, col], abs=close)
    assert {cell["n"] for cell in cells.values()} == {len(world.boxes()[0])}


@pytest.mark.parametrize("name", ["table5", "table10"])
def test_needed(world: StudyWorld, curves: dict[tuple[str, str], Any], name: str) -> None:
    """The smallest size that reaches half and nine tenths; where the line to it crosses them."""
    cells = cells_of(world, name)
    assert len(cells) == 3 * 2 * 2 * len(CLASSES)
    for role in ROLES:
        for label, (sizes, at_11, _) in curves[role, LAYERS[name]].items():
            fractions = np.array(at_11) / at_11[-1]
            for share in (0.5, 0.9):
                at = int(np.argmax(fractions >= share))
                row = f"{role} {share:.0%}"
                assert cells[row, label]["value"] == sizes[at]
                between = cells[row, f"{label}:interpolated"]["value"]
                if at == 0:
                    assert between == sizes[0]
                else:
                    line = np.interp(
                        share, fractions[at - 1 : at + 1], np.array(sizes[at - 1 : at + 1])
                    )
                    assert between == pytest.approx(line, abs=0.05)


def test_papers_numbers_stand_beside(world: StudyWorld) -> None:
    """Rows and columns are the paper's: its numbers stand beside those of the same classes."""
    for name, paper in (("table5", 20), ("table10", 8)):
        numbers = paper_numbers(f"{name}.csv")
        cells = cells_of(world, name)
        assert cells["finetuned 90%", "cat"]["paper"] == paper
        for key, cell in cells.items():
            assert cell["paper"] == numbers.get(key)


# single filters


def test_figure3(world: StudyWorld) -> None:
    """Channel, AP, prior and curve of the five best filters of each class and checkpoint."""
    cells = cells_of(world, "figure3")
    ids, _ = world.boxes()
    for role, ckpt in ROLES.items():
        X = largest(world, ckpt, "conv5")[ids]
        for label, y in zip(CLASSES, world.Y["g"][ids].T, strict=True):
            aps = [voc_ap(x, y) or 0 for x in X.T]
            for rank, wanted in enumerate(sorted(aps, reverse=True)[:5], start=1):
                row = f"{label} {role} {rank}"
                channel = int(cells[row, "channel"]["value"])
                assert cells[row, "ap"]["value"] == pytest.approx(100 * wanted)
                assert aps[channel] == pytest.approx(wanted)
                assert cells[row, "prior"]["value"] == pytest.approx(np.mean(y > 0))
                for recall in (0, 0.3, 1):
                    best = precision_at(X[:, channel], y, recall)
                    assert cells[row, f"{recall:.2f}"]["value"] == pytest.approx(best)
    assert len(cells) == 2 * len(CLASSES) * 5 * (51 + 3)


def precision_at(score: NDArray[np.float64], label: NDArray[np.int8], recall: float) -> float:
    """Return the best precision of any threshold whose recall is not below."""
    found = []
    for cut in np.unique(score):
        taken = label[score >= cut]
        if (taken > 0).sum() >= recall * (label > 0).sum() - 1e-9:
            found.append(float((taken > 0).mean()))
    return max(found)


# overlap


def test_figure5(world: StudyWorld) -> None:
    """Common filters of the best 6 of 32 by |w|, the share by chance, and related classes."""
    cells = {key: cell["value"] for key, cell in cells_of(world, "figure5").items()}
    X, fitted = largest(world, "5k", "conv5"), world.rows("g", 0, "train", "val")
    X *= 20 / np.linalg.norm(X[fitted], axis=1).mean()
    best = {}
    for name, y in zip(CLASSES, world.Y["g"].T, strict=True):
        w = np.abs(svc(X[fitted], y[fitted]).coef_[0])
        best[name] = set(np.argsort(-w)[:6].tolist())
    shares = {(a, b): len(best[a] & best[b]) / 6 for a in CLASSES for b in CLASSES}
    assert {key: value for key, value in cells.items() if key[0] != "(summary)"} == shares
    pairs = {(a, b): s for (a, b), s in shares.items() if a < b}
    related = [pairs["cat", "dog"], pairs["bus", "car"]]  # animals, vehicles
    others = [s for pair, s in pairs.items() if pair not in {("cat", "dog"), ("bus", "car")}]
    summary = {col: value for (row, col), value in cells.items() if row == "(summary)"}
    assert summary == pytest.approx(
        {
            "chance": 6 / 32,
            "mean": np.mean(list(pairs.values())),
            "related": np.mean(related),
            "unrelated": np.mean(others),
            "top": 6,
        }
    )


# what is not there


@pytest.mark.parametrize(("name", "layer"), [("figure3", "conv5"), ("table10", "fc7")])
def test_missing_checkpoint(tmp_path: Path, name: str, layer: str) -> None:
    """Without the fine-tuned responses there are the other rows, and the command for these."""
    world = make_study(tmp_path / "s")
    drop(world.store.place, Selection(ckpt="15k", dataset="g"))
    shown = show_report(world.store, world.study, name)
    assert {"finetuned" in row["row"] for row in shown.rows} == {False}
    (missing,) = shown.missing
    assert missing.command == (
        f"fstore extract --layer {layer} --ckpt net/15k --dataset g --view gt "
        f"--store {world.store.path}"
    )


# plots


def curve_of(chart: Any, **which: object) -> tuple[list[float], list[float]]:  # noqa: ANN401
    """Return the places and heights of a line."""
    mine = points(chart, **which)
    return [p["x"] for p in mine], [p["y"] for p in mine]


def test_plot_figure3(world: StudyWorld) -> None:
    """A panel a class: a colour a rank, dashed before and solid after; prior and n are told."""
    rows = show_report(world.store, world.study, "figure3").rows
    chart = plot_figure3(rows)
    panels = list(dict.fromkeys(p["panel"] for p in points(chart)))
    assert [panel.rsplit(" (", 1)[0] for panel in panels] == list(CLASSES)
    for panel in panels:
        name = panel.rsplit(" (", 1)[0]
        for role, word in ROLE_WORDS.items():
            mine = [r for r in rows if r["row"] == f"{name} {role} 1" and r["col"][0].isdigit()]
            x, y = curve_of(chart, panel=panel, line=f"{word}, 1")
            assert y == [row["value"] for row in mine]
            assert x == [float(row["col"]) for row in mine]
        own = [r for r in rows if r["row"].startswith(f"{name} ")]
        priors = {r["value"] for r in own if r["col"] == "prior"}
        assert {p["prior"] for p in points(chart, panel=panel)} == priors
        best = max(r["value"] for r in own if r["col"] == "ap")
        assert panel == f"{name} ({best:.0f})"
    (dashes,) = channels(chart, "strokeDash")
    (colours,) = channels(chart, "color")
    strokes = dict(zip(dashes["scale"]["domain"], dashes["scale"]["range"], strict=True))
    assert {strokes[f"pre-trained, {rank}"][1] > 0 for rank in range(1, 6)} == {True}
    assert {strokes[f"fine-tuned, {rank}"][1] > 0 for rank in range(1, 6)} == {False}
    assert len(set(colours["scale"]["range"])) == 5
    assert f"n = {len(world.boxes()[0])} boxes" in words(chart)


def test_plot_figure3_of_long_names(world: StudyWorld) -> None:
    """Class names of several words stay whole."""
    rows = [
        {**row, "row": row["row"].replace("cat ", "potted plant ").replace("dog ", "potted fern ")}
        for row in show_report(world.store, world.study, "figure3").rows
    ]
    panels = dict.fromkeys(p["panel"].rsplit(" (", 1)[0] for p in points(plot_figure3(rows)))
    assert list(panels) == ["potted plant", "potted fern", "bus", "car"]


@pytest.mark.parametrize("name", ["figure4", "s_figure2"])
def test_plot_fractions(world: StudyWorld, name: str) -> None:
    """A panel a class, a line a checkpoint: the fractions, and not the APs beside them."""
    rows = show_report(world.store, world.study, name).rows
    chart = REPORTS[name].meta["plot"](rows)
    assert REPORTS[name].meta["plot"] is plot_fractions
    assert [p["panel"] for p in points(chart, role="fine-tuned", x=1)] == list(CLASSES)
    for label in CLASSES:
        for role, word in ROLE_WORDS.items():
            mine = [r for r in rows if r["row"] == f"{label} {role}" and ":" not in r["col"]]
            x, y = curve_of(chart, panel=label, role=word)
            assert y == [row["value"] for row in mine]
            assert x == [int(row["col"]) for row in mine]
    assert channels(chart, "x")[0]["scale"]["type"] == "log"
    (dashes,) = channels(chart, "strokeDash")
    assert dashes["scale"] == {"domain": ["pre-trained", "fine-tuned"], "range": [[6, 3], [1, 0]]}


def test_plot_filter_subsets(world: StudyWorld) -> None:
    """The analysis draws the same panels, one line each."""
    rows = filter_subsets(world.store, AskedBoxes(layer="conv5", ckpt="5k", dataset="g"))
    chart = plot_filter_subsets(rows)
    for label in CLASSES:
        wanted = [r["fraction"] for r in rows if r["class"] == label]
        assert curve_of(chart, panel=label)[1] == wanted
    assert f"n = {rows[0]['n']} samples tested on." in words(chart)


def test_plot_needed(world: StudyWorld) -> None:
    """Each class has the numbers of both checkpoints and shares, each pair its own symbol."""
    rows = show_report(world.store, world.study, "table5").rows
    chart = plot_needed(rows)
    for role, word in ROLE_WORDS.items():
        for share in ("50%", "90%"):
            mine = [r for r in rows if r["row"] == f"{role} {share}" and ":" not in r["col"]]
            drawn = points(chart, mark=f"{word}, {share.replace('%', ' %')}")
            assert [p["filters"] for p in drawn] == [row["value"] for row in mine]
            assert [p["class"] for p in drawn] == list(CLASSES)
    (shapes,) = channels(chart, "shape")
    assert len(set(shapes["scale"]["range"])) == 4
    assert channels(chart, "x")[0]["scale"]["type"] == "log"
    assert f"n = {len(world.boxes()[0])} test boxes" in words(chart)


def test_plot_figure5(world: StudyWorld) -> None:
    """The matrix in percent without its diagonal, numbers, scale and chance in the same unit."""
    rows = show_report(world.store, world.study, "figure5").rows
    chart = plot_figure5(rows)
    values = {(row["row"], row["col"]): row["value"] for row in rows}
    drawn = {(p["row"], p["col"]): p["value"] for p in points(chart)}
    for a in CLASSES:
        for b in CLASSES:
            assert drawn[a, b] is None if a == b else drawn[a, b] == 100 * values[a, b]
    (numbers,) = channels(chart, "text")
    assert (numbers["field"], numbers["format"]) == ("value", ".0f")
    low, high = domain(chart, "color")
    assert low == 0
    assert high == max(100 * 6 / 32, *(v for v in drawn.values() if v is not None))
    assert f"By chance {100 * 6 / 32:.1f} percent." in words(chart)
    assert titles(chart, "color") == {"['Percent of the 6 best', 'filters in common']"}
    spec = spec_of(chart)
    assert (spec["width"], spec["height"]) == (spec["height"], spec["width"])  # cells are square
