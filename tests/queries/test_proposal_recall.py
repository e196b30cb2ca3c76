"""Recall of proposals: by hand, by brute force, and its interval."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from _charts import points, words
from fstore.errors import UnknownNameError
from fstore.pixels.boxes import iou_matrix
from fstore.queries.analyses.proposal_recall import proposal_recall
from fstore.queries.detection.overlaps import Collector, ground_truth
from fstore.queries.detection.recall import COUNTS, best_overlaps, recall_rows
from fstore.queries.figures.proposal_recall import draw_recall
from fstore.store import Store
from fstore.types import DatasetManifest, Part, SampleRecord, Split, ViewManifest

PARTS: tuple[Part, ...] = ("train", "test")


def random_boxes(random: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Return boxes of whole pixels in an image of 60 x 60."""
    corners = np.sort(random.integers(1, 61, (n, 2, 2)), axis=1)
    return corners.reshape(n, 4).astype(np.float64)


class World:
    """A store of twelve images with random objects and proposals, and what is in it."""

    def __init__(self, path: Path, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.objects = [random_boxes(random, n) for n in random.integers(0, 5, 12)]
        self.difficult = [random.random(len(o)) < 0.3 for o in self.objects]
        self.classes = [random.choice(["a", "b"], len(o)) for o in self.objects]
        self.proposals = [random_boxes(random, n) for n in random.integers(1, 150, 12)]
        self.store = Store.create(path)
        self.store.register_dataset(self._manifest())
        collector = Collector(ground_truth(self.store, "d"))
        for i, boxes in enumerate(self.proposals):
            if i != 5:  # an image that was not searched
                collector.add(i, f"i{i:02d}", boxes)
        self.collector = collector
        self.store.add_proposals("d", collector.proposals(), collector.overlaps())

    def _manifest(self) -> DatasetManifest:
        images = tuple(
            SampleRecord(f"i{i:02d}", f"{i}.png", f"{i:032x}", 60, 60, {}) for i in range(12)
        )
        parts = tuple(PARTS[i % 2] for i in range(12))
        gt, of = [], []
        for i, (boxes, hard, names) in enumerate(
            zip(self.objects, self.difficult, self.classes, strict=True)
        ):
            for box, difficult, name in zip(boxes.tolist(), hard.tolist(), names, strict=True):
                label = {str(name): int(not difficult)}
                image = (f"i{i:02d}", f"{i}.png", f"{i:032x}", 60, 60, label)
                gt.append(SampleRecord(*image, box=tuple(box), difficult=difficult))
                of.append(parts[i])
        views = (
            ViewManifest("image", images, (Split("official", 0, parts),)),
            ViewManifest("gt", tuple(gt), (Split("official", 0, tuple(of)),)),
        )
        return DatasetManifest("d", "multi", ("a", "b"), self.store.path / "x", views)

    def found(self, n: int, iou: float, *, images: range = range(12), name: str = "") -> list[bool]:
        """Say of each object that counts whether the first n proposals find it, by loops."""
        hits = []
        for i in images:
            if i == 5:
                continue
            for box, difficult, kind in zip(
                self.objects[i], self.difficult[i], self.classes[i], strict=True
            ):
                if not difficult and name in {"", kind}:
                    hits.append(any(iou_by_pixels(box, p) >= iou for p in self.proposals[i][:n]))
        return hits


def iou_by_pixels(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Intersection over union by painting both boxes."""
    canvas = np.zeros((60, 60), dtype=int)
    for xmin, ymin, xmax, ymax in (a.astype(int), b.astype(int)):
        canvas[ymin - 1 : ymax, xmin - 1 : xmax] += 1
    return float((canvas == 2).sum() / (canvas > 0).sum())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return a store with random proposals."""
    return World(tmp_path_factory.mktemp("recall") / "s")


@given(st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_iou_equals_painted_pixels(seed: int) -> None:
    """IoU of random boxes, of one pixel and at the border too, is that of the pixels painted."""
    random = np.random.default_rng(seed)
    a = np.concatenate([random_boxes(random, 4), [[60, 60, 60, 60], [1, 1, 60, 60]]])
    b = np.concatenate([random_boxes(random, 3), [[60, 60, 60, 60], [1, 1, 1, 1]]])
    expected = [[iou_by_pixels(x, y) for y in b] for x in a]
    np.testing.assert_allclose(iou_matrix(a, b), expected, rtol=1e-12)
    assert iou_matrix(a, np.empty((0, 4))).shape == (6, 0)


def test_rows_equal_brute_force(world: World) -> None:
    """The analysis, by SQL, gives what loops over painted boxes give, at every count and IoU."""
    rows = proposal_recall(world.store, dataset="d")
    longest = max(len(p) for i, p in enumerate(world.proposals) if i != 5)
    counts = [c for c in COUNTS if c < longest] + [longest]
    assert [r["proposals"] for r in rows[::11]] == counts
    for row in rows:
        if row["iou"] in {0.5, 0.6, 0.75, 1.0}:
            found = world.found(row["proposals"], row["iou"])
            assert row["recall"] == pytest.approx(np.mean(found)), row
            assert row["objects"] == len(found)
        assert row["low"] <= row["recall"] <= row["high"]


def test_parts_and_classes(world: World) -> None:
    """A part counts its images' objects, a class its own."""
    rows = proposal_recall(world.store, dataset="d", part="test", by_class=True)
    for name, wanted in (("(all)", ""), ("a", "a"), ("b", "b")):
        mine = [r for r in rows if r["class"] == name and r["iou"] == 0.5][-1]
        found = world.found(1000, 0.5, images=range(1, 12, 2), name=wanted)
        assert mine["recall"] == pytest.approx(np.mean(found))
        assert mine["objects"] == len(found)


def test_both_routes_agree(world: World) -> None:
    """What the command prints, from the boxes in memory, is what the analysis reads back."""
    printed = world.collector.recall([0.5, 0.7])
    stored = proposal_recall(world.store, dataset="d")
    kept = {(r["proposals"], r["iou"]): r for r in stored}
    assert len(printed) > 10
    for row in printed:
        other = kept[row["proposals"], row["iou"]]
        assert {k: row[k] for k in other if k != "class"} == {
            k: v for k, v in other.items() if k != "class"
        }


def test_an_overlap_of_exactly_the_threshold_finds() -> None:
    """7 of 10 pixels is an IoU of 0.7, though float32's 0.7 is below float64's."""
    best = best_overlaps(iou_matrix([[1, 1, 7, 1]], [[1, 1, 10, 1]]), [1])
    (row,) = recall_rows(best, np.array([0]), [1], thresholds=[0.7])
    assert row["recall"] == 1


def test_best_overlaps_by_hand() -> None:
    """Of three proposals and two objects, the best of the first one, two and nine."""
    iou = np.array([[0.1, 0.5], [0.3, 0.2], [0.9, 0.0]])
    assert best_overlaps(iou, [1, 2, 9]).tolist() == [
        pytest.approx([0.1, 0.3, 0.9]),
        pytest.approx([0.5, 0.5, 0.5]),
    ]
    assert best_overlaps(np.empty((3, 0)), [1]).shape == (0, 1)
    assert best_overlaps(np.empty((0, 2)), [1]).tolist() == [[0], [0]]


def test_interval_of_images_alike_and_unlike() -> None:
    """If all images are alike the interval is a point; else about 1.96 standard errors wide."""
    n = 400
    alike = np.tile(np.array([[1.0], [0.0]], np.float32), (n, 1))
    (row,) = recall_rows(alike, np.repeat(np.arange(n), 2), [1], thresholds=[0.5])
    assert (row["low"], row["recall"], row["high"]) == (0.5, 0.5, 0.5)
    unlike = np.repeat(np.arange(n) % 2, 2).astype(np.float32)[:, None]
    (row,) = recall_rows(unlike, np.repeat(np.arange(n), 2), [1], thresholds=[0.5])
    half_width = 1.96 * 0.5 / np.sqrt(n)
    assert row["high"] - row["low"] == pytest.approx(2 * half_width, rel=0.15)  # 1,000 resamples
    assert (row["images"], row["objects"]) == (n, 2 * n)


def test_nothing_to_find() -> None:
    """Without an object recall is unknown, not 0."""
    (row,) = recall_rows(np.empty((0, 1), np.float32), np.empty(0, int), [1], thresholds=[0.5])
    assert (row["recall"], row["low"], row["high"], row["objects"]) == (None, None, None, 0)


def test_plot(world: World) -> None:
    """The figure draws the rows' recalls over counts and over overlaps, with n."""
    rows = proposal_recall(world.store, dataset="d")
    chart = draw_recall(rows, title="T")
    left, right = chart.hconcat  # type: ignore[attr-defined]
    mine = [r for r in rows if r["class"] == "(all)"]
    drawn = points(left, line="IoU 0.7")
    assert [p["y"] for p in drawn] == [r["recall"] for r in mine if r["iou"] == 0.7]
    most = max(r["proposals"] for r in mine)
    last = [(r["iou"], r["recall"], r["low"], r["high"]) for r in mine if r["proposals"] == most]
    assert [(p["x"], p["y"], p["low"], p["high"]) for p in points(right, line="all")] == last
    assert f"n = {rows[0]['objects']} objects in {rows[0]['images']} images" in words(chart)
    assert "bootstrap" in words(chart)


def test_without_proposals(tmp_path: Path, world: World) -> None:
    """Without proposals the error has the command that makes them."""
    store = Store.create(tmp_path / "s")
    store.register_dataset(world._manifest())
    with pytest.raises(UnknownNameError, match="fstore proposals --dataset d"):
        proposal_recall(store, dataset="d")
