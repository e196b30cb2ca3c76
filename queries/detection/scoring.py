"""Find objects with a detector: score proposals, suppress, keep the best; store what is found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fstore.queries.detection.detector import Detector
from fstore.queries.detection.nms import MAX_IOU, nms
from fstore.queries.detection.regions import DetectionSet, Regions, runs
from fstore.queries.detection.training import Features
from fstore.queries.detection.voc_eval import Boxes, Evaluation, Scored, evaluate
from fstore.store.schema import BOX, TABLES
from fstore.store.tables import replace_rows
from fstore.types import FloatArray, OnProgress

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = [
    "PER_IMAGE",
    "Keep",
    "best_boxes",
    "detect",
    "evaluate_set",
    "read_detections",
    "store_detections",
]

PER_IMAGE = 100
"""At most so many boxes an image and class are kept (R-CNN)."""


@dataclass(frozen=True, kw_only=True)
class Keep:
    """What stays of an image's boxes, class by class.

    Attributes
    ----------
    max_iou : float
        A box that overlaps a better one by more is suppressed.
    per_image : int
        So many of those left at most.
    min_score : float or None
        What scores less is dropped before.
    """

    max_iou: float = MAX_IOU
    per_image: int = PER_IMAGE
    min_score: float | None = None


def best_boxes(boxes: FloatArray, scores: NDArray[np.float32], keep: Keep) -> NDArray[np.intp]:
    """Return which boxes of an image stay for one class: not suppressed, and among the best.

    Parameters
    ----------
    boxes : array of shape (n, 4)
    scores : array of shape (n,)
    keep : Keep

    Returns
    -------
    array of shape (n_kept,), int
        By decreasing score.
    """
    limit = -np.inf if keep.min_score is None else keep.min_score
    able = np.flatnonzero(scores >= limit)
    return able[nms(boxes[able], scores[able], max_iou=keep.max_iou, limit=keep.per_image)]


def detect(
    store: "Store",
    detector: Detector,
    images: DetectionSet,
    *,
    keep: Keep | None = None,
    on_progress: OnProgress | None = None,
) -> list[Scored]:
    """Score all proposals of some images and keep the best that do not overlap, class by class.

    Memory: a block of features, the scores of images that are not complete yet, and what is found.

    Parameters
    ----------
    store : Store
    detector : Detector
    images : DetectionSet
    keep : Keep or None
    on_progress : callable or None

    Returns
    -------
    list of Scored, one a class of the detector, ``image`` a place in ``images.images``

    Raises
    ------
    UnknownNameError
        Activations of the proposals are not there; the message has the command that makes them.
    """
    kept = _Found(len(detector.classes), keep or Keep())
    total, done = sum(len(r.ids) for r in images.regions), 0
    features = Features(
        detector.network, detector.ckpt, detector.layer, detector.ablation, detector.shuffle_seed
    )
    for regions in images.regions:
        if len(regions.ids) == 0:
            continue
        whole = _Whole(regions)
        for ids, X in features.rows(store, regions.dataset, "proposal", ids=regions.ids):
            for image, at, scores in whole.add(ids, detector.scores(X)):
                kept.add(image, regions.boxes[at], scores)
            done += len(ids)
            if on_progress is not None:
                on_progress("scoring", done, total, regions.dataset)
        for image, at, scores in whole.rest():
            kept.add(image, regions.boxes[at], scores)
    return kept.result()


class _Whole:
    """Puts the scores of an image together: its proposals may be in several files."""

    def __init__(self, regions: Regions) -> None:
        self._regions = regions
        self._missing = {
            int(image): count
            for image, count in zip(*np.unique(regions.image, return_counts=True), strict=True)
        }
        self._parts: dict[int, list[tuple[NDArray[np.intp], NDArray[np.float32]]]] = {}

    def add(
        self, ids: NDArray[np.int64], scores: NDArray[np.float32]
    ) -> list[tuple[int, NDArray[np.intp], NDArray[np.float32]]]:
        """Take scores of some proposals; return the images that are complete by them."""
        at = np.searchsorted(self._regions.ids, ids)
        complete = []
        for start, end in runs(self._regions.image[at]):
            image = int(self._regions.image[at[start]])
            self._parts.setdefault(image, []).append((at[start:end], scores[start:end]))
            self._missing[image] -= end - start
            if self._missing[image] == 0:
                complete.append(self._take(image))
        return complete

    def rest(self) -> list[tuple[int, NDArray[np.intp], NDArray[np.float32]]]:
        """Return the images some of whose proposals could not be read."""
        return [self._take(image) for image in sorted(self._parts)]

    def _take(self, image: int) -> tuple[int, NDArray[np.intp], NDArray[np.float32]]:
        parts = self._parts.pop(image)
        at, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(at)  # equal scores: the first proposal is the better one
        return image, at[order], scores[order]


class _Found:
    """Detections as they come, by class."""

    def __init__(self, n_classes: int, keep: Keep) -> None:
        self._keep = keep
        self._parts: list[list[tuple[int, FloatArray, FloatArray]]] = [[] for _ in range(n_classes)]

    def add(self, image: int, boxes: NDArray[np.float64], scores: NDArray[np.float32]) -> None:
        """Keep the best boxes of an image for every class."""
        for parts, of_class in zip(self._parts, scores.T, strict=True):
            kept = best_boxes(boxes, of_class, self._keep)
            parts.append((image, boxes[kept], of_class[kept]))

    def result(self) -> list[Scored]:
        """Return all of them."""
        return [_joined(parts) for parts in self._parts]


def _joined(parts: Sequence[tuple[int, FloatArray, FloatArray]]) -> Scored:
    image = [np.full(len(scores), i, dtype=np.intp) for i, _, scores in parts]
    none = np.empty((0, 4)), np.empty(0, dtype=np.float32)
    return Scored(
        np.concatenate([np.empty(0, dtype=np.intp), *image]),
        np.concatenate([none[0], *(boxes for _, boxes, _ in parts)]),
        np.concatenate([none[1], *(scores for _, _, scores in parts)]),
    )


def evaluate_set(
    images: DetectionSet, classes: Sequence[str], detections: Sequence[Scored]
) -> Evaluation:
    """Evaluate detections of some classes in some images; see :func:`voc_eval.evaluate`."""
    objects = [Boxes(*images.objects_of(images.classes.index(name))) for name in classes]
    return evaluate(classes, objects, detections, n_images=len(images.images))


def store_detections(
    store: "Store",
    detector: str,
    images: DetectionSet,
    *,
    classes: Sequence[str],
    detections: Sequence[Scored],
) -> int:
    """Write detections to table ``detections``, in place of the detector's earlier ones there.

    Returns
    -------
    int
        Rows; they take about 200 bytes each while they are written.
    """
    datasets = np.array([dataset for dataset, _ in images.images])
    names = pa.array([name for _, name in images.images], pa.string())
    rows = 0
    for dataset in dict.fromkeys(datasets.tolist()):
        tables = []
        for label, scored in zip(classes, detections, strict=True):
            mine = datasets[scored.image] == dataset
            constants = {"dataset": dataset, "detector": detector, "class": label}
            tables.append(_table(constants, scored, names, mine=mine))
        table = pa.concat_tables([TABLES["detections"].schema.empty_table(), *tables])
        replace_rows(store.place, "detections", table, dataset=dataset, detector=detector)
        rows += table.num_rows
    return rows


def _table(
    constants: Mapping[str, str], scored: Scored, image_ids: pa.Array, *, mine: NDArray[np.bool_]
) -> pa.Table:
    """Return the rows of one class in one data set."""
    boxes = np.asarray(scored.boxes[mine], dtype=np.float64)
    n = len(boxes)
    sides = [pa.array(np.ascontiguousarray(column)) for column in boxes.T]
    columns = {
        **{column: pa.repeat(value, n) for column, value in constants.items()},
        "image_id": image_ids.take(pa.array(scored.image[mine])),
        "score": pa.array(scored.scores[mine].astype(np.float32)),
        "box": pa.StructArray.from_arrays(sides, fields=list(BOX)),
    }
    return pa.table(columns).select(TABLES["detections"].schema.names)


def read_detections(
    store: "Store", detector: str, images: DetectionSet, *, classes: Sequence[str]
) -> list[Scored]:
    """Read stored detections of some images; those of other images are passed over.

    Returns
    -------
    list of Scored, one a class
    """
    import pyarrow.compute as pc

    tables = {
        dataset: store.rows("detections", dataset=dataset, detector=detector)
        for dataset in dict.fromkeys(dataset for dataset, _ in images.images)
    }
    parts: list[list[tuple[pa.Table, NDArray[np.intp]]]] = [[] for _ in classes]
    for dataset, table in tables.items():
        at = [i for i, (d, _) in enumerate(images.images) if d == dataset]
        names = pa.array([images.images[i][1] for i in at], pa.string())
        place = pc.index_in(table["image_id"], names)
        wanted = table.append_column("place", place).filter(pc.is_valid(place))
        for label, name in enumerate(classes):
            mine = wanted.filter(pc.equal(wanted["class"], name))
            parts[label].append((mine, np.array(at)[mine["place"].to_numpy()]))
    return [_scored(lists) for lists in parts]


def _scored(parts: Sequence[tuple[pa.Table, NDArray[np.intp]]]) -> Scored:
    tables = [table for table, _ in parts]
    box = pa.concat_tables(tables)["box"].combine_chunks()
    boxes = np.stack([box.field(i).to_numpy() for i in range(4)], axis=1)
    scores = np.concatenate([table["score"].to_numpy() for table in tables])
    return Scored(np.concatenate([image for _, image in parts]).astype(np.intp), boxes, scores)
