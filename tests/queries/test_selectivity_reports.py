"""Figure 1, supplementary Figure 1 and Table 9, against loops over all thresholds."""

from pathlib import Path

import numpy as np
import pytest

from _build import add_checkpoint, add_layers, put
from _charts import channels, points, titles, words
from _entropy import brute_areas
from _studies import CKPTS, SHAPES, SILENT, StudyWorld, add_samples, make_study
from fstore.queries.cells.needs import BESIDE
from fstore.queries.figures.selectivity import plot_figure1, plot_s_figure1
from fstore.queries.figures.table9 import plot_table9
from fstore.queries.refresh.show import show_report
from fstore.queries.reports import paper_numbers
from fstore.queries.studies.study import parse_study
from fstore.store import Store
from fstore.store.files import Partition
from fstore.store.maintenance import Selection, drop
from fstore.types import Part

EXACT = 1e-9
ROLES = dict(zip(("pretrained", "finetuned"), CKPTS, strict=True))
MEASURES = ("label", "weighted", "sp_max")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> StudyWorld:
    """Return boxes of one class each, three of them difficult, and two checkpoints."""
    return make_study(tmp_path_factory.mktemp("world") / "s")


def mean_of_best(world: StudyWorld, ckpt: str, layer: str, measure: str, share: float) -> float:
    """Return the mean AuE of a share of the filters, the most selective, on test boxes."""
    ids, labels = world.boxes()
    areas = np.sort(brute_areas(world.values["g", ckpt, layer][ids], labels, measure))
    k = int(np.ceil(share * len(areas) - 1e-9))
    return float(areas[: max(k, 1)].mean())


def test_figure1(world: StudyWorld) -> None:
    """MCAuE by label entropy, at fifty fractions of the filters of each layer and checkpoint."""
    shown = show_report(world.store, world.study, "figure1")
    cells = {(row["row"], row["col"]): row for row in shown.rows if BESIDE not in row["col"]}
    assert len(cells) == 50 * 4
    for layer, (n_channels, _, _) in SHAPES.items():
        for role, ckpt in ROLES.items():
            for share in (0.02, 0.1, 0.5, 1.0):
                cell = cells[f"{layer} {role}", f"{share:.2f}"]
                wanted = mean_of_best(world, ckpt, layer, "label", share)
                assert cell["value"] == pytest.approx(wanted, abs=EXACT)
                assert cell["n"] == max(1, int(np.ceil(round(share * n_channels, 6))))
                assert cell["paper"] is None
    assert cells["conv5 pretrained", "1.00"] != cells["conv5 finetuned", "1.00"]


def test_silent_filters_are_counted(world: StudyWorld) -> None:
    """Beside the curve stands how many filters never fire: their AuE is the labels' entropy."""
    rows = show_report(world.store, world.study, "figure1").rows
    silent = {row["row"]: row for row in rows if row["col"] == "1.00:silent"}
    ids, _ = world.boxes()
    for layer, (n_channels, _, _) in SHAPES.items():
        for role, ckpt in ROLES.items():
            x = world.values["g", ckpt, layer][ids]
            assert silent[f"{layer} {role}"]["value"] == (x.max(axis=(0, 2)) <= 0).sum()
            assert silent[f"{layer} {role}"]["n"] == n_channels
    assert not world.values["g", "5k", "conv5"][:, SILENT].any()


def test_s_figure1(world: StudyWorld) -> None:
    """So for weighted and for spMax label entropy; in fc layers spMax is Figure 1's curve."""
    rows = show_report(world.store, world.study, "s_figure1").rows
    cells = {(row["row"], row["col"]): row["value"] for row in rows}
    assert len(cells) == 2 * 50 * 4
    for measure in ("weighted", "sp_max"):
        for layer in SHAPES:
            for role, ckpt in ROLES.items():
                for share in (0.1, 1.0):
                    wanted = mean_of_best(world, ckpt, layer, measure, share)
                    found = cells[f"{measure} {layer} {role}", f"{share:.2f}"]
                    assert found == pytest.approx(wanted, abs=EXACT)
    label = {
        row["col"]: row["value"]
        for row in show_report(world.store, world.study, "figure1").rows
        if row["row"] == "fc7 finetuned" and BESIDE not in row["col"]
    }
    assert {c: v for (row, c), v in cells.items() if row == "sp_max fc7 finetuned"} == label


def test_table9(world: StudyWorld) -> None:
    """Percent by which MCAuE falls, by layer, measure and fraction of the filters."""
    rows = show_report(world.store, world.study, "table9").rows
    cells = {(row["row"], row["col"]): row for row in rows if BESIDE not in row["col"]}
    assert len(cells) == 2 * 3 * 4
    for layer in SHAPES:
        for measure in MEASURES:
            for share in (0.1, 0.25, 0.5, 1.0):
                pre, fine = (mean_of_best(world, c, layer, measure, share) for c in CKPTS)
                cell = cells[layer, f"{measure} {share:g}"]
                assert cell["value"] == pytest.approx(100 * (pre - fine) / pre, abs=1e-6)
    assert [cells["conv5", f"label {f:g}"]["n"] for f in (0.1, 0.25, 0.5, 1.0)] == [4, 8, 16, 32]
    fc = {col: row["value"] for (name, col), row in cells.items() if name == "fc7"}
    for column, value in fc.items():
        if column.startswith("label"):
            assert fc[column.replace("label", "sp_max")] == value


