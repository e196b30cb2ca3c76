"""Single filters, nested subsets and overlaps, against direct computations."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve
from sklearn.svm import LinearSVC

from _build import add_checkpoint, add_layers, put
from _charts import check_drawn, words
from _problems import CLASSES, N, World, add_manifest, make
from fstore.errors import DataError, UnknownNameError
from fstore.queries.analyses.filter_overlap import filter_overlap
from fstore.queries.analyses.filter_subsets import filter_subsets
from fstore.queries.analyses.single_filters import AskedRanking, filter_curves, single_filters
from fstore.queries.figures.overlap import plot_filter_overlap
from fstore.queries.methods.filters import (
    SIZES,
    filters_needed,
    interpolated_precision,
    overlap,
    single_filter_aps,
    subset_aps,
    subset_sizes,
    top_filters,
)
from fstore.queries.methods.overlap import overlap_summary
from fstore.queries.refresh.show import show_report
from fstore.queries.reports import REPORTS, paper_numbers
from fstore.queries.samples.asked import AskedBoxes
from fstore.queries.studies.study import parse_study
from fstore.store import Store
from fstore.store.files import Partition
from fstore.store.precision import ap, voc_ap
from fstore.types import DatasetManifest, SampleRecord, Split, ViewManifest

WHERE: dict[str, Any] = {"ckpt": "5", "dataset": "d", "view": "image"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return samples of several classes each."""
    return make(tmp_path_factory.mktemp("world") / "s")


@settings(max_examples=40, deadline=None)
@given(drawn=st.integers(0, 10_000), levels=st.sampled_from([2, 4, 1000]))
def test_all_filters_at_once(drawn: int, levels: int) -> None:
    """APs of many filters and classes are those of one ranking at a time, ties and all."""
    rng = np.random.default_rng(drawn)
    X = rng.integers(0, levels, size=(23, 5)).astype(np.float32)
    Y = rng.choice(np.array([1, 0, -1], dtype=np.int8), size=(23, 4), p=[0.3, 0.2, 0.5])
    Y[:, 3] = -1
    at_11, at_all = single_filter_aps(X, Y)
    for c in range(4):
        for i in range(5):
            for found, measure in ((at_11, voc_ap), (at_all, ap)):
                wanted = measure(X[:, i], Y[:, c])
                if wanted is None:
                    assert np.isnan(found[c, i])
                else:
                    assert found[c, i] == pytest.approx(wanted, abs=1e-12)


def test_copy_and_constant() -> None:
    """A filter that copies the label has AP 1; a constant one the prior, over all points."""
    Y = np.array([[1], [-1], [-1], [1], [-1]], dtype=np.int8)
    X = np.column_stack([Y[:, 0] > 0, np.full(5, 3.0)]).astype(np.float32)
    at_11, at_all = single_filter_aps(X, Y)
    assert at_11[0, 0] == at_all[0, 0] == 1
    assert at_all[0, 1] == pytest.approx(2 / 5)
    assert at_11[0, 1] == pytest.approx(2 / 5)


def test_macro_agrees(world: World) -> None:
    """The SQL macros give the same APs from the rows of the store."""
    text = """
        SELECT class, channel, voc_ap(act_max, label) AS v, ap(act_max, label) AS a
        FROM activations JOIN all_labels USING (dataset, "view", sample_id)
        WHERE layer = 'conv' GROUP BY class, channel
    """
    rows = {(r["class"], r["channel"]): r for r in world.store.sql(text).rows()}
    found = single_filters(
        world.store, AskedRanking(layer="conv", part="all", split="official", **WHERE), top=0
    )
    assert len(found) == len(rows) == 12
    for row in found:
        same = rows[row["class"], row["channel"]]
        assert row["ap_11"] == pytest.approx(same["v"], abs=1e-12)
        assert row["ap_all"] == pytest.approx(same["a"], abs=1e-12)


