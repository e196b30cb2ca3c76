"""Average precision of single filters, against the VOC devkit's loop, by hand and by Polars."""

from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from _charts import channels, points, titles, words
from _studies import CLASSES, StudyWorld, make_study
from fstore.queries.analyses.single_filters import AskedRanking, filter_curves, single_filters
from fstore.queries.figures.single_filters import plot_filter_curves, plot_single_filters
from fstore.queries.methods.filters import interpolated_precision, single_filter_aps
from fstore.store.precision import ap, voc_ap
from fstore.store.schema import PARTITION
from fstore.types import FloatArray, IntArray

WHERE: dict[str, Any] = {"ckpt": "5k", "dataset": "g"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> StudyWorld:
    """Return boxes ``g`` of one class each, three of them difficult."""
    return make_study(tmp_path_factory.mktemp("world") / "s")


def devkit(score: FloatArray, label: IntArray) -> Fraction | None:
    """Return AP as the devkit of VOC 2007 has it: its loop over ranked rows, its eleven recalls.

    Rows of label 0 are left out. In fractions, so that 3 of 10 is a recall of 0.3, which the
    devkit's floating point may miss.
    """
    kept = [(float(s), int(y)) for s, y in zip(score, label, strict=True) if y != 0]
    n_positive = sum(y > 0 for _, y in kept)
    if n_positive == 0:
        return None
    tp = fp = 0
    rec, prec = [], []
    for _, y in sorted(kept, key=lambda pair: -pair[0]):
        tp, fp = (tp + 1, fp) if y > 0 else (tp, fp + 1)
        rec.append(Fraction(tp, n_positive))
        prec.append(Fraction(tp, tp + fp))
    total = Fraction(0)
    for tenth in range(11):
        total += max(
            (p for p, r in zip(prec, rec, strict=True) if r >= Fraction(tenth, 10)), default=0
        )
    return total / 11


def all_points(score: FloatArray, label: IntArray) -> Fraction | None:
    """Return AP as the devkit of VOC 2010 has it: the precision's envelope, summed over recall."""
    kept = sorted(
        ((float(s), int(y)) for s, y in zip(score, label, strict=True) if y != 0), reverse=True
    )
    n_positive = sum(y > 0 for _, y in kept)
    if n_positive == 0:
        return None
    hits = np.cumsum([y > 0 for _, y in kept])
    mpre = [Fraction(0), *(Fraction(int(h), k) for k, h in enumerate(hits, 1)), Fraction(0)]
    mrec = [Fraction(0), *(Fraction(int(h), n_positive) for h in hits), Fraction(1)]
    for i in range(len(mpre) - 2, -1, -1):
        mpre[i] = max(mpre[i], mpre[i + 1])
    steps = zip(mrec[1:], mrec[:-1], mpre[1:], strict=True)
    return sum(((high - low) * p for high, low, p in steps), Fraction(0))


def three_routes(score: NDArray[np.float32], label: NDArray[np.int8]) -> list[float]:
    """Return the 11-point AP of one ranking by each function that has it."""
    at_11, _ = single_filter_aps(score[:, None], label[:, None])
    recalls = interpolated_precision(score, label, [k / 10 for k in range(11)])
    one = voc_ap(score, label)
    assert one is not None
    return [float(at_11[0, 0]), float(recalls.mean()), one]


# the devkit


@settings(max_examples=120, deadline=None)
@given(drawn=st.integers(0, 10_000), n=st.integers(1, 40))
def test_devkit(drawn: int, n: int) -> None:
    """Without ties both APs are those of the devkits' loops, whatever the order of the rows."""
    rng = np.random.default_rng(drawn)
    score = rng.permutation(n).astype(np.float32)
    label = rng.choice(np.array([1, -1, 0], dtype=np.int8), size=n, p=[0.35, 0.5, 0.15])
    label[rng.integers(n)] = 1
    wanted, wanted_all = devkit(score, label), all_points(score, label)
    assert wanted is not None
    assert wanted_all is not None
    assert three_routes(score, label) == pytest.approx([float(wanted)] * 3, abs=1e-12)
    assert single_filter_aps(score[:, None], label[:, None])[1][0, 0] == pytest.approx(
        float(wanted_all), abs=1e-12
    )


@settings(max_examples=120, deadline=None)
@given(drawn=st.integers(0, 10_000), n=st.integers(1, 40), levels=st.sampled_from([1, 2, 4]))
def test_ties_are_one_block(drawn: int, n: int, levels: int) -> None:
    """With ties AP lies between the devkit's for the worst and the best order of equal scores."""
    rng = np.random.default_rng(drawn)
    score = rng.integers(levels, size=n).astype(np.float32)
    label = rng.choice(np.array([1, -1, 0], dtype=np.int8), size=n, p=[0.4, 0.5, 0.1])
    label[rng.integers(n)] = 1
    found = three_routes(score, label)
    assert found == pytest.approx([found[0]] * 3, abs=1e-12)
    for nudge, least in ((-0.5, True), (0.5, False)):  # negatives first, then positives first
        moved = devkit(score + np.where(label > 0, nudge, 0), label)
        assert moved is not None
        assert (moved <= found[0] + 1e-12) if least else (moved >= found[0] - 1e-12)
    order = rng.permutation(n)
    assert three_routes(score[order], label[order]) == pytest.approx(found, abs=1e-12)


@pytest.mark.parametrize(
    ("score", "label", "eleven", "all_points"),
    [
        ([4, 3, 2, 1], [1, 1, -1, -1], 1, 1),  # perfect
        ([1, 2, 3, 4], [1, 1, -1, -1], 1 / 2, 1 / 2),  # worst: precision 1/2 once both are found
        ([2, 2, 2, 2], [1, -1, 1, -1], 1 / 2, 1 / 2),  # all equal: the prior
        ([3, 3, 1, 1], [1, -1, 1, -1], 1 / 2, 1 / 2),  # two blocks of precision 1/2
        ([3, 3, 1], [1, -1, 1], 2 / 3, 2 / 3),  # a block of 1/2, but 2 of 3 at the end
        ([3, 2, 2, 1], [1, 1, -1, -1], (6 + 5 * 2 / 3) / 11, (1 + 2 / 3) / 2),
        ([1, 2, 3], [1, 1, 1], 1, 1),  # all positive
        ([9, 1, 5], [0, 1, -1], 1 / 2, 1 / 2),  # the difficult one at the top does not count
    ],
)
def test_by_hand(score: list[float], label: list[int], eleven: float, all_points: float) -> None:
    """Ties, all positive, difficult: values that are worked out on paper."""
    x, y = np.array(score, dtype=np.float32), np.array(label, dtype=np.int8)
    assert three_routes(x, y) == pytest.approx([eleven] * 3)
    found = single_filter_aps(x[:, None], y[:, None])[1][0, 0]
    assert found == pytest.approx(all_points)
    assert ap(x, y) == pytest.approx(all_points)


def test_no_positive() -> None:
    """A class without a positive has no AP, and takes none from the class beside it."""
    X = np.array([[3.0], [2], [1]], dtype=np.float32)
    Y = np.array([[-1, 1], [0, -1], [-1, -1]], dtype=np.int8)
    for found in single_filter_aps(X, Y):
        assert np.isnan(found[0]).all()
        assert found[1].tolist() == [1]


# from a store


def test_filters_of_a_store(world: StudyWorld) -> None:
    """Every filter and class: the devkit's loop on the largest responses of the test boxes."""
    rows = single_filters(world.store, AskedRanking(layer="conv5", **WHERE), top=0)
    ids, _ = world.boxes()
    X, Y = world.values["g", "5k", "conv5"][ids].max(axis=2), world.Y["g"][ids]
    assert len(rows) == len(CLASSES) * X.shape[1]
    compared = 0
    for row in rows:
        x, y = X[:, row["channel"]].copy(), Y[:, CLASSES.index(row["class"])]
        if (np.unique(x, return_counts=True)[1] == 1).all():
            wanted, wanted_all = devkit(x, y), all_points(x, y)
            assert wanted is not None
            assert wanted_all is not None
            assert row["ap_11"] == pytest.approx(float(wanted))
            assert row["ap_all"] == pytest.approx(float(wanted_all))
            compared += 1
        assert row["prior"] == pytest.approx(np.mean(y > 0))
        assert row["n"] == len(ids)
    assert compared >= 4 * 8  # of 32 filters one never fires, many give 0 twice
    silent = [row for row in rows if row["ap_11"] == pytest.approx(row["prior"])]
    assert {row["channel"] for row in silent} >= {7}  # it never fires: one block, the prior


def test_equals_polars(world: StudyWorld) -> None:
    """Polars, on the Parquet files and the labels, gives the same APs and the same ranks."""
    files = [f.uri for f in world.store.files(ckpt="5k", dataset="g", layer="fc7")]
    ids = world.rows("g", 0, "test")
    labels = pl.LazyFrame(
        {
            "sample_id": np.repeat(ids, len(CLASSES)),
            "class": list(CLASSES) * len(ids),
            "label": world.Y["g"][ids].ravel().astype(np.int64),
        }
    )
    blocks = (
        pl.scan_parquet(files, hive_schema=dict.fromkeys(PARTITION, pl.String))
        .select("sample_id", "channel", score=pl.col("act_max").fill_null(0))
        .join(labels, on="sample_id")
        .filter(pl.col("label") != 0)
        .group_by("class", "channel", "score")
        .agg(hits=(pl.col("label") > 0).sum().cast(pl.Int64), n=pl.len().cast(pl.Int64))
        .sort("score", descending=True)
        .with_columns(
            hits=pl.col("hits").cum_sum().over("class", "channel"),
            n=pl.col("n").cum_sum().over("class", "channel"),
        )
        .with_columns(precision=pl.col("hits") / pl.col("n"))
    )
    tenths = pl.LazyFrame({"tenth": range(11)})
    at_11 = (
        blocks.with_columns(all=pl.col("hits").max().over("class", "channel"))
        .join(tenths, how="cross")
        .filter(10 * pl.col("hits") >= pl.col("tenth") * pl.col("all"))
        .group_by("class", "channel", "tenth")
        .agg(best=pl.col("precision").max())
        .group_by("class", "channel")
        .agg(ap=pl.col("best").sum() / 11)
        .collect()
    )
    theirs = {(name, channel): value for name, channel, value in at_11.rows()}
    rows = single_filters(world.store, AskedRanking(layer="fc7", **WHERE), top=0)
    assert len(rows) == len(theirs) == 4 * 40
    for row in rows:
        assert row["ap_11"] == pytest.approx(theirs[row["class"], row["channel"]], abs=1e-12)
    for name in CLASSES:
        values = [row["ap_11"] for row in rows if row["class"] == name]
        assert values == sorted(values, reverse=True)


def test_difficult_boxes(world: StudyWorld) -> None:
    """A difficult box that is kept is a positive of its class and a negative of the others."""
    ids = np.flatnonzero(np.array(world.parts["g"][0]) == "test")
    Y = np.where(world.Y["g"] == 0, 1, world.Y["g"])[ids]
    rows = single_filters(world.store, AskedRanking(layer="fc7", difficult=True, **WHERE), top=0)
    X = world.values["g", "5k", "fc7"][ids, :, 0]
    for row in rows:
        y = Y[:, CLASSES.index(row["class"])]
        assert row["ap_11"] == pytest.approx(voc_ap(X[:, row["channel"]], y))
        assert (row["prior"], row["n"]) == (pytest.approx(np.mean(y > 0)), len(ids))


# plots


def test_plot_single_filters(world: StudyWorld) -> None:
    """A symbol a filter, in percent, at its class and rank; classes by their best; the prior."""
    rows = single_filters(world.store, AskedRanking(layer="fc7", **WHERE), top=3)
    chart = plot_single_filters(rows)
    drawn = [(p["class"], p["rank"], p["ap"], p["prior"]) for p in points(chart)]
    assert drawn == [(r["class"], r["rank"], 100 * r["ap_11"], 100 * r["prior"]) for r in rows]
    best = {row["class"]: row["ap_11"] for row in rows if row["rank"] == 1}
    across = channels(chart, "y")[0]
    assert across["sort"] == sorted(best, key=lambda name: (-best[name], name))
    (below,) = channels(chart, "yOffset")  # five of the same AP do not lie on each other
    assert below["field"] == "rank"
    assert "11-point average precision (percent)" in titles(chart, "x")
    assert f"n = {rows[0]['n']}" in words(chart)


@pytest.mark.parametrize("top", [1, 5, 20])
def test_plot_filter_curves(world: StudyWorld, top: int) -> None:
    """A panel a class, a line a filter, however many; each is told from the others; the prior."""
    rows = filter_curves(world.store, AskedRanking(layer="fc7", **WHERE), top=top)
    chart = plot_filter_curves(rows)
    panels = list(dict.fromkeys(p["panel"] for p in points(chart)))
    assert [panel.split(" (")[0] for panel in panels] == list(CLASSES)
    for name, panel in zip(CLASSES, panels, strict=True):
        mine = points(chart, panel=panel)
        assert len({p["line"] for p in mine}) == top
        wanted = [r["precision"] for r in rows if (r["class"], r["rank"]) == (name, 1)]
        assert [p["y"] for p in mine if p["line"] == "rank 1"] == wanted
        priors = {row["prior"] for row in rows if row["class"] == name}
        assert {p["prior"] for p in mine} == priors
    looks = [channels(chart, kind)[0]["scale"]["range"] for kind in ("color", "strokeDash")]
    assert len({(colour, *dash) for colour, dash in zip(*looks, strict=True)}) == top
