"""Boxes as arrays: areas and overlaps, counted in whole pixels as PASCAL VOC counts them."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["areas", "iou_matrix"]

Boxes = NDArray[np.float64]


def areas(boxes: ArrayLike) -> NDArray[np.float64]:
    """Pixels in each box: ``(xmax - xmin + 1) * (ymax - ymin + 1)``.

    Parameters
    ----------
    boxes : array of shape (n, 4)
        ``xmin, ymin, xmax, ymax``, last pixel included.

    Returns
    -------
    array of shape (n,), float64
    """
    rows = _rows(boxes)
    area: NDArray[np.float64] = (rows[:, 2] - rows[:, 0] + 1) * (rows[:, 3] - rows[:, 1] + 1)
    return area


def iou_matrix(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of every box of ``a`` with every box of ``b``.

    Parameters
    ----------
    a, b : arrays of shape (n, 4) and (m, 4)
        ``xmin, ymin, xmax, ymax`` in pixels, last pixel included; none of them empty.

    Returns
    -------
    array of shape (n, m), float64
        From 0 (no pixel in common) to 1 (the same box). It takes 8 n m bytes, and as much twice
        while it is made.

    Examples
    --------
    >>> float(iou_matrix([[1, 1, 10, 10]], [[6, 1, 15, 10]])[0, 0])  # 50 pixels of 150
    0.3333333333333333
    """
    one, other = _rows(a), _rows(b)
    both = _shared(one, other, 0)
    both *= _shared(one, other, 1)
    union = areas(one)[:, None] + areas(other)[None, :]
    union -= both
    both /= union
    return both


def _shared(a: Boxes, b: Boxes, axis: int) -> NDArray[np.float64]:
    """Pixels that the boxes share along one axis, at least 0; shape (n, m)."""
    last = np.minimum(a[:, None, axis + 2], b[None, :, axis + 2])
    last -= np.maximum(a[:, None, axis], b[None, :, axis])
    last += 1
    shared: NDArray[np.float64] = np.maximum(last, 0, out=last)
    return shared


def _rows(boxes: ArrayLike) -> Boxes:
    """Boxes as float64 of shape (n, 4), also when there is none."""
    return np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