def test_paper_numbers() -> None:
    """The paper's Table 9, row by row; what its copy does not give for certain is absent."""
    found = paper_numbers("table9.csv")
    wanted = {
        ("conv4", "label"): [-0.54, -0.31, -0.19, -0.05],
        ("conv4", "weighted"): [-0.10, 0.55, 0.64, 0.57],
        ("conv4", "sp_max"): [0.93, 0.97, 0.80, 0.65],
        ("conv5", "label"): [0.97, 0.55, 0.43, 0.36],
        ("conv5", "weighted"): [5.84, 3.53, 2.66, 1.85],
        ("conv5", "sp_max"): [4.87, 2.31, 1.62],
        ("fc6", "label"): [6.52, 3.92, 2.64],
        ("fc6", "sp_max"): [6.52, 3.92, 2.64],
        ("fc7", "label"): [2.66, 1.33, 0.44],
        ("fc7", "weighted"): [20.58, 14.75, 11.12, 7.78],
        ("fc7", "sp_max"): [2.66, 1.33, 0.44],
    }
    shares = ("0.1", "0.25", "0.5", "1")
    assert found == {
        (layer, f"{measure} {share}"): value
        for (layer, measure), values in wanted.items()
        for share, value in zip(shares, values, strict=False)
    }


def selective(path: Path, *, fires_for: int) -> tuple[Store, str]:
    """Return a store of layer ``fc7``, ten filters, and a study of it.

    Before fine-tuning the first filters fire for one class alone; ``fires_for`` is how many of
    them.
    """
    store = Store.create(path)
    labels = np.arange(12) % 4
    Y = (2 * np.eye(4, dtype=np.int8)[labels] - 1).astype(np.int8)
    parts: list[Part] = ["test"] * 12
    add_samples(store, "g", Y, {0: parts}, view="gt")
    add_layers(store, "net", {"fc7": (10, 1, 1)})
    x = np.random.default_rng(0).random((12, 10, 1)).astype(np.float32) + np.float32(0.1)
    for ckpt, pure in (("5k", fires_for), ("15k", 0)):
        add_checkpoint(store, "net", ckpt)
        y = x.copy()
        y[labels != 1, :pure] = 0
        put(store, Partition("net", ckpt, "g", "gt", "fc7"), y)
    text = """
name = "small"
network = "net"
layers = ["fc7"]
pretrained = "5k"
finetuned = "15k"
[detection]
dataset = "g"
"""
    return store, text


def test_decrease_of_nothing(tmp_path: Path) -> None:
    """Where MCAuE is 0 before fine-tuning there is no percentage: no cell, a gap in the plot."""
    store, text = selective(tmp_path / "s", fires_for=3)
    rows = show_report(store, parse_study(text), "table9").rows
    main = [row for row in rows if BESIDE not in row["col"]]
    assert [row["col"] for row in main] == [
        f"{measure} {share}" for measure in MEASURES for share in ("0.5", "1")
    ]
    assert all(row["value"] < 0 for row in main)
    drawn = {p["line"] for p in points(plot_table9(rows))}
    assert drawn == {"best 50 %", "all filters"}  # and nothing of the tenth


def of_silent(path: Path) -> tuple[Store, str]:
    """Return a store of ten filters that fire less selectively after fine-tuning; half never did.

    So entropy falls if a filter that never fires has the entropy of all labels, and rises if it
    does not count.
    """
    store, text = selective(path, fires_for=0)
    labels = np.arange(12) % 4
    x = np.random.default_rng(1).random((12, 10, 1)).astype(np.float32) + np.float32(0.1)
    x[labels > 1] = 0  # two classes of four
    before, after = x.copy(), x.copy()
    before[:, 5:] = 0
    before[0::4, :5] += 1  # sharper: the largest responses are of one class
    for ckpt, values in (("4k", before), ("14k", after)):
        add_checkpoint(store, "net", ckpt)
        put(store, Partition("net", ckpt, "g", "gt", "fc7"), values)
    return store, text.replace('"5k"', '"4k"').replace('"15k"', '"14k"')


