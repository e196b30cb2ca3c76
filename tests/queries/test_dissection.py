"""Filters against boxes: by loops over points, on images that are resized and cropped."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.interpolate import RegularGridInterpolator

from _build import add_layers, put
from fstore.errors import DataError
from fstore.extractor.images import digest_bytes
from fstore.extractor.preprocess import Preprocess
from fstore.fields import Field
from fstore.queries.analyses import ask
from fstore.queries.figures.dissection import plot_dissection
from fstore.queries.methods.dissection import thresholds
from fstore.store import Store
from fstore.store.field_files import add_fields
from fstore.store.files import Partition
from fstore.types import Box, CheckpointRecord, DatasetManifest, SampleRecord, Split, ViewManifest

N, SIZE, RESIZE = 8, 12, 16
WIDTH, HEIGHT = 40, 20
FIELD = Field(size_h=5, size_w=7, stride_h=4, stride_w=3, first_row=-1, first_col=-2, input=SIZE)
ASKED: dict[str, Any] = {"layer": "conv", "ckpt": "5", "dataset": "d"}


@dataclass(frozen=True)
class Scene:
    """A store, boxes (image, class, box, difficult), and maps of shape (images, filters, 3, 4)."""

    store: Store
    boxes: list[tuple[int, str, Box, bool]]
    maps: NDArray[np.float32]


def make(path: Path, *, exif: str = "ignore", fields: bool = True, turned: bool = False) -> Scene:
    """Make a store of eight images of 40 x 20, resized to 32 x 16 and cropped to 12 x 12."""
    rng = np.random.default_rng(4)
    store, root = Store.create(path / "s"), path / "images"
    root.mkdir(parents=True)
    boxes: list[tuple[int, str, Box, bool]] = []
    for n in range(N - 1):  # the last image has no object
        for k in range(1 + n % 2):
            low = rng.integers(1, [28, 12])
            high = low + rng.integers(4, [12, 8])
            name = ("cat", "dog")[(n + k) % 2]
            box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
            boxes.append((n, name, box, n == 3 and k == 0))
    images, digests = [], []
    for n in range(N):
        tag = Image.Exif()
        if turned and n == 2:
            tag[0x0112] = 6
        Image.new("RGB", (WIDTH, HEIGHT), (20 * n, 90, 60)).save(root / f"{n}.png", exif=tag)
        digests.append(digest_bytes((root / f"{n}.png").read_bytes()))
        labels = {name: 1 for i, name, _, _ in boxes if i == n}
        images.append(SampleRecord(f"i{n}", f"{n}.png", digests[n], WIDTH, HEIGHT, labels))
    gt = [
        SampleRecord(
            f"i{n}", f"{n}.png", digests[n], WIDTH, HEIGHT, {name: int(not hard)}, box, hard
        )
        for n, name, box, hard in boxes
    ]
    views = tuple(
        ViewManifest(name, tuple(own), (Split("official", 0, ("train",) * len(own)),))  # type: ignore[arg-type]
        for name, own in (("image", images), ("gt", gt))
    )
    store.register_dataset(DatasetManifest("d", "multi", ("cat", "dog"), root, views))
    alone = DatasetManifest("whole", "multi", ("cat", "dog"), root, views[:1])
    store.register_dataset(alone)
    add_layers(store, "net", {"conv": (5, 3, 4), "fc": (2, 1, 1)})
    (path / "w.safetensors").write_text("not read here")
    prepared = Preprocess(size=SIZE, resize=RESIZE, resize_mode="shorter", exif=exif)  # type: ignore[arg-type]
    store.register_checkpoint(
        CheckpointRecord("net", "5", preprocessing=prepared.to_json(), sha256="0" * 64),
        path / "w.safetensors",
    )
    if fields:
        add_fields(store.place, "net", {"conv": ("conv!", FIELD)})
    maps = np.maximum(rng.normal(size=(N, 5, 3, 4)), 0).astype(np.float32)
    maps[:, 3] = 0  # never fires
    maps[:, 4] *= rng.random((N, 3, 4)) < 0.04  # fires at very few places
    for dataset in ("d", "whole"):
        place = Partition("net", "5", dataset, "image", "conv")
        put(store, place, maps.reshape(N, 5, 12))
    put(store, Partition("net", "5", "d", "image", "fc"), maps[:, :2, 0, :1])
    return Scene(store, boxes, maps)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Return such a store."""
    return make(tmp_path_factory.mktemp("scene"))


def by_points(scene: Scene, channel: int, name: str, T: float, *, difficult: bool) -> float:
    """Return the IoU of a filter and a class, point by point of the network's input."""
    rows = [-1 + 4 * r + 5 / 2 for r in range(3)]
    columns = [-2 + 3 * c + 7 / 2 for c in range(4)]
    both = either = 0
    for n in range(N):
        map_ = RegularGridInterpolator((rows, columns), scene.maps[n, channel].astype(float))
        own = [(box, hard) for i, k, box, hard in scene.boxes if (i, k) == (n, name)]
        for v in range(SIZE):
            for u in range(SIZE):
                at = (
                    np.clip(v + 0.5, rows[0], rows[-1]),
                    np.clip(u + 0.5, columns[0], columns[-1]),
                )
                fires = float(map_([at])[0]) > T
                # back into the image: the crop begins at 10 and 2 of 32 x 16
                x, y = (u + 0.5 + 10) * WIDTH / 32, (v + 0.5 + 2) * HEIGHT / 16
                here = [h for b, h in own if b[0] - 1 <= x < b[2] and b[1] - 1 <= y < b[3]]
                inside = any(difficult or not hard for hard in here)
                if here and not inside:
                    continue  # difficult objects only
                both += fires and inside
                either += fires or inside
    return both / either


