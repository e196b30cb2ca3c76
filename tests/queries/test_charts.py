"""Charts for pages and files: what they draw, say and keep to, checked on their statements."""

import io
import json
import re
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import precision_recall_curve

from _charts import channels, check_drawn, domain, points, titles, units, words
from fstore.errors import DataError
from fstore.queries.figures.alt import alt_text
from fstore.queries.figures.ap_bars import ap_bars
from fstore.queries.figures.bars import bar_plot, grouped_bars
from fstore.queries.figures.cosines import plot_cosines
from fstore.queries.figures.histogram import histogram, histogram_rows
from fstore.queries.figures.maps import plot_maps
from fstore.queries.figures.matrix import matrix
from fstore.queries.figures.parts import apart, label_places, round_ends, stroke_of
from fstore.queries.figures.pdf import in_order
from fstore.queries.figures.plots import draw, drawing_bytes, save_plot
from fstore.queries.figures.precision_recall import precision_recall
from fstore.queries.figures.scatter import BRUSH, scatter
from fstore.queries.figures.subsets import plot_filter_subsets
from fstore.queries.figures.titles import analysis_title
from fstore.queries.figures.vega import CATEGORIES, spec_of

EVIL = "<img src=x onerror=alert(1)>"
TITLE = "Responses\nconv5, net/305k, voc07"


def pr_rows(*names: str) -> list[dict[str, Any]]:
    """Return precision-recall curves, as scikit-learn has them."""
    rows = []
    for i, name in enumerate(names):
        rng = np.random.default_rng(i)
        y = rng.random(60) < 0.3
        precision, recall, _ = precision_recall_curve(y, y + rng.normal(size=60))
        rows += [
            {"class": name, "recall": r, "precision": p, "ap": 0.5, "prior": y.mean(), "n": 60}
            for r, p in zip(recall, precision, strict=True)
        ]
    return rows


def ap_rows(*ckpts: str) -> list[dict[str, Any]]:
    """Return APs of three classes."""
    return [
        {"class": name, "ap": ap * (1 + i) / 2, "prior": 0.1, "n": n, "ckpt": ckpt}
        for i, ckpt in enumerate(ckpts)
        for name, ap, n in (("cat", 0.25, 5), (EVIL, 0.75, 12), ("bus", 0.5, 7))
    ]


def plane_rows() -> list[dict[str, Any]]:
    """Return samples of ten classes in a plane."""
    at = np.random.default_rng(0).normal(size=(40, 2))
    return [{"x": x, "y": y, "class": f"c{i % 10}", "sample_id": i} for i, (x, y) in enumerate(at)]


def cell_rows() -> list[dict[str, Any]]:
    """Return a matrix of two by three."""
    return [
        {"row": a, "col": b, "value": None if a == b else i + 0.25 * j, "n": 9}
        for i, a in enumerate("ab")
        for j, b in enumerate("abc")
    ]


def counted_rows() -> list[dict[str, Any]]:
    """Return the responses of two classes, counted."""
    return histogram_rows({"cat": np.array([0, 0, 1, 3.0]), EVIL: np.array([0, 2.0])}, bins=2)


CHARTS: dict[str, Callable[[], Any]] = {
    "precision_recall": lambda: precision_recall(pr_rows("cat", EVIL), title=TITLE),
    "histogram": lambda: histogram(counted_rows(), title=TITLE),
    "ap_bars": lambda: ap_bars(ap_rows("305k"), title=TITLE),
    "matrix": lambda: matrix(cell_rows(), title=TITLE),
    "scatter": lambda: scatter(plane_rows(), title=TITLE),
}


@pytest.mark.parametrize("name", CHARTS)
def test_chart(name: str) -> None:
    """It is drawn, titled, says n, asks nobody, and has no colour of text or ground."""
    chart = CHARTS[name]()
    check_drawn(chart)
    spec = spec_of(chart)
    assert words(chart).startswith("Responses conv5, net/305k, voc07")
    assert "n = " in words(chart)
    assert "config" not in spec
    assert "background" not in spec
    assert not any("url" in data for data in (spec.get("data", {}), *spec["datasets"].values()))
    assert len(json.dumps(spec)) < 100_000


