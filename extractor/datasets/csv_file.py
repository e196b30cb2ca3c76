"""A table of images: a CSV file with paths, labels, boxes and parts."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from fstore.errors import DataError
from fstore.extractor.datasets._api import dataset_format
from fstore.extractor.datasets._boxes import LabelledBox, box_views, image_samples
from fstore.extractor.datasets._cells import class_name, flag, number, part_of
from fstore.extractor.datasets._files import (
    Note,
    Progress,
    check_folder,
    check_manifest,
    file_facts,
    find_file,
    image_records,
    relative_uri,
)
from fstore.extractor.datasets._splits import Fractions, image_view
from fstore.reading import read_text
from fstore.types import Box, DatasetManifest, Part, ViewManifest

__all__ = ["csv_file"]

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_COLUMNS = ("path", "label", "labels", *_CORNERS, "difficult", "split")
_MEANT = {
    **dict.fromkeys(("class", "classes", "category", "target", "y"), "label"),
    **dict.fromkeys(("file", "filename", "file_name", "filepath", "image", "uri"), "path"),
    **dict.fromkeys(("x1", "x_min", "left", "x", "bbox", "box"), "xmin"),
    **dict.fromkeys(("y1", "y_min", "top"), "ymin"),
    **dict.fromkeys(("x2", "x_max", "right", "w"), "xmax"),
    **dict.fromkeys(("y2", "y_max", "bottom", "h"), "ymax"),
    **dict.fromkeys(("part", "subset", "set", "fold", "partition"), "split"),
}
"""What other tables call a column: never ignored without a word that one can act on."""


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
    encoding: str = "",
    on_progress: Progress | None = None,
    on_note: Note | None = None,
) -> DatasetManifest:
    """Read a CSV file of images: path, label or labels, box, split.

    Cells are separated by commas; one that holds a comma is quoted; a row is a line. First line:
    column names. ``path``; ``label`` (one) or ``labels`` (``a;b``); ``xmin,ymin,xmax,ymax``
    (pixels from 1, inclusive: the row is an object); ``difficult`` (0 or 1); ``split`` (train,
    val, test or empty). Other columns are left out.

    Parameters
    ----------
    name : str
    root : Path
        Folder that the paths start from.
    seeds, fractions
        Stratified random splits beside the one of the column ``split``.
    annotations : str
        The CSV file, from the working directory, else from ``root``; may be omitted where
        ``root`` holds one only.
    encoding : str
        Of the text file, as ``latin-1``. Default: UTF-8, or what its byte order mark says.
    on_progress : callable or None
        Called with (files hashed, files in all).
    on_note : callable or None
        Called with a sentence for each thing that was left out.

    Raises
    ------
    DataError
        A misspelt column, an unknown value, a quote that is not closed, a row with too many or
        too few cells, rows of an image that contradict each other, a missing file.
    """
    root = check_folder(root)
    path = _find(root, annotations)
    boxed, task, images = _read(path, encoding, on_note)
    uris = sorted(images)
    parts = {uri: images[uri].part for uri in uris}
    facts = file_facts(root, uris, on_progress=on_progress)
    views: tuple[ViewManifest, ...]
    if boxed:
        objects = {uri: images[uri].objects for uri in uris}
        samples = image_samples(uris, uris, facts=facts, objects=objects)
        views = box_views(samples, objects, parts, seeds=seeds, fractions=fractions)
    else:
        labels = {uri: dict.fromkeys(images[uri].labels, 1) for uri in uris}
        samples = image_records(uris, facts, labels)
        views = (image_view(samples, parts, seeds=seeds, fractions=fractions),)
    classes = tuple(sorted({c for s in samples for c in s.labels}))
    return check_manifest(DatasetManifest(name, task, classes, root, views, "csv"))


def _find(root: Path, annotations: str) -> Path:
    if annotations:
        return find_file(annotations, root, "--annotations")
    tables = sorted(p for p in root.glob("*.csv") if not p.name.startswith("."))
    if len(tables) != 1:
        raise DataError(f"{len(tables)} CSV files in {root}; name one with --annotations")
    return tables[0]


_Task = Literal["single", "multi", "none"]


def _read(path: Path, encoding: str, on_note: Note | None) -> tuple[bool, _Task, dict[str, _Image]]:
    """Return whether rows are objects, what a label means, and the images by path."""
    rows = _rows(path, encoding)
    where, header = next(rows, ("", []))
    if not where:
        raise DataError(f"{path} is empty; its first line names columns: {', '.join(_COLUMNS)}")
    columns = _check_columns(where, header, on_note)
    images: dict[str, _Image] = {}
    for where, row in rows:
        if len(row) != len(header):
            raise DataError(
                f"{where}: expected {len(header)} cells, one a column; found {len(row)}"
            )
        cells = {n: c for n, c in zip(header, row, strict=True) if n in columns}
        uri = relative_uri(cells["path"], where)
        _add(images.setdefault(uri, _Image()), cells, where)
    if not images:
        raise DataError(f"{path} has no row below its column names; give each image one")
    boxed = "xmin" in columns
    task: _Task = "single" if "label" in columns else "none"
    return boxed, "multi" if boxed or "labels" in columns else task, images


def _rows(path: Path, encoding: str) -> Iterator[tuple[str, list[str]]]:
    """Yield where a row stands, and its cells without spaces around them.

    A row is a line: a quote that is not closed cannot swallow the rows that follow.
    """
    for i, line in enumerate(read_text(path, encoding=encoding).split("\n"), start=1):
        where = f"{path}, line {i}"
        try:
            cells = next(csv.reader([line], strict=True), [])
        except csv.Error as exc:
            raise DataError(f"{where}: {_reason(exc)}") from exc
        if quoted := [c for c in cells if c[:1].isspace() and c.lstrip().startswith('"')]:
            raise DataError(f"{where}: a space before the quote of {quoted[0]!r}; take it out")
        if cells:
            yield where, [cell.strip() for cell in cells]


def _reason(error: csv.Error) -> str:
    if "unexpected end" in str(error):
        return (
            'a quote is not closed on its line; write a quote inside a cell as "" and quote the '
            "cell, and put no line break in cells"
        )
    if "field larger" in str(error):
        return f"a cell has more than {csv.field_size_limit()} characters; is this a CSV file?"
    return f'{error}; quote a cell as "a,b", and write a quote inside one as ""'


def _check_columns(where: str, columns: Sequence[str], on_note: Note | None) -> frozenset[str]:
    """Return the columns that are read; others are told, unless a known one may be meant."""
    if twice := [name for name in columns if name and columns.count(name) > 1]:
        raise DataError(f"{where}: two columns {twice[0]!r}; keep one")
    read = frozenset(columns).intersection(_COLUMNS)
    others = [name for name in columns if name not in read]
    if "path" not in read:
        raise DataError(
            f"{where}: no column 'path'; columns may be {', '.join(_COLUMNS)}, separated by "
            f"commas, in small letters; there are {list(columns)}"
        )
    for name in others:
        if meant := _meant(name):
            raise DataError(
                f"{where}: unknown column {name!r}; name it {meant!r} if it is that, or remove it"
            )
    if others and on_note is not None:
        names = ", ".join(repr(name) for name in others)
        on_note(f"{where}: columns left out, for fstore does not know them: {names}")
    _check_together(where, read)
    return read


def _meant(name: str) -> str:
    """Return the known column that an unknown one may be meant for, or nothing."""
    word = name.lower()
    close = [word] if word in _COLUMNS else get_close_matches(word, _COLUMNS, n=1, cutoff=0.75)
    return _MEANT.get(word) or next(iter(close), "")


def _check_together(where: str, columns: frozenset[str]) -> None:
    """Refuse columns that say half of something, or two things."""
    corners = columns.intersection(_CORNERS)
    if corners and len(corners) < 4:
        raise DataError(f"{where}: only {sorted(corners)}; a box needs {', '.join(_CORNERS)}")
    if {"label", "labels"} <= columns or (corners and "label" not in columns):
        raise DataError(
            f"{where}: columns {sorted(columns)}; expected 'label' (with boxes, always) or 'labels'"
        )


def _add(image: _Image, cells: Mapping[str, str], where: str) -> None:
    """Enter one row; rows of the same image must agree."""
    part = part_of(cells.get("split", ""), where)
    if image.rows and part != image.part:
        raise DataError(f"{where}: split {part} differs from an earlier row of this image")
    image.part = part
    image.rows += 1
    names = [x.strip() for x in cells.get("labels", cells.get("label", "")).split(";")]
    if "labels" not in cells:
        names = [cells.get("label", "")]
    for name in names:
        class_name(name, where)
    difficult = flag(cells.get("difficult", ""), where, "difficult")
    if box := _box(cells, where):
        if not names[0]:
            raise DataError(f"{where}: a box without a label; fill in column 'label'")
        image.objects.append(LabelledBox(names[0], box, difficult))
        return
    if "xmin" in cells and names[0]:
        raise DataError(f"{where}: a label without a box; leave both empty for an empty image")
    if difficult:
        raise DataError(f"{where}: difficult without a box; it is said of objects")
    if image.rows > 1:
        raise DataError(f"{where}: this image has a row already; give each image one")
    if "label" in cells and "xmin" not in cells and not names[0]:
        raise DataError(f"{where}: no label; fill in column 'label'")
    image.labels.update(name for name in names if name)


def _box(cells: Mapping[str, str], where: str) -> Box | None:
    texts = [cells.get(side, "") for side in _CORNERS]
    if not any(texts):
        return None
    if not all(texts):
        raise DataError(f"{where}: box {texts}; expected four numbers, or all empty")
    xmin, ymin, xmax, ymax = (number(text, where) for text in texts)
    return xmin, ymin, xmax, ymax
