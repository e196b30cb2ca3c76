"""Proposals in a store: right rows, all or none of them, nothing searched twice."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from scipy.io import savemat
from typer.testing import CliRunner

from _devkit import write_devkit
from fstore import workflows
from fstore.cli import app
from fstore.errors import DataError, IdentityError, UnknownNameError
from fstore.extractor.images import ChangedFileError
from fstore.extractor.proposals import _search
from fstore.store import Store
from fstore.store import proposals as tables
from fstore.store.place import Place
from fstore.store.tables import replace_rows
from fstore.workflows import proposals
from fstore.workflows.extract.run import ExtractionOptions, extract
from fstore.workflows.proposals import Choice, add_proposals

IMAGES: dict[str, Sequence[Any]] = {
    "a": [("cat", (11, 11, 50, 40), 0), ("dog", (61, 11, 90, 70), 1)],
    "b": [],
    "c": [("dog", (1, 1, 40, 40), 0), ("cat", (21, 21, 100, 80), 0)],
    "d": [("cat", (100, 80, 100, 80), 0)],
}
PARTS = {"a": "train", "b": "train", "c": "val", "d": "test"}
ROWS = "SELECT * FROM samples WHERE view = 'proposal' ORDER BY sample_id"
OVERLAPS = 'SELECT * EXCLUDE (dataset) FROM "overlaps" ORDER BY sample_id, gt_sample_id'
CHEAP = Choice(method="components")


def make_store(path: Path, root: Path) -> Store:
    """Make a store with the devkit's images as data set ``d``, with one random split."""
    store = Store.create(path)
    workflows.add_dataset(store, "d", "voc", root=root, seeds=[0])
    return store


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give a devkit of four images of 100 x 80: two objects, none, two, one of one pixel."""
    return write_devkit(tmp_path, IMAGES, PARTS)


@pytest.fixture
def store(tmp_path: Path, root: Path) -> Store:
    """Give a store without proposals."""
    return make_store(tmp_path / "store", root)


def write_mat(path: Path, boxes: dict[str, list[tuple[float, ...]]]) -> Path:
    """Write xmin, ymin, xmax, ymax as a published file has them: [y1 x1 y2 x2]."""
    cells = np.empty(len(boxes), dtype=object)
    names = np.empty(len(boxes), dtype=object)
    for place, (name, rows) in enumerate(boxes.items()):
        cells[place] = np.array(rows, float).reshape(-1, 4)[:, [1, 0, 3, 2]]
        names[place] = name
    savemat(path, {"boxes": cells, "images": names})
    return path


def rows(store: Store, statement: str = ROWS) -> list[dict[str, Any]]:
    """Return the rows of a statement."""
    return list(store.sql(statement).rows())


def everything(store: Store) -> list[list[dict[str, Any]]]:
    """Return all that describes the proposals, in a fixed order."""
    parts = "SELECT * FROM splits WHERE view = 'proposal' ORDER BY ALL"
    return [rows(store), rows(store, OVERLAPS), rows(store, parts)]


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List the images that are searched, each time."""
    seen: list[str] = []
    found = _search.tidy

    def watched(boxes: NDArray[np.float64], width: int, height: int) -> NDArray[np.float64]:
        seen.append(f"{width}x{height}")
        return found(boxes, width, height)

    monkeypatch.setattr(_search, "tidy", watched)
    return seen


