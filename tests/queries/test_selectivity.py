"""Selectivity from a store, exactly and by a SQL group-by, against loops and against Polars."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from scipy.stats import entropy as scipy_entropy

from _build import add_checkpoint, add_layers, put
from _charts import points, titles, units, words
from _entropy import brute_areas, brute_curve
from _studies import CLASSES, SHAPES, SILENT, N, StudyWorld, add_samples, make_study
from fstore.queries.analyses.selectivity import AskedPart, curve, selectivity
from fstore.queries.analyses.single_filters import AskedRanking, single_filters
from fstore.queries.figures.selectivity import plot_curve, plot_selectivity
from fstore.queries.methods.entropy import MEASURES, grid_area
from fstore.store import Store
from fstore.store.files import Partition
from fstore.store.schema import PARTITION
from fstore.types import Part

EXACT = 1e-9  # sums of some hundred terms of size 10 that cancel, in float64
WHERE: dict[str, Any] = {"ckpt": "5k", "dataset": "g"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> StudyWorld:
    """Return boxes ``g`` of one class each, three of them difficult."""
    return make_study(tmp_path_factory.mktemp("world") / "s")


def by_channel(rows: list[dict[str, Any]], column: str) -> NDArray[np.float64]:
    """Return a column in the order of the channels."""
    return np.array([row[column] for row in sorted(rows, key=lambda row: row["channel"])])


@pytest.mark.parametrize("layer", SHAPES)
@pytest.mark.parametrize("measure", MEASURES)
def test_equals_brute_force(world: StudyWorld, layer: str, measure: str) -> None:
    """AuE of every filter is that of a loop over all thresholds; MCAuE is the mean up to a rank."""
    rows = selectivity(world.store, AskedPart(layer=layer, **WHERE), measure=measure)
    ids, labels = world.boxes()
    X = world.values["g", "5k", layer][ids]
    wanted = brute_areas(X, labels, measure)
    assert by_channel(rows, "aue") == pytest.approx(wanted, abs=EXACT)
    assert [row["rank"] for row in rows] == list(range(1, len(wanted) + 1))
    means = [np.sort(wanted)[:k].mean() for k in range(1, len(wanted) + 1)]
    assert [row["mcaue"] for row in rows] == pytest.approx(means, abs=EXACT)
    assert {row["n"] for row in rows} == {len(ids)}
    assert {row["bound"] for row in rows} == {0}
    assert [row["channel"] for row in rows if not row["fires"]] == [SILENT]
    silent = next(row["aue"] for row in rows if row["channel"] == SILENT)
    assert silent == pytest.approx(scipy_entropy(np.bincount(labels)))


@pytest.mark.parametrize("part", ["train", "val"])
def test_parts(world: StudyWorld, part: str) -> None:
    """Another part has its own boxes."""
    ids, labels = world.boxes(part)
    rows = selectivity(world.store, AskedPart(layer="conv5", part=part, **WHERE))
    wanted = brute_areas(world.values["g", "5k", "conv5"][ids], labels, "label")
    assert by_channel(rows, "aue") == pytest.approx(wanted, abs=EXACT)


@pytest.mark.parametrize("grid", [0, 20_000])
def test_difficult_boxes(world: StudyWorld, grid: int) -> None:
    """A difficult box that is kept is a box of its class, in sums and in the group-by alike."""
    ids = np.flatnonzero(np.array(world.parts["g"][0]) == "test")
    rows = selectivity(world.store, AskedPart(layer="conv5", difficult=True, **WHERE), grid=grid)
    labels = world.Y["g"].argmax(axis=1)[ids]  # 0 for a difficult box, -1 for other classes
    wanted = brute_areas(world.values["g", "5k", "conv5"][ids], labels, "label")
    assert by_channel(rows, "aue") == pytest.approx(wanted, abs=1e-3 if grid else EXACT)
    assert rows[0]["n"] == len(ids) == len(world.boxes()[0]) + 1


def test_without_maps_label_is_sp_max(world: StudyWorld) -> None:
    """In a fully connected layer label entropy and spMax label entropy are the same rows."""
    first, second = (
        selectivity(world.store, AskedPart(layer="fc7", **WHERE), measure=m)
        for m in ("label", "sp_max")
    )
    assert first == second
    conv = [
        selectivity(world.store, AskedPart(layer="conv5", **WHERE), measure=m) for m in MEASURES
    ]
    assert conv[0] != conv[2]


def polars_histograms(
    world: StudyWorld, layer: str, measure: str, grid: int
) -> NDArray[np.float64]:
    """Count scores by filter, threshold and class with Polars, on the Parquet files themselves."""
    ids, labels = world.boxes()
    boxes = pl.LazyFrame({"sample_id": ids, "class": labels})
    files = [f.uri for f in world.store.files(ckpt="5k", dataset="g", layer=layer)]
    whole = measure == "sp_max" or layer == "fc7"
    score = pl.concat_list("act_max") if whole else pl.col("map")
    scores = (
        pl.scan_parquet(files, hive_schema=dict.fromkeys(PARTITION, pl.String))
        .join(boxes, on="sample_id")
        .select("channel", "class", score=score)
        .explode("score")
        .with_columns(pl.col("score").fill_null(0).cast(pl.Float64))
        .with_columns(peak=pl.col("score").max().over("channel"))
        .filter(pl.col("score") > 0)
        .with_columns(bin=(pl.col("score") * grid / pl.col("peak")).floor().cast(pl.Int64))
    )
    mass = pl.col("score").sum() if measure == "weighted" else pl.len()
    table = scores.group_by("channel", "class", "bin").agg(mass=mass).collect()
    found = np.zeros((SHAPES[layer][0], grid + 1, len(CLASSES)))
    at = tuple(table[name].to_numpy() for name in ("channel", "bin", "class"))
    found[at] = table["mass"].to_numpy()
    return found


def trapezoids(histogram: NDArray[np.float64]) -> float:
    """Return the area of the trapezoids between the entropies at the thresholds."""
    heights = [scipy_entropy(histogram[k:].sum(axis=0)) for k in range(len(histogram))]
    return float(np.trapezoid(heights, dx=1 / (len(heights) - 1)))


@pytest.mark.parametrize("grid", [1, 16])
@pytest.mark.parametrize("layer", SHAPES)
@pytest.mark.parametrize("measure", MEASURES)
def test_grid_equals_polars(world: StudyWorld, layer: str, measure: str, grid: int) -> None:
    """The SQL group-by gives the areas of Polars' histograms, and a bound that holds."""
    rows = selectivity(world.store, AskedPart(layer=layer, **WHERE), measure=measure, grid=grid)
    counted = polars_histograms(world, layer, measure, grid)
    areas, bounds = by_channel(rows, "aue"), by_channel(rows, "bound")
    exact = by_channel(
        selectivity(world.store, AskedPart(layer=layer, **WHERE), measure=measure), "aue"
    )
    assert (np.abs(areas - exact) <= bounds + EXACT).all()
    for channel, histogram in enumerate(counted):
        if channel == SILENT:
            assert not histogram.any()
            assert (areas[channel], bounds[channel]) == (pytest.approx(exact[channel]), 0)
        else:
            assert areas[channel] == pytest.approx(trapezoids(histogram))
            assert bounds[channel] == pytest.approx(grid_area(histogram)[1])


