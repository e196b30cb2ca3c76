"""Matching and average precision, against the devkit's loops, pycocotools and hand computation."""

import io
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from torchvision.ops import box_iou

from _devkit import Devkit
from fstore.errors import DataError
from fstore.pixels.boxes import iou_matrix
from fstore.queries.detection.results_files import read_results, write_results
from fstore.queries.detection.voc_eval import (
    Boxes,
    ClassEvaluation,
    Evaluation,
    Scored,
    average_precisions,
    bootstrap,
    evaluate,
    match,
    precision_recall,
)
from fstore.types import FloatArray

Case = tuple[Scored, Boxes, int]


def objects(
    image: list[int], boxes: list[list[float]], difficult: list[bool] | None = None
) -> Boxes:
    """Return objects from lists."""
    flags = [False] * len(image) if difficult is None else difficult
    where = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    return Boxes(np.array(image, dtype=np.intp), where, np.array(flags, dtype=bool))


def scored(image: list[int], boxes: list[list[float]], scores: list[float]) -> Scored:
    """Return detections from lists."""
    where = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    return Scored(np.array(image, dtype=np.intp), where, np.array(scores, dtype=np.float32))


@st.composite
def cases(draw: st.DrawFn, *, ties: bool) -> Case:
    """Draw objects and detections in up to four images, on a grid where many overlap."""
    n_images = draw(st.integers(1, 4))
    drawn = []
    for n in (draw(st.integers(0, 8)), draw(st.integers(0, 20))):
        image = draw(arrays(np.intp, n, elements=st.integers(0, n_images - 1)))
        corner = draw(arrays(np.int64, (n, 2), elements=st.integers(1, 6)))
        side = draw(arrays(np.int64, (n, 2), elements=st.integers(0, 6)))
        boxes = np.concatenate([corner, corner + side], axis=1).astype(np.float64)
        drawn.append((image, boxes))
    (o_image, o_boxes), (d_image, d_boxes) = drawn
    difficult = draw(arrays(np.bool_, len(o_image)))
    scores: FloatArray
    if ties:
        scores = draw(arrays(np.float32, len(d_image), elements=st.sampled_from([-1, 0.5, 2])))
    else:
        scores = np.array(draw(st.permutations(range(len(d_image)))), dtype=np.float32)
    return Scored(d_image, d_boxes, scores), Boxes(o_image, o_boxes, difficult), n_images


@given(cases(ties=False))
def test_equals_the_devkit(case: Case) -> None:
    """Outcomes are those of the devkit's loops, and so are both average precisions."""
    detections, those, _ = case
    order = np.argsort(-detections.scores, kind="stable")
    devkit = Devkit.run(detections, those, order)
    outcome = match(detections, those)
    assert outcome[order].tolist() == [t - f for t, f in zip(devkit.tp, devkit.fp, strict=True)]
    found = average_precisions(detections.scores, outcome, devkit.npos)
    if devkit.npos == 0:
        assert found == (None, None)
    else:
        assert found == pytest.approx(devkit.aps(), abs=1e-12)


