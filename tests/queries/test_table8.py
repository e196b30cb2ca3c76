"""Table 8 is the mean average precision of R-CNN's detector, with a bootstrap over images."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.svm import LinearSVC

from _charts import points, titles, words
from _detection import Scenes, make_scenes, relabel
from fstore.errors import DataError, UnknownNameError
from fstore.pixels.boxes import iou_matrix
from fstore.queries.cells.needs import Row
from fstore.queries.detection.detector import load_detector
from fstore.queries.detection.nms import nms
from fstore.queries.detection.run import DetectionResult, detection_map
from fstore.queries.detection.training import Features, train_detector
from fstore.queries.detection.voc_eval import Boxes, Evaluation, Scored, evaluate
from fstore.queries.figures.table8 import plot_table8
from fstore.queries.refresh.show import Shown, show_report
from fstore.queries.reports import REPORTS, paper_numbers
from fstore.queries.studies.study import parse_study
from fstore.store.parts import Samples

STUDY = """
name = "small"
network = "net"
layers = ["conv"]
mid_layer = "conv"
pretrained = "5"
[detection]
dataset = "d"
"""
COLUMNS = ("none", "binarize", "sp_max")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    """Return a store with objects, proposals and features of both."""
    return make_scenes(tmp_path_factory.mktemp("scenes") / "s")


@pytest.fixture(scope="module")
def shown(scenes: Scenes) -> Shown:
    """Return the report, computed for the first time."""
    return show_report(scenes.store, parse_study(STUDY), "table8")


def dense_evaluation(scenes: Scenes, ablation: str) -> Evaluation:
    """Train LinearSVC on all boxes and negatives, score, suppress and evaluate, on arrays."""
    X, gt = (ablate(x, ablation) for x in (scenes.values, scenes.gt_values))
    learned = np.isin(scenes.image, scenes.images_of("train", "val"))
    X, gt = (x * (20 / np.linalg.norm(X[learned], axis=1).mean()) for x in (X, gt))
    tested = scenes.images_of("test")
    same = scenes.image[:, None] == scenes.gt_image
    iou = iou_matrix(scenes.boxes, scenes.gt_boxes) * same
    objects, found = [], []
    for label in range(3):
        of_class = scenes.gt_label == label
        own = of_class & ~np.isin(scenes.gt_image, tested)
        negative = learned & ((iou * of_class).max(axis=1) < 0.3)
        rows = np.concatenate([gt[own], X[negative]])
        y = np.where(np.arange(len(rows)) < own.sum(), 1, -1)
        model = LinearSVC(
            loss="hinge", dual=True, C=1e-3, class_weight={1: 2}, intercept_scaling=10,
            tol=1e-8, max_iter=10_000_000,
        ).fit(rows, y)  # fmt: skip
        found.append(_found(scenes, tested, model.decision_function(X)))
        mine = of_class & np.isin(scenes.gt_image, tested)
        place = np.searchsorted(tested, scenes.gt_image[mine])
        objects.append(Boxes(place, scenes.gt_boxes[mine], scenes.gt_difficult[mine]))
    return evaluate("abc", objects, found, n_images=len(tested))


def ablate(x: NDArray[np.float32], ablation: str) -> NDArray[np.float64]:
    """Change responses of shape (n, channels, places) and flatten them."""
    if ablation == "binarize":
        x = (x > 0).astype(np.float32)
    if ablation == "sp_max":
        x = x.max(axis=2)
    return x.reshape(len(x), -1).astype(np.float64)


def _found(scenes: Scenes, tested: NDArray[np.intp], scores: NDArray[np.float64]) -> Scored:
    """Suppress image by image."""
    image, rows = [], []
    for place, number in enumerate(tested):
        mine = np.flatnonzero(scenes.image == number)
        kept = mine[nms(scenes.boxes[mine], scores[mine])[:100]]
        rows.append(kept)
        image.append(np.full(len(kept), place))
    at = np.concatenate(rows)
    return Scored(np.concatenate(image), scenes.boxes[at], scores[at].astype(np.float32))


@pytest.mark.parametrize("ablation", COLUMNS)
def test_cells_equal_scikit_learn(scenes: Scenes, shown: Shown, ablation: str) -> None:
    """Mean AP is that of LinearSVC trained on all negatives, on arrays without a store."""
    cells = {row["col"]: row for row in shown.rows}
    expected = dense_evaluation(scenes, ablation)
    assert expected.map_11 is not None
    assert expected.map_all is not None
    # mining ends a little above the least objective: two neighbours far down a ranking may change
    # places, which is worth about 0.1 points
    assert cells[ablation]["value"] == pytest.approx(100 * expected.map_11, abs=0.5)
    assert cells[f"{ablation}:all_points"]["value"] == pytest.approx(
        100 * expected.map_all, abs=0.5
    )
    assert cells[f"{ablation}:classes"]["value"] == 3


def test_spread(scenes: Scenes, shown: Shown) -> None:
    """N counts the test images, std and the 95 % interval are those of the bootstrap."""
    cells = {row["col"]: row for row in shown.rows}
    for name in COLUMNS:
        main, low, high = (cells[c] for c in (name, f"{name}:low", f"{name}:high"))
        assert main["n"] == len(scenes.images_of("test"))
        assert low["value"] <= main["value"] <= high["value"]
        assert 0 < main["std"] < high["value"] - low["value"]


def test_paper(shown: Shown) -> None:
    """The paper's numbers stand beside a layer of its name, and are those of its Table 8."""
    assert {row["paper"] for row in shown.rows} == {None}  # this layer is called conv
    assert {row["row"] for row in shown.rows} == {"conv"}
    numbers = paper_numbers("table8.csv")
    assert [numbers["conv5", c] for c in COLUMNS] == [47.6, 45.7, 25.4]