def test_single_filters_of_a_part(world: World) -> None:
    """Ranks are by 11-point AP on the part that is asked for; the prior leaves difficult out."""
    rows = single_filters(world.store, AskedRanking(layer="fc", **WHERE), top=3)
    test = world.rows(0, "test")
    x, y = world.values["fc"][test, :, 0], world.Y[test, 1]
    wanted = sorted((voc_ap(x[:, i], y) or 0 for i in range(40)), reverse=True)[:3]
    mine = [row for row in rows if row["class"] == "b"]
    assert [row["ap_11"] for row in mine] == pytest.approx(wanted)
    assert [row["rank"] for row in mine] == [1, 2, 3]
    assert mine[0]["prior"] == pytest.approx(np.sum(y > 0) / np.sum(y != 0))
    assert mine[0]["n"] == np.sum(y != 0)
    with pytest.raises(UnknownNameError, match="no part 'tset'; there are: train, val, test, all"):
        single_filters(world.store, AskedRanking(layer="fc", part="tset", **WHERE))


def test_interpolated_precision(seed: int) -> None:
    """At each recall the best precision of scikit-learn's curve from there on."""
    rng = np.random.default_rng(seed)
    label = rng.choice([1, -1, 0], size=50, p=[0.3, 0.6, 0.1])
    label[0] = 1
    score = rng.integers(0, 12, size=50).astype(np.float32)
    kept = label != 0
    precision, recall, _ = precision_recall_curve(label[kept], score[kept], pos_label=1)
    at = [0, 0.1, 0.3, 0.5, 1]
    # scikit-learn ends its curve with (precision 1, recall 0), which no threshold gives
    wanted = [
        max(p for p, r in zip(precision[:-1], recall[:-1], strict=True) if r >= x - 1e-9)
        for x in at
    ]
    assert interpolated_precision(score, label, at) == pytest.approx(wanted)


def test_curves(world: World) -> None:
    """Curves of the best filters start at the ranks of single-filters and end at recall 1."""
    rows = filter_curves(world.store, AskedRanking(layer="fc", **WHERE), top=2)
    ranked = single_filters(world.store, AskedRanking(layer="fc", **WHERE), top=2)
    first = {(r["class"], r["rank"]): r["channel"] for r in rows}
    assert first == {(r["class"], r["rank"]): r["channel"] for r in ranked}
    assert len(rows) == 3 * 2 * 51
    line = [r["precision"] for r in rows if (r["class"], r["rank"]) == ("a", 1)]
    assert line == sorted(line, reverse=True)


def test_sizes() -> None:
    """The paper's 17 sizes for conv5, those and all 4,096 for fc7, fewer for small layers."""
    assert len(SIZES) == 17
    assert subset_sizes(256) == SIZES
    assert subset_sizes(4096) == (*SIZES, 4096)
    assert subset_sizes(12) == (1, 2, 3, 5, 10, 12)
    assert (top_filters(256), top_filters(4096), top_filters(64)) == (50, 50, 12)


def test_needed_by_hand() -> None:
    """The smallest listed size that reaches the share, and where the line crosses it."""
    for sizes, fractions, share, listed, between in (
        ((1, 2, 5, 10), (0.2, 0.4, 0.7, 1), 0.5, 5, 3),
        ((1, 2, 5, 10), (0.6, 0.4, 0.7, 1), 0.5, 1, 1),
        ((1, 2), (0.5, 1), 0.9, 2, 1.8),
    ):
        found = filters_needed(sizes, fractions, share)
        assert found[0] == listed
        assert found[1] == pytest.approx(between)


def svc(X: NDArray[np.floating], y: NDArray[np.int8]) -> LinearSVC:
    """Fit the protocol's SVM with scikit-learn, to its last digits."""
    return LinearSVC(
        loss="hinge",
        dual=True,
        C=1e-3,
        class_weight={1: 2},
        intercept_scaling=10,
        tol=1e-8,
        max_iter=1_000_000,
    ).fit(X[y != 0], y[y != 0])


