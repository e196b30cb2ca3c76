"""The pages of images: which samples, which boxes, what fires; against SQL, NumPy, scikit-learn."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics.pairwise import cosine_similarity, euclidean_distances
from starlette.testclient import TestClient

from _build import add_layers, put, relu
from fstore.explore import application
from fstore.explore.boxes import detections
from fstore.explore.contents import Contents
from fstore.explore.firing import firing, nearest_samples
from fstore.explore.outputs import predictions, trained_classes
from fstore.queries.analyses import ask
from fstore.store import Store
from fstore.store.files import Partition
from fstore.types import (
    Box,
    CheckpointRecord,
    DatasetManifest,
    Part,
    SampleRecord,
    Split,
    ViewManifest,
)

CLASSES = ("cat", "dog")
CONV = Partition("net", "5", "d", "image", "conv1")
PARTS: tuple[Part, ...] = ("train", "val", "test", "test")
BOX: Box = (11.0, 5.0, 20.0, 14.0)
HARD: Box = (1.0, 1.0, 8.0, 8.0)
N = 12
PREPARED = {
    "size": 8, "resize": 8, "resize_mode": "warp", "order": "RGB", "scale": 1.0,
    "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0], "context": 0, "exif": "apply",
}  # fmt: skip


def register(store: Store, root: Path) -> None:
    """Register images of 40 x 20 pixels, of which the first has no file; boxes; many proposals."""
    root.mkdir()
    turned = Image.Exif()
    turned[0x0112] = 6
    for n in range(1, N):
        image = Image.new("RGB", (40, 20), (20 * n, 90, 60))
        image.save(root / f"{n}.png", exif=turned if n == 2 else Image.Exif())
    labels = [{"cat": 1}, {"dog": 1, "cat": 0}, {"cat": 1, "dog": 1}, {}]

    def record(n: int, own: dict[str, int], box: Box | None = None) -> SampleRecord:
        return SampleRecord(f"i{n}", f"{n}.png", "", 40, 20, own, box=box, difficult=box == HARD)

    images = tuple(record(n, labels[n % 4]) for n in range(N))
    truth = (record(1, {"dog": 1}, BOX), record(1, {"cat": 0}, HARD))
    proposals = tuple(record(1, {}, (1.0, 1.0, 2.0 + n % 9, 10.0)) for n in range(230))
    split = (Split("official", 0, tuple(PARTS[n % 4] for n in range(N))),)
    views = (ViewManifest("image", images, split), ViewManifest("gt", truth),
             ViewManifest("proposal", proposals))  # fmt: skip
    store.register_dataset(DatasetManifest("d", "multi", CLASSES, root, views))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a store of twelve images, their boxes, responses, outputs and detections."""
    from safetensors.numpy import save_file

    folder = tmp_path_factory.mktemp("image")
    store = Store.create(folder / "s")
    register(store, folder / "images")
    add_layers(store, "net", {"conv1": (15, 3, 3), "fc8": (2, 1, 1)})
    weights = folder / "w.safetensors"
    save_file({"w": np.ones(1, dtype=np.float32)}, weights)
    recipe = json.dumps({"kind": "finetune", "classes": list(CLASSES)})
    record = CheckpointRecord("net", "5", recipe=recipe, preprocessing=json.dumps(PREPARED))
    store.register_checkpoint(record, weights)
    x = relu(3, N, 15, 9)
    x[:, 4] = 0.1  # answers all alike
    put(store, CONV, x)
    put(store, replace(CONV, layer="fc8"), relu(4, N, 2, 1) - np.float32(0.25))
    store.append("detections", found())
    return store


def found() -> list[dict[str, Any]]:
    """Return detections in image 1: two on the dog, one on the difficult cat, one on nothing."""
    wanted: list[tuple[str, float, Box]] = [
        ("dog", 0.9, BOX),
        ("dog", 0.8, (12.0, 5.0, 20.0, 14.0)),
        ("cat", 0.7, HARD),
        ("cat", 0.6, (30.0, 1.0, 40.0, 20.0)),
    ]
    corners = ("xmin", "ymin", "xmax", "ymax")
    return [
        {"dataset": "d", "detector": "svm", "image_id": "i1", "class": name, "score": score,
         "box": dict(zip(corners, box, strict=True))}
        for name, score, box in wanted
    ]  # fmt: skip


@pytest.fixture(scope="module")
def browser(store: Store) -> TestClient:
    """Return a browser of the store's explorer."""
    return TestClient(application(store), base_url="http://localhost")


def samples_of(text: str) -> list[int]:
    """Return the samples that a page links pictures of."""
    return [int(i) for i in re.findall(r'<li><a href="/image\?[^"]*sample=(\d+)', text)]


# The page of images


@pytest.mark.parametrize(("label", "value"), [("shown", 1), ("difficult", 0)])
def test_images_by_class_and_part(
    store: Store, browser: TestClient, label: str, value: int
) -> None:
    """The images of a class in a part are those that SQL gives."""
    rows = store.sql(
        "SELECT sample_id FROM labels JOIN splits USING (dataset, view, sample_id) WHERE "
        "dataset = 'd' AND view = 'image' AND class = 'cat' AND label = ? AND part = 'test' "
        "ORDER BY sample_id",
        [value],
    )
    wanted = [row["sample_id"] for row in rows.rows()]
    page = browser.get(f"/images?dataset=d&class=cat&label={label}&part=official:test")
    assert samples_of(page.text) == wanted


