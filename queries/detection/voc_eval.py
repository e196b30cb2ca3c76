"""Are detections right? Matching and average precision by the rules of PASCAL VOC."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fstore.pixels.boxes import iou_matrix
from fstore.queries.methods.draws import (
    Ranking,
    areas,
    blocks,
    class_means,
    drawn_aps,
    draws,
)
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
    "by_chance",
    "evaluate",
    "match",
    "precision_recall",
]

MIN_IOU = 0.5
"""A detection is right if it overlaps an object by this or more."""


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


def by_chance(evaluation: Evaluation, *, orders: int = 20, seed: int = 0) -> list[float]:
    """Return the mean 11-point AP, 0 to 1, of what was found in random orders.

    Parameters
    ----------
    evaluation : Evaluation
        Of which each class keeps what it found, and which of it is right.
    orders, seed : int

    Returns
    -------
    list of float, one an order
        Empty if no class has an object to find.
    """
    random = np.random.default_rng(seed)
    found = [
        [
            average_precisions(random.random(len(c.outcome)), c.outcome, c.n_objects)[0]
            for _ in range(orders)
        ]
        for c in evaluation.classes
        if c.ap_11 is not None
    ]
    return [float(np.mean(aps)) for aps in zip(*found, strict=True)]


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
    starts, right, counted = blocks(scores, outcome)
    if len(starts) == 0:
        return 0.0, 0.0
    at_11, at_all = areas(
        np.cumsum(np.add.reduceat(right, starts))[None],
        np.cumsum(np.add.reduceat(counted, starts))[None],
        np.array([n_objects]),
    )
    return float(at_11[0]), float(at_all[0])


def precision_recall(scores: FloatArray, outcome: NDArray[np.int8], n_objects: int) -> Curve:
    """Return precision and recall where something right is found; see :class:`Curve`."""
    starts, right, counted = blocks(scores, outcome)
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
    times = draws(evaluation.n_images, replicates=replicates, seed=seed)
    at_11, at_all = class_means(
        [
            drawn_aps(Ranking(c.scores, c.outcome, c.image), times @ c.n_objects_of_image, times)
            for c in evaluation.classes
        ]
    )
    return at_11, at_all
