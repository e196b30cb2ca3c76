"""Layers without a ReLU: what every number means where responses are below 0, by hand."""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import entropy as scipy_entropy

from _build import add_checkpoint, add_dataset, add_layers, put
from _cli import run
from _entropy import brute_areas
from _studies import add_samples
from fstore.queries.analyses import ask
from fstore.queries.samples.ablations import ablation_sql
from fstore.queries.samples.blocks import Rows, ablated_blocks
from fstore.queries.studies.study import set_study
from fstore.store import Store
from fstore.store.files import Partition
from fstore.store.signs import has_negative
from fstore.types import FloatArray, Part

N, BELOW = 24, 3
"""Samples, and a filter of every layer whose responses are all below 0."""
SHAPES = {"gelu": (6, 2, 3), "head": (8, 1, 1), "relu": (6, 2, 3), "up": (8, 1, 1)}
PARTS: list[Part] = [("train", "val", "test")[i % 3] for i in range(N)]
TEST = np.arange(2, N, 3)


@dataclass(frozen=True)
class World:
    """A store of boxes of two classes, and its responses by layer."""

    store: Store
    X: Mapping[str, NDArray[np.float32]]
    labels: NDArray[np.int64]

    def where(self, layer: str) -> Partition:
        """Return where a layer is."""
        return Partition("net", "c", "g", "gt", layer)

    def asked(self, layer: str) -> dict[str, Any]:
        """Return options of an analysis."""
        return {"layer": layer, "ckpt": "c", "dataset": "g", "view": "gt"}


def make(path: Path) -> World:
    """Make a store; ``relu`` is ``gelu`` rectified, ``up`` is ``head`` + 100."""
    random = np.random.default_rng(5)
    labels = random.permutation(N) % 2
    X = {}
    for name in ("gelu", "head"):
        c, h, w = SHAPES[name]
        x = random.normal(size=(N, c, h * w)).astype(np.float32)
        x[:, BELOW] = -np.abs(x[:, BELOW]) - np.float32(0.5)
        x[labels == 1, 0] += 1
        X[name] = x
    X["gelu"][0, 1] = 0  # a map of zeros
    X |= {"relu": np.maximum(X["gelu"], 0), "up": X["head"] + np.float32(100)}
    store = Store.create(path)
    add_layers(store, "net", SHAPES)
    add_checkpoint(store, "net", "c")
    Y = (2 * np.eye(2, dtype=np.int8)[labels] - 1).astype(np.int8)
    add_samples(store, "g", Y, {0: PARTS}, view="gt", classes=("a", "b"))
    for name, x in X.items():
        put(store, Partition("net", "c", "g", "gt", name), x)
    return World(store, X, labels)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return it, made once."""
    return make(tmp_path_factory.mktemp("negative") / "s")


def test_a_store_knows_which_layers_are_negative(world: World) -> None:
    """A footer counts responses below 0, of maps and of single numbers; nothing stored has none."""
    names = [name for name in SHAPES if has_negative(world.store, world.where(name))]
    assert names == ["gelu", "head"]
    assert not has_negative(world.store, world.where("none"))


def test_older_files_are_read_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of files without the count, the summaries are read; a NaN alone is not below 0."""
    monkeypatch.setattr("fstore.store.encode.NEGATIVE_KEY", "something else")
    old = make(tmp_path / "s")
    broken = old.X["relu"].copy()
    broken[0, 0, 0] = np.nan
    put(old.store, Partition("net", "c", "g", "gt", "broken"), broken)
    add_layers(old.store, "net", {"broken": SHAPES["relu"]})
    names = [name for name in [*SHAPES, "broken"] if has_negative(old.store, old.where(name))]
    assert names == ["gelu", "head"]


