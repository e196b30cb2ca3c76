"""Top images are those that a sort of all responses gives, drawn with their maps."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from _build import put
from _pictures import Gallery, make
from fstore.cli import app
from fstore.errors import DataError, UnknownNameError
from fstore.queries.analyses import ANALYSES
from fstore.queries.analyses.top_images import AskedStored, plot_top_images, top_images
from fstore.queries.figures.overlay import overlay
from fstore.queries.figures.pictures import pixels
from fstore.queries.figures.sheet import Line, sheet
from fstore.store.files import Partition
from fstore.store.maintenance import Selection, drop

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
    """A filter that is not there, no samples, NaN: each is an error that says so."""
    with pytest.raises(UnknownNameError, match=r"no channel 3 in .* it has 0 to 2"):
        top_images(gallery.store, AskedStored(**WHERE), channel=(3,))
    with pytest.raises(DataError, match="top must be at least 1"):
        top_images(gallery.store, AskedStored(**WHERE), channel=(0,), top=0)
    with pytest.raises(UnknownNameError, match="fstore extract --layer conv9"):
        top_images(gallery.store, AskedStored(**{**WHERE, "layer": "conv9"}), channel=(0,))
    place = Partition("net", "5", "d", "image", "conv")
    drop(gallery.store.place, Selection(view="image"))
    put(gallery.store, place, np.full((4, 3, 6), np.nan, np.float32))
    with pytest.raises(DataError, match="NaN"):
        top_images(gallery.store, AskedStored(**WHERE), channel=(0,))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[Line], dict[str, Any]]]:
    """Catch what is put on sheets."""
    caught = []

    def catch(lines: list[Line], **texts: Any) -> Image.Image:  # noqa: ANN401
        caught.append((lines, texts))
        return sheet(lines, **texts)

    monkeypatch.setattr("fstore.queries.figures.sheet.sheet", catch)
    return caught


def test_sheet(gallery: Gallery, drawn: list[tuple[list[Line], dict[str, Any]]]) -> None:
    """A line a filter, each image over its classes, response and file, the filter at the left."""
    rows = top_images(gallery.store, AskedStored(**WHERE), channel=(2, 0), top=3)
    picture = plot_top_images(rows, title="Top\nconv of 5, d")
    ((lines, texts),) = drawn
    assert [line.label for line in lines] == ["filter 2", "filter 0"]
    tiles = [tile for line in lines for tile in line.tiles]
    assert len(tiles) == 6
    for row, tile in zip(rows, tiles, strict=True):
        assert tile.lines[0] == ", ".join(row["classes"])
        assert float(tile.lines[1]) == row["act_max"]
        assert tile.tail == row["uri"] == f"{row['sample_id']}.png"
        # seven pixels for each of 24; the middle of a place of 2 x 3 is where the cross is
        x = np.asarray(tile.image)
        assert x.shape == (168, 168, 3)
        assert x[84 * row["row"] + 42, 56 * row["col"] + 28].tolist() == [255, 255, 255]
        laid = overlay(Image.fromarray(pixels(row["picture"])), row["map"])
        assert (x == np.asarray(laid)).all()
    assert texts["title"] == "Top\nconv of 5, d"
    assert "n = 4 samples" in texts["note"]
    assert "filters 2, 0" in picture.info["alt"]


def test_sheets_are_the_same_again(gallery: Gallery) -> None:
    """The same rows give the same pixels; no rows give no sheet."""
    rows = top_images(gallery.store, AskedStored(**WHERE), channel=(2,))
    a, b = (plot_top_images(rows, title="T").tobytes() for _ in range(2))
    assert a == b
    with pytest.raises(DataError, match="no sample was ranked"):
        plot_top_images([])


def test_long_sheets(gallery: Gallery, drawn: list[tuple[list[Line], dict[str, Any]]]) -> None:
    """More images than fit a line go on in the next; a new filter begins a new one."""
    row = top_images(gallery.store, AskedStored(**WHERE), channel=(0,), top=1)[0]
    rows = [
        {**row, "channel": c, "rank": r, "act_max": 1234.5} for c in (7, 9) for r in range(1, 12)
    ]
    plot_top_images(rows)
    ((lines, _),) = drawn
    assert [(line.label, len(line.tiles)) for line in lines] == [
        ("filter 7", 6), ("", 5), ("filter 9", 6), ("", 5),
    ]  # fmt: skip
    assert lines[0].tiles[0].lines[1] == "1,234"


def test_lists_are_not_laid_over(
    gallery: Gallery, drawn: list[tuple[list[Line], dict[str, Any]]]
) -> None:
    """Responses of tokens that are no places leave the photo as it is, and the note says so."""
    row = top_images(gallery.store, AskedStored(**WHERE), channel=(0,), top=1)[0]
    tokens = np.arange(17, dtype=np.float32).reshape(17, 1)
    plot_top_images([{**row, "map": tokens, "laid": None}])
    del row["laid"]
    plot_top_images([{**row, "map": tokens}])
    plain = pixels(row["picture"]).repeat(7, axis=0).repeat(7, axis=1)
    for lines, _ in drawn:
        assert (np.asarray(lines[0].tiles[0].image) == plain).all()
    assert "where a token lies in the image is not known" in drawn[0][1]["note"]


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
    everything = json.loads(run(gallery, *WORDS, "--top", "2", "--json").stdout)
    assert [row["channel"] for row in everything] == [0, 0, 1, 1, 2, 2]
    assert [row for row in everything if row["channel"] == 2] == rows[:2]


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


def test_by_class(gallery: Gallery) -> None:
    """With a class, only samples that show it are ranked, and n counts those."""
    rows = top_images(gallery.store, AskedStored(**WHERE), channel=(0,), class_="dog")
    assert sorted(row["sample_id"] for row in rows) == [1, 3]
    assert {row["n"] for row in rows} == {2}
    assert all("dog" in row["classes"] for row in rows)
    done = run(gallery, *WORDS, "--class", "dog", "--part", "train", "--json")
    assert done.exit_code == 1
    assert "shows class 'dog'" in done.stderr
    done = run(gallery, *WORDS, "--class", "bird")
    assert done.exit_code == 1
    assert "has no class 'bird'; it has: cat, dog" in done.stderr.replace("\n", " ")


def test_all_filters(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --channel all filters are ranked; of many no map is read, and no sheet is drawn."""
    asked = AskedStored(**WHERE)
    few = top_images(gallery.store, asked, top=2)
    assert all(row["map"] is not None for row in few)
    monkeypatch.setattr("fstore.queries.analyses.top_images.MOST_DRAWN", 5)
    many = top_images(gallery.store, asked, top=2)
    numbers = ("channel", "rank", "sample_id", "act_max", "row", "col", "classes", "n")
    assert [[row[k] for k in numbers] for row in many] == [[row[k] for k in numbers] for row in few]
    assert all(row["map"] is None for row in many)
    with pytest.raises(DataError, match="6 images of 3 filters are no sheet"):
        plot_top_images(many)