def test_overlaps_by_hand(store: Store, tmp_path: Path) -> None:
    """Rows, ids, parts and overlaps of published boxes are those worked out by hand."""
    boxes: dict[str, list[tuple[float, ...]]] = {
        "c": [(1, 1, 40, 40), (61, 51, 100, 80), (1, 71, 10, 80)],
        "a": [(11, 11, 50, 70), (51, 41, 60, 50), (50, 40, 61, 11 + 29)],
    }
    file = write_mat(tmp_path / "x.mat", boxes)
    added = add_proposals(store, "d", Choice(files=[file]))
    assert (added.new, added.images, added.found, added.kept) == (True, 2, 6, 6)
    assert added.unlisted == 2  # b and d are not in the file, so they were not searched
    found = rows(store)
    assert [(r["sample_id"], r["image_id"]) for r in found] == [
        *((0, "a"), (1, "a"), (2, "a")),  # the data set's order, not the file's
        *((3, "c"), (4, "c"), (5, "c")),
    ]
    assert [tuple(r["box"].values()) for r in found] == boxes["a"] + boxes["c"]
    assert {(r["width"], r["height"], r["difficult"]) for r in found} == {(100, 80, False)}
    assert {r["uri"] for r in found} == {"JPEGImages/a.png", "JPEGImages/c.png"}
    # gt: 0 cat (11, 11, 50, 40) of 1,200 pixels, 1 dog (61, 11, 90, 70) of 1,800, difficult;
    # 2 dog (1, 1, 40, 40) of 1,600; 3 cat (21, 21, 100, 80) of 4,800; 4 cat of one pixel.
    expected = [
        (0, 0, "cat", 1200 / 2400),  # 40 x 60 holds it
        (2, 0, "cat", 1 / (1200 + 12 - 1)),  # 12 x 1 pixels share the last one
        (2, 1, "dog", 1 / (1800 + 12 - 1)),
        (3, 2, "dog", 1.0),
        (3, 3, "cat", 400 / (1600 + 4800 - 400)),  # 20 x 20 in common
        (4, 3, "cat", 1200 / 4800),  # 40 x 30 inside it
    ]
    met = [tuple(r.values()) for r in rows(store, OVERLAPS)]
    assert [m[:3] for m in met] == [e[:3] for e in expected]
    assert [m[3] for m in met] == pytest.approx([e[3] for e in expected], rel=1e-6)  # float32
    parts = rows(store, "SELECT sample_id, part FROM splits WHERE view = 'proposal' AND split = 'official' ORDER BY 1")  # fmt: skip  # noqa: E501
    assert [r["part"] for r in parts] == ["train"] * 3 + ["val"] * 3
    assert rows(store, "SELECT * FROM labels WHERE view = 'proposal'") == []


def test_recall_by_hand(store: Store, tmp_path: Path) -> None:
    """Recall leaves difficult objects out, counts missed ones, and is over all that was found."""
    boxes: dict[str, list[tuple[float, ...]]] = {
        "a": [(1, 1, 5, 5), (11, 11, 50, 70)],  # the cat at IoU 0.5, exactly, from the second on
        "c": [(1, 1, 40, 40), (61, 51, 100, 80)],  # the dog at 1, the cat at 0.25
        "d": [(99, 79, 100, 80)],  # the pixel at 0.25
    }
    choice = Choice(files=[write_mat(tmp_path / "x.mat", boxes)], max_proposals=1)
    added = add_proposals(store, "d", choice)
    assert added.kept == 3
    recall = {(r["proposals"], r["iou"]): (r["recall"], r["kept"]) for r in added.recall}
    assert recall == {
        (1, 0.5): (1 / 4, True),
        (1, 0.7): (1 / 4, True),
        (2, 0.5): (2 / 4, False),
        (2, 0.7): (1 / 4, False),
    }
    assert {(r["objects"], r["images"]) for r in added.recall} == {(4, 3)}


def test_an_image_without_boxes_has_itself(store: Store, tmp_path: Path) -> None:
    """A listed image with no box, and one in which nothing is found, are in the view as wholes."""
    add_proposals(store, "d", Choice(files=[write_mat(tmp_path / "x.mat", {"b": []})]))
    (row,) = rows(store)
    assert (row["image_id"], tuple(row["box"].values())) == ("b", (1, 1, 100, 80))
    assert rows(store, OVERLAPS) == []


def test_images_that_the_data_set_does_not_have(store: Store, tmp_path: Path) -> None:
    """A file's unknown image is refused by name; asked to, it is left out and counted."""
    file = write_mat(tmp_path / "x.mat", {"zebra": [(1, 1, 5, 5)], "a": [(1, 1, 9, 9)]})
    with pytest.raises(UnknownNameError, match=r"1 images .*'zebra'; leave them out"):
        add_proposals(store, "d", Choice(files=[file]))
    assert "proposal" not in store.dataset("d").views
    added = add_proposals(store, "d", Choice(files=[file], skip_unknown=True))
    assert (added.skipped, added.kept) == (1, 1)
    outcomes = [r["exit"] for r in store.rows("runs").to_pylist()]
    assert sorted(outcomes) == ["failed", "ok"]