@given(cases(ties=True), st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(case: Case, random: object) -> None:
    """With many equal scores, any order of the rows gives the same average precision."""
    detections, those, n_images = case
    shuffled = list(range(len(detections.image)))
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    other = Scored(
        detections.image[shuffled], detections.boxes[shuffled], detections.scores[shuffled]
    )
    both = [evaluate(["a"], [those], [rows], n_images=n_images) for rows in (detections, other)]
    assert both[0].map_11 == both[1].map_11
    assert both[0].map_all == both[1].map_all


@given(cases(ties=True))
def test_equal_scores_enter_as_one_block(case: Case) -> None:
    """Equal scores give the precision after all of them: no order of the devkit's gets more."""
    detections, those, _ = case
    outcome, n = match(detections, those), int((~those.difficult).sum())
    if n == 0:
        return
    at_11, at_all = 0.0, 0.0
    levels = sorted(set(detections.scores.tolist()), reverse=True)
    points = []
    for level in levels:
        taken = outcome[detections.scores >= level]
        hits = int((taken > 0).sum())
        points.append((hits, hits / max(1, int((taken != 0).sum()))))
    for t in range(11):
        at_11 += max([p for hits, p in points if 10 * hits >= t * n], default=0) / 11
    before = 0
    for i, (hits, _) in enumerate(points):
        at_all += (hits - before) / n * max(p for _, p in points[i:])
        before = hits
    found = average_precisions(detections.scores, outcome, n)
    assert found == pytest.approx((at_11, at_all), abs=1e-12)


@given(cases(ties=False))
def test_iou_equals_torchvision(case: Case) -> None:
    """IoU in whole pixels is that of boxes that end where their last pixel does."""
    torch = pytest.importorskip("torch")
    detections, those, _ = case
    add = np.array([0, 0, 1, 1])
    theirs = box_iou(
        torch.from_numpy(detections.boxes + add), torch.from_numpy(those.boxes + add)
    ).numpy()
    np.testing.assert_allclose(iou_matrix(detections.boxes, those.boxes), theirs, rtol=1e-12)


def test_equals_pycocotools() -> None:
    """Precision at 101 recalls is that of pycocotools, where objects are far from one another.

    Where they overlap the definitions differ: COCO gives a detection the best object that is left.
    """
    pytest.importorskip("pycocotools", reason="pycocotools compares average precision")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    rng = np.random.default_rng(3)
    o_image, cell = np.divmod(np.arange(60), 6)
    corner = np.stack([1 + 100 * cell, np.full(60, 10)], axis=1)
    o_boxes = np.concatenate([corner, corner + rng.integers(20, 40, (60, 2))], axis=1) * 1.0
    near = rng.integers(0, 60, 150)
    d_boxes: NDArray[np.float64] = o_boxes[near] + rng.integers(-9, 10, (150, 4))
    scores = rng.permutation(150).astype(np.float32)
    detections = Scored(o_image[near], d_boxes, scores)
    outcome = match(detections, Boxes(o_image, o_boxes, np.zeros(60, dtype=bool)))
    curve = precision_recall(scores, outcome, 60)

    def xywh(boxes: NDArray[np.float64]) -> list[list[float]]:
        return [[b[0], b[1], b[2] - b[0] + 1, b[3] - b[1] + 1] for b in boxes.tolist()]

    with redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": i + 1} for i in range(10)],
            "categories": [{"id": 1}],
            "annotations": [
                {"id": n + 1, "image_id": int(i) + 1, "category_id": 1, "bbox": b,
                 "area": b[2] * b[3], "iscrowd": 0}
                for n, (i, b) in enumerate(zip(o_image, xywh(o_boxes), strict=True))
            ],
        }  # fmt: skip
        truth.createIndex()
        results = [
            {"image_id": int(i) + 1, "category_id": 1, "bbox": b, "score": float(s)}
            for i, b, s in zip(detections.image, xywh(d_boxes), scores, strict=True)
        ]
        coco = COCOeval(truth, truth.loadRes(results), "bbox")
        coco.params.iouThrs = np.array([0.5])
        coco.evaluate()
        coco.accumulate()
    theirs = coco.eval["precision"][0, :, 0, 0, 2]  # (101,): all areas, at most 100 an image
    best = np.maximum.accumulate(curve.precision[::-1])[::-1]
    at = np.searchsorted(curve.recall, coco.params.recThrs, side="left")
    ours = np.append(best, 0)[at]
    assert 0.3 < ours.mean() < 0.95  # neither empty nor perfect
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_perfect_detections() -> None:
    """Each object found once, and nothing else, gives a mean AP of 1."""
    rng = np.random.default_rng(0)
    corner = rng.integers(1, 300, (40, 2))
    boxes = np.concatenate([corner, corner + rng.integers(0, 90, (40, 2))], axis=1).astype(float)
    image, name = np.arange(40) % 7, np.arange(40) % 3
    those = [objects(image[name == c].tolist(), boxes[name == c].tolist()) for c in range(3)]
    found = [
        scored(o.image.tolist(), o.boxes.tolist(), rng.normal(size=len(o.image)).tolist())
        for o in those
    ]
    evaluation = evaluate(["a", "b", "c"], those, found, n_images=7)
    assert evaluation.map_11 == pytest.approx(1, abs=1e-12)
    assert evaluation.map_all == pytest.approx(1, abs=1e-12)


def test_everything_found_twice() -> None:
    """Four objects, each found twice in a row: precisions 1, 2/3, 3/5, 4/7 at recalls 1/4 to 1."""
    boxes = [[1.0 + 100 * i, 1, 50 + 100 * i, 50] for i in range(4)]
    those = objects([0, 0, 1, 1], boxes)
    twice = [box for box in boxes for _ in range(2)]
    found = scored([0, 0, 0, 0, 1, 1, 1, 1], twice, [8, 7, 6, 5, 4, 3, 2, 1])
    evaluation = evaluate(["a"], [those], [found], n_images=2)
    assert evaluation.classes[0].outcome.tolist() == [1, -1] * 4
    # recalls 0, 0.1, 0.2 | 0.3, 0.4, 0.5 | 0.6, 0.7 | 0.8, 0.9, 1
    by_hand = (3 * 1 + 3 * 2 / 3 + 2 * 3 / 5 + 3 * 4 / 7) / 11
    assert evaluation.map_11 == pytest.approx(by_hand)
    assert evaluation.map_all == pytest.approx((1 + 2 / 3 + 3 / 5 + 4 / 7) / 4)


