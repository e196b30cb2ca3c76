"""Figure 2: known filters have known cosines, and are drawn in their own colours."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save_file
from typer.testing import CliRunner

from _build import add_layers
from fstore.cli import app
from fstore.errors import DataError, UnknownNameError
from fstore.extractor.networks import build_network
from fstore.extractor.weights import tensors_sha256
from fstore.queries.figures.figure2 import plot_figure2
from fstore.queries.figures.first_layer import are_first_filters, filter_grid, filter_picture
from fstore.queries.figures.sheet import Line, sheet
from fstore.queries.methods.first_layer import cosines, first_filters, mosaic
from fstore.queries.refresh.show import illustrated, show_report
from fstore.queries.reports.figure2 import needs
from fstore.queries.studies.study import Study, parse_study, set_study
from fstore.store import Store
from fstore.store.maintenance import Selection, drop
from fstore.types import CheckpointRecord

Filters = NDArray[np.float32]

STUDY = """
name = "small"
network = "net"
layers = ["conv1"]
sweep = ["5", "15", "300"]
pretrained = "300"
finetuned = "300-ft"
"""

LAST = np.zeros((3, 3, 2, 2), np.float32)
LAST[0, 0] = [[1, 2], [3, 4]]
LAST[1, 1] = [[3, 0], [0, 4]]
LAST[2, 2] = [[1, 1], [1, 1]]


def add(store: Store, name: str, tensors: dict[str, Any], *, order: str = "BGR") -> Path:
    """Register a checkpoint of these tensors; return its file."""
    file = store.path.parent / "w.safetensors"
    save_file(tensors, file)
    text = json.dumps({"order": order})
    digest = tensors_sha256({n: torch.from_numpy(t) for n, t in tensors.items()})
    record = CheckpointRecord("net", name, preprocessing=text, sha256=digest)
    return store.checkpoint_path(store.register_checkpoint(record, file))


def tensors(filters: Filters) -> dict[str, Any]:
    """Return first-layer filters with other weights around them."""
    other = np.ones((2, 5, 1, 1), np.float32)
    return {"conv1.weight": filters, "conv1.bias": other[0, :3, 0, 0], "conv2.weight": other}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Make a store of a sweep of three checkpoints, and a fine-tuned one.

    Filter 0 triples, filter 1 begins perpendicular to its end, filter 2 with the other sign.
    """
    store = Store.create(tmp_path / "s")
    early = LAST.copy()
    early[0] /= 3
    early[1, 1] = [[-4, 0], [0, 3]]
    early[2] = -early[2]
    for name, filters in {"5": early, "15": LAST * 2, "300": LAST, "300-ft": LAST + 1}.items():
        add(store, name, tensors(filters))
    return store


@pytest.fixture
def study() -> Study:
    """Read the study."""
    return parse_study(STUDY)


def values(store: Store, study: Study) -> dict[tuple[str, str], tuple[Any, Any, Any]]:
    """Return the report's rows: (row, col) -> value, std, n."""
    rows = show_report(store, study, "figure2").rows
    return {(r["row"], r["col"]): (r["value"], r["std"], r["n"]) for r in rows}


def test_by_hand(store: Store, study: Study) -> None:
    """Cosines are 1, 0 and -1 where they must be; norms are lengths; means go with deviations."""
    found = values(store, study)
    assert [found["5", f"cosine:{i}"][0] for i in range(3)] == pytest.approx([1, 0, -1], abs=1e-7)
    assert found["5", "cosine"] == pytest.approx((0, 1, 3), abs=1e-7)
    lengths = [30**0.5, 5, 2]
    assert [found["300", f"norm:{i}"][0] for i in range(3)] == pytest.approx(lengths)
    assert found["15", "norm"][0] == pytest.approx(2 * np.mean(lengths))
    assert found["15", "norm"][1] == pytest.approx(2 * np.std(lengths, ddof=1))
    for same in ("15", "300"):
        assert found[same, "cosine"] == pytest.approx((1, 0, 3), abs=1e-7)
    # (1 2 3 4) + 1 where there were weights, 1 in the eight places where there were none
    ft = LAST[0].ravel() @ (LAST[0] + 1).ravel()
    assert found["300-ft", "cosine:0"][0] == pytest.approx(40 / (30 * 62) ** 0.5)
    assert ft == 40
    assert all(found["5", f"norm:{i}"][1:] == (None, None) for i in range(3))


