"""A table of images: a CSV file with paths, labels, boxes and parts."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from fstore.errors import DataError
from fstore.extractor.datasets._api import dataset_format
from fstore.extractor.datasets._boxes import LabelledBox, box_views, image_samples
from fstore.extractor.datasets._files import (
    Fractions,
    Progress,
    check_manifest,
    file_facts,
    official_split,
    random_splits,
    relative_uri,
)
from fstore.types import Box, DatasetManifest, Part, SampleRecord, ViewManifest

__all__ = ["csv_file"]

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_COLUMNS = ("path", "label", "labels", *_CORNERS, "difficult", "split")


@dataclass
class _Image:
    """What the rows of one image say."""

    labels: set[str] = field(default_factory=set)
    objects: list[LabelledBox] = field(default_factory=list)
    part: Part | None = None
    rows: int = 0


@dataset_format("csv")
def csv_file(
    name: str,
    root: Path,
    *,
    seeds: Sequence[int] = (),
    fractions: Fractions | None = None,
    annotations: str = "",
    on_progress: Progress | None = None,
) -> DatasetManifest:
    """Read a CSV file of images: path, label or labels, box, split.

    Parameters
    ----------
    name : str
    root : Path
        Folder that the paths start from.
    seeds, fractions
        Stratified random splits beside the one of the column ``split``.
    annotations : str
        The CSV file, relative to ``root`` or absolute; may be omitted where ``root`` holds one
        only. First line: column names. ``path``; ``label`` (one) or ``labels`` (``a;b``);
        ``xmin,ymin,xmax,ymax`` (pixels from 1, inclusive: the row is an object);
        ``difficult`` (0 or 1); ``split`` (train, val, test or empty).

    Raises
    ------
    DataError
        An unknown column or value, rows of an image that contradict each other, a missing file.
    """
    root = root.resolve()
    path = _find(root, annotations)
    boxed, task, images = _read(path)
    uris = sorted(images)
    parts = {uri: images[uri].part for uri in uris}
    facts = file_facts(root, uris, on_progress=on_progress)
    views: tuple[ViewManifest, ...]
    if boxed:
        objects = {uri: images[uri].objects for uri in uris}
        samples = image_samples(uris, uris, facts, objects)
        views = box_views(samples, objects, parts, seeds=seeds, fractions=fractions)
    else:
        samples = tuple(
            SampleRecord(u, u, f.digest, f.width, f.height, dict.fromkeys(images[u].labels, 1))
            for u, f in zip(uris, facts, strict=True)
        )
        splits = official_split(samples, parts) + random_splits(samples, seeds, fractions)
        views = (ViewManifest("image", samples, splits),)
    classes = tuple(sorted({c for s in samples for c in s.labels}))
    return check_manifest(DatasetManifest(name, task, classes, root, views, "csv"))


def _find(root: Path, annotations: str) -> Path:
    if not root.is_dir():
        raise DataError(f"no folder {root}; give the data set's folder with --root")
    if annotations:
        path = root / annotations
        if not path.is_file():
            raise DataError(f"no file {path}; give the CSV file with --annotations")
        return path
    found = sorted(root.glob("*.csv"))
    if len(found) != 1:
        raise DataError(f"{len(found)} CSV files in {root}; name one with --annotations")
    return found[0]


def _read(path: Path) -> tuple[bool, Literal["single", "multi", "none"], dict[str, _Image]]:
    """Return whether rows are objects, what a label means, and the images by path."""
    images: dict[str, _Image] = {}
    with path.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        columns = _check_columns(path, reader.fieldnames or ())
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            if None in row or None in row.values():
                raise DataError(f"{where}: expected {len(columns)} cells, one a column")
            cells = {key: value.strip() for key, value in row.items()}
            uri = relative_uri(cells["path"], where)
            _add(images.setdefault(uri, _Image()), cells, where)
    boxed = "xmin" in columns
    task: Literal["single", "multi", "none"] = "single" if "label" in columns else "none"
    return boxed, "multi" if boxed or "labels" in columns else task, images


def _check_columns(path: Path, columns: Iterable[str]) -> frozenset[str]:
    found = frozenset(columns)
    if "path" not in found or (unknown := found.difference(_COLUMNS)):
        what = "no column 'path'" if "path" not in found else f"unknown {sorted(unknown)}"
        raise DataError(f"{path}: {what}; columns may be {', '.join(_COLUMNS)}")
    corners = found.intersection(_CORNERS)
    if corners and len(corners) < 4:
        raise DataError(f"{path}: only {sorted(corners)}; a box needs {', '.join(_CORNERS)}")
    if {"label", "labels"} <= found or (corners and "label" not in found):
        raise DataError(
            f"{path}: columns {sorted(found)}; expected 'label' (with boxes, always) or 'labels'"
        )
    return found


def _add(image: _Image, cells: Mapping[str, str], where: str) -> None:
    """Enter one row; rows of the same image must agree."""
    part = _part(cells.get("split", ""), where)
    if image.rows and part != image.part:
        raise DataError(f"{where}: split {part} differs from an earlier row of this image")
    image.part = part
    image.rows += 1
    names = [x.strip() for x in cells.get("labels", cells.get("label", "")).split(";")]
    if "labels" not in cells:
        names = [cells.get("label", "")]
    if box := _box(cells, where):
        if not names[0]:
            raise DataError(f"{where}: a box without a label; fill in column 'label'")
        difficult = _flag(cells.get("difficult", ""), where)
        image.objects.append(LabelledBox(names[0], box, difficult))
        return
    if "xmin" in cells and names[0]:
        raise DataError(f"{where}: a label without a box; leave both empty for an empty image")
    if image.rows > 1:
        raise DataError(f"{where}: this image has a row already; give each image one")
    if "label" in cells and "xmin" not in cells and not names[0]:
        raise DataError(f"{where}: no label; fill in column 'label'")
    image.labels.update(name for name in names if name)


def _part(text: str, where: str) -> Part | None:
    for part in get_args(Part):
        if text == part:
            found: Part = part
            return found
    if text:
        raise DataError(f"{where}: split {text!r}; expected train, val, test or nothing")
    return None


def _flag(text: str, where: str) -> bool:
    if text not in {"", "0", "1"}:
        raise DataError(f"{where}: difficult {text!r}; expected 0 or 1")
    return text == "1"


def _box(cells: Mapping[str, str], where: str) -> Box | None:
    texts = [cells.get(side, "") for side in _CORNERS]
    if not any(texts):
        return None
    try:
        xmin, ymin, xmax, ymax = (float(text) for text in texts)
    except ValueError as exc:
        raise DataError(f"{where}: box {texts}; expected four numbers, or all empty") from exc
    return xmin, ymin, xmax, ymax
