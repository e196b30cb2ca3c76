"""Figure 6 shows real responses, ablated as they are for the classifiers."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from _build import add_dataset, add_layers, put, relu
from _pictures import Gallery, make
from fstore.cli import app
from fstore.queries.figures.figure6 import plot_figure6
from fstore.queries.figures.overlay import overlay
from fstore.queries.figures.pictures import pixels
from fstore.queries.figures.sheet import Line, sheet
from fstore.queries.refresh.show import illustrated, show_report
from fstore.queries.reports.figure6 import needs
from fstore.queries.samples.blocks import Rows, ablated_blocks
from fstore.queries.studies.study import parse_study, set_study
from fstore.store import Store
from fstore.store.files import Partition
from fstore.store.maintenance import Selection, drop

STUDY = """
name = "small"
network = "net"
layers = ["conv", "fc"]
mid_layer = "conv"
pretrained = "5"
seeds = [7, 8]
[detection]
dataset = "d"
"""


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    """Make a store of boxes with images; filters respond to box 2 most of the test part.

    Box 0 responds more, but is of the train part.
    """
    gallery = make(tmp_path)
    drop(gallery.store.place, Selection(view="gt", layer="conv"))
    x = relu(1, 4, 3, 6)
    x[0] += 9
    x[2, 1, 4] = 8
    x[2, 2, 3] = 7
    x[1, 0, 5] = 7.5
    x[2, 0, 0] = 6
    put(gallery.store, Partition("net", "5", "d", "gt", "conv"), x)
    gallery.values["gt", "conv"] = x
    return gallery


def permuted(x: NDArray[np.float32], seed: int, view: str, sample: int) -> Any:  # noqa: ANN401
    """Shuffle a map as the documents say: Philox, keyed by a sha256, sorts the places."""
    text = json.dumps([seed, view, sample])
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
    drawn = np.asarray(np.random.Philox(key=key).random_raw(x.shape[-1]))
    order = sorted(range(x.shape[-1]), key=lambda i: drawn[i])
    return x[..., order]


def maps_of(rows: Any) -> dict[tuple[int, str], list[float]]:  # noqa: ANN401
    """Return the report's maps, places in order: (channel, ablation) -> values."""
    found: dict[tuple[int, str], list[float]] = {}
    for row in rows:
        if not row["row"].startswith("("):
            channel, ablation = row["row"].split(" ")
            found.setdefault((int(channel), ablation), []).append(row["value"])
    return found


def test_by_hand(gallery: Gallery) -> None:
    """The strongest test box, its filters by response, and each ablation by its definition."""
    rows = show_report(gallery.store, parse_study(STUDY), "figure6").rows
    x = gallery.values["gt", "conv"][2]
    assert (rows[0]["row"], rows[0]["col"], rows[0]["value"]) == ("(sample) d gt", "sample_id", 2)
    found = maps_of(rows)
    assert list(dict.fromkeys(c for c, _ in found)) == [1, 2, 0]  # 8, 7, 6
    shuffled = permuted(x, 7, "gt", 2)
    for c in range(3):
        assert found[c, "none"] == x[c].tolist()
        assert found[c, "binarize"] == [float(v > 0) for v in x[c]]
        assert found[c, "sp_shuffle"] == shuffled[c].tolist()
        assert found[c, "sp_max"] == [x[c].max()]
    assert shuffled.tolist() != x.tolist()
    places = [row["col"] for row in rows if row["row"] == "1 none"]
    assert places == ["0 0", "0 1", "0 2", "1 0", "1 1", "1 2"]


def test_whole_images_of_several_data_sets(tmp_path: Path) -> None:
    """Without boxes it is whole images; of two data sets the stronger sample is shown."""
    store = Store.create(tmp_path / "s")
    add_layers(store, "net", {"conv": (6, 2, 2)})
    for name, peak in (("d", 3.0), ("e", 4.0)):
        add_dataset(store, name)
        x = np.zeros((6, 6, 4), np.float32)
        x[4, 5, 3] = peak
        x[4, 2, 1] = 1
        put(store, Partition("net", "5", name, "image", "conv"), x)
    text = STUDY.replace("[detection]", "[[classification]]")
    study = parse_study(text + '[[classification]]\ndataset = "e"')
    rows = show_report(store, study, "figure6").rows
    assert (rows[0]["row"], rows[0]["value"]) == ("(sample) e image", 4)
    # the four that respond most; of those that do not respond at all the first ones
    assert list(dict.fromkeys(c for c, _ in maps_of(rows))) == [5, 2, 0, 1]