@pytest.mark.parametrize("name", CHARTS)
def test_words_for_those_who_do_not_see(name: str) -> None:
    """The text names the quantity, what it is over, and its range."""
    chart = CHARTS[name]()
    text = alt_text(spec_of(chart), "Responses")
    assert text.startswith("Responses. ")
    assert ", from " in text
    assert "n = " in text
    assert len(text) > 60


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_same_bytes(suffix: str) -> None:
    """The same rows give the same file, whose title stands in the SVG's text."""
    first, second = (drawing_bytes(CHARTS["ap_bars"](), suffix) for _ in range(2))
    assert first == second
    begins = {".png": b"\x89PNG", ".svg": b"<svg", ".pdf": b"%PDF"}
    assert first.startswith(begins[suffix])
    if suffix == ".svg":
        assert b"conv5, net/305k, voc07" in first
        assert b"<img" not in first  # a class called as an element is text


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_picture_is_saved_too(tmp_path: Path, suffix: str) -> None:
    """A Pillow image becomes a file of each kind, the same each time, with its rows beside it."""
    picture = Image.new("RGB", (30, 20), "red")
    out = tmp_path / f"p{suffix}"
    assert save_plot(lambda _rows, **_: picture, [{"a": 1}], out, columns=["a"]) == out
    assert out.with_suffix(".csv").read_text() == "a\n1\n"
    assert out.read_bytes() == drawing_bytes(picture, suffix)
    if suffix == ".png":
        with Image.open(out) as image:
            assert (image.size, image.getpixel((3, 3))) == ((30, 20), (255, 0, 0))
            assert round(image.info["dpi"][0]) == 150
    if suffix == ".svg":
        assert b"data:image/png;base64," in out.read_bytes()


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    """A chart and a picture alike are drawn to three kinds of file only."""
    for drawing in (CHARTS["matrix"](), Image.new("RGB", (2, 2))):
        with pytest.raises(DataError, match=r"cannot draw to '\.jpg'"):
            drawing_bytes(drawing, ".jpg")
    with pytest.raises(DataError, match="must end in"):
        save_plot(lambda rows, **_: rows, [], tmp_path / "a.jpg", columns=[])


def test_nothing_to_draw_is_said(tmp_path: Path) -> None:
    """No rows, or none with a number, are refused in words; of others these are left out."""
    rows = [
        {"row": "fc7", "col": "c", "value": v, "std": None, "n": 1, "paper": None}
        for v in (float("nan"), None, 30.0)
    ]
    plot = bar_plot(["c"], ylabel="AP")
    save = partial(save_plot, plot, out=tmp_path / "a.svg", columns=["row", "value"])
    with pytest.raises(DataError, match="nothing to draw: there are no rows"):
        save([])
    with pytest.raises(DataError, match="none of the 2 rows has a number"):
        save(rows[:2])
    assert [p["value"] for p in points(draw(plot, rows))] == [30.0]


@pytest.mark.parametrize(("of_mean", "half"), [(False, 15.0), (True, 1.5)])
def test_lines_of_bars_are_what_the_note_says(*, of_mean: bool, half: float) -> None:
    """Of n = 100 with a deviation of 15: that, or the standard error of the mean, 15 / 10."""
    row = {"row": "fc7", "col": "c", "value": 60.0, "std": 15.0, "n": 100, "paper": None}
    chart = grouped_bars([row], ["c"], ylabel="AP", over="queries", of_mean=of_mean)
    (point,) = points(chart)
    assert (point["low"], point["high"]) == pytest.approx((60 - half, 60 + half))
    assert ("standard error of the mean" in words(chart)) == of_mean
    assert ("1 standard deviation over queries" in words(chart)) != of_mean
    assert "n = 100 queries" in words(chart)


def test_png_is_large_enough_to_print() -> None:
    """A PNG has 150 dots where a statement has 72."""
    chart = CHARTS["scatter"]()
    with Image.open(io.BytesIO(drawing_bytes(chart, ".png"))) as image:
        assert image.width > spec_of(chart)["width"] * 150 / 72


def test_precision_recall() -> None:
    """A panel a class with its AP; curve and prior are those given; one class has no panels."""
    rows = pr_rows("cat", "dog")
    chart = precision_recall(rows)
    assert [p["y"] for p in points(chart, line="dog")] == [
        r["precision"] for r in rows if r["class"] == "dog"
    ]
    assert list(dict.fromkeys(p["panel"] for p in points(chart))) == [
        "cat: AP 50.0 %",
        "dog: AP 50.0 %",
    ]
    assert {p["prior"] for p in points(chart, line="cat")} == {rows[0]["prior"]}
    assert spec_of(chart)["params"][0]["bind"]["options"] == [
        None,
        "cat: AP 50.0 %",
        "dog: AP 50.0 %",
    ]
    alone = precision_recall(pr_rows("cat"))
    assert "facet" not in spec_of(alone)
    assert "cat: AP 50.0 %." in words(alone)


def test_a_long_name_does_not_widen_a_chart() -> None:
    """Panels of classes with very long names are as wide as others; the name is cut."""
    charts = [
        plot_filter_subsets(
            [{"class": c, "filters": k, "fraction": k / 2, "n": 9} for c in names for k in (1, 2)]
        )
        for names in (("cat", "dog"), ("a very long name " * 40, "dog"))
    ]
    short, long = (Image.open(io.BytesIO(drawing_bytes(c, ".png"))).width for c in charts)
    assert long < 1.2 * short


