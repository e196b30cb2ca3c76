"""A layer's samples in a plane: where they lie, what colour they have, which lie in an outline."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.queries.figures.parts import SHAPES
from fstore.queries.figures.vega import CATEGORIES
from fstore.store.files import ACTIVATIONS

if TYPE_CHECKING:
    from fstore.explore.contents import Contents, Labels
    from fstore.queries.methods.embedding import Embedding
    from fstore.store.files import Partition

__all__ = ["COLOURS", "Group", "Plane", "groups", "inside", "laid_out", "outline", "rectangle"]

COLOURS = tuple(zip(CATEGORIES, SHAPES, strict=True))
"""Colour and symbol of the classes that are picked out: as many as are told apart."""
TRIES = 3
"""What was read may be of before and after a commit; then it is read again."""
CORNERS = 400
"""Of an outline, at most."""


@dataclass(frozen=True, slots=True)
class Group:
    """A class that is picked out.

    Attributes
    ----------
    name : str
    color, shape : str
    column : int
        Among the data set's classes.
    n : int
        Samples that show it.
    drawn : int
        Samples that have its colour.
    """

    name: str
    color: str
    shape: str
    column: int
    n: int
    drawn: int


@dataclass(frozen=True, slots=True)
class Plane:
    """A layer's samples, where they lie, and what they show; rows are the same samples.

    Attributes
    ----------
    ids : array of shape (n_samples,), int64
    embedding : Embedding
    labels : Labels
    n_filters : int
    """

    ids: NDArray[np.int64]
    embedding: "Embedding"
    labels: "Labels"
    n_filters: int

    @property
    def points(self) -> NDArray[np.float64]:
        """Places, shape (n_samples, 2)."""
        return self.embedding.points


def laid_out(contents: "Contents", partition: "Partition", *, method: str) -> Plane:
    """Return where a layer's samples lie by the largest response of each filter; it is kept.

    Raises
    ------
    DataError
        Samples are being added all the time.
    MissingExtraError
        ``method`` is umap, and umap-learn is not installed.
    """
    from fstore.queries.methods.embedding import principal_components, umap_layout

    lay = umap_layout if method == "umap" else principal_components
    tables = (ACTIVATIONS, "layers")
    for _ in range(TRIES):
        responses = contents.responses(partition)
        made = contents.kept(
            ("plane", method, partition, len(responses.ids)),
            tables,
            partial(lay, responses.values),
            large=True,
        )
        labels = contents.labels(partition)
        if len(labels.values) == len(made.points) == len(responses.ids):
            return Plane(responses.ids, made, labels, responses.values.shape[1])
    raise DataError("samples are being added to this layer; load the page again in a moment")


def groups(labels: "Labels", wanted: Sequence[str]) -> tuple[list[Group], NDArray[np.int8]]:
    """Return the classes that are picked out, and which of them gives each sample its colour.

    Parameters
    ----------
    labels : Labels
    wanted : sequence of str
        Classes, of which the first eight are taken; none: those that most samples show.

    Returns
    -------
    groups : list of Group
    of : array of shape (n_samples,), int8
        Place among the groups, -1 for none. A sample that shows several has the colour of that
        which the fewest samples show.
    """
    counts = (labels.values > 0).sum(axis=0)
    names = [name for name in dict.fromkeys(wanted) if name in labels.classes]
    columns = [labels.classes.index(name) for name in names] or [
        int(c) for c in np.argsort(-counts, kind="stable") if counts[c]
    ]
    columns = sorted(columns[: len(COLOURS)])
    of = np.full(len(labels.values), -1, dtype=np.int8)
    for place in sorted(range(len(columns)), key=lambda place: -counts[columns[place]]):
        of[labels.values[:, columns[place]] > 0] = place
    told = [
        Group(labels.classes[c], *COLOURS[place], c, int(counts[c]), int((of == place).sum()))
        for place, c in enumerate(columns)
    ]
    return told, of


def outline(text: str) -> NDArray[np.float64]:
    """Return the corners of an outline, written as ``x,y x,y x,y``; shape (n_corners, 2).

    Raises
    ------
    DataError
        It is written in another way, or has fewer than 3 or more than 400 corners.

    Examples
    --------
    >>> outline("0,0 1,0 1,2.5").tolist()
    [[0.0, 0.0], [1.0, 0.0], [1.0, 2.5]]
    """
    pairs = [corner.split(",") for corner in text.split()]
    if not 3 <= len(pairs) <= CORNERS or any(len(pair) != 2 for pair in pairs):
        raise DataError(
            f"an outline is 3 to {CORNERS} corners, written as x,y x,y x,y; got {text[:60]!r}"
        )
    return np.array([[number(x, "a corner"), number(y, "a corner")] for x, y in pairs])


def number(text: str, what: str) -> float:
    """Return a finite number.

    Raises
    ------
    DataError
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or abs(value) > 1e12:
        raise DataError(f"{what} is {text[:40]!r}; expected a number")
    return value


def rectangle(x: Sequence[float], y: Sequence[float]) -> NDArray[np.float64]:
    """Return the corners of a rectangle between two x and two y; shape (4, 2)."""
    left, right, low, high = min(x), max(x), min(y), max(y)
    return np.array([[left, low], [right, low], [right, high], [left, high]])


def inside(points: NDArray[np.float64], corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which points lie in an outline (even-odd rule), or on it.

    Parameters
    ----------
    points : array of shape (n_points, 2)
    corners : array of shape (n_corners, 2)
        In turn; the last is joined to the first.
    """
    x, y = points.T
    within, on = np.zeros(len(points), dtype=bool), np.zeros(len(points), dtype=bool)
    size = float(np.ptp(corners, axis=0).max()) or 1.0
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        across = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
        between = (x >= min(ax, bx)) & (x <= max(ax, bx)) & (y >= min(ay, by)) & (y <= max(ay, by))
        on |= between & (np.abs(across) <= 1e-12 * size * size)
        if ay != by:
            crossed = (ay > y) != (by > y)
            within ^= crossed & (x < ax + (y - ay) * (bx - ax) / (by - ay))
    return within | on