def test_a_fine_grid_is_near(world: StudyWorld) -> None:
    """With many thresholds the grid's error is small, and known to be."""
    rows = selectivity(world.store, AskedPart(layer="conv5", **WHERE), grid=20_000)
    exact = by_channel(selectivity(world.store, AskedPart(layer="conv5", **WHERE)), "aue")
    assert by_channel(rows, "aue") == pytest.approx(exact, abs=1e-3)  # 80 scores in 20,000 steps
    assert by_channel(rows, "bound").max() < 5e-3


# curves


@pytest.mark.parametrize("measure", MEASURES)
def test_curve(world: StudyWorld, measure: str) -> None:
    """A filter's curve is that of a look at all its scores for each threshold."""
    rows = curve(
        world.store, AskedPart(layer="conv5", **WHERE), channel=("2", "0"), measure=measure
    )
    ids, labels = world.boxes()
    x = world.values["g", "5k", "conv5"][ids][:, 2].astype(np.float64)
    x = x.max(axis=1, keepdims=True) if measure == "sp_max" else x
    wanted = brute_curve(x.ravel(), np.repeat(labels, x.shape[1]), weighted=measure == "weighted")
    mine = [row for row in rows if row["channel"] == 2]
    found = [(row["threshold"], row["entropy"], row["count"]) for row in mine]
    assert np.array(found) == pytest.approx(np.array(wanted), abs=EXACT)
    ranked = selectivity(world.store, AskedPart(layer="conv5", **WHERE), measure=measure)
    aue = next(row["aue"] for row in ranked if row["channel"] == 2)
    assert [row["aue"] for row in mine] == pytest.approx([aue] * len(mine))
    assert {row["channel"] for row in rows} == {0, 2}


def test_curve_of_a_silent_filter(world: StudyWorld) -> None:
    """A filter that never fires has no point above 0."""
    assert curve(world.store, AskedPart(layer="conv5", **WHERE), channel=(str(SILENT),)) == []


# invariants


