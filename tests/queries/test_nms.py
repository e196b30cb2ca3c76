"""Suppression keeps what torchvision and a loop over all pairs keep, in VOC's whole pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from torchvision.ops import nms as torchvision_nms

from fstore.queries.detection.nms import MAX_IOU, nms


@st.composite
def ranked(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw boxes on a small grid, so that many overlap, with scores that all differ."""
    n = draw(st.integers(0, 25))
    corner = draw(arrays(np.int64, (n, 2), elements=st.integers(1, 20)))
    side = draw(arrays(np.int64, (n, 2), elements=st.integers(0, 12)))
    scores = np.array(draw(st.permutations(range(n))), dtype=np.float64)
    return np.concatenate([corner, corner + side], axis=1).astype(np.float64), scores


def iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Count the pixels of two boxes one by one."""
    pixels = [
        {(x, y) for x in range(int(p[0]), int(p[2]) + 1) for y in range(int(p[1]), int(p[3]) + 1)}
        for p in (a, b)
    ]
    return len(pixels[0] & pixels[1]) / len(pixels[0] | pixels[1])


@given(ranked())
def test_equals_torchvision_after_adding_a_pixel(
    given_: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> None:
    """``torchvision.ops.nms``, whose boxes end before their last pixel, keeps the same boxes."""
    boxes, scores = given_
    shifted = torch.from_numpy(boxes + np.array([0, 0, 1, 1]))
    # no rectangle of sides up to 13 has a multiple of 31 pixels, so rounding decides nothing
    theirs = torchvision_nms(shifted, torch.from_numpy(scores), 0.31).tolist()
    assert nms(boxes, scores, max_iou=0.31).tolist() == theirs


@given(ranked())
def test_equals_counting_pixels(
    given_: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> None:
    """A loop over all pairs, with pixels counted in sets, keeps the same boxes."""
    boxes, scores = given_
    kept: list[int] = []
    for i in np.argsort(-scores):
        if all(iou(boxes[i], boxes[k]) <= MAX_IOU for k in kept):
            kept.append(int(i))
    assert nms(boxes, scores).tolist() == kept


@given(ranked(), st.integers(0, 30))
def test_a_limit_keeps_the_best(
    given_: tuple[NDArray[np.float64], NDArray[np.float64]], limit: int
) -> None:
    """With a limit the first of those kept without one are kept."""
    boxes, scores = given_
    assert nms(boxes, scores, limit=limit).tolist() == nms(boxes, scores).tolist()[:limit]


def test_exactly_the_limit_is_kept() -> None:
    """An overlap of 3 pixels of 10 is not more than 0.3; one of 4 of 10 is."""
    boxes = [[1, 1, 5, 1], [3, 1, 10, 1]]
    assert nms(boxes, [2.0, 1.0], max_iou=0.3).tolist() == [0, 1]
    assert nms([[1, 1, 5, 1], [2, 1, 10, 1]], [2.0, 1.0], max_iou=0.3).tolist() == [0]


def test_boxes_of_one_pixel() -> None:
    """Boxes of one pixel overlap if they are the same pixel."""
    boxes = [[4, 4, 4, 4], [4, 4, 4, 4], [5, 4, 5, 4]]
    assert nms(boxes, [1.0, 2.0, 0.0]).tolist() == [1, 2]


def test_equal_scores_keep_the_first() -> None:
    """Of two equal boxes with equal scores the first is kept."""
    assert nms([[1, 1, 9, 9], [1, 1, 9, 9]], [0.5, 0.5]).tolist() == [0]


@pytest.mark.parametrize("n", [0, 1])
def test_few_boxes(n: int) -> None:
    """None and one box are kept as they are."""
    assert nms(np.ones((n, 4)), np.ones(n)).tolist() == list(range(n))