def test_equal_samples(gallery: Gallery) -> None:
    """Of samples that respond equally the first is shown; a difficult box never."""
    drop(gallery.store.place, Selection(view="gt", layer="conv"))
    x = np.ones((4, 3, 6), np.float32)
    x[3] = 9
    put(gallery.store, Partition("net", "5", "d", "gt", "conv"), x)
    rows = show_report(gallery.store, parse_study(STUDY), "figure6").rows
    assert rows[0]["value"] == 1


def test_needs(gallery: Gallery) -> None:
    """One series: the mid layer at the pre-trained checkpoint, boxes of the test part."""
    (need,) = needs(gallery.store, parse_study(STUDY))
    (reading,) = need.readings
    assert (reading.ckpt, reading.layer) == ("5", "conv")
    assert (reading.samples.view, reading.samples.part) == ("gt", "test")
    assert dict(need.parameters)["shuffle_seed"] == 7


def test_layer_without_maps(gallery: Gallery) -> None:
    """A fully connected layer has no place to lose: two ablations, one value each."""
    study = parse_study(STUDY.replace('mid_layer = "conv"', 'mid_layer = "fc"'))
    rows = show_report(gallery.store, study, "figure6").rows
    assert {ablation for _, ablation in maps_of(rows)} == {"none", "binarize"}
    assert {row["col"] for row in rows[1:]} == {"0 0"}
    picture = plot_figure6(illustrated(gallery.store, study, "figure6", rows=rows))
    assert picture.width > 2 * 168


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[Line], dict[str, Any]]]:
    """Catch what is put on sheets."""
    caught = []

    def catch(lines: list[Line], **texts: Any) -> Image.Image:  # noqa: ANN401
        caught.append((lines, texts))
        return sheet(lines, **texts)

    monkeypatch.setattr("fstore.queries.figures.sheet.sheet", catch)
    return caught


Drawn = list[tuple[list[Line], dict[str, Any]]]
LIGHTEST, DARKEST = [0xEE, 0xF3, 0xF8], [0x08, 0x30, 0x6B]


def cell(panel: Any, row: int, col: int) -> list[int]:  # noqa: ANN401
    """Return the colour off the middle of a place of 2 x 3, where no frame is."""
    x = np.asarray(panel)
    high, wide = len(x) / 2, x.shape[1] / 3
    return [int(v) for v in x[int((row + 0.4) * high), int((col + 0.4) * wide)]]