def test_histogram() -> None:
    """Steps count what numpy counts; responses of 0 are told, not drawn."""
    rng = np.random.default_rng(3)
    x = np.maximum(0, rng.normal(size=200)).astype(np.float32)
    rows = histogram_rows({"cat": x}, bins=10)
    counts, edges = np.histogram(x[x != 0], bins=10)
    assert [row["count"] for row in rows] == counts.tolist()
    assert [row["low"] for row in rows] == pytest.approx(edges[:-1].tolist())
    assert {row["zeros"] for row in rows} == {int((x == 0).sum())}
    chart = histogram(rows)
    share = 100 * (x == 0).mean()
    assert f"cat n = 200 ({share:.0f} % are 0)" in words(chart)
    heights = [p["y"] for p in points(chart)]
    assert sum(heights) == pytest.approx(100 - share, abs=1e-6)
    logged = histogram(rows, log=True)
    assert [p["y"] for p in points(logged)][:10] == counts.tolist()
    assert channels(logged, "y")[0]["scale"]["type"] == "symlog"


def test_histogram_of_nothing_is_refused() -> None:
    """No response, and one that is no number, are said; only zeros are a chart of none."""
    with pytest.raises(DataError, match="no responses"):
        histogram_rows({"cat": np.array([])})
    with pytest.raises(DataError, match="NaN"):
        histogram_rows({"cat": np.array([1.0, np.nan])})
    rows = histogram_rows({"cat": np.zeros(4)})
    assert sum(row["count"] for row in rows) == 0
    assert "cat n = 4 (100 % are 0)" in words(histogram(rows))


def test_ap_bars() -> None:
    """Best first, in percent, with priors and the mean; two checkpoints have two symbols."""
    chart = ap_bars(ap_rows("305k"))
    drawn = {p["name"]: (p["ap"], p["prior"]) for p in points(chart) if "name" in p}
    assert drawn == {"cat": (12.5, 10), EVIL: (37.5, 10), "bus": (25, 10)}
    assert channels(chart, "y")[0]["sort"] == [f"{EVIL} (12)", "bus (7)", "cat (5)"]
    assert "the mean over 3 classes, 25.0" in words(chart)
    assert "n = 5 to 12 a class" in words(chart)
    both = ap_bars(ap_rows("305k", "ft"))
    (shapes,) = channels(both, "shape")
    assert shapes["scale"]["domain"] == ["305k", "ft"]
    assert len(set(shapes["scale"]["range"])) == 2
    assert domain(both, "x") == [0, 100]


def test_matrix() -> None:
    """Cells are square and have numbers while these are few; what is not there has no cell."""
    chart = matrix(cell_rows(), quantity="Linear CKA", digits=2)
    spec = spec_of(chart)
    assert spec["width"] / 3 == spec["height"] / 2
    assert {u["mark"]["type"] for u in units(chart)} == {"rect", "text"}
    assert titles(chart, "color") == {"['Linear CKA']"}
    assert domain(chart, "color") == [0, 1.5]
    assert all(u["transform"] == [{"filter": "isValid(datum.value)"}] for u in units(chart))
    many = [{"row": str(a), "col": str(b), "value": 0.5} for a in range(30) for b in range(30)]
    assert {u["mark"]["type"] for u in units(matrix(many))} == {"rect"}


def test_scatter() -> None:
    """Ten classes have ten pairs of colour and symbol; a rectangle is a selection by name."""
    chart = scatter(plane_rows())
    looks = [channels(chart, kind)[0]["scale"]["range"] for kind in ("color", "shape")]
    assert len(set(zip(*looks, strict=True))) == 10
    names = {p["name"]: p["select"]["type"] for p in spec_of(chart)["params"]}
    assert names[BRUSH] == "interval"
    assert "n = 40 samples" in words(chart)


def test_cosines_end_at_one() -> None:
    """The axis of cosines ends at 1, and rounding of ones does not fill the chart."""
    rows = [{"row": "5k", "col": f"cosine:{i}", "value": 1 - 1e-7 * i, "n": 4} for i in range(4)]
    chart = plot_cosines([*rows, {"row": "5k", "col": "cosine", "value": 1.0, "n": 4}])
    assert domain(chart, "y") == [0.95, 1.0]
    assert len(points(chart)) == 4
    assert plot_cosines([]) is None