def test_subsets(world: World) -> None:
    """Filters are ranked by |w|, and each subset's AP is that of an SVM trained on it alone."""
    rows = filter_subsets(world.store, AskedBoxes(layer="fc", **WHERE))
    X, y = world.values["fc"][:, :, 0].astype(np.float64), world.Y[:, 0]
    fitted, test = world.rows(0, "train", "val"), world.rows(0, "test")
    X *= 20 / np.linalg.norm(X[fitted], axis=1).mean()
    order = np.argsort(-np.abs(svc(X[fitted], y[fitted]).coef_[0]))
    mine = {row["filters"]: row for row in rows if row["class"] == "a"}
    assert list(mine) == [1, 2, 3, 5, 10, 15, 20, 25, 30, 35, 40]
    for k in (1, 5, 20, 40):
        scores = svc(X[fitted][:, order[:k]], y[fitted]).decision_function(X[test][:, order[:k]])
        # tolerance: half a rank of the few positives, where two scores nearly tie
        assert mine[k]["ap_all"] == pytest.approx(ap(scores, y[test]), abs=0.02)
        assert mine[k]["last_channel"] == order[k - 1]
    assert mine[40]["fraction"] == 1
    assert mine[5]["fraction"] == pytest.approx(mine[5]["ap_11"] / mine[40]["ap_11"])
    assert all(row["converged"] for row in rows)
    assert {row["n"] for row in rows} == {len(test)}


def test_a_class_that_cannot_be_tested() -> None:
    """Without a positive to learn from, or to test on, a class has no subsets."""
    X = np.random.default_rng(0).random((10, 3))
    y = np.array([1, -1] * 5, dtype=np.int8)
    assert subset_aps(X, -np.abs(y), X, y_test=y) is None
    assert subset_aps(X, y, X, y_test=-np.abs(y)) is None


def test_overlap_by_hand() -> None:
    """Common filters of hand-made weights; signs do not matter."""
    weights = np.array([[3.0, -2, 0, 0.1], [0.1, 5, -4, 0], [0, 0.1, 2, 3]])
    assert overlap(weights, top=2).tolist() == [[1, 0.5, 0], [0.5, 1, 0.5], [0, 0.5, 1]]
    with pytest.raises(DataError, match="5 best of 4 filters"):
        overlap(weights, top=5)


def test_overlap_of_chance(seed: int) -> None:
    """Random weights have the share in common that chance gives, within four deviations."""
    shares = overlap(np.random.default_rng(seed).normal(size=(40, 256)), top=50)
    pairs = shares[np.tril_indices(40, -1)]
    deviation = np.sqrt(50 * (50 / 256) * (206 / 256) * (206 / 255)) / 50  # hypergeometric
    assert abs(pairs.mean() - 50 / 256) < 4 * deviation / np.sqrt(40)


def test_overlap_rows(world: World) -> None:
    """Ordered pairs of classes, most in common first; the share of 40 filters is 8."""
    rows = filter_overlap(world.store, AskedBoxes(layer="fc", **WHERE))
    assert len(rows) == 6
    assert {row["top"] for row in rows} == {8}
    assert {row["chance"] for row in rows} == {0.2}
    n = len(world.rows(0, "train", "val"))
    assert {row["n"] for row in rows} == {n}
    assert f"n = {n} samples that filters are ranked on." in words(plot_filter_overlap(rows))
    shares = [row["share"] for row in rows]
    assert shares == sorted(shares, reverse=True)


def test_summary() -> None:
    """Means over pairs; related ones only where the classes are those of PASCAL VOC."""
    shares = np.array([[1, 0.4, 0.2], [0.4, 1, 0], [0.2, 0, 1]])
    found = overlap_summary(["cat", "dog", "bus"], shares, chance=0.1)
    assert found == pytest.approx({"chance": 0.1, "mean": 0.2, "related": 0.4, "unrelated": 0.1})
    assert set(overlap_summary(["a", "b", "c"], shares, chance=0.1)) == {"chance", "mean"}


