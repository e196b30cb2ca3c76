"""Where a filter responds, against where objects are: IoU of thresholded maps and boxes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError

if TYPE_CHECKING:
    from fstore.fields import Field

__all__ = ["QUANTILE", "Agreement", "Objects", "agreement", "stretch", "thresholds"]

QUANTILE = 0.005
"""The share of places of all images at which a filter responds more than its threshold."""


@dataclass(frozen=True, slots=True)
class Objects:
    """The objects of one image, on the grid on which maps and boxes are compared.

    Attributes
    ----------
    classes : array of shape (n_classes_shown,), int
        Columns of the classes that it has objects of, difficult ones too.
    inside, left_out : arrays of shape (n_classes_shown, grid * grid), float32
        1 where an object of the class is; 1 where there are difficult ones only: such points count
        for neither side.
    """

    classes: NDArray[np.int64]
    inside: NDArray[np.float32]
    left_out: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well filters and classes agree.

    Attributes
    ----------
    iou : array of shape (n_filters, n_classes), float64
        0 to 1; NaN where neither responds or is there.
    chance : array of shape (n_filters, n_classes), float64
        The IoU of as much response that does not depend on where the objects are.
    share : array of shape (n_filters,), float64
        The share of all points at which the filter is above its threshold.
    """

    iou: NDArray[np.float64]
    chance: NDArray[np.float64]
    share: NDArray[np.float64]


def thresholds(X: NDArray[np.float32], quantile: float = QUANTILE) -> NDArray[np.float64]:
    """Return the response that each filter exceeds at a share of its places, over all images.

    Parameters
    ----------
    X : array of shape (n_samples, n_filters, positions), float32
    quantile : float
        That share, between 0 and 1.

    Returns
    -------
    array of shape (n_filters,), float64
        Between two responses it is interpolated linearly.
    """
    return np.array(
        [np.quantile(X[:, c].ravel(), 1 - quantile) for c in range(X.shape[1])], dtype=np.float64
    )


def stretch(field: "Field", places: int, grid: int, *, down: bool) -> NDArray[np.float32]:
    """Return the weights that stretch one axis of a map over the input, linearly.

    A place's response lies at the middle of what the place sees. Beyond the outermost middles it
    stays as it is.

    Parameters
    ----------
    field : Field
        What places see of the input.
    places : int
        Along this axis.
    grid : int
        Points along the input, evenly: each is the middle of a stretch of input / grid pixels.
    down : bool
        Rows, not columns.

    Returns
    -------
    array of shape (grid, places), float32
        Rows sum to 1.
    """
    from fstore.fields import box_of

    boxes = [box_of(field, *((i, 0) if down else (0, i)), clip=False) for i in range(places)]
    middles = [(box[1] + box[3]) / 2 if down else (box[0] + box[2]) / 2 for box in boxes]
    points = (np.arange(grid) + 0.5) * field.input / grid
    columns = [np.interp(points, middles, own) for own in np.eye(places)]
    return np.stack(columns, axis=1).astype(np.float32)


def agreement(
    blocks: Iterable[tuple[NDArray[np.float32], NDArray[np.float64]]],
    objects: Sequence[Objects],
    *,
    weights: tuple[NDArray[np.float32], NDArray[np.float32]],
    n_classes: int,
) -> Agreement:
    """Return the IoU of each filter with each class, over all images together.

    Parameters
    ----------
    blocks : iterable of (X, T)
        X of shape (n_samples, n_filters, height, width): some filters' maps; T of shape
        (n_filters,): a point counts as a response where the stretched map is above it.
    objects : sequence of Objects, one a sample
    weights : pair of arrays of shapes (grid, height) and (grid, width)
        From :func:`stretch`.
    n_classes : int

    Raises
    ------
    DataError
        Numbers of samples differ.

    References
    ----------
    Bau et al. 2017, arXiv:1704.05796, section 2.3. Differs: boxes stand for masks, points of
    difficult objects are left out, and a point counts strictly above the threshold (a filter that
    is 0 at nearly all places would else count everywhere).
    """
    down, across = weights
    points = len(down) * len(across)
    inside, left_out = np.zeros(n_classes), np.zeros(n_classes)
    for one in objects:
        inside[one.classes] += one.inside.sum(axis=1)
        left_out[one.classes] += one.left_out.sum(axis=1)
    counts = [_counts(X, T, objects, down=down, across=across, k=n_classes) for X, T in blocks]
    own, shared, lost = (np.concatenate(each) for each in zip(*counts, strict=True))
    told = own[:, None] - lost  # points of the filter that count for a class
    union = told + inside - shared
    total = points * len(objects)
    by_luck = told * inside / np.maximum(total - left_out, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        iou, chance = shared / union, by_luck / (told + inside - by_luck)
    return Agreement(iou, chance, own / total)


def _counts(
    X: NDArray[np.float32],
    T: NDArray[np.float64],
    objects: Sequence[Objects],
    *,
    down: NDArray[np.float32],
    across: NDArray[np.float32],
    k: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the points of filters: all, those in objects, those left out."""
    if len(X) != len(objects):
        raise DataError(f"maps are of {len(X)} samples, objects of {len(objects)}")
    own, shared, lost = np.zeros(X.shape[1]), np.zeros((X.shape[1], k)), np.zeros((X.shape[1], k))
    above = X.max(axis=(2, 3)) > T  # a stretched map is nowhere above its largest response
    for maps, some, one in zip(X, above, objects, strict=True):
        at = np.flatnonzero(some)
        if not len(at):
            continue
        stretched = down @ maps[at] @ across.T  # (n, grid, grid)
        mask = (stretched > T[at, None, None]).reshape(len(at), -1).astype(np.float32)
        own[at] += mask.sum(axis=1)
        if len(one.classes):
            cells = np.ix_(at, one.classes)
            shared[cells] += mask @ one.inside.T
            lost[cells] += mask @ one.left_out.T
    return own, shared, lost