def test_images_that_do_not_show_a_class(browser: TestClient) -> None:
    """Images that show a class as a difficult object are not among those that do not show it."""
    page = browser.get("/images?dataset=d&class=cat&label=absent")
    assert samples_of(page.text) == [3, 7, 11]


def test_images_come_a_hundred_at_a_time(browser: TestClient) -> None:
    """Pages follow one another, without a gap and with links to both sides."""
    shown: list[int] = []
    where, n_pages = "/images?dataset=d&view=proposal", 0
    while where:
        text = browser.get(where).text
        shown += samples_of(text)
        n_pages += 1
        after = re.search(r'rel="next" href="([^"]+)"', text)
        where = after[1].replace("&amp;", "&") if after else ""
    assert (shown, n_pages) == (list(range(230)), 3)
    assert 'rel="prev" href="/images?page=2&amp;dataset=d&amp;view=proposal"' in text


def test_images_refuse_unknown_names(browser: TestClient) -> None:
    """A part, class or data set that is not there is refused, and those that are are named."""
    for given, words in (
        ("dataset=e", "there are: d"),
        ("dataset=d&part=official:tes", "official:train"),
        ("dataset=d&class=wolf", "no class"),
        ("dataset=d&view=nothing", "expected one of image, gt, proposal"),
    ):
        page = browser.get(f"/images?{given}")
        assert page.status_code in (400, 404)
        assert words in page.text


def test_a_store_without_images_says_so(empty: Store) -> None:
    """Where no data set is registered, the page names the command."""
    page = TestClient(application(empty), base_url="http://localhost").get("/images")
    assert page.status_code == 200
    assert "fstore dataset add" in page.text


# The page of an image


def test_boxes_lie_where_they_are(browser: TestClient) -> None:
    """A box of pixels 11 to 20 of 40 begins after a quarter of the width and takes a quarter."""
    text = browser.get("/image?dataset=d&sample=1").text
    assert "left: 25.000%; top: 20.000%; width: 25.000%; height: 50.000%" in text
    assert re.search(r'class="box difficult[^"]*" style="left: 0.000%; top: 0.000%', text)


def test_detections_are_judged_by_hand(store: Store, browser: TestClient) -> None:
    """The second on an object is wrong, one on a difficult object is not counted."""
    rows = detections(Contents(store), "d", "i1", "svm")
    assert [row["outcome"] for row in rows] == ["right", "wrong", "not counted", "wrong"]
    text = browser.get("/image?dataset=d&sample=1").text
    assert "dog 0.90" in text
    assert "cat 0.60" in text
    assert "has no detection in this image" in browser.get("/image?dataset=d&sample=2").text


def test_an_image_without_a_file_is_shown_without(browser: TestClient) -> None:
    """What is known of an image whose file is gone is shown, and why there is no picture."""
    text = browser.get("/image?dataset=d&sample=0").text
    assert "There is no picture: 0.png" in text
    assert ">cat</a>" in text
    assert "<img" not in text
    assert browser.get("/photo?dataset=d&sample=0").status_code == 400


def test_an_image_to_be_turned_is_said_to_be(browser: TestClient) -> None:
    """EXIF is told, not followed: boxes are in raw pixels."""
    text = browser.get("/image?dataset=d&sample=2").text
    assert "says by EXIF that it is to be turned" in text
    assert "Checkpoint 5 was given it turned." in text
    assert "EXIF" not in browser.get("/image?dataset=d&sample=3").text
    photo = browser.get("/photo?dataset=d&sample=2")
    assert photo.headers["content-type"] == "image/jpeg"


def test_neighbours_and_other_views(browser: TestClient) -> None:
    """Arrow keys have where to go, and the ends have one side only."""
    first, last = (browser.get(f"/image?dataset=d&sample={i}").text for i in (0, N - 1))
    assert 'rel="next"' in first
    assert 'rel="prev"' not in first
    assert 'rel="next"' not in last
    assert "2 labelled boxes" in browser.get("/image?dataset=d&sample=1").text
    assert browser.get(f"/image?dataset=d&sample={N}").status_code == 404


def test_a_view_without_responses_says_how_to_make_them(browser: TestClient) -> None:
    """A view of which nothing is stored names the command."""
    text = browser.get("/image?dataset=d&view=gt&sample=0").text
    assert "fstore extract --layer NAME --ckpt NAME --dataset d --view gt" in text


# What fires, what is near