def test_a_filter_of_zeros(store: Store, study: Study) -> None:
    """A filter that is all zeros has no cosine, and is not in the mean."""
    drop(store.place, Selection(ckpt="15"), checkpoint=True)
    dead = LAST.copy()
    dead[1] = 0
    add(store, "15", {"a": dead})
    found = values(store, study)
    assert found["15", "cosine"] == pytest.approx((1, 0, 2), abs=1e-7)
    assert ("15", "cosine:1") not in found
    assert found["15", "norm:1"][0] == 0
    drop(store.place, Selection(ckpt="15"), checkpoint=True)
    add(store, "15", {"a": 0 * LAST})
    with pytest.raises(DataError, match="all first-layer filters of checkpoint '15' are zero"):
        values(store, study)


def test_needs(store: Store, study: Study) -> None:
    """A series a checkpoint, compared with the last of the sweep, or the pre-trained one."""
    found = needs(store, study)
    assert [n.row for n in found] == ["5", "15", "300", "300-ft"]
    assert [[w.ckpt for w in n.weights] for n in found] == [
        ["5", "300"],
        ["15", "300"],
        ["300"],
        ["300-ft", "300"],
    ]
    text = STUDY.replace('sweep = ["5", "15", "300"]\n', "")
    assert [n.row for n in needs(store, parse_study(text))] == ["300", "300-ft"]
    text = text.replace('finetuned = "300-ft"\n', "")
    assert [n.row for n in needs(store, parse_study(text))] == ["300"]
    with pytest.raises(DataError, match="'pretrained'"):
        needs(store, parse_study(text.replace('pretrained = "300"\n', "")))


def test_follows_the_weights(store: Store, study: Study) -> None:
    """Other weights under a name cost the series that read them, and no other."""
    assert show_report(store, study, "figure2").computed == 4
    assert show_report(store, study, "figure2").computed == 0
    drop(store.place, Selection(ckpt="15"), checkpoint=True)
    add(store, "15", {"w": LAST})
    shown = show_report(store, study, "figure2")
    assert (shown.computed, shown.reused) == (1, 3)
    (row, *_) = [r for r in store.rows("reports").to_pylist() if r["row"] == "5"]
    assert json.loads(row["inputs"])["weights"] == {
        "net/5": store.find_checkpoint("5").sha256,
        "net/300": store.find_checkpoint("300").sha256,
    }


def test_missing_checkpoint(store: Store, study: Study) -> None:
    """A checkpoint that is not there has no row; the note says how one is made."""
    drop(store.place, Selection(ckpt="15"), checkpoint=True)
    shown = show_report(store, study, "figure2")
    assert {r["row"] for r in shown.rows} == {"5", "300", "300-ft"}
    (missing,) = shown.missing
    assert str(missing) == (
        "no 15: no checkpoint net/15; make it with: "
        f"fstore ckpt import FILE --network net --name 15 --store {store.path}"
    )
    drop(store.place, Selection(ckpt="300"), checkpoint=True)
    with pytest.raises(UnknownNameError, match="no 5, 15, 300, 300-ft: no checkpoint net/300;"):
        show_report(store, study, "figure2")


@pytest.mark.parametrize(("order", "red"), [("BGR", 2), ("RGB", 0)])
def test_colours(tmp_path: Path, order: str, red: int) -> None:
    """A filter that weighs the network's red channel comes first of RGB, and is drawn red."""
    store = Store.create(tmp_path / "s")
    filters = np.zeros((1, 3, 2, 2), np.float32)
    filters[0, red] = 0.25
    add(store, "5", {"w": filters}, order=order)
    found = first_filters(store, "5")
    assert found[0].any(axis=(1, 2)).tolist() == [True, False, False]
    assert mosaic(found).tolist() == [[[1, 0.5, 0.5]] * 2] * 2


