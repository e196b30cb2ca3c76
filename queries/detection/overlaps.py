"""How proposals meet labelled boxes, image after image, and how many objects they find."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fstore.pixels.boxes import iou_matrix
from fstore.queries.detection.recall import COUNTS, best_overlaps, recall_rows
from fstore.store.proposals import Overlaps, Proposals

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["Collector", "Objects", "ground_truth"]


@dataclass(frozen=True, slots=True)
class Objects:
    """Labelled boxes of one image.

    Attributes
    ----------
    ids : array of shape (n,), int64
        ``sample_id`` in view ``gt``.
    boxes : array of shape (n, 4), float64
    difficult : array of shape (n,), bool
    """

    ids: NDArray[np.int64]
    boxes: NDArray[np.float64]
    difficult: NDArray[np.bool_]


def ground_truth(store: "Store", dataset: str) -> dict[str, Objects]:
    """Return the labelled boxes of each image that has any, by image id."""
    if "gt" not in store.dataset(dataset).views:
        return {}
    rows = store.samples(dataset, "gt", ["sample_id", "image_id", "box", "difficult"]).to_pylist()
    grouped: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(row["image_id"], []).append(row)
    return {
        name: Objects(
            np.array([row["sample_id"] for row in mine], dtype=np.int64),
            np.array([list(row["box"].values()) for row in mine], dtype=np.float64),
            np.array([row["difficult"] for row in mine], dtype=bool),
        )
        for name, mine in grouped.items()
    }


class Collector:
    """Takes the proposals of one image after another; gives what a store registers.

    Parameters
    ----------
    objects : image id -> Objects
    max_proposals : int or None
        The first so many of an image are kept; recall is told of all.
    """

    def __init__(self, objects: Mapping[str, Objects], *, max_proposals: int | None = None) -> None:
        self._objects = objects
        self._most = max_proposals
        self._counts = sorted({*COUNTS, *([max_proposals] if max_proposals else [])})
        self._images: list[int] = []
        self._boxes: list[NDArray[np.float64]] = []
        self._met: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
        self._best: list[NDArray[np.float32]] = []
        self._best_image: list[int] = []
        self._longest = 0
        self.found = 0
        self.kept = 0

    def add(self, sample_id: int, image_id: str, boxes: NDArray[np.float64]) -> None:
        """Take the boxes of the next image.

        Parameters
        ----------
        sample_id : int
            Of the image, in view ``image``; ascending from call to call.
        image_id : str
        boxes : array of shape (n, 4), n at least 1
            Best first.
        """
        if (objects := self._objects.get(image_id)) is not None:
            self._compare(sample_id, boxes, objects)
        self._images.append(sample_id)
        self._boxes.append(boxes[: self._most])
        self.kept += len(self._boxes[-1])
        self.found += len(boxes)
        self._longest = max(self._longest, len(boxes))

    def _compare(self, sample_id: int, boxes: NDArray[np.float64], objects: Objects) -> None:
        iou = iou_matrix(boxes, objects.boxes)
        place, which = np.nonzero(iou[: self._most])
        self._met.append((place + self.kept, objects.ids[which], iou[place, which]))
        best = best_overlaps(iou[:, ~objects.difficult], [*self._counts, len(boxes)])
        self._best.append(best)
        self._best_image += [sample_id] * len(best)

    def proposals(self) -> Proposals:
        """Return what becomes samples."""
        counts = np.array([len(boxes) for boxes in self._boxes], dtype=np.int64)
        boxes = np.concatenate([np.empty((0, 4)), *self._boxes])
        return Proposals(np.array(self._images, dtype=np.int64), counts, boxes)

    def overlaps(self) -> Overlaps:
        """Return which of those meet which objects."""
        none = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0)
        proposal, gt, iou = zip(none, *self._met, strict=True)
        return Overlaps(np.concatenate(proposal), np.concatenate(gt), np.concatenate(iou))

    def recall(self, thresholds: Sequence[float]) -> list[dict[str, Any]]:
        """Return recall over all proposals, also those that are not kept.

        Returns
        -------
        list of dict
            As :func:`fstore.queries.detection.recall.recall_rows`; ``kept`` marks the number of
            proposals at which the kept lists end. Empty without objects.
        """
        if not self._best:
            return []
        counts = [c for c in self._counts if c < self._longest]
        best = np.concatenate(self._best)[:, [*range(len(counts)), len(self._counts)]]
        counts.append(self._longest)
        end = min(self._most or self._longest, self._longest)
        rows = recall_rows(best, np.array(self._best_image), counts, thresholds=thresholds)
        return [{**row, "kept": row["proposals"] == end} for row in rows]