def test_plot(gallery: Gallery, drawn: Drawn) -> None:
    """A column a filter: the sample, then its maps; the frame is at one place, and goes with it."""
    study = parse_study(STUDY)
    rows = show_report(gallery.store, study, "figure6").rows
    ready = illustrated(gallery.store, study, "figure6", rows=rows)
    plot_figure6(ready, title="Ablations")
    ((lines, texts),) = drawn
    assert list(texts["heads"]) == ["filter 1", "filter 2", "filter 0"]
    names = [line.label for line in lines]
    assert names == ["sample", "as they are", "binarized", "sp-shuffle", "sp-max"]
    assert {tile.image.size for line in lines for tile in line.tiles} == {(168, 168)}  # type: ignore[union-attr]
    assert texts["note"].startswith("Sample 2 of d gt, layer conv of checkpoint 5, 2.png. ")
    x = gallery.values["gt", "conv"][2, [1, 2, 0]]
    seen = Image.fromarray(pixels(ready[0]["picture"]))
    for tile, response in zip(lines[0].tiles, x, strict=True):
        assert (np.asarray(tile.image) == np.asarray(overlay(seen, response.reshape(2, 3)))).all()
    shuffled = permuted(x, 7, "gt", 2)
    for line, values in ((1, x), (3, shuffled)):
        for tile, response in zip(lines[line].tiles, values, strict=True):
            for at, value in enumerate(response):
                share = value / response.max()
                expected = DARKEST if share == 1 else LIGHTEST
                if share in {0, 1}:
                    assert cell(tile.image, at // 3, at % 3) == expected
    for tile, response in zip(lines[2].tiles, x, strict=True):
        drawn_dark = [cell(tile.image, at // 3, at % 3) == DARKEST for at in range(6)]
        assert drawn_dark == (response > 0).tolist()
    assert [tile.lines for tile in lines[4].tiles] == [("8",), ("7",), ("6",)]
    assert [tile.lines for tile in lines[1].tiles] == [
        ("largest 8",), ("largest 7",), ("largest 6",),
    ]  # fmt: skip


def test_frame(gallery: Gallery, drawn: Drawn) -> None:
    """The frame is round the place where the filters respond most together, and follows it."""
    plot_figure6(show_report(gallery.store, parse_study(STUDY), "figure6").rows)
    ((lines, _),) = drawn
    x = gallery.values["gt", "conv"][2, [1, 2, 0]]
    shares = (x / x.max(axis=1, keepdims=True)).sum(axis=0)
    for line, values in ((0, shares), (2, permuted(shares, 7, "gt", 2))):
        at = int(values.argmax())
        for tile in lines[line].tiles:
            panel = np.asarray(tile.image)
            assert panel.shape == (208, 208, 3)
            rows, cols = np.where((panel == 0).all(axis=2))  # no value is black
            # places are 104 pixels high and 69.33 wide; the frame's line goes one pixel beyond
            top, left = 104 * (at // 3), round(208 / 3 * (at % 3))
            bottom, right = top + 103, round(208 / 3 * (at % 3 + 1)) - 1
            ends = (rows.min(), rows.max(), cols.min(), cols.max())
            wanted = (top - 1, bottom + 1, left - 1, right + 1)
            assert ends == tuple(min(max(end, 0), 207) for end in wanted)


def test_one_value(gallery: Gallery, drawn: Drawn) -> None:
    """Of sp-max one place is left: a cell as large as one, in the middle of a panel like others."""
    plot_figure6(show_report(gallery.store, parse_study(STUDY), "figure6").rows)
    for tile in drawn[0][0][-1].tiles:
        panel = np.asarray(tile.image)
        dark = (panel == DARKEST).all(axis=2)
        rows, cols = np.where(dark)
        assert (rows.max() - rows.min() + 1, cols.max() - cols.min() + 1) == (103, 69)
        assert abs((rows.max() + rows.min()) / 2 - 103.5) <= 1
        assert abs((cols.max() + cols.min()) / 2 - 103.5) <= 1
        assert panel[20, 104].tolist() == [255, 255, 255]


def test_plot_without_the_image(gallery: Gallery, drawn: Drawn) -> None:
    """The rows alone are enough to draw the maps."""
    plot_figure6(show_report(gallery.store, parse_study(STUDY), "figure6").rows)
    ((lines, _),) = drawn
    assert [line.label for line in lines] == ["as they are", "binarized", "sp-shuffle", "sp-max"]
    x = gallery.values["gt", "conv"][2, 1]
    shown = [sum(cell(lines[0].tiles[0].image, at // 3, at % 3)) for at in range(6)]
    assert np.argsort(shown, kind="stable").tolist() == np.argsort(-x, kind="stable").tolist()
    assert x[np.argmin(shown)] == 8


def test_command(gallery: Gallery, tmp_path: Path) -> None:
    """The command draws the figure; an image that is gone is an error, its numbers are not."""
    set_study(gallery.store, STUDY)
    words = ["--store", str(gallery.store.path), "report", "show", "figure6"]
    out = tmp_path / "f.png"
    done = CliRunner().invoke(app, [*words, "--plot", str(out)])
    assert (done.exit_code, done.stdout) == (0, f"{out}\n")
    (gallery.root / "2.png").unlink()
    assert CliRunner().invoke(app, [*words, "--json"]).exit_code == 0
    done = CliRunner().invoke(app, [*words, "--plot", str(out), "--overwrite"])
    assert done.exit_code == 1
    assert "2.png: no such file any more" in done.stderr


def test_some_channels_only(gallery: Gallery) -> None:
    """Ablated blocks of some channels are those of all, the others left out."""
    rows = [Rows(Partition("net", "5", "d", "gt", "conv"), np.array([0, 2]))]
    for ablation in ("none", "sp_shuffle", "sp_max"):
        whole = dict(flat(gallery.store, rows, ablation, None))
        some = dict(flat(gallery.store, rows, ablation, [2, 0]))
        assert list(some) == [0, 2]
        assert all((whole[c] == x).all() for c, x in some.items())


def flat(store: Store, rows: list[Rows], ablation: str, channels: list[int] | None) -> Any:  # noqa: ANN401
    """Yield each channel and its responses."""
    for block, X in ablated_blocks(store, rows, ablation=ablation, seed=1, channels=channels):
        yield from zip(block.tolist(), X.swapaxes(0, 1), strict=True)