def test_firing_is_what_sql_gives(store: Store) -> None:
    """Value, z-score and rank of each filter are those of SQL's window functions."""
    rows = store.sql(
        "SELECT * FROM (SELECT sample_id, channel, act_max, "
        "(act_max - avg(act_max) OVER f) / nullif(stddev_pop(act_max) OVER f, 0) AS score, "
        "rank() OVER (f ORDER BY act_max DESC) AS place FROM activations WHERE network = 'net' "
        "AND ckpt = '5' AND dataset = 'd' AND view = 'image' AND layer = 'conv1' "
        "WINDOW f AS (PARTITION BY channel)) WHERE sample_id = 6"
    )
    wanted = {row["channel"]: row for row in rows.rows()}
    contents = Contents(store)
    for by in ("score", "value"):
        shown = firing(contents, CONV, 6, by=by, most=15)
        assert len(shown) == 15
        for row in shown:
            other = wanted[row["channel"]]
            assert row["value"] == other["act_max"]
            assert row["rank"] == other["place"]
            if row["channel"] == 4:
                assert row["score"] is other["score"] is None
            else:
                assert row["score"] == pytest.approx(other["score"], rel=1e-6, abs=1e-9)
        numbers = [-np.inf if row[by] is None else row[by] for row in shown]
        assert numbers == sorted(numbers, reverse=True)


def test_a_filter_that_answers_all_alike_has_no_score(store: Store) -> None:
    """Where a filter does not vary, nothing is unusual."""
    shown = {row["channel"]: row for row in firing(Contents(store), CONV, 6, by="score", most=15)}
    assert shown[4]["score"] is None


def test_nearest_is_what_scikit_learn_gives(store: Store) -> None:
    """The nearest samples are in the order of scikit-learn's cosines and distances."""
    contents = Contents(store)
    X = contents.responses(CONV).values.astype(np.float64)
    cosines, distances = cosine_similarity(X)[5], euclidean_distances(X)[5]
    for by, numbers in (("cosine", cosines), ("euclidean", distances)):
        shown = nearest_samples(contents, CONV, 5, by=by, most=N)
        order: Sequence[int] = [
            i for i in np.argsort(-numbers if by == "cosine" else numbers) if i != 5
        ]
        assert [i for i, _ in shown] == order
        # float32 sums of 15 products: a few 1e-7
        assert [v for _, v in shown] == pytest.approx([numbers[i] for i in order], rel=2e-6)


def test_nearest_is_what_the_analysis_gives(store: Store) -> None:
    """Distances of largest responses and of maps are those of ``fstore analyze nearest``."""
    for by, ablation in (("euclidean", "sp_max"), ("maps", "none")):
        rows = ask(store, "nearest", layer="conv1", ckpt="5", dataset="d", sample=5,
                   ablation=ablation, top=4)  # fmt: skip
        shown = nearest_samples(Contents(store), CONV, 5, by=by, most=4)
        assert [i for i, _ in shown] == [row["sample_id"] for row in rows]
        assert [v for _, v in shown] == pytest.approx([row["distance"] for row in rows])


def test_nearest_by_maps(store: Store) -> None:
    """Whole maps are compared place by place, as scikit-learn compares them."""
    x = relu(3, N, 15, 9)
    x[:, 4] = 0.1
    distances = euclidean_distances(x.reshape(N, -1).astype(np.float64))[5]
    shown = nearest_samples(Contents(store), CONV, 5, by="maps", most=4)
    order = [int(i) for i in np.argsort(distances) if i != 5][:4]
    assert [i for i, _ in shown] == order
    assert [v for _, v in shown] == pytest.approx(distances[order].tolist(), rel=1e-6)


def test_a_sample_that_is_not_stored_is_said_to_be(tmp_path: Path) -> None:
    """The parts of the page say that nothing is stored of the sample."""
    partial = Store.create(tmp_path / "s")
    register(partial, tmp_path / "images")
    add_layers(partial, "net", {"conv1": (15, 3, 3)})
    put(partial, CONV, relu(3, 5, 15, 9), sample_ids=range(5))
    browser = TestClient(application(partial), base_url="http://localhost")
    for path in ("filters", "nearest"):
        text = browser.get(f"/image/{path}?network=net&ckpt=5&dataset=d&layer=conv1&sample=9").text
        assert "nothing is stored of sample 9" in text


# What the network says


def test_outputs_have_the_names_of_the_classes(store: Store) -> None:
    """A layer of as many outputs as the checkpoint has classes is named by them, largest first."""
    contents = Contents(store)
    (told,) = predictions(contents, CONV, 3)
    values = contents.responses(replace(CONV, layer="fc8")).values[3]
    assert [row["name"] for row in told.rows] == [CLASSES[i] for i in np.argsort(-values)]
    assert told.total == pytest.approx(float(values.sum()), rel=1e-6)


def test_no_name_is_invented(store: Store) -> None:
    """Classes of a pre-training count only while the data set is still that of its hashes."""
    contents = Contents(store)
    info = store.dataset("d")
    data = f"{info.views['image']} {info.labels['image']} official 0"
    recipe = {"kind": "pretrain", "dataset": "d", "data": data}

    def named(recipe: dict[str, str]) -> tuple[str, ...]:
        return trained_classes(contents, CheckpointRecord("net", "x", recipe=json.dumps(recipe)))

    assert named(recipe) == CLASSES
    assert named({**recipe, "data": data.replace(info.labels["image"], "0" * 64)}) == ()
    assert named({**recipe, "dataset": "other"}) == ()
    assert named({}) == ()