def test_which_tensor(tmp_path: Path) -> None:
    """The one tensor over three colours is taken; none, several, or a damaged file is an error."""
    store = Store.create(tmp_path / "s")
    add(store, "none", {"fc": LAST[0], "conv": np.ones((2, 4, 2, 2), np.float32)})
    add(store, "two", {"b": LAST, "a": LAST})
    file = add(store, "broken", {"a": LAST})
    with pytest.raises(DataError, match=r"\(n, 3, height, width\).* it has none"):
        first_filters(store, "none")
    with pytest.raises(DataError, match="it has several: a, b"):
        first_filters(store, "two")
    whole = bytearray(file.read_bytes())
    whole[-1] ^= 1
    file.write_bytes(whole)
    with pytest.raises(DataError, match=r"cannot read .* damaged or were replaced; restore"):
        first_filters(store, "broken")
    file.write_bytes(whole[:60])
    with pytest.raises(DataError, match=r"cannot read the weights of checkpoint 'net/broken'"):
        first_filters(store, "broken")
    file.unlink()
    with pytest.raises(DataError, match="restore the file from a copy"):
        first_filters(store, "broken")


@pytest.mark.parametrize("name", ["caffenet", "caffenet-mini", "squeezenet-v1.0"])
def test_known_networks(name: str) -> None:
    """Our networks have exactly one such tensor, their first convolution's."""
    state = build_network(name).model.state_dict()
    assert [k for k, v in state.items() if v.ndim == 4 and v.shape[1] == 3] == ["conv1.weight"]


def test_shapes_must_agree() -> None:
    """Filters of different shapes are not compared."""
    with pytest.raises(DataError, match=r"\(3, 3, 2, 2\) and \(2, 3, 2, 2\)"):
        cosines(LAST, LAST[:2])