def test_boxes_of_other_images_are_refused(store: Store, tmp_path: Path) -> None:
    """A box outside its image, an image in two files, and a file of no chosen image are errors."""
    outside = write_mat(tmp_path / "x.mat", {"a": [(90, 1, 101, 9)]})
    with pytest.raises(DataError, match=r"image a: box .* is not inside 1 ... 100 x 1 ... 80"):
        add_proposals(store, "d", Choice(files=[outside]))
    one = write_mat(tmp_path / "y.mat", {"b": [(1, 1, 9, 9)]})
    with pytest.raises(DataError, match="image 'b', and so has another file"):
        add_proposals(store, "d", Choice(files=[one, one]))
    with pytest.raises(DataError, match=r"no chosen image .* has proposals: 1 not in the files"):
        add_proposals(store, "d", Choice(files=[one], part="test"))
    with pytest.raises(DataError, match="cannot read the box file"):
        add_proposals(store, "d", Choice(files=[tmp_path / "none.mat"]))


def test_search_finds_the_drawn_objects(store: Store) -> None:
    """Drawn objects that stand alone are found exactly; proposals come image by image."""
    added = add_proposals(store, "d", CHEAP, workers=1)
    assert added.images == 4
    found = rows(store)
    ids = [r["image_id"] for r in found]
    assert ids == sorted(ids)
    assert sorted(set(ids)) == list("abcd")  # also b without objects, and d with one pixel
    boxes = {(r["image_id"], *r["box"].values()) for r in found}
    drawn = [(i, *o[1]) for i, objects in IMAGES.items() for o in objects if i != "d"]
    # c's cat touches a brighter dog on a dark ground: no grey level parts it from both
    assert set(drawn) - boxes == {("c", 21, 21, 100, 80)}
    best = rows(store, 'SELECT gt_sample_id, max(iou) AS iou FROM "overlaps" GROUP BY 1 ORDER BY 1')
    assert [r["iou"] for r in best][:2] == [1, 1]


def test_the_same_again(store: Store, searched: list[str]) -> None:
    """The same command finds the view there, searches nothing, and tells the same recall."""
    first = add_proposals(store, "d", CHEAP, workers=1)
    before = everything(store)
    assert len(searched) == 4
    again = add_proposals(store, "d", CHEAP, workers=1)
    assert len(searched) == 4
    assert replace(again, new=True) == first
    assert not again.new
    assert everything(store) == before


def test_another_number_needs_a_drop_but_no_search(store: Store, searched: list[str]) -> None:
    """Other options are refused with what differs; after the drop kept boxes are used again."""
    add_proposals(store, "d", CHEAP, workers=1)
    whole = rows(store)
    fewer = replace(CHEAP, max_proposals=2)
    with pytest.raises(IdentityError, match=r"max_proposals \(stored None, now 2\)") as refused:
        add_proposals(store, "d", fewer, workers=1)
    assert "fstore drop --dataset d --view proposal" in str(refused.value)
    store.drop(dataset="d", view="proposal")
    assert "proposal" not in store.dataset("d").views
    assert everything(store) == [[], [], []]
    assert add_proposals(store, "d", fewer, workers=1).new
    assert len(searched) == 4
    firsts = [r["box"] for i in "abcd" for r in [r for r in whole if r["image_id"] == i][:2]]
    assert [r["box"] for r in rows(store)] == firsts