def test_the_second_largest_overlap_does_not_count() -> None:
    """A detection whose nearest object is taken is wrong, although it also meets another."""
    those = objects([0, 0], [[1, 1, 10, 10], [4, 1, 13, 10]])
    # both overlap the first object more (1 and 9/11) than the second (7/13 and 8/12)
    found = scored([0, 0], [[1, 1, 10, 10], [2, 1, 11, 10]], [2, 1])
    assert match(found, those).tolist() == [1, -1]


def test_difficult_objects() -> None:
    """What finds a difficult object is neither right nor wrong, however often it does."""
    those = objects([0, 0], [[1, 1, 10, 10], [50, 50, 60, 60]], [True, False])
    found = scored([0, 0, 0], [[1, 1, 10, 10], [1, 1, 10, 9], [50, 50, 60, 60]], [3, 2, 1])
    evaluation = evaluate(["a"], [those], [found], n_images=1)
    assert evaluation.classes[0].outcome.tolist() == [0, 0, 1]
    assert evaluation.map_11 == 1
    assert (evaluation.classes[0].n_objects, evaluation.classes[0].n_difficult) == (1, 1)


def test_a_class_without_objects_is_left_out() -> None:
    """A class of which there is nothing, or only something difficult, is not in the mean."""
    nothing, hard = objects([], []), objects([0], [[1, 1, 9, 9]], [True])
    one = objects([0], [[1, 1, 9, 9]])
    found = scored([0], [[1, 1, 9, 9]], [1.0])
    evaluation = evaluate(["a", "b", "c"], [nothing, hard, one], [found] * 3, n_images=1)
    assert evaluation.left_out == ("a", "b")
    assert [c.ap_11 for c in evaluation.classes] == [None, None, 1]
    assert evaluation.map_11 == evaluation.map_all == 1
    alone = evaluate(["a"], [nothing], [found], n_images=1)
    assert alone.map_11 is None
    assert alone.map_all is None


def test_images_without_objects() -> None:
    """A detection in an image that shows nothing is wrong."""
    those = objects([1], [[1, 1, 9, 9]])
    found = scored([0, 1], [[1, 1, 9, 9], [1, 1, 9, 9]], [2, 1])
    evaluation = evaluate(["a"], [those], [found], n_images=2)
    assert evaluation.classes[0].outcome.tolist() == [-1, 1]
    assert evaluation.map_11 == pytest.approx(0.5)


def test_nothing_is_found() -> None:
    """Objects without any detection give 0."""
    evaluation = evaluate(["a"], [objects([0], [[1, 1, 9, 9]])], [scored([], [], [])], n_images=1)
    assert (evaluation.map_11, evaluation.map_all) == (0, 0)
    assert len(evaluation.classes[0].curve.recall) == 0


def test_boxes_of_one_pixel_and_at_the_border() -> None:
    """A box of one pixel is found by itself, and not by a box of three pixels around it."""
    those = objects([0, 0], [[1, 1, 1, 1], [491, 366, 500, 375]])
    found = scored([0, 0, 0], [[1, 1, 1, 1], [1, 1, 3, 1], [491, 366, 500, 375]], [3, 2, 1])
    assert match(found, those).tolist() == [1, -1, 1]


def test_bootstrap_equals_repeating_images(seed: int) -> None:
    """A draw's mean AP is that of the evaluation on the drawn images, repeated as often."""
    rng = np.random.default_rng(seed)
    evaluation = _random_evaluation(rng, n_images=12)
    at_11, at_all = bootstrap(evaluation, replicates=20, seed=seed)
    times = np.random.default_rng(seed).multinomial(12, np.full(12, 1 / 12), size=20)
    for draw, (found_11, found_all) in zip(times, zip(at_11, at_all, strict=True), strict=True):
        classes = []
        for c in evaluation.classes:
            rows = np.repeat(np.arange(len(c.image)), draw[c.image])
            n = int(draw @ c.n_objects_of_image)
            classes.append(average_precisions(c.scores[rows], c.outcome[rows], n))
        there = [(a, b) for a, b in classes if a is not None and b is not None]
        expected = np.mean(there, axis=0)
        assert (found_11, found_all) == pytest.approx(tuple(expected), abs=1e-12)


def _random_evaluation(rng: np.random.Generator, *, n_images: int) -> Evaluation:
    """Draw three classes: objects, and detections of which some are right, with equal scores."""
    classes = []
    for name in "abc":
        objects_of = rng.integers(0, 3, n_images)
        image = rng.integers(0, n_images, 60)
        outcome = np.full(60, -1, dtype=np.int8)
        for i in range(n_images):
            mine = np.flatnonzero(image == i)
            outcome[mine[: objects_of[i]]] = 1
            outcome[mine[objects_of[i] :]] = rng.choice([-1, 0], len(mine[objects_of[i] :]))
        scores = rng.integers(0, 12, 60).astype(np.float32)
        aps = average_precisions(scores, outcome, int(objects_of.sum()))
        classes.append(ClassEvaluation(name, *aps, 0, objects_of, image, scores, outcome))
    return Evaluation(tuple(classes), n_images)


