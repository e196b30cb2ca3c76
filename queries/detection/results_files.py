"""The PASCAL VOC devkit's results folder: one text file a class, a line a detection."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.queries.detection.voc_eval import Scored
from fstore.store.commits import storage

__all__ = ["read_results", "write_results"]


def write_results(
    folder: Path,
    classes: Sequence[str],
    detections: Sequence[Scored],
    *,
    image_ids: Sequence[str],
    part: str = "test",
    competition: str = "comp3",
    overwrite: bool = False,
) -> list[Path]:
    """Write ``comp3_det_test_CLASS.txt`` for every class: ``image score xmin ymin xmax ymax``.

    Numbers have as many digits as it takes to read the same ones back.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    classes : sequence of str
    detections : sequence of Scored, one a class
    image_ids : sequence of str
        Names of the images that the detections' numbers stand for.
    part, competition : str
        For the names of the files; the devkit's ``comp4`` is for detectors that learned from other
        images too.
    overwrite : bool
        Replace files that are there.

    Returns
    -------
    list of Path

    Raises
    ------
    DataError
        A file exists, or an image's name has a space, which the format cannot hold.
    """
    if spaced := next((name for name in image_ids if len(name.split()) != 1), None):
        raise DataError(f"image {spaced!r} has a space in its name: devkit results cannot hold it")
    files = [folder / f"{competition}_det_{part}_{name}.txt" for name in classes]
    for file in files:
        if file.exists() and not overwrite:
            raise DataError(f"{file} exists; choose another folder, or add --overwrite")
    with storage(f"cannot write to {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        for file, scored in zip(files, detections, strict=True):
            with file.open("w", encoding="utf-8") as out:
                out.writelines(_lines(scored, image_ids))
    return files


def _lines(scored: Scored, image_ids: Sequence[str]) -> list[str]:
    """Return the lines of one class, by image, best first."""
    order = np.lexsort((-scored.scores, scored.image))
    return [
        " ".join(
            [image_ids[scored.image[i]], *map(_shortest, (scored.scores[i], *scored.boxes[i]))]
        )
        + "\n"
        for i in order
    ]


def _shortest(value: np.floating) -> str:
    """Return the shortest text that is read as the same number: ``48``, not ``48.0``."""
    return np.format_float_positional(value, trim="-")


def read_results(
    folder: Path, classes: Sequence[str], image_ids: Sequence[str], *, part: str = "test"
) -> tuple[list[Scored], list[str]]:
    """Read a results folder, of any competition.

    Parameters
    ----------
    folder : Path
        With files ``*_det_PART_CLASS.txt``.
    classes : sequence of str
    image_ids : sequence of str
        The images of the part.
    part : str

    Returns
    -------
    detections : list of Scored, one a class
    absent : list of str
        Classes without a file, of which nothing counts as found.

    Raises
    ------
    DataError
        There is no such file, two for one class, or a line is not a detection in one of the images
        (file and line are named).
    """
    if not folder.is_dir():
        raise DataError(f"no folder {folder}; give the one with comp3_det_{part}_CLASS.txt")
    files = {name: sorted(folder.glob(f"*_det_{part}_{_escaped(name)}.txt")) for name in classes}
    if not any(files.values()):
        raise DataError(
            f"no results in {folder}; expected files comp3_det_{part}_CLASS.txt for the classes "
            + ", ".join(classes)
        )
    for name, lines in files.items():
        if len(lines) > 1:
            names = ", ".join(file.name for file in lines)
            raise DataError(f"several results for class '{name}' in {folder}: {names}; keep one")
    numbers = {image_id: i for i, image_id in enumerate(image_ids)}
    read = [_read(lines[0], numbers, part) if lines else _none() for lines in files.values()]
    return read, [name for name, lines in files.items() if not lines]


def _escaped(name: str) -> str:
    return re.sub(r"([\[?*])", r"[\1]", name)


def _none() -> Scored:
    return Scored(np.empty(0, dtype=np.intp), np.empty((0, 4)), np.empty(0))


def _read(file: Path, numbers: Mapping[str, int], part: str) -> Scored:
    with storage(f"cannot read {file}"):
        lines = file.read_text(encoding="utf-8").splitlines()
    images: list[int] = []
    values: list[NDArray[np.float64]] = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        if words[0] not in numbers:
            raise DataError(
                f"{file}, line {number}: no image '{words[0]}' in the {part} part, which has "
                f"{len(numbers)} images"
            )
        images.append(numbers[words[0]])
        values.append(_numbers(words[1:], file, number))
    rows = np.array(values).reshape(-1, 5)
    return Scored(np.array(images, dtype=np.intp), rows[:, 1:], rows[:, 0])


def _numbers(words: Sequence[str], file: Path, line: int) -> NDArray[np.float64]:
    """Read score and box."""
    try:
        row = np.array([float(word) for word in words])
    except ValueError:
        row = np.empty(0)
    if row.shape != (5,) or not np.isfinite(row).all():
        raise DataError(
            f"{file}, line {line}: expected an image, a score and xmin ymin xmax ymax, got "
            f"{' '.join(words)!r} behind the image"
        )
    if row[3] < row[1] or row[4] < row[2]:
        raise DataError(
            f"{file}, line {line}: the box ends before it begins: {' '.join(words[1:])}"
        )
    return row
