"""Are detections right? Matching and average precision by the rules of PASCAL VOC."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fstore.pixels.boxes import iou_matrix
from fstore.types import FloatArray

__all__ = [
    "MIN_IOU",
    "Boxes",
    "ClassEvaluation",
    "Curve",
    "Evaluation",
    "Scored",
    "average_precisions",
    "bootstrap",
    "evaluate",
    "match",
    "precision_recall",
]

MIN_IOU = 0.5
"""A detection is right if it overlaps an object by this or more."""

REPLICATE_VALUES = 1 << 22
"""Of a bootstrap: detections times replicates that are held at a time, about 100 MB."""


@dataclass(frozen=True, slots=True)
class Boxes:
    """Objects of one class.

    Attributes
    ----------
    image : array of shape (n,), int
        Which image each is in, a number from 0.
    boxes : array of shape (n, 4), float64
        ``xmin, ymin, xmax, ymax`` in pixels, last pixel included.
    difficult : array of shape (n,), bool
        Neither to be found nor wrong to be found.
    """

    image: NDArray[np.intp]
    boxes: NDArray[np.float64]
    difficult: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Scored:
    """Detections of one class; arrays of shape (n,), (n, 4) and (n,), in any order."""

    image: NDArray[np.intp]
    boxes: NDArray[np.float64]
    scores: FloatArray


@dataclass(frozen=True, slots=True)
class Curve:
    """Precision and recall, a point for each score at which something right is found.

    Attributes
    ----------
    scores : array of shape (n_points,)
        Descending.
    recall, precision : arrays of shape (n_points,), float64
        Of all detections that score as much or more, 0 to 1.
    """

    scores: FloatArray
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClassEvaluation:
    """How well one class is detected.

    ``ap_11`` and ``ap_all`` are from 0 to 1, or None where the test images show no object of the
    class that is not difficult: such a class is left out of the mean. ``image``, ``scores`` and
    ``outcome`` (1 right, -1 wrong, 0 a difficult object) are those of the detections.
    """

    name: str
    ap_11: float | None
    ap_all: float | None
    n_difficult: int
    n_objects_of_image: NDArray[np.int64]
    image: NDArray[np.intp]
    scores: FloatArray
    outcome: NDArray[np.int8]

    @property
    def n_objects(self) -> int:
        """Objects that are not difficult."""
        return int(self.n_objects_of_image.sum())

    @property
    def curve(self) -> Curve:
        """Precision and recall."""
        return precision_recall(self.scores, self.outcome, self.n_objects)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well all classes are detected in ``n_images`` images."""

    classes: tuple[ClassEvaluation, ...]
    n_images: int

    @property
    def left_out(self) -> tuple[str, ...]:
        """Classes without an object to find."""
        return tuple(c.name for c in self.classes if c.ap_11 is None)

    @property
    def map_11(self) -> float | None:
        """Mean 11-point AP, 0 to 1; None if every class is left out."""
        aps = [c.ap_11 for c in self.classes if c.ap_11 is not None]
        return float(np.mean(aps)) if aps else None

    @property
    def map_all(self) -> float | None:
        """Mean all-points AP, 0 to 1; None if every class is left out."""
        aps = [c.ap_all for c in self.classes if c.ap_all is not None]
        return float(np.mean(aps)) if aps else None


def evaluate(
    classes: Sequence[str],
    objects: Sequence[Boxes],
    detections: Sequence[Scored],
    *,
    n_images: int,
    min_iou: float = MIN_IOU,
) -> Evaluation:
    """Return the average precision of every class.

    Parameters
    ----------
    classes : sequence of str
    objects, detections : sequences of Boxes and Scored, one a class
    n_images : int
        All that are looked at, with and without objects.
    min_iou : float
        What it takes to be right.

    References
    ----------
    Everingham et al. 2010, doi:10.1007/s11263-009-0275-4, section 4.2; the devkit's VOCevaldet.
    Differs: equal scores enter as one block, and not in the order of the rows.
    """
    evaluations = []
    for name, those, scored in zip(classes, objects, detections, strict=True):
        outcome = match(scored, those, min_iou=min_iou)
        plain = np.bincount(those.image[~those.difficult], minlength=n_images)
        aps = average_precisions(scored.scores, outcome, int(plain.sum()))
        n_difficult = int(those.difficult.sum())
        evaluations.append(
            ClassEvaluation(name, *aps, n_difficult, plain, scored.image, scored.scores, outcome)
        )
    return Evaluation(tuple(evaluations), n_images)


def match(detections: Scored, objects: Boxes, *, min_iou: float = MIN_IOU) -> NDArray[np.int8]:
    """Say which detections of one class are right.

    A detection belongs to the object of its image that it overlaps most (the first of equals). It
    is right if that overlap is large enough and no better detection has that object, ignored if
    the object is difficult, wrong otherwise: also if it is the second to find its object, and the
    second-largest overlap does not count.

    Parameters
    ----------
    detections : Scored
    objects : Boxes
    min_iou : float

    Returns
    -------
    array of shape (n_detections,), int8
        1 right, -1 wrong, 0 ignored. Of equal scores that find one object the one that stands
        first is right.
    """
    order = np.lexsort((-detections.scores, detections.image))  # stable: first of equals first
    outcome = np.full(len(order), -1, dtype=np.int8)
    by_image = np.argsort(objects.image, kind="stable")
    images, starts = np.unique(objects.image[by_image], return_index=True)
    for image, theirs in zip(images, np.split(by_image, starts)[1:], strict=True):
        low, high = np.searchsorted(detections.image[order], [image, image + 1])
        mine = order[low:high]
        if len(mine):
            iou = iou_matrix(detections.boxes[mine], objects.boxes[theirs])
            outcome[mine] = _outcome(iou, objects.difficult[theirs], min_iou)
    return outcome


