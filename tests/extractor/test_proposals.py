"""Region proposals: right boxes, always the same ones, and published files read as they are."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from fstore.errors import DataError, MissingExtraError, UnknownNameError
from fstore.extractor.proposals import METHODS, check_inside, read_published
from fstore.extractor.proposals import selective_search as module
from fstore.extractor.proposals._search import tidy
from fstore.extractor.proposals.components import components
from fstore.pixels.boxes import iou_matrix

selective_search = METHODS["selective-search"].function
RED, GREEN = (31.0, 21.0, 130.0, 110.0), (151.0, 61.0, 230.0, 150.0)


def two_rectangles(width: int = 250, height: int = 160) -> Image.Image:
    """Return a red and a green rectangle on grey, with a little noise, so that all is textured."""
    random = np.random.default_rng(0)
    pixels = np.full((height, width, 3), 128, dtype=np.int64)
    for (left, top, right, bottom), colour in ((RED, (220, 30, 30)), (GREEN, (30, 200, 40))):
        pixels[int(top) - 1 : int(bottom), int(left) - 1 : int(right)] = colour
    pixels += random.integers(-6, 7, pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def found() -> NDArray[np.float64]:
    """Return what selective search finds of the two rectangles."""
    return selective_search(two_rectangles())


def test_selective_search_finds_plain_objects(found: NDArray[np.float64]) -> None:
    """Both rectangles are among the boxes, to within a pixel or two of each side."""
    best = iou_matrix([RED, GREEN], found).max(axis=1)
    assert best.min() > 0.93  # two pixels off on each side: 96 * 86 / (100 * 90) = 0.92


def test_selective_search_keeps_to_the_image(found: NDArray[np.float64]) -> None:
    """Boxes are whole pixels inside the image; sides reach 20 pixels at a width of 500."""
    assert (found == np.rint(found)).all()
    assert found[:, :2].min() >= 1
    assert (found[:, 2:] <= [250, 160]).all()
    sides = found[:, 2:] - found[:, :2] + 1
    assert sides.min() >= 10  # 20 pixels of an image that was 500 pixels wide are 10 of this one
    assert sides.min() < 20


def test_selective_search_is_the_same_every_time(found: NDArray[np.float64]) -> None:
    """Boxes and their order do not depend on what was searched before."""
    selective_search(Image.fromarray(np.asarray(two_rectangles())[:90, :120]))
    again = selective_search(two_rectangles())
    assert np.array_equal(found, again)


def test_large_regions_come_early(found: NDArray[np.float64]) -> None:
    """The first tenth of the boxes is larger than the rest, as medians go."""
    areas = (found[:, 2:] - found[:, :2] + 1).prod(axis=1)
    tenth = max(1, len(areas) // 10)
    assert np.median(areas[:tenth]) > np.median(areas[tenth:])


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 3), (501, 20)])
def test_selective_search_of_odd_sizes(size: tuple[int, int]) -> None:
    """Of images of one pixel, very narrow or wide ones come boxes inside them, or none."""
    random = np.random.default_rng(1)
    image = Image.fromarray(random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    boxes = selective_search(image)
    assert boxes.shape[1] == 4
    assert (boxes >= 1).all()
    assert (boxes[:, 2:] >= boxes[:, :2]).all()
    assert (boxes[:, 2:] <= size).all()


def test_ranks_are_place_times_random() -> None:
    """A hierarchy's regions are ranked by area; the random factors are from (0, 1]."""
    nested = np.array([[0, 0, side, side] for side in range(1, 2001)])
    ranked = module._ranked([nested])[:, 2]
    assert set(ranked.tolist()) == set(range(1, 2001))
    place = 2001 - ranked  # 1 for the largest
    # of regions at place p, priority p * u: the chance to be among the first 100 falls with p
    assert place[:100].mean() < place[100:1000].mean() < place[1000:].mean()
    assert (place[:20] > 20).any()


def test_scaling_keeps_edges() -> None:
    """Edges are scaled as places between pixels, so neighbours stay neighbours."""
    rects = np.array([[0, 0, 100, 50], [100, 50, 400, 325], [499, 374, 1, 1]])
    halved = module._scaled(rects, (375, 500), (188, 250))
    assert halved[0].tolist() == [1, 1, 50, 25]
    assert halved[1].tolist() == [51, 26, 250, 188]
    assert (halved[2, 2:] >= halved[2, :2]).all()


@pytest.mark.parametrize("half", [None, object()])
def test_without_opencv(monkeypatch: pytest.MonkeyPatch, half: object) -> None:
    """Without OpenCV, or without its contributed modules, the error has the pip command."""
    monkeypatch.setitem(sys.modules, "cv2", half)
    with pytest.raises(MissingExtraError, match=r"pip install 'fstore\[detect\]'"):
        selective_search(two_rectangles())


def test_components_of_plain_things() -> None:
    """A rectangle's box is found exactly, and comes before what lasts over fewer grey levels."""
    pixels = np.full((60, 80), 30, dtype=np.uint8)
    pixels[10:40, 20:60] = 230
    pixels[45:57, 5:17] = 60
    boxes = components(Image.fromarray(pixels).convert("RGB")).tolist()
    strong, weak = [21.0, 11.0, 60.0, 40.0], [6.0, 46.0, 17.0, 57.0]
    assert boxes.index([1.0, 1.0, 80.0, 60.0]) < boxes.index(strong) < boxes.index(weak)


