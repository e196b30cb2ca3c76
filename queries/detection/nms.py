"""Non-maximum suppression, counted in whole pixels as PASCAL VOC and R-CNN count them."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fstore.pixels.boxes import areas

__all__ = ["MAX_IOU", "nms"]

MAX_IOU = 0.3
"""Boxes that overlap a better one by more than this are dropped (R-CNN)."""


def nms(
    boxes: ArrayLike, scores: ArrayLike, *, max_iou: float = MAX_IOU, limit: int | None = None
) -> NDArray[np.intp]:
    """Return the boxes that are kept: no two of them overlap by more than ``max_iou``.

    The best box is kept, all that overlap it too much are dropped, and so on.

    Parameters
    ----------
    boxes : array of shape (n, 4)
        ``xmin, ymin, xmax, ymax`` in pixels, last pixel included.
    scores : array of shape (n,)
        Finite; of equal ones the box that stands first counts as the better.
    max_iou : float
        From 0 to 1.
    limit : int or None
        Stop after this many; they are the first of those kept without a limit.

    Returns
    -------
    array of shape (n_kept,), int
        Places in ``boxes``, by decreasing score.

    References
    ----------
    ``torchvision.ops.nms`` keeps the same boxes if 1 is added to every xmax and ymax.

    Examples
    --------
    >>> nms([[1, 1, 10, 10], [2, 1, 11, 10], [20, 20, 29, 29]], [0.5, 0.9, 0.1]).tolist()
    [1, 2]
    """
    where = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    left = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    area = areas(where)
    kept: list[int] = []
    while len(left) and (limit is None or len(kept) < limit):
        best, left = left[0], left[1:]
        kept.append(int(best))
        shared = _shared(where[best], where[left])
        left = left[shared <= max_iou * (area[best] + area[left] - shared)]
    return np.array(kept, dtype=np.intp)


def _shared(one: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pixels that a box shares with each of others."""
    sides = np.minimum(one[2:], others[:, 2:]) - np.maximum(one[:2], others[:, :2]) + 1
    sides = np.maximum(sides, 0)
    pixels: NDArray[np.float64] = sides[:, 0] * sides[:, 1]
    return pixels