@pytest.mark.parametrize("layer", ["gelu", "head"])
def test_summaries_and_macros(world: World, layer: str) -> None:
    """``nnz`` counts what is not 0, ``npos`` what is above; macros do as they say, with signs."""
    result = world.store.sql(
        """SELECT sample_id, channel, nnz, npos, act_max, act_sum, argmax, sp_max(map) AS largest,
            top_k(map, 2) AS top, binarize(map) AS bits, threshold(map, -0.5) AS cut,
            centre_of_mass(map, 3) AS centre
        FROM activations WHERE layer = ? ORDER BY sample_id, channel""",
        [layer],
    )
    rows = list(result.rows())
    maps = world.X[layer].reshape(-1, world.X[layer].shape[2])
    assert len(rows) == len(maps)
    for row, x in zip(rows, maps, strict=True):
        assert (row["nnz"], row["npos"]) == ((x != 0).sum(), (x > 0).sum())
        assert (row["act_max"], row["largest"], row["argmax"]) == (x.max(), x.max(), x.argmax())
        assert row["act_sum"] == pytest.approx(x.sum(dtype=np.float64))
        assert row["top"] == pytest.approx(np.sort(x)[-2:].mean(dtype=np.float64), rel=1e-6)
        assert row["bits"] == (x > 0).astype(float).tolist()
        assert row["cut"] == np.where(x > np.float32(-0.5), x, 0).tolist()
        assert (row["centre"] is None) == (x.max() <= 0)
        if row["centre"] is not None and layer == "gelu":
            weights = np.maximum(x, 0).astype(np.float64)
            assert row["centre"]["y"] == pytest.approx(
                weights @ (np.arange(6) // 3) / weights.sum()
            )


def test_sparsity_counts_negative_responses(world: World) -> None:
    """``sparsity(nnz, ...)`` is nearly 1 without a ReLU; with ``npos`` it is the paper's number."""
    ((not_zero, above),) = (
        tuple(row.values())
        for row in world.store.sql(
            "SELECT sparsity(nnz, 6), sparsity(npos, 6) FROM activations WHERE layer = 'gelu'"
        ).rows()
    )
    assert not_zero == pytest.approx((world.X["gelu"] != 0).mean())
    assert above == pytest.approx((world.X["relu"] != 0).mean())
    assert above < 0.55
    assert not_zero > 0.95


def by_hand(name: str, X: NDArray[np.float32]) -> FloatArray:
    """Return an ablation, written once more."""
    x = X.astype(np.float64)
    ways: dict[str, Callable[[], FloatArray]] = {
        "none": lambda: x,
        "binarize": lambda: (x > 0) * 1.0,
        "binarize=-0.5": lambda: (x > -0.5) * 1.0,
        "threshold=-0.5": lambda: np.where(x > -0.5, x, 0),
        "sp_max": lambda: x.max(2, keepdims=True),
        "top_k=2": lambda: np.sort(x, 2)[:, :, -2:].mean(2, keepdims=True),
        "sp_mean": lambda: x.mean(2, keepdims=True),
        "l2_columns": lambda: x / np.maximum(np.sqrt((x**2).sum(0)), 1e-30),
    }
    return ways[name]()


@pytest.mark.parametrize(
    "name",
    [
        *("none", "binarize", "binarize=-0.5", "threshold=-0.5"),
        *("sp_max", "top_k=2", "sp_mean", "l2_columns"),
    ],
)
def test_ablations(world: World, name: str) -> None:
    """Each is what its words say, in NumPy and in SQL: no sign is dropped on the way."""
    wanted = by_hand(name, world.X["gelu"])
    rows = [Rows(world.where("gelu"), np.arange(N))]
    ours = np.concatenate([X for _, X in ablated_blocks(world.store, rows, ablation=name)], axis=1)
    assert ours == pytest.approx(wanted, rel=1e-6, abs=1e-7)  # float32
    source = "(SELECT * FROM activations WHERE layer = 'gelu')"
    told = world.store.sql(
        f"SELECT map FROM ({ablation_sql(name, source)}) ORDER BY sample_id, channel"
    )
    maps = np.array([row["map"] for row in told.rows()]).reshape(wanted.shape)
    assert maps == pytest.approx(wanted, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("measure", ["label", "weighted", "sp_max"])
@pytest.mark.parametrize("grid", [0, 50])
def test_selectivity_is_of_scores_above_0(world: World, measure: str, grid: int) -> None:
    """AuE of a layer is that of its rectified responses; a filter below 0 counts as silent."""
    options: dict[str, Any] = {"measure": measure, "grid": grid}
    rows = ask(world.store, "selectivity", **world.asked("gelu"), **options)
    same = ask(world.store, "selectivity", **world.asked("relu"), **options)
    assert rows == same
    aue = {row["channel"]: row["aue"] for row in rows}
    wanted = brute_areas(np.maximum(world.X["gelu"], 0)[TEST], world.labels[TEST], measure)
    bound = {row["channel"]: row["bound"] + 1e-9 for row in rows}
    assert all(abs(aue[c] - wanted[c]) <= bound[c] for c in range(len(wanted)))
    silent = next(row for row in rows if row["channel"] == BELOW)
    assert not silent["fires"]
    assert silent["aue"] == pytest.approx(scipy_entropy(np.bincount(world.labels[TEST])))


def test_single_filters_rank_by_value(world: World) -> None:
    """Average precision sees the order alone: responses + 100 give the same, filters below 0 too.

    After a ReLU they would tie, and have the share of positives.
    """
    rows, up = (
        ask(world.store, "single-filters", **world.asked(layer), top=8) for layer in ("head", "up")
    )
    assert rows == up
    below = next(row for row in rows if row["channel"] == BELOW)
    order = world.labels[TEST][np.argsort(-world.X["head"][TEST, BELOW, 0])]
    positive = (order == 0) if below["class"] == "a" else (order == 1)
    precision = np.cumsum(positive) / np.arange(1, len(order) + 1)
    interpolated = [precision[at:].max() for at in np.flatnonzero(positive)]
    assert below["ap_all"] == pytest.approx(np.mean(interpolated))


def test_top_images_are_those_of_the_largest(world: World) -> None:
    """A filter below 0 shows the images where it is nearest to 0, and their values have signs."""
    told: list[str] = []
    rows = ask(
        world.store,
        "top-images",
        **world.asked("gelu"),
        channel=(BELOW,),
        top=4,
        on_note=told.append,
    )
    largest = world.X["gelu"][:, BELOW].max(1)
    assert [row["sample_id"] for row in rows] == np.argsort(-largest, kind="stable")[:4].tolist()
    assert [row["act_max"] for row in rows] == np.sort(largest)[::-1][:4].tolist()
    (text,) = told
    assert text.startswith("layer 'gelu' has responses below 0: images are ranked by the largest")


def test_retrieval_by_cosine_has_signs_and_codes_have_none(world: World) -> None:
    """Cosines are of the responses as they are; binary codes have 1 where one is above 0."""
    rows = ask(world.store, "retrieval", **world.asked("head"))
    X, bits = world.X["head"][:, :, 0].astype(np.float64), world.X["head"][:, :, 0] > 0
    database = np.setdiff1d(np.arange(N), TEST)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    hamming = (bits[TEST][:, None] != bits[database]).sum(2)
    wanted = {"cosine": unit[TEST] @ unit[database].T, "hamming": -1.0 * hamming}
    right = world.labels[TEST][:, None] == world.labels[database]
    for row in rows:
        if row["code"] in wanted:
            aps = [area(s, r) for s, r in zip(wanted[row["code"]], right, strict=True)]
            assert row["mean_ap"] == pytest.approx(np.mean(aps), abs=1e-6)


def area(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Return the interpolated average precision; equal scores enter together."""
    order = np.argsort(-scores, kind="stable")
    s, hit = scores[order], right[order]
    ends = np.flatnonzero(np.append(s[1:] != s[:-1], True))
    hits = np.cumsum(hit)[ends]
    precision, recall = hits / (ends + 1), hits / hit.sum()
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0) * best))


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("selectivity", {}, "scores above 0 alone"),
        ("entropy-curve", {"channel": ("0",)}, "scores above 0 alone"),
        ("retrieval", {}, "a binary code has 0 for them"),
        ("filter-subsets", {}, "a filter of negative weight"),
        ("filter-overlap", {"top": 2}, "a filter of negative weight"),
        ("classification", {"ablation": "binarize"}, "binarize makes 0 of them"),
        ("accuracy", {"ablation": ("sp_max",)}, "sp_max takes the largest"),
    ],
)
def test_an_analysis_says_what_it_makes_of_them(
    world: World, name: str, options: dict[str, Any], told: str
) -> None:
    """It is said once, of a layer that has some; not of a rectified one."""
    notes: dict[str, list[str]] = {"gelu": [], "relu": []}
    for layer, texts in notes.items():
        ask(world.store, name, **world.asked(layer), **options, on_note=texts.append)
    (text,) = notes["gelu"]
    assert told in text
    assert notes["relu"] == []


def test_nothing_is_said_where_nothing_changes(world: World) -> None:
    """Single filters, and features as they are, have no note."""
    texts: list[str] = []
    ask(world.store, "single-filters", **world.asked("gelu"), top=1, on_note=texts.append)
    ask(world.store, "classification", **world.asked("gelu"), on_note=texts.append)
    assert texts == []


def test_a_report_says_it_too(tmp_path: Path) -> None:
    """Table 6 counts negative responses as what they are, not 0, and a note names the layer."""
    store = Store.create(tmp_path / "s")
    add_layers(store, "net", {"gelu": (4, 2, 2), "relu": (4, 2, 2)})
    add_checkpoint(store, "net", "c")
    add_dataset(store)
    x = np.random.default_rng(0).normal(size=(6, 4, 4)).astype(np.float32)
    for layer, values in {"gelu": x, "relu": np.maximum(x, 0)}.items():
        put(store, Partition("net", "c", "d", "image", layer), values)
    study = 'name = "s"\nnetwork = "net"\nlayers = ["gelu", "relu"]\npretrained = "c"\n'
    set_study(store, study + '[classification]\ndataset = "d"\n')
    result = run(store, "report", "show", "table6", "--csv")
    assert result.exit_code == 0
    shown = {row["row"]: float(row["value"]) for row in csv.DictReader(StringIO(result.stdout))}
    assert shown == pytest.approx({"gelu": 100, "relu": 100 * (x[3:] > 0).mean()})
    assert "table6: responses of gelu are below 0 in part" in result.stderr