def test_maps() -> None:
    """Each filter's map in shares of its own largest response; one value lies in the middle."""
    rows = [
        {"row": f"{channel} {ablation}", "col": f"{r} {c}", "value": value, "n": 1}
        for channel, scale in ((3, 1.0), (8, 10.0))
        for ablation, cells in (
            ("none", {(0, 0): 0.0, (0, 1): 1.0, (1, 0): 4.0, (1, 1): 2.0}),
            ("sp_max", {(0, 0): 4.0}),
        )
        for (r, c), value in ((place, v * scale) for place, v in cells.items())
    ]
    chart = plot_maps([*rows, {"row": "(sample) d image", "col": "sample_id", "value": 1, "n": 1}])
    whole = points(chart, filter="8", ablation="as they are")
    assert {(p["row"], p["col"]): p["share"] for p in whole} == {
        (0, 0): 0,
        (0, 1): 0.25,
        (1, 0): 1,
        (1, 1): 0.5,
    }
    (one,) = points(chart, filter="8", ablation="sp-max")
    assert (one["row"], one["col"], one["value"], one["share"]) == (0, 0, 40, 1)
    assert spec_of(chart)["params"][0]["bind"]["options"] == ["3", "8"]


def test_names_at_ends_do_not_meet() -> None:
    """Names of lines that end at one height stand a gap apart, in order, about that height."""
    ends = {f"l{i}": 30 + 0.1 * i for i in range(8)}
    places = label_places(ends, low=0, high=40, height=300, gap=13)
    ordered = sorted(places.values())
    assert all((b - a) * 300 / 40 >= 13 - 1e-3 for a, b in pairwise(ordered))
    assert sorted(places, key=lambda name: places[name]) == sorted(ends, key=lambda n: ends[n])
    assert np.mean(ordered) == pytest.approx(np.mean(list(ends.values())))


def test_axes_begin_at_zero() -> None:
    """An axis of shares or percents has 0, so that noise does not look like a trend."""
    assert round_ends([33.1, 34.2])[0] == 0
    assert round_ends([-3.0, 10.0]) == (-4.0, 10.0)
    assert round_ends([-34.0, -31.0]) == (-35.0, 0.0)
    assert round_ends([0.0, 0.0]) == (0.0, 0.2)
    low, high = round_ends([5.0, 5.0], zero=False)
    assert low <= 5 <= high
    assert low < high


def test_lines_without_symbols_differ_in_black_and_white() -> None:
    """No two of thirty lines have both colour and dashes in common."""
    looks = {(CATEGORIES[i % len(CATEGORIES)], *stroke_of(i)) for i in range(30)}
    assert len(looks) == 30


def test_lines_of_one_colour_have_other_symbols() -> None:
    """No two of sixty lines have both colour and symbol in common: a legend shows both."""
    scales = {
        k: c.to_dict()["scale"]["range"]
        for k, c in apart([str(i) for i in range(60)], title="").items()
    }
    assert len(set(zip(scales["color"], scales["shape"], strict=True))) == 60


def test_titles_say_what_is_drawn() -> None:
    """Layer, checkpoint with its network, data set, filters; what is not asked is left out."""
    asked = {"layer": "conv5", "ckpt": "305k", "network": "net", "dataset": "d", "channel": (3, 4)}
    assert analysis_title("Top images", {**asked, "view": "gt", "part": ""}) == (
        "Top images\nconv5, net/305k, d, gt, filter 3, 4"
    )
    assert analysis_title("Proposals", {"seed": 0}) == "Proposals"


def test_pdf_is_whole() -> None:
    """Every object of a PDF begins where its table says, and every one that is named is there."""
    pdf = drawing_bytes(CHARTS["ap_bars"](), ".pdf")
    table = int(pdf.rsplit(b"startxref\n", 1)[1].split()[0])
    lines = pdf[table:].split(b"trailer")[0].split(b"\n")[3:-1]
    for number, line in enumerate(lines, start=1):
        assert pdf[int(line[:10]) :].startswith(b"%d 0 obj\n" % number)
        assert len(line) == 19  # and the line's end: as long as the format asks
    heads = re.sub(rb"\nstream\n.*?\nendstream", b"", pdf, flags=re.DOTALL)
    named = {int(number) for number in re.findall(rb"\b(\d+) 0 R\b", heads)}
    assert named == set(range(1, len(lines) + 1))
    assert b"/Size %d\n" % (len(lines) + 1) in pdf
    assert in_order(b"%PDF of another kind") == b"%PDF of another kind"


def test_files_have_no_mark_that_nobody_sees() -> None:
    """Marks that only hold tooltips are on pages, and not in files."""
    chart = precision_recall(pr_rows("cat"))
    unseen = [u for u in units(chart) if u["mark"].get("opacity") == 0]
    assert len(unseen) == 1
    svg = drawing_bytes(chart, ".svg").decode()
    assert 'opacity="0"' not in svg
    assert svg.count("<path") < len(points(chart))