def test_bootstrap_without_objects() -> None:
    """A draw without any object has no mean AP."""
    those = objects([0], [[1, 1, 9, 9]])
    evaluation = evaluate(["a"], [those], [scored([], [], [])], n_images=2)
    at_11, at_all = bootstrap(evaluation, replicates=50)
    assert np.isnan(at_11).any()
    assert set(at_11[~np.isnan(at_11)]) == {0.0}
    assert np.array_equal(np.isnan(at_11), np.isnan(at_all))


def test_curve() -> None:
    """Points where something right is found, with the score that finds it."""
    outcome = np.array([1, -1, 1, -1], dtype=np.int8)
    curve = precision_recall(np.array([0.9, 0.8, 0.7, 0.6], dtype=np.float32), outcome, 4)
    assert curve.recall.tolist() == [0.25, 0.5]
    assert curve.precision.tolist() == [1, pytest.approx(2 / 3)]
    assert curve.scores.tolist() == pytest.approx([0.9, 0.7])


@given(cases(ties=False))
def test_results_are_read_back(tmp_path_factory: pytest.TempPathFactory, case: Case) -> None:
    """What is written in the devkit's format is read back to the last bit, best first."""
    detections, _, n_images = case
    scores = (detections.scores / np.float32(3)).astype(np.float32)
    found = Scored(detections.image, detections.boxes / 7, scores)
    folder, ids = tmp_path_factory.mktemp("r"), [f"{i:06d}" for i in range(n_images)]
    (file,) = write_results(folder, ["cat"], [found], image_ids=ids)
    assert file.name == "comp3_det_test_cat.txt"
    (back,), absent = read_results(folder, ["cat"], ids)
    assert absent == []
    order = np.lexsort((-scores, detections.image))
    assert back.image.tolist() == detections.image[order].tolist()
    assert back.boxes.tolist() == found.boxes[order].tolist()
    assert back.scores.astype(np.float32).tolist() == scores[order].tolist()


def test_lines_of_results(tmp_path: Path) -> None:
    """A line is the image, the score and the box, whole numbers without a point."""
    found = scored([0, 1], [[1, 2, 30, 40], [5, 6, 7.5, 8]], [-0.25, 1])
    (file,) = write_results(
        tmp_path, ["cat"], [found], image_ids=["000001", "000002"], competition="comp4"
    )
    assert file.name == "comp4_det_test_cat.txt"
    assert file.read_text() == "000001 -0.25 1 2 30 40\n000002 1 5 6 7.5 8\n"
    with pytest.raises(DataError, match="exists"):
        write_results(
            tmp_path, ["cat"], [found], image_ids=["000001", "000002"], competition="comp4"
        )
    with pytest.raises(DataError, match="space"):
        write_results(tmp_path, ["cat"], [found], image_ids=["a b", "c"], overwrite=True)


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("000009 1 1 2 3 4", "no image '000009' in the test part, which has 2 images"),
        ("000001 1 1 2 3", "expected an image, a score and xmin"),
        ("000001 high 1 2 3 4", "expected an image, a score and xmin"),
        ("000001 nan 1 2 3 4", "expected an image, a score and xmin"),
        ("000001 1 5 2 3 4", "ends before it begins"),
    ],
)
def test_bad_results(tmp_path: Path, line: str, match: str) -> None:
    """A line that is no detection in one of the images is named."""
    (tmp_path / "comp3_det_test_cat.txt").write_text(f"000001 1 1 2 3 4\n\n{line}\n")
    with pytest.raises(DataError, match=match) as error:
        read_results(tmp_path, ["cat"], ["000001", "000002"])
    assert "line 3" in str(error.value)


def test_results_that_are_not_there(tmp_path: Path) -> None:
    """No folder, no file, two files for a class; a class without one is told apart."""
    with pytest.raises(DataError, match="no folder"):
        read_results(tmp_path / "x", ["cat"], [])
    with pytest.raises(DataError, match="no results"):
        read_results(tmp_path, ["cat"], [])
    (tmp_path / "comp3_det_test_cat.txt").touch()
    (back, none), absent = read_results(tmp_path, ["cat", "dog"], [])
    assert (len(back.image), len(none.image), absent) == (0, 0, ["dog"])
    (tmp_path / "comp4_det_test_cat.txt").touch()
    with pytest.raises(DataError, match="several results for class 'cat'"):
        read_results(tmp_path, ["cat", "dog"], [])