@pytest.mark.parametrize("difficult", [False, True])
def test_iou_is_that_of_points(scene: Scene, difficult: bool) -> None:
    """Each filter and class has the IoU that loops over points and SciPy's interpolation give."""
    asked = {**ASKED, "difficult": difficult, "top": 2, "quantile": 0.3}
    rows = ask(scene.store, "dissection", **asked)
    assert [r["iou"] for r in rows] == sorted((r["iou"] for r in rows), reverse=True)
    of = {(r["channel"], r["class"]): r for r in rows}
    for c in (0, 1, 2, 4):
        T = next(r["threshold"] for r in rows if r["channel"] == c)
        exceeded = np.quantile(scene.maps[:, c].ravel(), 0.7)
        assert pytest.approx(exceeded, rel=1e-3) == T  # responses are rounded on disk
        for name in ("cat", "dog"):
            found = of[c, name]["iou"] if (c, name) in of else 0
            expected = by_points(scene, c, name, T, difficult=difficult)
            assert found == pytest.approx(expected, abs=1e-9)
    assert sum(r["iou"] > 0.05 for r in rows) >= 3  # not zeros that are compared
    silent = [r for r in rows if r["channel"] == 3]
    assert [(r["class"], r["iou"], r["share"], r["chance"]) for r in silent] == [(None, 0, 0, None)]
    rare = next(r for r in rows if r["channel"] == 4)
    assert rare["threshold"] == 0  # it fires at fewer places: strictly above 0 counts
    assert 0 < rare["share"] < 0.5
    assert {r["n"] for r in rows} == {N}


def test_chance_is_that_of_independence(scene: Scene) -> None:
    """With a of all points in the mask and b in boxes, ab / (a + b - ab) are expected."""
    rows = ask(scene.store, "dissection", **ASKED, difficult=True, top=2, quantile=0.4)
    for row in rows:
        if row["class"] is None:
            continue
        inside = 0
        for n in range(N):
            own = [box for i, k, box, _ in scene.boxes if (i, k) == (n, row["class"])]
            inside += sum(
                any(b[0] - 1 <= x < b[2] and b[1] - 1 <= y < b[3] for b in own)
                for x in (np.arange(SIZE) + 10.5) * WIDTH / 32
                for y in (np.arange(SIZE) + 2.5) * HEIGHT / 16
            )
        a, b = row["share"], inside / (N * SIZE * SIZE)
        assert row["chance"] == pytest.approx(a * b / (a + b - a * b))
        images = {i for i, k, _, _ in scene.boxes if k == row["class"]}
        assert row["n_with_class"] <= len(images)


def test_thresholds_are_exceeded_at_their_share(seed: int) -> None:
    """Of ten thousand responses of a filter fifty are above its threshold."""
    X = np.random.default_rng(seed).normal(size=(1000, 2, 10)).astype(np.float32)
    T = thresholds(X)
    assert (T[:, None] < X).sum(axis=(0, 2)).tolist() == [50, 50]


def test_chart(scene: Scene) -> None:
    """The chart names the best filters and how many images there are."""
    rows = ask(scene.store, "dissection", **ASKED)
    assert len(rows) == 5
    assert "n = 8 images" in str(plot_dissection(rows, title="T").to_dict()["title"])


def test_what_is_refused(scene: Scene, tmp_path: Path) -> None:
    """What has no boxes or no places, and what does not say where its places lie."""
    with pytest.raises(DataError, match="'whole' has no ground-truth boxes"):
        ask(scene.store, "dissection", **{**ASKED, "dataset": "whole"})
    with pytest.raises(DataError, match="maps of 1 x 1, without places"):
        ask(scene.store, "dissection", **{**ASKED, "layer": "fc"})
    with pytest.raises(DataError, match="top must be at least 1"):
        ask(scene.store, "dissection", **ASKED, top=0)
    with pytest.raises(DataError, match="quantile must be between 0 and 1"):
        ask(scene.store, "dissection", **ASKED, quantile=1.0)
    with pytest.raises(DataError, match="not known where the places of layer 'conv' lie"):
        ask(make(tmp_path / "a", fields=False).store, "dissection", **ASKED)


def test_images_turned_by_their_file(scene: Scene, tmp_path: Path) -> None:
    """Where the network saw images upright, one that its file turns is refused; others are not."""
    with pytest.raises(DataError, match=r"2\.png is turned by its EXIF tag"):
        ask(make(tmp_path / "a", exif="apply", turned=True).store, "dissection", **ASKED)
    upright = ask(make(tmp_path / "b", exif="apply").store, "dissection", **ASKED)
    assert upright == ask(scene.store, "dissection", **ASKED)