def test_copy_and_constant(tmp_path: Path) -> None:
    """A filter that copies a label has AP 1 and AuE 0; a constant one the prior, and all entropy.

    The first fires for boxes of class cat alone; the second is 2 everywhere.
    """
    store = Store.create(tmp_path / "s")
    labels = np.array([0, 1, 2, 0, 1, 3])
    Y = (2 * np.eye(4, dtype=np.int8)[labels] - 1).astype(np.int8)
    parts: list[Part | None] = ["test", "test", "test", "test", "test", "train"]
    add_samples(store, "g", Y, {0: parts}, view="gt")
    add_layers(store, "net", {"fc7": (2, 1, 1)})
    add_checkpoint(store, "net", "5k")
    x = np.column_stack([labels == 0, np.full(6, 2)]).astype(np.float32)[:, :, None]
    put(store, Partition("net", "5k", "g", "gt", "fc7"), x)
    for measure in MEASURES:
        rows = selectivity(store, AskedPart(layer="fc7", **WHERE), measure=measure)
        assert [row["channel"] for row in rows] == [0, 1]
        entropy = scipy_entropy([2, 2, 1])
        assert [row["aue"] for row in rows] == pytest.approx([0, entropy], abs=1e-12)
    aps = {
        (row["class"], row["channel"]): row
        for row in single_filters(store, AskedRanking(layer="fc7", **WHERE), top=0)
    }
    assert aps["cat", 0]["ap_11"] == aps["cat", 0]["ap_all"] == 1
    for name, prior in (("cat", 2 / 5), ("dog", 2 / 5), ("bus", 1 / 5)):
        assert aps[name, 1]["ap_all"] == pytest.approx(prior)
        assert aps[name, 1]["prior"] == pytest.approx(prior)


@pytest.mark.parametrize("grid", [0, 16])
@pytest.mark.parametrize("measure", MEASURES)
def test_shards_and_samples_in_any_order(
    world: StudyWorld, tmp_path: Path, measure: str, grid: int
) -> None:
    """The same boxes under other numbers, in several files, give the same areas."""
    order = np.random.default_rng(0).permutation(N)
    store = Store.create(tmp_path / "s")
    parts = [world.parts["g"][0][i] for i in order]
    add_samples(store, "g", world.Y["g"][order], {0: parts}, view="gt")
    add_layers(store, "net", SHAPES)
    add_checkpoint(store, "net", "5k")
    x = world.values["g", "5k", "conv5"][order]
    for ids in (np.arange(30, N), np.arange(0, 30, 2), np.arange(1, 30, 2)):
        put(store, Partition("net", "5k", "g", "gt", "conv5"), x[ids], sample_ids=ids.tolist())
    first, second = (
        selectivity(s, AskedPart(layer="conv5", **WHERE), measure=measure, grid=grid)
        for s in (world.store, store)
    )
    assert [row["channel"] for row in first] == [row["channel"] for row in second]
    for column in ("aue", "mcaue", "bound"):
        assert [row[column] for row in first] == pytest.approx(
            [row[column] for row in second], abs=EXACT
        )


# plots


def test_plot_selectivity(world: StudyWorld) -> None:
    """Means and filters by rank as a share of the layer; the axis says nats, a note how many."""
    rows = selectivity(world.store, AskedPart(layer="conv5", **WHERE))
    chart = plot_selectivity(rows)
    drawn = points(chart)
    assert [p["share"] for p in drawn] == [k / 32 for k in range(1, 33)]
    assert [p["mcaue"] for p in drawn] == [row["mcaue"] for row in rows]
    assert [p["aue"] for p in drawn] == [row["aue"] for row in rows]
    assert "n = 32 filters" in words(chart)
    assert titles(chart, "y") == {"Area under the entropy curve (nats)"}


def test_plot_curve(world: StudyWorld) -> None:
    """A line a filter, from threshold 0 to 1; the area under what is drawn is the filter's AuE."""
    rows = curve(world.store, AskedPart(layer="conv5", **WHERE), channel=("0", "2"))
    chart = plot_curve(rows)
    lines = list(dict.fromkeys(p["line"] for p in points(chart)))
    assert [line.split(" (")[0] for line in lines] == ["filter 0", "filter 2"]
    assert {u["mark"].get("interpolate") for u in units(chart) if u["mark"]["type"] == "line"} == {
        "step-after"
    }
    for line, channel in zip(lines, (0, 2), strict=True):
        x, y = (np.array([p[k] for p in points(chart, line=line)]) for k in "xy")
        aue = next(row["aue"] for row in rows if row["channel"] == channel)
        assert float(np.sum(y[:-1] * -np.diff(x))) == pytest.approx(aue)  # held to the next point
        assert (x.min(), x.max()) == (0, 1)
    assert titles(chart, "y") == {"Entropy of the labels at or above it (nats)"}