def _outcome(
    iou: NDArray[np.float64], difficult: NDArray[np.bool_], min_iou: float
) -> NDArray[np.int8]:
    """Judge the detections of one image, best first; iou of shape (n_detections, n_objects)."""
    nearest = iou.argmax(axis=1)
    close = iou.max(axis=1) >= min_iou
    outcome = np.full(len(iou), -1, dtype=np.int8)
    outcome[close & difficult[nearest]] = 0
    able = np.flatnonzero(close & ~difficult[nearest])
    _, first = np.unique(nearest[able], return_index=True)
    outcome[able[first]] = 1
    return outcome


def average_precisions(
    scores: FloatArray, outcome: NDArray[np.int8], n_objects: int
) -> tuple[float | None, float | None]:
    """Return average precision at 11 recalls (VOC 2007) and over all points (later ones).

    Parameters
    ----------
    scores : array of shape (n_detections,)
    outcome : array of shape (n_detections,)
        As :func:`match` gives it.
    n_objects : int
        Objects to be found.

    Returns
    -------
    ap_11, ap_all : float or None
        0 to 1; None without an object.
    """
    if n_objects == 0:
        return None, None
    starts, right, counted = _blocks(scores, outcome)
    if len(starts) == 0:
        return 0.0, 0.0
    at_11, at_all = _areas(
        np.cumsum(np.add.reduceat(right, starts))[None],
        np.cumsum(np.add.reduceat(counted, starts))[None],
        np.array([n_objects]),
    )
    return float(at_11[0]), float(at_all[0])


def precision_recall(scores: FloatArray, outcome: NDArray[np.int8], n_objects: int) -> Curve:
    """Return precision and recall where something right is found; see :class:`Curve`."""
    starts, right, counted = _blocks(scores, outcome)
    if len(starts) == 0 or n_objects == 0:
        none = np.empty(0)
        return Curve(none.astype(np.float32), none, none)
    hits = np.cumsum(np.add.reduceat(right, starts))
    taken = np.cumsum(np.add.reduceat(counted, starts))
    ends = np.append(starts[1:], len(right)) - 1
    return Curve(np.sort(scores)[::-1][ends], hits / n_objects, hits / taken)


def bootstrap(
    evaluation: Evaluation, *, replicates: int = 1000, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean APs of samples of images, drawn with replacement from those evaluated.

    Images are drawn whole, with their objects and detections, the same ones for all classes. A
    class of which a draw has no object is left out of that draw's mean.

    Parameters
    ----------
    evaluation : Evaluation
    replicates : int
        Draws.
    seed : int

    Returns
    -------
    map_11, map_all : arrays of shape (replicates,), float64
        0 to 1; NaN where a draw has no object at all.
    """
    draw = np.random.default_rng(seed)
    n = evaluation.n_images
    times = draw.multinomial(n, np.full(n, 1 / n), size=replicates)  # (replicates, n_images)
    aps = np.stack([_class_bootstrap(c, times) for c in evaluation.classes])
    defined = ~np.isnan(aps)  # (n_classes, 2, replicates)
    totals = np.where(defined, aps, 0).sum(axis=0)
    with np.errstate(invalid="ignore"):
        at_11, at_all = totals / defined.sum(axis=0)
    return at_11, at_all


def _class_bootstrap(evaluation: ClassEvaluation, times: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return 11-point and all-points AP of every draw, NaN without objects; (2, replicates)."""
    aps = np.full((2, len(times)), np.nan)
    objects = times @ evaluation.n_objects_of_image
    starts, right, counted = _blocks(evaluation.scores, evaluation.outcome)
    aps[:, objects > 0] = 0
    if len(starts) == 0:
        return aps
    image = evaluation.image[np.argsort(-evaluation.scores, kind="stable")][: len(right)]
    step = max(1, REPLICATE_VALUES // len(image))
    for at in range(0, len(times), step):
        drawn = np.flatnonzero(objects[at : at + step] > 0) + at
        weight = times[drawn][:, image]
        hits = np.cumsum(np.add.reduceat(weight * right, starts, axis=1), axis=1)
        taken = np.cumsum(np.add.reduceat(weight * counted, starts, axis=1), axis=1)
        aps[:, drawn] = _areas(hits, taken, objects[drawn])
    return aps


def _blocks(
    scores: FloatArray, outcome: NDArray[np.int8]
) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.int64]]:
    """Cut the ranking into pieces that end with a block of equal scores that has something right.

    Returns the pieces' starts, and for every detection, best first, whether it is right and
    whether it counts. What follows the last right one only lowers precision and is cut off, as
    are points between two right ones.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, right = scores[order], (outcome[order] > 0).astype(np.int64)
    counted = (outcome[order] != 0).astype(np.int64)
    block = np.cumsum(np.append(True, np.diff(ranked) != 0)[: len(ranked)]) - 1
    hit = np.unique(block[right > 0])
    ends = np.searchsorted(block, hit, side="right")
    last = ends[-1] if len(ends) else 0
    starts = np.append(0, ends[:-1]).astype(np.intp)[: len(ends)]
    return starts, right[:last], counted[:last]


def _areas(
    hits: NDArray[np.int64], taken: NDArray[np.int64], objects: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return 11-point and all-points AP of each row of right ones and of counted ones so far."""
    with np.errstate(invalid="ignore"):
        precision = np.where(taken > 0, hits / taken, 0)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    # in whole numbers: 3 of 10 reach a recall of 0.3, which floating point may miss
    reached = np.diff(10 * hits // objects[:, None], axis=1, prepend=-1)
    gained = np.diff(hits, axis=1, prepend=0)
    return (best * reached).sum(axis=1) / 11, (best * gained).sum(axis=1) / objects