def test_some_images_only(store: Store, tmp_path: Path) -> None:
    """A part, or a list of images, makes a view of those images; unknown ones are refused."""
    listed = tmp_path / "list.txt"
    listed.write_text("d\n\na\n")
    add_proposals(store, "d", replace(CHEAP, image_list=listed), workers=1)
    assert {r["image_id"] for r in rows(store)} == {"a", "d"}
    store.drop(dataset="d", view="proposal")
    add_proposals(store, "d", replace(CHEAP, part="trainval"), workers=1)
    assert {r["image_id"] for r in rows(store)} == {"a", "b", "c"}
    listed.write_text("a\nzebra\n")
    with pytest.raises(UnknownNameError, match="'zebra'"):
        add_proposals(store, "d", replace(CHEAP, image_list=listed))
    with pytest.raises(DataError, match="leave none"):
        add_proposals(store, "d", replace(CHEAP, max_proposals=0))
    with pytest.raises(DataError, match="no file "):
        add_proposals(store, "d", replace(CHEAP, image_list=tmp_path / "none.txt"))


def test_a_data_set_without_objects(tmp_path: Path, root: Path) -> None:
    """Whole images without labelled boxes get proposals, no overlaps, and no recall."""
    store = Store.create(tmp_path / "plain")
    workflows.add_dataset(store, "d", "imagefolder", root=root / "JPEGImages")
    added = add_proposals(store, "d", CHEAP, workers=1)
    assert (added.images, added.recall) == (4, [])
    assert rows(store, OVERLAPS) == []


def test_splits_that_come_later_are_inherited(store: Store, root: Path) -> None:
    """A random split that is added to the data set reaches its proposals at once."""
    add_proposals(store, "d", CHEAP, workers=1)
    workflows.add_dataset(store, "d", "voc", root=root, seeds=[0, 5])
    found = rows(
        store,
        """
        SELECT p.seed, i.part, p.part AS mine FROM samples s
        JOIN splits p USING (dataset, view, sample_id)
        JOIN samples image ON image.image_id = s.image_id AND image.view = 'image'
        JOIN splits i ON i.view = 'image' AND i.sample_id = image.sample_id
            AND i.split = p.split AND i.seed = p.seed
        WHERE s.view = 'proposal' AND p.split = 'random'
        """,
    )
    assert {r["seed"] for r in found} == {0, 5}
    assert len(found) == 2 * len(rows(store))
    assert all(r["part"] == r["mine"] for r in found)
    assert not workflows.add_dataset(store, "d", "voc", root=root, seeds=[0, 5]).new