def test_signs_of_silent_filters(tmp_path: Path) -> None:
    """Filters that never fire are counted; where they decide the sign both numbers are there."""
    store, text = of_silent(tmp_path / "s")
    rows = show_report(store, parse_study(text), "table9").rows
    cells = {row["col"]: row for row in rows}
    assert (
        cells["label 1:silent_pretrained"]["value"],
        cells["label 1:silent_pretrained"]["n"],
    ) == (5, 10)
    assert cells["label 1:silent_finetuned"]["value"] == 0
    labels = np.arange(12) % 4
    x = np.random.default_rng(1).random((12, 10, 1)).astype(np.float32) + np.float32(0.1)
    x[labels > 1] = 0
    sharp = x[:, :5].copy()
    sharp[0::4] += 1
    fine = brute_areas(x, labels, "label").mean()
    firing = brute_areas(sharp, labels, "label")
    pre = np.append(firing, [np.log(4)] * 5).mean()
    assert cells["label 1"]["value"] == pytest.approx(100 * (pre - fine) / pre)
    assert cells["label 1:firing"]["value"] == pytest.approx(
        100 * (firing.mean() - fine) / firing.mean()
    )
    assert cells["label 1"]["value"] > 0 > cells["label 1:firing"]["value"]
    assert cells["label 1:firing"]["n"] == 5
    assert "label 0.1:firing" not in cells  # of the most selective filter all fire
    told = words(plot_table9(rows))
    assert "never fire, before and after: fc7 5 and 0" in told
    assert "Without these the sign is another: fc7 label entropy, all filters -" in told


def test_missing_checkpoint(tmp_path: Path) -> None:
    """Without the fine-tuned responses Figure 1 has the other curve; the error says what to do."""
    world = make_study(tmp_path / "s")
    drop(world.store.place, Selection(ckpt="15k", dataset="g"))
    command = "fstore extract --layer conv5 --layer fc7 --ckpt net/15k --dataset g --view gt"
    for name in ("figure1", "s_figure1"):
        shown = show_report(world.store, world.study, name)
        assert {row["row"].rsplit(" ", 1)[1] for row in shown.rows} == {"pretrained"}
        assert [m.command for m in shown.missing] == [f"{command} --store {world.store.path}"]
    with pytest.raises(LookupError, match=command):
        show_report(world.store, world.study, "table9")


# plots

STROKES_OF = {"before fine-tuning": [6, 3], "after fine-tuning": [1, 0]}


def test_plot_figure1(world: StudyWorld) -> None:
    """A line a layer and checkpoint, dashed before and solid after, the layer named at its end."""
    rows = show_report(world.store, world.study, "figure1").rows
    chart = plot_figure1(rows)
    for role, word in (("pretrained", "before fine-tuning"), ("finetuned", "after fine-tuning")):
        for layer in SHAPES:
            mine = [r for r in rows if r["row"] == f"{layer} {role}" and BESIDE not in r["col"]]
            drawn = points(chart, line=layer, role=word)
            assert [p["y"] for p in drawn] == [row["value"] for row in mine]
            assert [p["x"] for p in drawn] == [float(row["col"]) for row in mine]
    (dashes,) = channels(chart, "strokeDash")
    scale = dashes["scale"]
    assert dict(zip(scale["domain"], scale["range"], strict=True)) == STROKES_OF
    assert {p["label"] for p in points(chart) if p.get("label")} == set(SHAPES)
    assert titles(chart, "x") == {"Fraction of filters, most selective first"}
    assert titles(chart, "y") == {"MCAuE (nats; lower is more selective)"}
    assert all(f"{shape[0]} ({layer})" in words(chart) for layer, shape in SHAPES.items())


def test_plot_figure1_of_one_checkpoint(world: StudyWorld) -> None:
    """Without a fine-tuned checkpoint lines are solid, and no legend speaks of another."""
    rows = show_report(world.store, world.study, "figure1").rows
    chart = plot_figure1([row for row in rows if row["row"].endswith("pretrained")])
    assert {p["role"] for p in points(chart)} == {"before fine-tuning"}
    (dashes,) = channels(chart, "strokeDash")
    assert (dashes["legend"], dashes["scale"]["range"]) == (None, [[1, 0]])


def test_plot_s_figure1(world: StudyWorld) -> None:
    """Two panels, weighted and spMax, each with the lines of its measure."""
    rows = show_report(world.store, world.study, "s_figure1").rows
    panels = plot_s_figure1(rows).hconcat  # type: ignore[attr-defined]
    assert [str(panel.title)[:3] for panel in panels] == ["(a)", "(b)"]
    for panel, measure in zip(panels, ("weighted", "sp_max"), strict=True):
        mine = [r["value"] for r in rows if r["row"] == f"{measure} fc7 finetuned"]
        drawn = points(panel, line="fc7", role="after fine-tuning")
        assert [p["y"] for p in drawn] == mine
        assert len({(p["line"], p["role"]) for p in points(panel)}) == 4


def test_plot_table9(world: StudyWorld) -> None:
    """A panel a measure, a line a share of the filters, over the layers, in percent."""
    rows = show_report(world.store, world.study, "table9").rows
    cells = {(row["row"], row["col"]): row["value"] for row in rows}
    chart = plot_table9(rows)
    for measure, panel in zip(MEASURES, chart.hconcat, strict=True):  # type: ignore[attr-defined]
        for share, word in (("0.1", "best 10 %"), ("1", "all filters")):
            wanted = [cells[layer, f"{measure} {share}"] for layer in SHAPES]
            drawn = points(panel, line=word)
            assert [p["y"] for p in drawn] == wanted
            assert [p["x"] for p in drawn] == list(SHAPES)
    assert titles(chart, "y") == {"Decrease of MCAuE (percent)"}
