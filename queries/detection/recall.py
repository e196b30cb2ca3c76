"""How many objects a list of proposals finds, by its length and by the overlap asked for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["COUNTS", "THRESHOLDS", "best_overlaps", "recall_rows"]

COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 300, 500, 1000, 2000, 5000)
"""Proposals an image at which recall is told, and all of them."""

THRESHOLDS = tuple(t / 100 for t in range(50, 101, 5))
"""Overlaps (IoU) that an object must reach to be found."""

RESAMPLES = 1000


def best_overlaps(iou: NDArray[np.floating], counts: Sequence[int]) -> NDArray[np.float32]:
    """Best overlap of each object with the first proposals of its image.

    Parameters
    ----------
    iou : array of shape (n_proposals, n_objects)
        Of one image, proposals by rank.
    counts : sequence of int
        Ascending, from 1.

    Returns
    -------
    array of shape (n_objects, len(counts)), float32
    """
    n = len(iou)
    if n == 0 or iou.shape[1] == 0:
        return np.zeros((iou.shape[1], len(counts)), dtype=np.float32)
    best = np.maximum.accumulate(iou, axis=0)
    return best[[min(c, n) - 1 for c in counts]].T.astype(np.float32)


def recall_rows(
    best: NDArray[np.float32],
    images: NDArray[np.integer],
    counts: Sequence[int],
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Share of objects that the first proposals of their image find.

    Parameters
    ----------
    best : array of shape (n_objects, len(counts)), float32
        As :func:`best_overlaps`.
    images : array of shape (n_objects,)
        Which image an object is in.
    counts : sequence of int
        Proposals an image.
    thresholds : sequence of float
        Overlaps, from 0 to 1.
    seed : int
        Of the bootstrap.

    Returns
    -------
    list of dict
        ``proposals``, ``iou``, ``recall`` (None without objects), ``low`` and ``high`` (95 %
        bootstrap over the images that have objects, 1,000 resamples), ``objects``, ``images``.
    """
    asked = np.asarray(thresholds, dtype=np.float32)  # overlaps are stored as float32, too
    overlapped = best[:, :, None] >= asked  # (objects, counts, thresholds)
    names, place = np.unique(images, return_inverse=True)
    low, high = _interval(overlapped, place, len(names), seed=seed)
    return [
        {
            "proposals": count,
            "iou": threshold,
            "recall": float(overlapped[:, i, j].mean()) if len(overlapped) else None,
            "low": float(low[i, j]) if len(overlapped) else None,
            "high": float(high[i, j]) if len(overlapped) else None,
            "objects": len(overlapped),
            "images": len(names),
        }
        for i, count in enumerate(counts)
        for j, threshold in enumerate(thresholds)
    ]


def _interval(
    overlapped: NDArray[np.bool_], place: NDArray[np.intp], n_images: int, *, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """2.5th and 97.5th percentile of recall when images are drawn again, each (counts, iou)."""
    shape = overlapped.shape[1:]
    if len(overlapped) == 0:
        return np.zeros(shape), np.zeros(shape)
    hits = np.zeros((n_images, int(np.prod(shape))))
    np.add.at(hits, place, overlapped.reshape(len(overlapped), -1))
    objects = np.bincount(place, minlength=n_images).astype(np.float64)
    random = np.random.default_rng(seed)
    drawn = random.multinomial(n_images, np.full(n_images, 1 / n_images), size=RESAMPLES)
    recalls = (drawn @ hits) / (drawn @ objects)[:, None]
    low, high = np.percentile(recalls, [2.5, 97.5], axis=0)
    return low.reshape(shape), high.reshape(shape)