def test_the_view_appears_last(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off after any of its tables, a registration is not seen, and the next completes it."""
    write, expected = replace_rows, None
    for table in ("samples", "splits", "overlaps", "datasets"):

        def failing(
            root: Place, table: str, rows: pa.Table, /, _last: str = table, **where: str
        ) -> None:
            if table == _last:
                raise KeyboardInterrupt
            write(root, table, rows, **where)

        with monkeypatch.context() as patched:
            patched.setattr(tables, "replace_rows", failing)
            with pytest.raises(KeyboardInterrupt):
                add_proposals(store, "d", CHEAP, workers=1)
        assert "proposal" not in store.dataset("d").views
        assert add_proposals(store, "d", CHEAP, workers=1).new
        expected = expected or everything(store)
        assert everything(store) == expected
        store.drop(dataset="d", view="proposal")


def test_dropping_the_data_set_takes_all(store: Store) -> None:
    """A data set dropped as a whole leaves no row of its proposals."""
    add_proposals(store, "d", CHEAP, workers=1)
    store.drop(dataset="d")
    assert everything(store) == [[], [], []]
    assert store.datasets() == []


def test_changed_and_unreadable_images(tmp_path: Path, root: Path) -> None:
    """A broken image is left out of the view and recorded; a changed one ends the search."""
    (root / "JPEGImages" / "c.png").write_bytes(b"no image")
    store = make_store(tmp_path / "store", root)
    added = add_proposals(store, "d", CHEAP, workers=1)
    assert {r["image_id"] for r in rows(store)} == {"a", "b", "d"}
    assert [bad["uri"] for bad in added.unreadable] == ["JPEGImages/c.png"]
    (run,) = store.rows("runs").to_pylist()
    assert (run["kind"], run["exit"], run["samples"]) == ("proposals", "ok", added.kept)
    (bad,) = run["quarantined"]
    assert (bad["view"], bad["sample_id"]) == ("image", 2)

    (root / "JPEGImages" / "d.png").write_bytes(b"other")
    store.drop(dataset="d", view="proposal")
    for file in (store.path / "proposals").rglob("*.npy"):
        file.unlink()
    with pytest.raises(ChangedFileError, match=r"d\.png"):
        add_proposals(store, "d", CHEAP, workers=1)


def test_the_manifest_covers_files_and_boxes(store: Store, tmp_path: Path, root: Path) -> None:
    """Other pixels under the same boxes, another box, another order: another view."""

    def manifest(path: str, boxes: list[tuple[float, ...]]) -> str:
        made = make_store(tmp_path / path, root)
        add_proposals(made, "d", Choice(files=[write_mat(tmp_path / f"{path}.mat", {"a": boxes})]))
        return made.dataset("d").views["proposal"]

    boxes: list[tuple[float, ...]] = [(1, 1, 9, 9), (2, 2, 8, 8)]
    first = manifest("s1", boxes)
    assert manifest("s2", boxes) == first
    assert manifest("s3", boxes[::-1]) != first
    assert manifest("s4", [(1, 1, 9, 9), (2, 2, 8, 7)]) != first
    write_devkit(tmp_path, IMAGES, PARTS, noise=True)
    assert manifest("s5", boxes) != first
    assert store.dataset("d").views.keys() == {"image", "gt"}


NOISY: dict[str, Sequence[Any]] = {f"{i:02d}": [("cat", (11, 11, 60, 50), 0)] for i in range(10)}


def start(store: Store, *words: str) -> "subprocess.Popen[str]":
    """Start ``fstore proposals`` on a store, in two processes."""
    command = [sys.executable, "-m", "fstore", "--store", str(store.path), "proposals"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, "--dataset", "d", "--method", "components", "--workers", "2", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


@pytest.fixture
def slow_root(tmp_path: Path) -> Path:
    """Give ten images of noise, which take a moment each."""
    parts = dict.fromkeys(NOISY, "train")
    return write_devkit(tmp_path / "noise", NOISY, parts, size=(160, 120), noise=True)


@pytest.mark.slow
def test_killed_and_resumed(tmp_path: Path, slow_root: Path) -> None:
    """Killed in the middle, the next run searches the rest only, and gives the same rows."""
    store = make_store(tmp_path / "killed", slow_root)
    process = start(store)
    deadline = time.monotonic() + 120
    while len(list(store.path.rglob("*.npy"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        stream.close()
    done = {p: p.stat().st_mtime_ns for p in store.path.rglob("*.npy")}
    assert 3 <= len(done) < 10
    assert "proposal" not in store.dataset("d").views
    add_proposals(store, "d", CHEAP, workers=1)
    assert {p: p.stat().st_mtime_ns for p in done} == done
    alone = make_store(tmp_path / "alone", slow_root)
    add_proposals(alone, "d", CHEAP, workers=1)
    assert everything(store) == everything(alone)


def test_stopped_during_a_long_search(tmp_path: Path) -> None:
    """Ctrl-C does not wait for images that take long, and the run is on record."""
    boxes = dict(list(NOISY.items())[:2])
    root = write_devkit(tmp_path / "long", boxes, dict.fromkeys(boxes, "train"))
    store = make_store(tmp_path / "stopped", root)
    for image in sorted(root.rglob("*.jpg")):
        image.unlink()
        os.mkfifo(image)  # nobody writes into it: reading it takes for ever

    def look() -> None:
        while len(multiprocessing.active_children()) < 2:
            time.sleep(0.05)
        time.sleep(0.5)  # they load, or wait for their image
        os.kill(os.getpid(), signal.SIGINT)  # wakes the main thread, as Ctrl-C does

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            add_proposals(store, "d", Choice(), workers=2)
    finally:
        watcher.join()
    assert multiprocessing.active_children() == []
    assert [(r["kind"], r["exit"]) for r in store.rows("runs").to_pylist()] == [
        ("proposals", "interrupted")
    ]


@pytest.mark.slow
def test_two_runs_at_once(tmp_path: Path, slow_root: Path) -> None:
    """Two processes that do the same end in the store of one."""
    store = make_store(tmp_path / "both", slow_root)
    processes = [start(store) for _ in range(2)]
    errors = [p.communicate()[1] for p in processes]
    assert [p.returncode for p in processes] == [0, 0], errors
    alone = make_store(tmp_path / "alone", slow_root)
    add_proposals(alone, "d", CHEAP, workers=1)
    assert everything(store) == everything(alone)


def test_proposals_are_extracted_like_other_samples(store: Store) -> None:
    """A view of proposals is extracted when it is named, each box its own input."""
    add_proposals(store, "d", CHEAP, workers=1)
    workflows.init_checkpoint(store, network="caffenet-mini", name="r")
    options = ExtractionOptions(batch_size=3)
    extract(store, layers=["fc7"], ckpts=["r"], options=options)
    assert {f.partition.view for f in store.files()} == {"image", "gt"}
    summary = extract(store, layers=["fc7"], ckpts=["r"], views=["proposal"], options=options)
    assert summary.samples == len(rows(store))
    equal = rows(
        store,
        """
        SELECT max(abs(p.act_max - g.act_max)) AS apart
        FROM "overlaps" o
        JOIN activations p ON p.view = 'proposal' AND p.sample_id = o.sample_id
        JOIN activations g ON g.view = 'gt' AND g.sample_id = o.gt_sample_id
            AND g.channel = p.channel
        WHERE o.iou = 1
        """,
    )
    largest = rows(store, "SELECT max(act_max) AS m FROM activations WHERE view = 'gt'")[0]["m"]
    assert equal[0]["apart"] <= 1e-3 * largest  # other batches, rounded to 10 bits


def test_command(store: Store, tmp_path: Path) -> None:
    """The command prints recall, says what is registered, and takes files."""
    file = write_mat(tmp_path / "x.mat", {"a": [(11, 11, 50, 40)], "zebra": [(1, 1, 2, 2)]})
    words = ["--store", str(store.path), "proposals", "--dataset", "d", "--import", str(file)]
    refused = CliRunner().invoke(app, words)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "--skip-unknown" in refused.stderr
    done = CliRunner().invoke(app, [*words, "--skip-unknown", "--json"])
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert list(told[0]) == list(proposals.RECALL_COLUMNS)
    assert [(r["iou"], r["recall"], r["kept"]) for r in told] == [(0.5, 1, True), (0.7, 1, True)]
    assert done.stderr == (
        "d: 1 proposals of 1 found in 1 images, registered; "
        "3 not in the files; 1 of the files unknown here\n"
    )
    again = CliRunner().invoke(app, [*words, "--skip-unknown"])
    assert "registered already, unchanged" in again.stderr


def test_unknown_names(store: Store) -> None:
    """Unknown data sets, methods and parts are answered with those there are."""
    with pytest.raises(UnknownNameError, match="no data set 'x'; there are: d"):
        add_proposals(store, "x", CHEAP)
    with pytest.raises(UnknownNameError, match="components, selective-search"):
        add_proposals(store, "d", Choice(method="edges"))
    with pytest.raises(UnknownNameError, match="part is train, val, test, trainval"):
        add_proposals(store, "d", replace(CHEAP, part="minival"))


@pytest.mark.slow
def test_selective_search_of_real_photos(tmp_path: Path) -> None:
    """On five VOC photos, selective search finds more than 80 % of the objects at IoU 0.5."""
    data = os.environ.get("FSTORE_REAL_DATA")
    if not data:
        pytest.skip("FSTORE_REAL_DATA is not set: no real photos to try")
    store = Store.create(tmp_path / "real")
    workflows.add_dataset(store, "voc", "voc", root=Path(data) / "voc" / "VOCdevkit")
    listed = tmp_path / "five.txt"
    ids = store.samples("voc", "image", ["sample_id", "image_id"])["image_id"].to_pylist()
    listed.write_text("\n".join(ids[:5]))
    added = add_proposals(store, "voc", Choice(image_list=listed))
    assert added.found / added.images > 1000  # R-CNN speaks of about 2,000
    last = [r for r in added.recall if r["iou"] == 0.5][-1]
    assert last["objects"] >= 5
    assert last["recall"] > 0.8
