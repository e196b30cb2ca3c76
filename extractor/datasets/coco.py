"""COCO: instances in JSON files, whole images and boxes."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fstore.errors import DataError
from fstore.extractor.datasets._api import dataset_format
from fstore.extractor.datasets._boxes import LabelledBox, box_views, check_size, image_samples
from fstore.extractor.datasets._cells import PART_WORDS, class_name
from fstore.extractor.datasets._files import (
    Progress,
    check_manifest,
    file_facts,
    find_file,
    relative_uri,
)
from fstore.extractor.datasets._splits import Fractions
from fstore.reading import is_endless
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
        The JSON file, from the working directory, else from ``root``; or several with the parts
        that their images play: ``train=FILE,val=FILE`` (``valid`` and the like, too).

    Raises
    ------
    DataError
        A file that is missing or malformed, a box outside its image, an image listed twice.
    """
    root = root.resolve()
    read = [_read(path, root, part) for part, path in _files(root, annotations)]
    images = _joined(read)
    keys = sorted(images)
    several = any(key[0] for key in keys)
    ids = [f"{key[0]}/{key[1]}" if several else str(key[1]) for key in keys]
    uris = [images[key].uri for key in keys]
    facts = file_facts(root, uris, on_progress=on_progress)
    for key, fact in zip(keys, facts, strict=True):
        stated = (images[key].width, images[key].height)
        check_size(images[key].uri, stated, (fact.width, fact.height))
    objects = {i: images[key].objects for i, key in zip(ids, keys, strict=True)}
    parts = {i: images[key].part for i, key in zip(ids, keys, strict=True)}
    samples = image_samples(ids, uris, facts=facts, objects=objects)
    views = box_views(samples, objects, parts, seeds=seeds, fractions=fractions)
    classes = tuple(sorted({c for s in samples for c in s.labels}))
    return check_manifest(DatasetManifest(name, "multi", classes, root, views, "coco"))


def _files(root: Path, annotations: str) -> list[tuple[Part | None, Path]]:
    if not annotations:
        raise DataError("a COCO data set needs its JSON file: --annotations FILE or train=FILE,...")
    files: list[tuple[Part | None, Path]] = []
    for item in annotations.split(","):
        before, mark, after = item.strip().partition("=")
        part = PART_WORDS.get(before.strip().lower()) if mark else None
        if mark and part is None:
            raise DataError(f"--annotations {item!r}: expected train=, val= or test=")
        files.append((part, find_file((after if mark else before).strip(), root, "--annotations")))
    return files


def _joined(files: Sequence[Mapping[int, _Image]]) -> dict[tuple[int, int], _Image]:
    """Return the images of all files: by id, or by file and id where files share ids.

    Programs that write a file for each part count images anew in each.

    Raises
    ------
    DataError
        An image's file is in two of them.
    """
    shared = len(set().union(*files)) < sum(map(len, files))
    owner: dict[str, int] = {}
    for at, images in enumerate(files):
        for image in images.values():
            if owner.setdefault(image.uri, at) != at:
                raise DataError(f"image {image.uri} is in two files; list it in one part only")
    return {
        (at if shared else 0, key): image
        for at, images in enumerate(files, start=1)
        for key, image in images.items()
    }


def _read(path: Path, root: Path, part: Part | None) -> dict[int, _Image]:
    """Read the images of one file, with their objects."""
    data = _parsed(path)
    names = _categories(_list(data, "categories", path), path)
    images: dict[int, _Image] = {}
    for at, entry in enumerate(_list(data, "images", path)):
        where = f"{path}: images[{at}]"
        key = _whole(entry, "id", where)
        if key in images:
            raise DataError(f"{where}: {path.name} lists an image id twice, {key}; list it once")
        images[key] = _image(entry, path, root=root, part=part, where=where)
    seen: set[int] = set()
    for at, entry in enumerate(_list(data, "annotations", path)):
        where = f"{path}: annotations[{at}]"
        if "id" in entry and not _new(_whole(entry, "id", where), seen):
            raise DataError(f"{where}: its id {entry['id']} was used before; number them anew")
        image = images.get(_whole(entry, "image_id", where))
        name = names.get(_whole(entry, "category_id", where))
        if image is None or name is None:
            lacks = "image_id" if image is None else "category_id"
            raise DataError(f"{where}: {lacks} {entry[lacks]} is not in the file")
        image.objects.append(_object(entry, image, name=name, where=where))
    return images


