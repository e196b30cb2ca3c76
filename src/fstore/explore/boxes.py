"""Boxes of an image, ready to be laid over it: ground truth, a sample's own, detections."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fstore.explore.views import CORNERS, by_image, corners, shown_classes

if TYPE_CHECKING:
    from fstore.explore.contents import Contents

__all__ = ["detections", "detectors", "placed", "truth"]

OUTCOMES = {1: "right", 0: "not counted", -1: "wrong"}


def placed(box: Sequence[float], width: int, height: int) -> dict[str, float]:
    """Return where a box lies in its image, in percent: ``left``, ``top``, ``width``, ``height``.

    Parameters
    ----------
    box : sequence of four float
        ``xmin, ymin, xmax, ymax``, pixels from 1, the last included.
    width, height : int
        Of the image, pixels.

    Examples
    --------
    >>> placed((1, 1, 50, 100), 100, 200)
    {'left': 0.0, 'top': 0.0, 'width': 50.0, 'height': 50.0}
    """
    x0, y0, x1, y1 = box
    return {
        "left": 100 * (x0 - 1) / width,
        "top": 100 * (y0 - 1) / height,
        "width": 100 * (x1 - x0 + 1) / width,
        "height": 100 * (y1 - y0 + 1) / height,
    }


def truth(contents: "Contents", dataset: str, image_id: str) -> list[dict[str, Any]]:
    """Return an image's labelled boxes: ``sample``, ``class``, ``box``, ``difficult``."""
    rows = []
    for sample in by_image(contents, dataset, "gt").get(image_id, ()):
        row = contents.samples(dataset, "gt")[sample]
        classes = shown_classes(contents, dataset, "gt").get(sample, ())
        name = ", ".join(name for name, _ in classes)
        flagged = bool(row["difficult"])
        rows.append({"sample": sample, "class": name, "box": corners(row), "difficult": flagged})
    return rows


def detectors(contents: "Contents", dataset: str) -> list[str]:
    """Return the detectors of which detections in a data set are stored, by name."""
    return contents.kept(
        ("detectors", dataset), ("detections",), lambda: _detectors(contents, dataset)
    )


def _detectors(contents: "Contents", dataset: str) -> list[str]:
    rows = contents.store.sql(
        "SELECT DISTINCT detector FROM detections WHERE dataset = ? ORDER BY detector", [dataset]
    )
    return [str(row["detector"]) for row in rows.rows()]


def detections(
    contents: "Contents", dataset: str, image_id: str, detector: str
) -> list[dict[str, Any]]:
    """Return what a detector found in an image, best first, and whether it is right.

    By the rules of PASCAL VOC: an IoU of 0.5 with an object of the class that no better detection
    has; one that falls on a difficult object does not count.

    Returns
    -------
    list of dict
        ``class``, ``score``, ``box`` (corners) and ``outcome``: right, wrong, not counted.
    """
    what = ("detections", dataset, image_id, detector)
    return contents.kept(
        what,
        ("detections", "samples", "labels"),
        lambda: _detections(contents, dataset, image_id, detector),
    )


def _detections(
    contents: "Contents", dataset: str, image_id: str, detector: str
) -> list[dict[str, Any]]:
    rows = contents.store.sql(
        "SELECT class, score, box FROM detections "
        "WHERE dataset = ? AND image_id = ? AND detector = ? ORDER BY score DESC, class",
        [dataset, image_id, detector],
    )
    told = [{**row, "box": tuple(row["box"][k] for k in CORNERS)} for row in rows.rows()]
    objects = truth(contents, dataset, image_id)
    for name in dict.fromkeys(row["class"] for row in told):
        mine = [row for row in told if row["class"] == name]
        outcomes = _outcomes(mine, [o for o in objects if o["class"] == name])
        for row, outcome in zip(mine, outcomes, strict=True):
            row["outcome"] = outcome
    return told


def _outcomes(rows: Sequence[Mapping[str, Any]], objects: Sequence[Mapping[str, Any]]) -> list[str]:
    from fstore.queries.detection.voc_eval import Boxes, Scored, match

    scores = np.array([row["score"] for row in rows])
    found = Scored(np.zeros(len(rows), dtype=np.intp), _array(rows), scores)
    flags = np.array([o["difficult"] for o in objects], dtype=bool)
    there = Boxes(np.zeros(len(objects), dtype=np.intp), _array(objects), flags)
    return [OUTCOMES[int(outcome)] for outcome in match(found, there)]


def _array(rows: Sequence[Mapping[str, Any]]) -> "np.ndarray[Any, np.dtype[np.float64]]":
    return np.array([row["box"] for row in rows], dtype=np.float64).reshape(len(rows), 4)
