"""Top images are those that a sort of all responses gives, drawn with their maps."""

import csv
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from _build import put
from _pictures import Gallery, make
from fstore.cli import app
from fstore.errors import DataError, UnknownNameError
from fstore.queries.analyses import ANALYSES
from fstore.queries.analyses.top_images import AskedStored, plot_top_images, top_images
from fstore.queries.figures.pictures import pixels
from fstore.store.files import Partition
from fstore.store.maintenance import Selection, drop

mpl.use("agg")

WHERE: dict[str, Any] = {"layer": "conv", "ckpt": "5", "dataset": "d"}
WORDS = ("--layer", "conv", "--ckpt", "5", "--dataset", "d")


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    """Make a store with four images of one box each, the last one difficult."""
    return make(tmp_path)


def run(gallery: Gallery, *words: str) -> Result:
    """Run ``fstore --store ROOT analyze top-images WORDS``."""
    command = ["--store", str(gallery.store.path), "analyze", "top-images", *words]
    return CliRunner().invoke(app, command)


@pytest.mark.parametrize("view", ["image", "gt"])
@pytest.mark.parametrize("layer", ["conv", "fc"])
def test_equals_sorting(gallery: Gallery, view: str, layer: str) -> None:
    """Ranks, values and places are those of sorting every sample's map in Python."""
    x = gallery.values[view, layer]
    where = {**WHERE, "layer": layer, "view": view}
    rows = top_images(gallery.store, AskedStored(**where, difficult=True), channel=(1, 0), top=3)
    wanted = []
    for c in (1, 0):
        scored = sorted((-max(x[i, c]), i) for i in range(4))[:3]
        for rank, (value, i) in enumerate(scored, start=1):
            flat = list(x[i, c]).index(-value)
            place = divmod(flat, 3) if layer == "conv" else (0, 0)
            wanted.append((c, rank, i, f"i{i}", f"{i}.png", -value, *place, 4))
    keys = ("channel", "rank", "sample_id", "image_id", "uri", "act_max", "row", "col", "n")
    assert [tuple(row[k] for k in keys) for row in rows] == wanted
    for row in rows:
        shape = (2, 3) if layer == "conv" else (1, 1)
        assert (row["map"] == x[row["sample_id"], row["channel"]].reshape(shape)).all()


def test_equal_responses(gallery: Gallery) -> None:
    """Equal responses come in order of sample, whatever the order of files."""
    drop(gallery.store.place, Selection(view="image"))
    place = Partition("net", "5", "d", "image", "conv")
    for ids in ([2, 3], [0, 1]):
        put(gallery.store, place, np.ones((2, 3, 6), np.float32), sample_ids=ids)
    rows = top_images(gallery.store, AskedStored(**WHERE), channel=(2,))
    assert [row["sample_id"] for row in rows] == [0, 1, 2, 3]
    assert {(row["row"], row["col"]) for row in rows} == {(0, 0)}


def test_labels(gallery: Gallery) -> None:
    """A whole image has the classes of its objects, a box its own, also where it is difficult."""
    whole = top_images(gallery.store, AskedStored(**WHERE), channel=(0,))
    assert {row["sample_id"]: row["classes"] for row in whole} == {
        0: ["cat"],
        1: ["dog"],
        2: ["cat"],
        3: ["cat", "dog"],
    }
    boxes = top_images(gallery.store, AskedStored(**WHERE, view="gt", difficult=True), channel=(0,))
    assert {row["sample_id"]: row["classes"] for row in boxes}[3] == ["dog"]


def test_which_samples(gallery: Gallery) -> None:
    """A part of a split, or all that are stored; difficult boxes only when asked for."""

    def ids(**options: Any) -> set[int]:  # noqa: ANN401
        return {
            r["sample_id"]
            for r in top_images(gallery.store, AskedStored(**WHERE, **options), channel=(0,))
        }

    assert ids(part="test") == {1, 2}
    assert ids() == {0, 1, 2, 3}
    assert ids(view="gt") == {0, 1, 2}
    assert ids(view="gt", difficult=True) == {0, 1, 2, 3}
    with pytest.raises(UnknownNameError, match="no part 'official:tset'"):
        ids(part="tset")


def test_bad_questions(gallery: Gallery) -> None:
    """A filter that is not there, none at all, no samples, NaN: each is an error that says so."""
    with pytest.raises(UnknownNameError, match=r"no channel 3 in .* it has 0 to 2"):
        top_images(gallery.store, AskedStored(**WHERE), channel=(3,))
    with pytest.raises(DataError, match="at least one"):
        top_images(gallery.store, AskedStored(**WHERE), channel=())
    with pytest.raises(DataError, match="top must be at least 1"):
        top_images(gallery.store, AskedStored(**WHERE), channel=(0,), top=0)
    with pytest.raises(UnknownNameError, match="fstore extract --layer conv9"):
        top_images(gallery.store, AskedStored(**{**WHERE, "layer": "conv9"}), channel=(0,))
    place = Partition("net", "5", "d", "image", "conv")
    drop(gallery.store.place, Selection(view="image"))
    put(gallery.store, place, np.full((4, 3, 6), np.nan, np.float32))
    with pytest.raises(DataError, match="NaN"):
        top_images(gallery.store, AskedStored(**WHERE), channel=(0,))