def test_cells_are_reused(scenes: Scenes, shown: Shown) -> None:
    """Nothing is computed twice."""
    assert (shown.computed, shown.reused) == (3, 0)
    again = show_report(scenes.store, parse_study(STUDY), "table8")
    assert (again.computed, again.reused) == (0, 3)
    assert again.rows == shown.rows


def test_detections_are_stored(scenes: Scenes, shown: Shown) -> None:
    """Behind each cell there are a detector and its detections."""
    assert shown.rows
    statement = "SELECT detector, count(*) AS n FROM detections GROUP BY detector"
    stored = {row["detector"]: row["n"] for row in scenes.store.sql(statement).rows()}
    assert set(stored) == {f"report-d-net-5-conv-{c}" for c in COLUMNS}
    assert min(stored.values()) > 100


def test_other_labels_are_learned_anew(tmp_path: Path) -> None:
    """After labels changed, the report equals that of a store which never had the old ones."""
    study, shown = parse_study(STUDY), []
    for before in (True, False):
        scenes = make_scenes(tmp_path / str(before), n_images=12)
        if before:
            show_report(scenes.store, study, "table8")
        now = relabel(scenes, np.roll(scenes.gt_label, 1))
        shown.append({r["col"]: r["value"] for r in show_report(now.store, study, "table8").rows})
    assert shown[0] == pytest.approx(shown[1])


def test_detectors_of_users_stay(tmp_path: Path) -> None:
    """A report replaces no detector that a user trained under the default name."""
    scenes = make_scenes(tmp_path / "s", n_images=12)
    parts, of = scenes.samples("train", "val"), Features("net", "5", "conv")
    mine = train_detector(scenes.store, parts, of, classes=["a"])
    show_report(scenes.store, parse_study(STUDY), "table8")
    assert load_detector(scenes.store, mine.name).classes == ("a",)


def test_what_is_missing(tmp_path: Path) -> None:
    """Without a detection set the study, without activations the command is named."""
    other = make_scenes(tmp_path / "s", n_images=12)
    with pytest.raises(DataError, match="says nothing of 'detection'"):
        show_report(other.store, parse_study(STUDY.split("[detection]", maxsplit=1)[0]), "table8")
    other.store.drop(dataset="d", view="proposal", layer="conv")
    with pytest.raises(UnknownNameError, match=r"fstore extract --layer conv .*--view proposal"):
        show_report(other.store, parse_study(STUDY), "table8")
    fc = STUDY.replace('mid_layer = "conv"', 'mid_layer = "fc"')
    with pytest.raises(UnknownNameError, match="--layer fc"):
        show_report(other.store, parse_study(fc), "table8")


def test_no_object_to_find(tmp_path: Path) -> None:
    """Without any object in the test images there is no mean, and no interval."""
    result = detection_map(
        make_scenes(tmp_path / "s", n_images=12).store,
        make_samples(),
        network="net",
        ckpt="5",
        layer="conv",
    )
    none = DetectionResult(result.detector, evaluate([], [], [], n_images=1))
    assert np.isnan([none.map_11, none.map_all]).all()
    assert result.interval(replicates=200).low <= result.map_11
    alone = evaluate("a", [_nothing()], [_nobody()], n_images=2)
    interval = DetectionResult(result.detector, alone).interval(replicates=20)
    assert np.isnan([interval.low, interval.high, interval.std]).all()


def make_samples() -> list[Samples]:
    """Return all parts, as readings of both views name them."""
    return [
        Samples("d", view, "official", 0, part)
        for view in ("gt", "proposal")
        for part in ("train", "val", "test")
    ]


def _nothing() -> Boxes:
    return Boxes(np.empty(0, dtype=np.intp), np.empty((0, 4)), np.empty(0, dtype=bool))


def _nobody() -> Scored:
    return Scored(np.empty(0, dtype=np.intp), np.empty((0, 4)), np.empty(0, dtype=np.float32))


def rows_of(*, paper: bool) -> list[Row]:
    """Return rows of the report."""
    rows: list[Row] = []
    for i, col in enumerate(COLUMNS):
        own: dict[str, str | float | int | None] = {
            "row": "conv5",
            "std": 2.0,
            "n": 80,
            "paper": 47.6 - i if paper else None,
        }
        rows.append({**own, "col": col, "value": 40.0 + i})
        rows += [
            {**own, "col": f"{col}:{side}", "value": 40.0 + i + shift, "std": None, "paper": None}
            for side, shift in (("low", -3), ("high", 5))
        ]
    return rows


@pytest.mark.parametrize("paper", [True, False])
def test_plot(*, paper: bool) -> None:
    """Bars are the values, lines the intervals, marks the paper's numbers; n is told."""
    chart = plot_table8(rows_of(paper=paper))
    drawn = points(chart)
    assert [(p["value"], p["low"], p["high"]) for p in drawn] == [
        (40, 37, 45),
        (41, 38, 46),
        (42, 39, 47),
    ]
    assert [p["paper"] for p in drawn] == ([47.6, 46.6, 45.6] if paper else [None] * 3)
    assert [p["name"] for p in drawn] == ["as they are", "binarized", "sp-max"]
    assert "n = 80 test images" in words(chart)
    assert ("Diamonds" in words(chart)) == paper
    assert titles(chart, "y") == {"Mean average precision (percent)"}


def test_registered() -> None:
    """The report has its columns, its question and a file of the paper's numbers."""
    meta = REPORTS["table8"].meta
    assert meta["columns"] == COLUMNS
    assert meta["paper"] == "table8.csv"