def test_mosaic() -> None:
    """Five filters make rows of three and two; each is scaled alone, 0 is grey, gaps are white."""
    filters = np.zeros((5, 3, 2, 2), np.float32)
    for i in range(4):
        filters[i, :, 0, 0] = 10.0**i
        filters[i, :, 1, 1] = -0.5 * 10.0**i
    sheet = mosaic(filters)
    assert sheet.shape == (5, 8, 3)
    for i in range(4):
        y, x = 3 * (i // 3), 3 * (i % 3)
        assert sheet[y : y + 2, x : x + 2, 0].tolist() == [[1, 0.5], [0.5, 0.25]]
    assert (sheet[3:5, 3:5] == 0.5).all()  # the filter of zeros
    assert (sheet[2] == 1).all()
    assert (sheet[:, 2] == 1).all()
    assert (sheet[3:, 6:] == 1).all()  # no sixth filter


def test_plot(store: Store, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """A panel a checkpoint shows its filters; below it stands the mean cosine."""
    rows = show_report(store, study, "figure2").rows
    ready = illustrated(store, study, "figure2", rows=rows)
    assert [{k: v for k, v in r.items() if k != "filters"} for r in ready] == rows
    caught: list[Any] = []

    def catch(lines: list[Line], **texts: str) -> Image.Image:
        caught.append((lines, texts))
        return sheet(lines, **texts)

    monkeypatch.setattr("fstore.queries.figures.sheet.sheet", catch)
    picture = plot_figure2(ready, title="Filters")
    ((lines, texts),) = caught
    assert [len(line.tiles) for line in lines] == [3, 1]
    tiles = [tile for line in lines for tile in line.tiles]
    assert [tile.lines for tile in tiles[:3]] == [
        ("5  (mean cosine 0.00)",), ("15  (mean cosine 1.00)",), ("300  (mean cosine 1.00)",),
    ]  # fmt: skip
    assert (np.asarray(tiles[2].image) == np.asarray(filter_grid(LAST[:, ::-1], side=320))).all()
    assert "n = 3 filters" in texts["note"]
    assert texts["title"] == "Filters"
    assert "5, 15, 300, 300-ft" in picture.info["alt"]
    with pytest.raises(DataError, match="no filters"):
        plot_figure2(rows)


def test_grid() -> None:
    """Three filters make a row of two and one; each is scaled alone, weights are even squares."""
    x = np.asarray(filter_grid(LAST, side=9))
    # 2 columns of 2 weights of 2 pixels, and 2 pixels between: 10
    assert x.shape == (10, 10, 3)
    # filter 0 weighs red 1 to 4 of 4: 0.5 + 0.5 * 1 / 4 of 255 is 159.375; grey is 127.5
    assert x[0, 0].tolist() == x[1, 1].tolist() == [159, 128, 128]
    assert x[2, 2].tolist() == x[3, 3].tolist() == [255, 128, 128]
    assert x[0, 6].tolist() == [128, 223, 128]  # filter 1 weighs green 3 of 4
    assert x[6, 0].tolist() == [128, 128, 255]
    assert (x[4:6] == 255).all()
    assert (x[6:, 4:] == 255).all()


def test_one_filter(store: Store) -> None:
    """A filter's picture is its weights, in RGB; None where there is no such filter."""
    image = filter_picture(store, "net", "300", channel=0, side=5)
    assert image is not None
    x = np.asarray(image)
    assert x.shape == (6, 6, 3)
    assert x[0, 0].tolist() == [128, 128, 159]  # the file is BGR
    assert x[5, 5].tolist() == [128, 128, 255]
    assert filter_picture(store, "net", "300", channel=3) is None
    assert filter_picture(store, "net", "300", channel=-1) is None
    add(store, "none", {"fc": LAST[0]})
    add(store, "two", {"b": LAST, "a": LAST})
    assert filter_picture(store, "net", "none", channel=0) is None
    assert filter_picture(store, "net", "two", channel=0) is None
    with pytest.raises(UnknownNameError, match="no checkpoint 'none such'"):
        filter_picture(store, "net", "none such", channel=0)


def test_one_filter_of_a_changed_file(store: Store) -> None:
    """A file that was read before is not trusted once it has changed, or is gone."""
    file = store.checkpoint_path(store.find_checkpoint("300"))
    assert filter_picture(store, "net", "300", channel=0) is not None
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(1, 1))
    with pytest.raises(DataError, match="damaged or were replaced"):
        filter_picture(store, "net", "300", channel=0)
    file.unlink()
    with pytest.raises(DataError, match=r"cannot read the weights .* restore the file"):
        filter_picture(store, "net", "300", channel=0)


def test_which_layers_are_these_filters(store: Store) -> None:
    """Those named as the module, or that see what a filter covers; never by number alone."""
    shapes = {"conv1": (3, 9, 9), "relu1": (3, 9, 9), "pool1": (3, 5, 5), "conv2": (2, 5, 5)}
    add_layers(store, "net", shapes)

    def told(layer: str, sees: tuple[int, int] | None = None) -> bool:
        return are_first_filters(store, "net", "300", layer=layer, sees=sees)

    assert told("conv1")
    assert told("relu1", (2, 2))
    assert not told("relu1")
    assert not told("pool1", (4, 4))
    assert not told("conv2", (2, 2))
    assert not told("no such layer", (2, 2))
    add(store, "none", {"fc": LAST[0]})
    assert not are_first_filters(store, "net", "none", layer="conv1", sees=None)


def test_command(store: Store, tmp_path: Path) -> None:
    """The command shows means, every filter with --beside, and draws the filters themselves."""
    set_study(store, STUDY)

    def run(*words: str) -> str:
        command = ["--store", str(store.path), "report", "show", "figure2", *words]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.stderr
        return done.stdout

    assert {r["col"] for r in json.loads(run("--json"))} == {"cosine", "norm"}
    assert len(json.loads(run("--json", "--beside"))) == 4 * 2 * 4
    out = tmp_path / "f.png"
    assert run("--plot", str(out)) == f"{out}\n"
    assert out.read_bytes().startswith(b"\x89PNG")
    lines = out.with_suffix(".csv").read_text().splitlines()
    assert lines[0] == "study,report,row,col,value,std,n,paper"
    assert len(lines) == 1 + 4 * 2 * 4  # a drawing has all its numbers