def test_sheet(gallery: Gallery) -> None:
    """A line a filter, each image under its classes and response, the filter's name at the left."""
    rows = top_images(gallery.store, AskedStored(**WHERE), channel=(2, 0), top=3)
    ax = plot_top_images(rows)
    panels = [a for a in ax.figure.axes if a.images]
    assert len(panels) == 6
    for row, panel in zip(rows, panels, strict=True):
        drawn = np.asarray(panel.images[0].get_array())
        assert (drawn == pixels(row["picture"])).all()
        names, value = panel.get_title().split("\n")
        assert names == ", ".join(row["classes"])
        assert float(value) == row["act_max"]
        ((x, y),) = panel.get_lines()[0].get_xydata().tolist()  # type: ignore[union-attr]
        assert x == pytest.approx((row["col"] + 0.5) / 3 * 24 - 0.5)
        assert y == pytest.approx((row["row"] + 0.5) / 2 * 24 - 0.5)
    assert [p.get_ylabel() for p in panels] == ["filter 2", "", "", "filter 0", "", ""]
    figure = ax.get_figure(root=True)
    assert figure is not None
    assert "n = 4 samples" in figure.get_supxlabel()
    mpl.pyplot.close("all")


def test_long_sheets(gallery: Gallery) -> None:
    """More images than fit a line go on in the next; a new filter begins a new one."""
    row = top_images(gallery.store, AskedStored(**WHERE), channel=(0,), top=1)[0]
    rows = [
        {**row, "channel": c, "rank": r, "act_max": 1234.5} for c in (7, 9) for r in range(1, 12)
    ]
    ax = plot_top_images(rows)
    panels = [a for a in ax.figure.axes if a is not ax]
    assert len(panels) == 24  # two lines of six for each of two filters
    names = [(i, p.get_ylabel()) for i, p in enumerate(panels) if p.get_ylabel()]
    assert names == [(0, "filter 7"), (12, "filter 9")]
    assert [i for i, p in enumerate(panels) if not p.images] == [11, 23]
    assert panels[0].get_title().endswith("\n1,234")
    mpl.pyplot.close("all")


def test_command(gallery: Gallery, tmp_path: Path) -> None:
    """--channel repeats; JSON, CSV and the numbers beside the sheet have the columns alone."""
    columns = list(ANALYSES["top-images"].meta["columns"])
    words = (*WORDS, "--channel", "2", "--channel", "0", "--top", "2")
    rows = json.loads(run(gallery, *words, "--json").stdout)
    assert [list(row) for row in rows] == [columns] * 4
    assert [row["channel"] for row in rows] == [2, 2, 0, 0]
    assert run(gallery, *words, "--csv").stdout.splitlines()[0] == ",".join(columns)
    out = tmp_path / "sheet.png"
    done = run(gallery, *words, "--view", "gt", "--plot", str(out))
    assert (done.exit_code, done.stdout) == (0, f"{out}\n")
    assert out.read_bytes().startswith(b"\x89PNG")
    with out.with_suffix(".csv").open() as file:
        assert list(csv.DictReader(file).fieldnames or ()) == columns
    assert run(gallery, *WORDS).exit_code == 2


def test_image_that_is_gone(gallery: Gallery, tmp_path: Path) -> None:
    """Rows need no image; the sheet names the file that is not there, and no figure is left."""
    for file in gallery.root.iterdir():
        file.unlink()
    assert run(gallery, *WORDS, "--channel", "0", "--json").exit_code == 0
    done = run(gallery, *WORDS, "--channel", "0", "--plot", str(tmp_path / "sheet.png"))
    assert done.exit_code == 1
    assert "no such file any more" in done.stderr
    assert str(gallery.root) in done.stderr
    assert not (tmp_path / "sheet.png").exists()


def test_no_record_of_the_input(tmp_path: Path) -> None:
    """Rows do not need the checkpoint's preprocessing, which only the sheet asks for."""
    gallery = make(tmp_path, preprocessing="{}")
    assert run(gallery, *WORDS, "--channel", "0", "--json").exit_code == 0
    done = run(gallery, *WORDS, "--channel", "0", "--plot", str(tmp_path / "sheet.png"))
    assert done.exit_code == 1
    assert "no record of its preprocessing" in done.stderr
