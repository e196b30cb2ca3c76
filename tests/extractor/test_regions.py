"""Regions: which are foreground, which background, how they are drawn and warped."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from fstore.errors import DataError
from fstore.extractor.images import digest_bytes, load_sample
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.training.drawn_regions import DrawnBoxes
from fstore.extractor.training.region_examples import FixedRegions, RegionExamples
from fstore.extractor.training.regions import RegionImage, Regions, StoredBoxes, foreground_count
from fstore.extractor.warping import warp
from fstore.pixels.boxes import iou_matrix as iou

PREPROCESS = Preprocess(size=32, resize=32, context=4)
N_CLASSES = 3


def image(
    boxes: list[tuple[int, int, int, int]],
    *,
    size: tuple[int, int] = (60, 40),
    labels: list[int] | None = None,
    difficult: list[bool] | None = None,
    folder: Path = Path(),
    uri: str = "a.png",
) -> RegionImage:
    """Make an image's record; classes count up, nothing is difficult, unless said otherwise."""
    return RegionImage(
        folder,
        uri,
        "",
        *size,
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(range(len(boxes)) if labels is None else labels, np.int64),
        np.array([False] * len(boxes) if difficult is None else difficult, bool),
    )


def by_counting(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Intersection over union of two boxes of whole pixels, pixel by pixel."""

    def pixels(box: NDArray[np.float64]) -> set[tuple[int, int]]:
        x0, y0, x1, y1 = (int(side) for side in box)
        return {(x, y) for x in range(x0, x1 + 1) for y in range(y0, y1 + 1)}

    return len(pixels(a) & pixels(b)) / len(pixels(a) | pixels(b))


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((1, 1, 10, 10), (1, 1, 10, 10), 1),
        ((1, 1, 10, 10), (6, 1, 15, 10), 50 / 150),  # 5 columns of 10 pixels are shared
        ((1, 1, 10, 10), (3, 3, 6, 6), 16 / 100),  # one inside the other
        ((1, 1, 10, 10), (11, 1, 20, 10), 0),  # neighbours share no pixel
        ((1, 1, 10, 10), (10, 10, 19, 19), 1 / 199),  # a corner pixel
        ((5, 5, 5, 5), (5, 5, 6, 5), 1 / 2),  # boxes of one and two pixels
    ],
)
def test_overlaps_count_pixels(a: tuple[int, ...], b: tuple[int, ...], expected: float) -> None:
    """A box includes its last pixel: the overlaps are those counted by hand, either way round."""
    left, right = np.array([a], np.float64), np.array([b], np.float64)
    assert iou(left, right).item() == pytest.approx(expected, abs=1e-15)
    assert iou(right, left).item() == pytest.approx(expected, abs=1e-15)


@st.composite
def images(draw: st.DrawFn) -> RegionImage:
    """Draw an image with up to four boxes, some difficult, some at its border."""
    width, height = draw(st.integers(12, 70)), draw(st.integers(12, 70))
    boxes = []
    for _ in range(draw(st.integers(0, 4))):
        x0, y0 = draw(st.integers(1, width)), draw(st.integers(1, height))
        boxes.append((x0, y0, draw(st.integers(x0, width)), draw(st.integers(y0, height))))
    labels = [draw(st.integers(0, N_CLASSES - 1)) for _ in boxes]
    difficult = [draw(st.booleans()) for _ in boxes]
    return image(boxes, size=(width, height), labels=labels, difficult=difficult)


@settings(max_examples=60, deadline=None)
@given(st.lists(images(), min_size=1, max_size=4), st.integers(0, 2**32))
def test_drawn_regions_are_what_they_say(found: list[RegionImage], seed: int) -> None:
    """Of any images: 32 regions meet a plain box of their class, 96 no box, with 0.5 or more."""
    found = [*found, image([(10, 10, 29, 29)])]  # something to learn, and room for background
    source = DrawnBoxes(found, N_CLASSES)
    rng = np.random.default_rng(seed)
    fore, back = source.foreground(rng, 32), source.background(rng, 96)
    assert (len(fore.images), len(back.images)) == (32, 96)
    assert (back.labels == N_CLASSES).all()
    for regions in (fore, back):
        for place, box, label in zip(regions.images, regions.boxes, regions.labels, strict=True):
            m = found[place]
            assert 1 <= box[0] <= box[2] <= m.width
            assert 1 <= box[1] <= box[3] <= m.height
            assert (box == np.rint(box)).all()
            overlaps = np.array([by_counting(box, own) for own in m.boxes])
            if label == N_CLASSES:
                assert overlaps.max(initial=0) < 0.5
            else:
                best = overlaps[(m.labels == label) & ~m.difficult].max()
                assert best >= 0.5
                assert best == overlaps.max()


def test_batches_are_a_quarter_foreground() -> None:
    """128 regions are 32 of foreground and 96 of background; other sizes keep the ratio."""
    examples = RegionExamples(
        [image([(5, 5, 30, 30)])], regions_of(), PREPROCESS,
        source=DrawnBoxes([image([(5, 5, 30, 30)])], N_CLASSES),
    )  # fmt: skip
    drawn = examples.draw(np.random.default_rng(0), 128)
    assert (drawn.labels < N_CLASSES).tolist() == [True] * 32 + [False] * 96
    assert [foreground_count(n) for n in (1, 2, 4, 40, 64, 128, 256)] == [1, 1, 1, 10, 16, 32, 64]


def regions_of(*boxes: tuple[float, ...], label: int = 0) -> Regions:
    """Make regions of image 0."""
    n = len(boxes)
    return Regions(
        np.zeros(n, np.int64), np.array(boxes, np.float64).reshape(-1, 4), np.full(n, label)
    )


def test_images_without_objects_give_background_only() -> None:
    """Foreground comes from images with plain objects, background from the others as well."""
    found = [image([]), image([(5, 5, 30, 30)]), image([(5, 5, 30, 30)], difficult=[True])]
    source, rng = DrawnBoxes(found, N_CLASSES), np.random.default_rng(0)
    assert set(source.foreground(rng, 200).images.tolist()) == {1}
    assert set(source.background(rng, 200).images.tolist()) == {0, 1, 2}


def test_an_object_that_fills_the_image_leaves_background() -> None:
    """Boxes at the border, and one as large as the image, give regions of both kinds."""
    m = image([(1, 1, 60, 40), (1, 1, 8, 8), (50, 30, 60, 40)])
    source, rng = DrawnBoxes([m], N_CLASSES), np.random.default_rng(0)
    assert set(source.foreground(rng, 100).labels.tolist()) == {0, 1, 2}
    for box in source.background(rng, 100).boxes:
        assert max(by_counting(box, own) for own in m.boxes) < 0.5


def test_no_room_for_background_is_an_error() -> None:
    """Images of one pixel, filled by an object, have no background: a named error, no hang."""
    source = DrawnBoxes([image([(1, 1, 1, 1)], size=(1, 1))], N_CLASSES)
    with pytest.raises(DataError, match=r"no background region .*--view image"):
        source.background(np.random.default_rng(0), 4)


def test_a_region_is_of_the_object_that_it_meets_best() -> None:
    """Two objects lie over each other: a region's class is that of the better overlap."""
    m = image([(1, 1, 40, 40), (5, 1, 44, 40)], size=(60, 60))
    drawn = DrawnBoxes([m], N_CLASSES).foreground(np.random.default_rng(1), 200)
    for box, label in zip(drawn.boxes, drawn.labels, strict=True):
        overlaps = [by_counting(box, own) for own in m.boxes]
        assert overlaps[label] == max(overlaps) >= 0.5
    assert set(drawn.labels.tolist()) == {0, 1}


def test_drawn_boxes_vary() -> None:
    """Foreground moves by up to 0.3 of a side and changes its sides by up to 3/2, both ways."""
    m = image([(41, 41, 80, 80)], size=(120, 120))
    boxes = DrawnBoxes([m], N_CLASSES).foreground(np.random.default_rng(0), 500).boxes
    sides = (boxes[:, 2:] - boxes[:, :2] + 1) / 40
    shifts = ((boxes[:, :2] + boxes[:, 2:]) / 2 - 60.5) / 40
    rounding = 1 / 40
    assert sides.min() >= 1 / 1.5 - rounding
    assert sides.max() <= 1.5 + rounding
    assert np.abs(shifts).max() <= 0.3 + rounding
    assert (sides.min(axis=0) < 0.8).all()
    assert (sides.max(axis=0) > 1.25).all()
    assert (np.abs(shifts).max(axis=0) > 0.2).all()


def test_stored_regions_are_drawn_equally_often() -> None:
    """Of stored boxes each is drawn about as often as any other, and with its label."""
    boxes = [(float(i), 1.0, float(i), 5.0) for i in range(1, 11)]
    source = StoredBoxes(regions_of(*boxes, label=1), regions_of(*boxes[:4], label=N_CLASSES))
    rng, n = np.random.default_rng(0), 4000
    fore, back = source.foreground(rng, n), source.background(rng, n)
    for regions, kinds, label in ((fore, 10, 1), (back, 4, N_CLASSES)):
        counts = np.bincount(regions.boxes[:, 0].astype(int))[1:]
        assert len(counts) == kinds
        expected = n / kinds
        assert np.abs(counts - expected).max() < 5 * math.sqrt(expected)  # five deviations
        assert (regions.labels == label).all()


@pytest.fixture
def photo(tmp_path: Path) -> tuple[Path, RegionImage]:
    """Write an image of noise and return its folder and record."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return tmp_path, image([(5, 5, 30, 30), (20, 8, 60, 40)], folder=tmp_path)


def examples_of(photo: tuple[Path, RegionImage], **options: object) -> RegionExamples:
    """Return region examples of one image."""
    m = photo[1]
    return RegionExamples(
        [m], regions_of((5, 5, 30, 30)), PREPROCESS,
        source=DrawnBoxes([m], N_CLASSES), **options,  # type: ignore[arg-type]
    )  # fmt: skip


def test_regions_are_warped_as_in_extraction(photo: tuple[Path, RegionImage]) -> None:
    """A region's input is, bit for bit, that of a sample of the same box; order does not matter."""
    boxes = [(5.0, 5.0, 30.0, 30.0), (20.0, 8.0, 60.0, 40.0), (1.0, 1.0, 3.0, 2.0)]
    fixed = FixedRegions([photo[1]], regions_of(*boxes), PREPROCESS)
    X = fixed.load(np.array([2, 0, 1]))
    for found, at in zip(X, (2, 0, 1), strict=True):
        expected = load_sample(photo[0], "a.png", boxes[at], preprocess=PREPROCESS)
        assert np.array_equal(found, expected)


def test_batches_follow_the_seed_and_the_iteration(photo: tuple[Path, RegionImage]) -> None:
    """The same seed and iteration give the same batch, cached or not; others give others."""
    first, again = examples_of(photo), examples_of(photo, cache_bytes=0)
    size = PREPROCESS.size
    X, y = first.batch(12, seed=3, iteration=5, size=size, mirror=True)
    for _ in range(2):
        same, labels = again.batch(12, seed=3, iteration=5, size=size, mirror=True)
        assert np.array_equal(X, same)
        assert np.array_equal(y, labels)
    for seed, iteration in ((3, 6), (4, 5)):
        other, _ = first.batch(12, seed=seed, iteration=iteration, size=size, mirror=True)
        assert not np.array_equal(X, other)


@pytest.mark.parametrize("mean_image", [False, True])
def test_batches_warped_on_a_device_are_the_same(tmp_path: Path, *, mean_image: bool) -> None:
    """Cut out and warped later, a batch of regions of three images has the bits it has at once."""
    images = []
    for k, size in enumerate([(60, 40), (50, 50), (44, 61)]):
        pixels = np.random.default_rng(k).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{k}.png")
        images.append(
            image([(5, 5, 30, 30), (20, 8, 40, 40)], size=size, folder=tmp_path, uri=f"{k}.png")
        )
    mean = np.random.default_rng(9).uniform(0, 255, (3, 32, 32)).astype(np.float32)
    p = replace(PREPROCESS, mean_image=mean if mean_image else None)
    examples = RegionExamples(
        images, regions_of((5, 5, 30, 30)), p, source=DrawnBoxes(images, N_CLASSES)
    )
    for rows in (slice(None), slice(4, 9)):
        X, y = examples.batch(12, seed=3, iteration=5, size=32, mirror=True, rows=rows)
        crops, labels = examples.cut_batch(12, seed=3, iteration=5, mirror=True, rows=rows)
        assert np.array_equal(warp(crops, p, torch.device("cpu")), X)
        assert np.array_equal(labels, y)


def test_processes_share_a_batch(photo: tuple[Path, RegionImage]) -> None:
    """The rows that two processes load are together the rows that one alone would load."""
    examples, size = examples_of(photo), PREPROCESS.size
    whole, y = examples.batch(10, seed=0, iteration=1, size=size, mirror=True)
    parts = [
        examples.batch(10, seed=0, iteration=1, size=size, mirror=True, rows=rows)
        for rows in (slice(0, 5), slice(5, 10))
    ]
    assert np.array_equal(np.concatenate([X for X, _ in parts]), whole)
    assert np.array_equal(np.concatenate([labels for _, labels in parts]), y)


def test_about_half_are_mirrored(photo: tuple[Path, RegionImage]) -> None:
    """With mirroring, a region is its unmirrored self or its mirror image, about half each."""
    examples, size = examples_of(photo), PREPROCESS.size
    mirrored = 0
    for iteration in range(1, 11):
        plain, _ = examples.batch(16, seed=0, iteration=iteration, size=size, mirror=False)
        drawn, _ = examples.batch(16, seed=0, iteration=iteration, size=size, mirror=True)
        for a, b in zip(plain, drawn, strict=True):
            same, turned = np.array_equal(a, b), np.array_equal(a[:, :, ::-1], b)
            assert same or turned
            mirrored += turned and not same
    assert 50 <= mirrored <= 110  # of 160, five deviations around 80


def test_changed_files_are_named(photo: tuple[Path, RegionImage]) -> None:
    """An image that is not the registered one any more ends the run and is named."""
    folder, m = photo
    digest = digest_bytes((folder / "a.png").read_bytes())
    known = RegionImage(folder, "a.png", digest, 60, 40, m.boxes, m.labels, m.difficult)
    (folder / "a.png").write_bytes(b"other")
    fixed = FixedRegions([known], regions_of((1, 1, 9, 9)), PREPROCESS)
    with pytest.raises(DataError, match=r"a\.png: the file changed"):
        fixed.load(np.array([0]))
