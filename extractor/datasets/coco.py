"""COCO: instances in JSON files, whole images and boxes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from fstore.errors import DataError
from fstore.extractor.datasets._api import dataset_format
from fstore.extractor.datasets._boxes import LabelledBox, box_views, image_samples
from fstore.extractor.datasets._files import (
    Fractions,
    Progress,
    check_manifest,
    file_facts,
    relative_uri,
)
from fstore.types import Box, DatasetManifest, Part

__all__ = ["coco"]

_SLACK = 1.0  # pixels by which a box may leave the image; COCO's own are rounded


@dataclass
class _Image:
    """One image of a JSON file, and its objects."""

    uri: str
    part: Part | None
    width: int
    height: int
    objects: list[LabelledBox] = field(default_factory=list)


@dataset_format("coco")
def coco(
    name: str,
    root: Path,
    *,
    seeds: Sequence[int] = (),
    fractions: Fractions | None = None,
    annotations: str = "",
    on_progress: Progress | None = None,
) -> DatasetManifest:
    """Read COCO instances: whole images (view image) and boxes (view gt).

    A box ``[x, y, width, height]``, counted from 0, becomes ``(x + 1, y + 1, x + width,
    y + height)``; a crowd, and a box without area, is a difficult object (of one pixel at
    least). Categories that no image shows are left out.

    Parameters
    ----------
    name : str
    root : Path
        Folder that file names start from, or that holds ``train2017`` and the like.
    seeds, fractions
        Stratified random splits beside the official one.
    annotations : str
        The JSON file, relative to ``root`` or absolute, or several with the parts that their
        images play: ``train=FILE,val=FILE``.

    Raises
    ------
    DataError
        A file that is missing or malformed, a box outside its image, an image listed twice.
    """
    root = root.resolve()
    images: dict[int, _Image] = {}
    for part, path in _files(root, annotations):
        found = _read(path, root, part)
        if both := images.keys() & found.keys():
            raise DataError(f"{path}: image {min(both)} is in an earlier file too; list it once")
        images |= found
    keys = sorted(images)
    ids = [str(key) for key in keys]
    uris = [images[key].uri for key in keys]
    facts = file_facts(root, uris, on_progress=on_progress)
    objects = {str(key): images[key].objects for key in keys}
    parts = {str(key): images[key].part for key in keys}
    samples = image_samples(ids, uris, facts, objects)
    views = box_views(samples, objects, parts, seeds=seeds, fractions=fractions)
    classes = tuple(sorted({c for s in samples for c in s.labels}))
    return check_manifest(DatasetManifest(name, "multi", classes, root, views, "coco"))


def _files(root: Path, annotations: str) -> list[tuple[Part | None, Path]]:
    if not annotations:
        raise DataError("a COCO data set needs its JSON file: --annotations FILE or train=FILE,...")
    files: list[tuple[Part | None, Path]] = []
    for item in annotations.split(","):
        before, mark, after = item.strip().partition("=")
        part = next((p for p in get_args(Part) if p == before), None)
        if mark and part is None:
            raise DataError(f"--annotations {item!r}: expected train=, val= or test=")
        path = root / (after if mark else before)
        if not path.is_file():
            raise DataError(f"no file {path}; give it relative to {root}, or absolute")
        files.append((part, path))
    return files


def _read(path: Path, root: Path, part: Part | None) -> dict[int, _Image]:
    """Read the images of one file, with their objects."""
    try:
        data = json.loads(path.read_bytes())
        names = {c["id"]: str(c["name"]) for c in data["categories"]}
        images = {e["id"]: _image(e, path, root, part) for e in data["images"]}
        for entry in data["annotations"]:
            image = images[entry["image_id"]]
            image.objects.append(_object(entry, image, names[entry["category_id"]]))
    except DataError:
        raise
    except (ValueError, KeyError, TypeError) as exc:
        raise DataError(
            f"{path} is not a COCO instances file: {type(exc).__name__}: {exc}; expected "
            "'images', 'annotations' and 'categories' that refer to each other"
        ) from exc
    if len(images) < len(data["images"]):
        raise DataError(f"{path} lists an image id twice; list each image once")
    return images


def _image(entry: Mapping[str, Any], path: Path, root: Path, part: Part | None) -> _Image:
    """Find the file: below the root, or in the folder that the JSON is named after."""
    uri = relative_uri(str(entry["file_name"]), f"{path}, image {entry['id']}")
    folder = path.stem.rpartition("_")[2]  # instances_train2017.json -> train2017
    if not (root / uri).is_file() and (root / folder / uri).is_file():
        uri = f"{folder}/{uri}"
    return _Image(uri, part, int(entry["width"]), int(entry["height"]))


def _object(entry: Mapping[str, Any], image: _Image, name: str) -> LabelledBox:
    x, y, width, height = (float(v) for v in entry["bbox"])
    right, bottom = x + width, y + height
    inside = -_SLACK <= x < image.width and -_SLACK <= y < image.height
    if not inside or right > image.width + _SLACK or bottom > image.height + _SLACK:
        raise DataError(
            f"{image.uri}: annotation {entry.get('id')} has the box {entry['bbox']}, outside an "
            f"image of {image.width} x {image.height}; boxes are [x, y, width, height] from 0"
        )
    xmin, xmax = _pixels(x, right, image.width)
    ymin, ymax = _pixels(y, bottom, image.height)
    box: Box = (xmin, ymin, xmax, ymax)
    difficult = bool(entry.get("iscrowd", 0)) or width <= 0 or height <= 0
    return LabelledBox(name, box, difficult)


def _pixels(low: float, high: float, side: int) -> tuple[float, float]:
    """Turn an interval from 0 into pixels from 1, inclusive, at least one, inside the image."""
    first = min(max(low + 1, 1.0), float(side))
    return first, min(max(high, first), float(side))
