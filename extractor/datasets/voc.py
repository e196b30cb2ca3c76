"""PASCAL VOC: a devkit's images, boxes, difficult flags and official splits."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fstore.errors import DataError
from fstore.extractor.datasets._api import dataset_format
from fstore.extractor.datasets._boxes import LabelledBox, box_views, image_samples, labels_of
from fstore.extractor.datasets._files import (
    FileFacts,
    Fractions,
    Progress,
    check_box,
    check_manifest,
    file_facts,
    list_images,
    sub_folders,
)
from fstore.types import DatasetManifest, Part

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["voc"]

_SETS = ("train", "val", "trainval", "test")


@dataclass(frozen=True, slots=True)
class _Annotation:
    """One XML file: size as it states it (0 if it does not), objects in order."""

    width: int
    height: int
    objects: tuple[LabelledBox, ...]


@dataset_format("voc")
def voc(
    name: str,
    root: Path,
    *,
    seeds: Sequence[int] = (),
    fractions: Fractions | None = None,
    year: str = "",
    on_progress: Progress | None = None,
) -> DatasetManifest:
    """Read a PASCAL VOC devkit: whole images (view image) and labelled boxes (view gt).

    Labels are derived from the annotations (1: present, 0: present only as difficult objects)
    and compared with the devkit's own per-class lists.

    Parameters
    ----------
    name : str
    root : Path
        ``VOCdevkit`` or a ``VOCyyyy`` folder in it, with ``JPEGImages``, ``Annotations`` and
        ``ImageSets/Main``.
    seeds, fractions
        Stratified random splits beside the official one.
    year : str
        Which ``VOCyyyy`` of several, as ``2007``.

    Raises
    ------
    DataError
        A list, an annotation or an image is missing, malformed, or contradicts another.
    """
    folder = _year_folder(root, year)
    sets = _read_sets(folder)
    ids = sorted(set().union(*sets.values()))
    annotations = {i: _read_annotation(folder, i) for i in ids}
    classes = _classes(folder, annotations)
    _check_lists(folder, sets, annotations)
    uris = _uris(folder, ids)
    facts = file_facts(folder, uris, on_progress=on_progress)
    for image_id, fact in zip(ids, facts, strict=True):
        _check_size(image_id, annotations[image_id], fact)
    objects = {i: a.objects for i, a in annotations.items()}
    images = image_samples(ids, uris, facts, objects)
    views = box_views(images, objects, _parts(sets), seeds=seeds, fractions=fractions)
    return check_manifest(DatasetManifest(name, "multi", classes, folder, views, "voc"))


def _year_folder(root: Path, year: str) -> Path:
    """Find the folder that holds ``JPEGImages``: the root, or a ``VOCyyyy`` in it."""
    root = root.resolve()
    if (root / "JPEGImages").is_dir():
        return root
    if (root / "VOCdevkit").is_dir():
        root /= "VOCdevkit"
    found = [p for p in sub_folders(root) if (p / "JPEGImages").is_dir()]
    if year:
        found = [p for p in found if p.name in {year, f"VOC{year}"}]
    if len(found) == 1:
        return found[0]
    if not found:
        wanted = f"VOC{year}/JPEGImages" if year else "JPEGImages or VOCyyyy/JPEGImages"
        raise DataError(f"no {wanted} in {root}; give the VOCdevkit folder with --root")
    names = ", ".join(p.name for p in found)
    raise DataError(f"{root} holds several years: {names}; choose one with --year")


def _read_sets(folder: Path) -> dict[str, list[str]]:
    """Read the image lists that exist; check that they fit together."""
    main = folder / "ImageSets" / "Main"
    sets = {s: _read_ids(main / f"{s}.txt") for s in _SETS if (main / f"{s}.txt").is_file()}
    if not any(sets.values()):
        raise DataError(f"no image lists in {main}; expected trainval.txt, test.txt or the like")
    for one, other in (("train", "val"), ("trainval", "test"), ("train", "test"), ("val", "test")):
        if both := set(sets.get(one, ())).intersection(sets.get(other, ())):
            raise DataError(
                f"image {min(both)} is in {one}.txt and in {other}.txt of {main}; "
                "the parts must not overlap"
            )
    if "trainval" in sets:
        for part in ("train", "val"):
            if more := set(sets.get(part, ())).difference(sets["trainval"]):
                raise DataError(
                    f"image {min(more)} is in {part}.txt but not in trainval.txt of {main}; "
                    "correct one of the lists"
                )
    return sets


def _read_ids(path: Path) -> list[str]:
    ids = [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
    if len(set(ids)) < len(ids):
        twice = next(i for i in ids if ids.count(i) > 1)
        raise DataError(f"{path} lists image {twice} twice; list each once")
    return ids


def _parts(sets: Mapping[str, Iterable[str]]) -> dict[str, Part]:
    """Part of each image; what is only in trainval counts as train."""
    parts: dict[str, Part] = dict.fromkeys(sets.get("trainval", ()), "train")
    parts.update(dict.fromkeys(sets.get("val", ()), "val"))
    parts.update(dict.fromkeys(sets.get("test", ()), "test"))
    parts.update(dict.fromkeys(sets.get("train", ()), "train"))
    return parts


def _read_annotation(folder: Path, image_id: str) -> _Annotation:
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import ParseError, parse

    path = folder / "Annotations" / f"{image_id}.xml"
    try:
        tree = parse(path)
        objects = tuple(_object(node) for node in tree.findall("./object"))
        size = [int(float(tree.findtext(f"./size/{side}") or 0)) for side in ("width", "height")]
    except FileNotFoundError as exc:
        raise DataError(f"image {image_id} has no annotation {path}; add it or unlist it") from exc
    except (ParseError, DefusedXmlException, UnicodeDecodeError) as exc:
        raise DataError(f"{path} is not a sound XML file: {exc}; restore it") from exc
    except ValueError as exc:
        raise DataError(f"{path}: {exc}; expected a VOC annotation") from exc
    return _Annotation(size[0], size[1], objects)


def _object(node: "Element") -> LabelledBox:
    name = (node.findtext("name") or "").strip()
    if not name:
        raise ValueError("an object has no name")
    texts = [node.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
    if None in texts:
        raise ValueError(f"an object {name!r} has no complete bndbox")
    try:
        xmin, ymin, xmax, ymax = (float(text or "") for text in texts)
    except ValueError as exc:
        raise ValueError(f"an object {name!r} has the box {texts}, not four numbers") from exc
    difficult = (node.findtext("difficult") or "0").strip() not in {"", "0"}
    return LabelledBox(name, (xmin, ymin, xmax, ymax), difficult)


def _uris(folder: Path, ids: Iterable[str]) -> list[str]:
    """Return the image file of each id, ``JPEGImages/<id>.jpg`` or another image suffix."""
    files = {Path(uri).stem: uri for uri in reversed(list_images(folder / "JPEGImages"))}
    missing = [i for i in ids if i not in files]
    if missing:
        raise DataError(
            f"no image {folder / 'JPEGImages' / missing[0]}.jpg ({len(missing)} missing in all); "
            "put it there or take it off the lists in ImageSets/Main"
        )
    return [f"JPEGImages/{files[i]}" for i in ids]


def _class_lists(folder: Path) -> dict[str, dict[str, Path]]:
    """Return class -> set -> file of the per-class lists, ``<class>_<set>.txt``."""
    lists: dict[str, dict[str, Path]] = {}
    for path in sorted((folder / "ImageSets" / "Main").glob("*_*.txt")):
        name, _, which = path.stem.rpartition("_")
        if which in _SETS:
            lists.setdefault(name, {})[which] = path
    return lists


def _classes(folder: Path, annotations: Mapping[str, _Annotation]) -> tuple[str, ...]:
    """Return the classes that have lists; without lists, those of the objects."""
    used = {o.name: i for i, a in annotations.items() for o in a.objects}
    listed = set(_class_lists(folder))
    if not used:
        raise DataError(f"no annotation in {folder / 'Annotations'} has an object; nothing to read")
    if listed and (unknown := sorted(set(used).difference(listed))):
        raise DataError(
            f"image {used[unknown[0]]} has an object of class {unknown[0]!r}, which has no list in "
            f"ImageSets/Main; it has: {', '.join(sorted(listed))}"
        )
    return tuple(sorted(listed or used))


def _check_lists(
    folder: Path, sets: Mapping[str, list[str]], annotations: Mapping[str, _Annotation]
) -> None:
    """Compare every per-class list with the labels of the annotations."""
    labels = {i: labels_of(a.objects) for i, a in annotations.items()}
    for name, files in _class_lists(folder).items():
        for which, path in files.items():
            listed = _read_class_list(path)
            if other := set(listed).symmetric_difference(sets.get(which, listed)):
                raise DataError(
                    f"image {min(other)} is in only one of {path.name} and {which}.txt of "
                    f"{path.parent}; correct one of the lists"
                )
            for i, value in listed.items():
                found = labels[i].get(name, -1) if i in labels else value
                if found != value:
                    raise DataError(
                        f"class {name!r}, image {i}: {path.name} says {value}, the annotation "
                        f"{found} (1: present, 0: only difficult objects, -1: absent); correct one"
                    )


def _read_class_list(path: Path) -> dict[str, int]:
    listed: dict[str, int] = {}
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or words[1] not in {"1", "0", "-1"}:
            raise DataError(f"{path}, line {number}: {line!r}; expected '<image> 1|0|-1'")
        listed[words[0]] = int(words[1])
    return listed


def _check_size(image_id: str, note: _Annotation, fact: FileFacts) -> None:
    """Compare the size of the XML with the file's; where that is unreadable, it bounds boxes."""
    stated = (note.width, note.height)
    size = (fact.width, fact.height)
    if all(size) and all(stated) and size != stated:
        raise DataError(
            f"image {image_id} has {size[0]} x {size[1]} pixels, its annotation says "
            f"{stated[0]} x {stated[1]}; boxes would be misplaced, correct the annotation"
        )
    for item in note.objects if not all(size) else ():
        check_box(image_id, item.box, stated)