STUDY = """
name = "small"
network = "net"
layers = ["conv", "fc"]
mid_layer = "fc"
top_layer = "fc"
pretrained = "5"
finetuned = "15"
[detection]
dataset = "g"
"""


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return ground-truth boxes of one class each, one of them difficult, two checkpoints."""
    world = make(tmp_path_factory.mktemp("boxes") / "s", single=True, ckpts=("5", "15"))
    samples = tuple(
        SampleRecord(
            f"i{n}",
            f"{n}.png",
            f"{n:032x}",
            8,
            8,
            {c: 0 if n == 3 else 1 for c, y in zip(CLASSES, row, strict=True) if y > 0},
            box=(1.0, 1.0, 4.0, 4.0),
            difficult=n == 3,
        )
        for n, row in enumerate(world.Y)
    )
    view = ViewManifest("gt", samples, (Split("official", 0, tuple(world.parts[0])),))
    world.store.register_dataset(DatasetManifest("g", "multi", CLASSES, world.store.path, (view,)))
    for ckpt in ("5", "15"):
        x = world.values["fc"] * (1 if ckpt == "5" else np.float32(0.5))
        x[:, : 20 if ckpt == "15" else 0] = 0
        put(world.store, Partition("net", ckpt, "g", "gt", "fc"), x)
    return world


@pytest.mark.parametrize(
    "name", ["figure3", "figure4", "figure5", "table5", "table10", "s_figure2"]
)
def test_reports(boxes: World, name: str) -> None:
    """Every report on boxes has cells for both checkpoints, stores them, and can be drawn."""
    study = parse_study(STUDY)
    shown = show_report(boxes.store, study, name)
    assert not shown.missing
    assert show_report(boxes.store, study, name).computed == 0
    text = " ".join(row["row"] for row in shown.rows)
    assert ("finetuned" in text) == (name != "figure5")
    assert ("fine-tuned" in text) == (name == "figure5")
    check_drawn(REPORTS[name].meta["plot"](shown.rows))


def test_report_numbers(boxes: World) -> None:
    """Cells are those of the analyses, difficult boxes left out."""
    study = parse_study(STUDY)
    where: dict[str, Any] = {"layer": "fc", "ckpt": "5", "dataset": "g"}
    cells = {(r["row"], r["col"]): r for r in show_report(boxes.store, study, "figure3").rows}
    best = single_filters(boxes.store, AskedRanking(**where), top=1)
    for row in best:
        cell = cells[f"{row['class']} pretrained 1", "ap"]
        assert cell["value"] == pytest.approx(100 * row["ap_11"])
        assert cell["n"] == len(boxes.rows(0, "test")) - (boxes.parts[0][3] == "test")
    subsets = [r for r in filter_subsets(boxes.store, AskedBoxes(**where)) if r["class"] == "a"]
    needed = {(r["row"], r["col"]): r for r in show_report(boxes.store, study, "table5").rows}
    listed = next(r["filters"] for r in subsets if r["fraction"] >= 0.9)
    assert needed["pretrained 90%", "a"]["value"] == listed
    assert needed["pretrained 90%", "a:interpolated"]["value"] <= listed
    shares = {
        (r["row"], r["col"]): r["value"] for r in show_report(boxes.store, study, "figure5").rows
    }
    for row in filter_overlap(boxes.store, AskedBoxes(**where)):
        assert shares[row["class"], row["other"]] == pytest.approx(row["share"])
    assert shares["(summary)", "top"] == 8


def test_only_pretrained(boxes: World) -> None:
    """A study without a fine-tuned checkpoint has the rows of the pre-trained one."""
    study = parse_study(STUDY.replace('finetuned = "15"\n', ""))
    rows = show_report(boxes.store, study, "table5").rows
    assert {row["row"] for row in rows} == {"pretrained 50%", "pretrained 90%"}


def test_paper_numbers() -> None:
    """The paper's numbers are those of its Tables 5 and 10."""
    assert paper_numbers("table5.csv")["pretrained 90%", "cow"] == 100
    assert paper_numbers("table10.csv")["finetuned 50%", "sofa"] == 3
    assert len(paper_numbers("table5.csv")) == len(paper_numbers("table10.csv")) == 80


def test_silent_layer(tmp_path: Path) -> None:
    """A layer that never fires is a named error for SVMs."""
    store = Store.create(tmp_path / "s")
    add_manifest(store, "d", make(tmp_path / "t").Y, {0: make(tmp_path / "u").parts[0]})
    add_layers(store, "net", {"fc": (3, 1, 1)})
    add_checkpoint(store, "net", "5")
    put(store, Partition("net", "5", "d", "image", "fc"), np.zeros((N, 3, 1), dtype=np.float32))
    with pytest.raises(DataError, match="no filter responds"):
        filter_subsets(store, AskedBoxes(layer="fc", **WHERE))
