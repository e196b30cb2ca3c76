"""Read published box files: MATLAB files as R-CNN and the selective search authors gave out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fstore.errors import DataError
from fstore.extractor.proposals._api import Boxes

__all__ = ["check_inside", "read_published"]


def read_published(path: Path) -> dict[str, Boxes]:
    """Read a ``.mat`` file of proposals.

    Parameters
    ----------
    path : Path
        MATLAB file (up to version 7.2) with ``boxes``, a cell array of n x 4 matrices
        ``[y1 x1 y2 x2]`` counted from 1, last pixel included, and ``images``, a cell array of as
        many image names.

    Returns
    -------
    dict of name to array of shape (n, 4), float64
        ``xmin, ymin, xmax, ymax``, in the file's order, repeated boxes once.

    Raises
    ------
    DataError
        The file is not such a file.
    """
    content = _load(path)
    names = [_name(cell, path) for cell in np.ravel(content["images"])]
    cells = list(np.ravel(content["boxes"]))
    if len(names) != len(cells):
        raise DataError(f"{path} has {len(names)} images but boxes of {len(cells)}")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path} lists image {twice!r} twice; keep one of them")
    return {n: _boxes(cell, n, path) for n, cell in zip(names, cells, strict=True)}


def check_inside(boxes: Boxes, image_id: str, *, width: int, height: int) -> Boxes:
    """Return published boxes if they lie inside their image; the whole image if there is none.

    Parameters
    ----------
    boxes : array of shape (n, 4)
    image_id : str
        For messages.
    width, height : int
        Pixels of the image; 0 if they are not known.

    Raises
    ------
    DataError
        A box lies outside, or is empty.
    """
    if len(boxes) == 0 and width and height:
        return np.array([[1.0, 1.0, width, height]])
    right, bottom = width or np.inf, height or np.inf
    xmin, ymin, xmax, ymax = boxes.T
    inside = (xmin >= 1) & (xmin <= xmax) & (xmax <= right)
    inside &= (ymin >= 1) & (ymin <= ymax) & (ymax <= bottom)
    if not inside.all():
        bad = boxes[np.flatnonzero(~inside)[0]].tolist()
        raise DataError(
            f"image {image_id}: box {bad} (xmin, ymin, xmax, ymax) is not inside 1 ... {width} x "
            f"1 ... {height}; are the boxes of this data set's images?"
        )
    return boxes


def _load(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat

    try:
        content: dict[str, Any] = loadmat(path)
    except NotImplementedError as exc:
        raise DataError(
            f"{path} is a MATLAB 7.3 file; save it in MATLAB with: save(file, 'boxes', 'images', "
            "'-v7')"
        ) from exc
    except Exception as exc:  # scipy raises whatever the bytes lead to
        raise DataError(f"{path} cannot be read as a MATLAB file: {exc}") from exc
    if absent := {"boxes", "images"}.difference(content):
        variables = ", ".join(sorted(name for name in content if not name.startswith("__")))
        raise DataError(
            f"{path} has no variable {' and '.join(sorted(absent))}; it has: {variables}"
        )
    return content


def _name(cell: Any, path: Path) -> str:  # noqa: ANN401 - whatever scipy made of it
    text = "".join(str(word) for word in _flat(cell)).strip()
    if not text:
        raise DataError(f"{path}: an entry of 'images' is no name")
    return text


def _flat(value: Any) -> Iterator[Any]:  # noqa: ANN401
    """Yield what is inside nested cells."""
    if isinstance(value, np.ndarray):
        for item in value.ravel():
            yield from _flat(item)
    else:
        yield value


def _boxes(cell: Any, name: str, path: Path) -> Boxes:  # noqa: ANN401
    rows = np.asarray(cell)
    if rows.size == 0:
        return np.empty((0, 4))
    if rows.ndim != 2 or rows.shape[1] != 4 or rows.dtype.kind not in "iuf":
        raise DataError(
            f"{path}: boxes of image {name!r} have shape {rows.shape}, type {rows.dtype}; "
            "expected n x 4 numbers [y1 x1 y2 x2]"
        )
    boxes: Boxes = rows.astype(np.float64)[:, [1, 0, 3, 2]]
    _, first = np.unique(boxes, axis=0, return_index=True)
    return boxes[np.sort(first)]