def test_components_leave_specks_out() -> None:
    """Regions with a side below 8 pixels give no box; a plain image gives itself."""
    pixels = np.full((30, 30), 20, dtype=np.uint8)
    pixels[5:12, 5:12] = 200
    assert components(Image.fromarray(pixels).convert("RGB")).tolist() == [[1, 1, 30, 30]]
    plain = components(Image.new("RGB", (30, 20), (9, 9, 9)))
    assert plain.tolist() == [[1, 1, 30, 20]]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(*[st.integers(-5, 25)] * 4).map(lambda b: (*b[:2], *np.maximum(b[:2], b[2:]))),
        max_size=12,
    )
)
def test_tidied_boxes_are_inside_once_and_in_order(boxes: list[tuple[int, int, int, int]]) -> None:
    """Tidying clips, keeps the first of equal boxes, changes no order, and never leaves nothing."""
    kept = tidy(np.array(boxes, dtype=np.float64).reshape(-1, 4), 20, 15)
    clipped = [tuple(np.clip(b, 1, [20, 15, 20, 15]).tolist()) for b in boxes]
    expected = list(dict.fromkeys(clipped)) or [(1, 1, 20, 15)]
    assert [tuple(row) for row in kept.tolist()] == expected


def test_unknown_method() -> None:
    """A method that is not there is answered with those that are."""
    with pytest.raises(UnknownNameError, match="components, selective-search"):
        METHODS["sliding"]


def cells(items: list[object]) -> NDArray[np.object_]:
    """Return a MATLAB cell array."""
    made = np.empty(len(items), dtype=object)
    made[:] = items
    return made


def write_mat(path: Path, boxes: list[object], images: list[str]) -> Path:
    """Write a file as R-CNN's authors did: ``boxes`` [y1 x1 y2 x2], ``images``."""
    savemat(path, {"boxes": cells(boxes), "images": cells(list(images))})
    return path


def test_published_boxes_are_turned(tmp_path: Path) -> None:
    """[y1 x1 y2 x2] becomes xmin, ymin, xmax, ymax; repeated boxes and empty cells are known."""
    rows = np.array([[1, 2, 30, 40], [5, 6, 7, 8], [1, 2, 30, 40]], dtype=np.uint16)
    path = write_mat(tmp_path / "a.mat", [rows, np.empty((0, 4)), rows[:1] + 0.5], ["a", "b", "c"])
    found = read_published(path)
    assert {name: boxes.tolist() for name, boxes in found.items()} == {
        "a": [[2, 1, 40, 30], [6, 5, 8, 7]],
        "b": [],
        "c": [[2.5, 1.5, 40.5, 30.5]],
    }


def test_images_as_a_matrix_of_letters(tmp_path: Path) -> None:
    """Names of one length, which MATLAB may keep as a matrix of letters, are read as names."""
    path = tmp_path / "a.mat"
    boxes = cells([np.ones((1, 4)), np.ones((2, 4))])
    savemat(path, {"boxes": boxes, "images": np.array(["000001", "000002"])})
    assert list(read_published(path)) == ["000001", "000002"]


def test_files_that_are_no_boxes(tmp_path: Path) -> None:
    """Broken files, other variables, other shapes, and names that repeat are named errors."""
    broken = tmp_path / "broken.mat"
    broken.write_bytes(b"no matlab")
    with pytest.raises(DataError, match="cannot be read as a MATLAB file"):
        read_published(broken)
    with pytest.raises(DataError, match="cannot be read"):
        read_published(tmp_path / "none.mat")
    savemat(tmp_path / "other.mat", {"boxes": np.ones(3), "x": 1})
    with pytest.raises(DataError, match="no variable images; it has: boxes, x"):
        read_published(tmp_path / "other.mat")
    with pytest.raises(DataError, match=r"image 'a' have shape \(2, 5\)"):
        read_published(write_mat(tmp_path / "five.mat", [np.ones((2, 5))], ["a"]))
    with pytest.raises(DataError, match="lists image 'a' twice"):
        read_published(write_mat(tmp_path / "twice.mat", [np.ones((1, 4))] * 2, ["a", "a"]))
    with pytest.raises(DataError, match="2 images but boxes of 1"):
        read_published(write_mat(tmp_path / "more.mat", [np.ones((1, 4))], ["a", "b"]))
    hdf5 = tmp_path / "v73.mat"
    hdf5.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(384))
    with pytest.raises(DataError, match="save it in MATLAB with"):
        read_published(hdf5)


@pytest.mark.parametrize(
    "box", [(0, 1, 5, 5), (1, 1, 21, 5), (1, 1, 5, 16), (6, 1, 5, 5), (1, 1, np.nan, 5)]
)
def test_published_boxes_outside_are_refused(box: tuple[float, float, float, float]) -> None:
    """A box outside its image, turned around or not a number is an error that names the image."""
    edge = [[1, 1, 20, 15], [20, 15, 20, 15], [1, 1, 1, 1]]
    assert check_inside(np.array(edge, float), "a", width=20, height=15).tolist() == edge
    with pytest.raises(DataError, match=r"image a: box .* is not inside 1 ... 20 x 1 ... 15"):
        check_inside(np.array([*edge, box], float), "a", width=20, height=15)