def _parsed(path: Path) -> Mapping[str, Any]:
    """Return what a JSON file holds; a key that is there twice is no JSON that one can rely on."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ValueError(f"key {twice!r} is there twice in one object")
        return made

    if is_endless(path):
        raise DataError(f"{path} is no regular file; expected a COCO instances file")
    try:
        data = json.loads(path.read_bytes(), object_pairs_hook=once)
    except OSError as exc:
        raise DataError(f"cannot read {path}: {exc.strerror or exc}") from exc
    except (ValueError, RecursionError) as exc:
        raise DataError(f"{path} is not a COCO instances file: {exc}") from exc
    if not isinstance(data, dict):
        raise DataError(f"{path} is not a COCO instances file: expected an object at its top")
    return data


def _list(data: Mapping[str, Any], key: str, path: Path) -> list[dict[str, Any]]:
    entries = data.get(key)
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise DataError(
            f"{path} is not a COCO instances file: {key!r} is no list of objects; expected "
            "'images', 'annotations' and 'categories' that refer to each other"
        )
    return entries


def _categories(entries: Sequence[Mapping[str, Any]], path: Path) -> dict[int, str]:
    names: dict[int, str] = {}
    for at, entry in enumerate(entries):
        where = f"{path}: categories[{at}]"
        key, name = _whole(entry, "id", where), _text(entry, "name", where)
        if key in names or name in names.values():
            raise DataError(f"{where}: id {key} or name {name!r} was used before; list each once")
        names[key] = class_name(name, where)
    return names


def _new(value: int, seen: set[int]) -> bool:
    size = len(seen)
    seen.add(value)
    return len(seen) > size


def _whole(entry: Mapping[str, Any], key: str, where: str) -> int:
    """Return a whole number as JSON writes it: no text, no fraction, no true."""
    value = entry.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 1 << 63:
        raise DataError(f"{where}: {key} is {value!r}; expected a whole number")
    return value


def _text(entry: Mapping[str, Any], key: str, where: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{where}: {key} is {value!r}; expected a text")
    return value


def _real(value: object, where: str) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise DataError(f"{where}: {value!r} is no number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise DataError(f"{where}: {value!r} is not finite")
    return number


def _image(
    entry: Mapping[str, Any], path: Path, *, root: Path, part: Part | None, where: str
) -> _Image:
    """Find the file: below the root, or in the folder that the JSON is named after."""
    uri = relative_uri(_text(entry, "file_name", where), where)
    folder = path.stem.rpartition("_")[2]  # instances_train2017.json -> train2017
    if not _is_file(root / uri) and _is_file(root / folder / uri):
        uri = f"{folder}/{uri}"
    width, height = (_whole(entry, side, where) for side in ("width", "height"))
    if width <= 0 or height <= 0:
        raise DataError(f"{where}: a size of {width} x {height}; expected pixels")
    return _Image(uri, part, width, height)


def _is_file(path: Path) -> bool:
    """Whether a file is there; one whose name is too long for any file is not."""
    try:
        return path.is_file()
    except OSError:
        return False


def _object(entry: Mapping[str, Any], image: _Image, *, name: str, where: str) -> LabelledBox:
    bbox = entry.get("bbox")
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise DataError(f"{where}: bbox is {bbox!r}; expected [x, y, width, height]")
    x, y, width, height = (_real(v, f"{where}: bbox[{at}]") for at, v in enumerate(bbox))
    right, bottom = x + width, y + height
    inside = -_SLACK <= x < image.width and -_SLACK <= y < image.height
    if width < 0 or height < 0:
        raise DataError(f"{where}: bbox {bbox} has a negative side")
    if not inside or right > image.width + _SLACK or bottom > image.height + _SLACK:
        raise DataError(
            f"{image.uri}: annotation {entry.get('id')} has the box {bbox}, outside an "
            f"image of {image.width} x {image.height}; boxes are [x, y, width, height] from 0"
        )
    xmin, xmax = _pixels(x, right, image.width)
    ymin, ymax = _pixels(y, bottom, image.height)
    box: Box = (xmin, ymin, xmax, ymax)
    difficult = _crowd(entry, where) or width <= 0 or height <= 0
    return LabelledBox(name, box, difficult)


def _crowd(entry: Mapping[str, Any], where: str) -> bool:
    value = entry.get("iscrowd", 0)
    if not isinstance(value, int) or value not in {0, 1}:
        raise DataError(f"{where}: iscrowd is {value!r}; expected 0 or 1")
    return bool(value)


def _pixels(low: float, high: float, side: int) -> tuple[float, float]:
    """Turn an interval from 0 into pixels from 1, inclusive, at least one, inside the image."""
    first = min(max(low + 1, 1.0), float(side))
    return first, min(max(high, first), float(side))
