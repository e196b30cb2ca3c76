"""PASCAL VOC: a devkit's images, boxes, difficult flags and official splits."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fstore.errors import DataError
from fstore.extractor.datasets._api import dataset_format
from fstore.extractor.datasets._boxes import (
    LabelledBox,
    box_views,
    check_size,
    image_samples,
    labels_of,
)
from fstore.extractor.datasets._cells import class_name, flag_word, number
from fstore.extractor.datasets._files import (
    FileFacts,
    Progress,
    check_box,
    check_manifest,
    file_facts,
    list_images,
    sub_folders,
)
from fstore.extractor.datasets._splits import Fractions
from fstore.reading import is_endless, read_text
from fstore.types import Box, DatasetManifest, Part

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
    zero_based: bool = False,
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
    zero_based : bool
        Boxes count pixels from 0, as some programs write them; VOC's own count from 1.

    Raises
    ------
    DataError
        A list, an annotation or an image is missing, malformed, or contradicts another.
    """
    folder = _year_folder(root, year)
    sets = _read_sets(folder)
    ids = sorted(set().union(*sets.values()))
    annotations = {i: _read_annotation(folder, i, zero_based=zero_based) for i in ids}
    classes = _classes(folder, annotations)
    _check_lists(folder, sets, annotations)
    uris = _uris(folder, ids)
    facts = file_facts(folder, uris, on_progress=on_progress)
    for image_id, fact in zip(ids, facts, strict=True):
        _check_size(image_id, annotations[image_id], fact)
    objects = {i: a.objects for i, a in annotations.items()}
    images = image_samples(ids, uris, facts=facts, objects=objects)
    views = box_views(images, objects, _parts(sets), seeds=seeds, fractions=fractions)
    return check_manifest(DatasetManifest(name, "multi", classes, folder, views, "voc"))


def _year_folder(root: Path, year: str) -> Path:
    """Find the folder that holds ``JPEGImages``: the root, or a ``VOCyyyy`` in it."""
    root = root.resolve()
    if (root / "JPEGImages").is_dir():
        return root
    if (root / "VOCdevkit").is_dir():
        root /= "VOCdevkit"
    years = [p for p in sub_folders(root) if (p / "JPEGImages").is_dir()]
    if year:
        years = [p for p in years if p.name in {year, f"VOC{year}"}]
    if len(years) == 1:
        return years[0]
    if not years:
        wanted = f"VOC{year}/JPEGImages" if year else "JPEGImages or VOCyyyy/JPEGImages"
        raise DataError(f"no {wanted} in {root}; give the VOCdevkit folder with --root")
    names = ", ".join(p.name for p in years)
    raise DataError(f"{root} holds several years: {names}; choose one with --year")


def _read_sets(folder: Path) -> dict[str, list[str]]:
    """Read the image lists that exist; check that they fit together."""
    main = folder / "ImageSets" / "Main"
    sets = {s: _read_ids(main / f"{s}.txt") for s in _SETS if (main / f"{s}.txt").is_file()}
    if not any(sets.values()):
        raise DataError(f"no image lists in {main}; expected trainval.txt, test.txt or the like")
    for first, other in (
        ("train", "val"),
        ("trainval", "test"),
        ("train", "test"),
        ("val", "test"),
    ):
        if both := set(sets.get(first, ())).intersection(sets.get(other, ())):
            raise DataError(
                f"image {min(both)} is in {first}.txt and in {other}.txt of {main}; "
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
    ids = [_listed(line, path) for line in read_text(path).splitlines() if line.strip()]
    if len(set(ids)) < len(ids):
        twice = next(i for i, n in Counter(ids).items() if n > 1)
        raise DataError(f"{path} lists image {twice} twice; list each once")
    return ids


def _listed(line: str, path: Path) -> str:
    """Return the image that a line names, which must be a file's name without folders."""
    name = line.strip()  # the whole line: names have spaces
    if "/" in name or "\\" in name or "\0" in name or name in {".", ".."}:
        raise DataError(f"{path} lists {name!r}; expected the name of an image, without folders")
    return name


def _parts(sets: Mapping[str, Iterable[str]]) -> dict[str, Part]:
    """Part of each image; what is only in trainval counts as train."""
    parts: dict[str, Part] = dict.fromkeys(sets.get("trainval", ()), "train")
    parts.update(dict.fromkeys(sets.get("val", ()), "val"))
    parts.update(dict.fromkeys(sets.get("test", ()), "test"))
    parts.update(dict.fromkeys(sets.get("train", ()), "train"))
    return parts


def _read_annotation(folder: Path, image_id: str, *, zero_based: bool) -> _Annotation:
    path = folder / "Annotations" / f"{image_id}.xml"
    tree = _parsed(path, image_id)
    size = [_size(tree, side, path) for side in ("width", "height")]
    nodes = tree.findall("./object")
    objects = [_object(n, f"{path}, object {i}") for i, n in enumerate(nodes, start=1)]
    lowest = min((min(o.box[:2]) for o in objects), default=1.0)
    if zero_based:
        objects = [replace(o, box=_from_one(o.box)) for o in objects]
    elif 0 <= lowest < 1:
        raise DataError(
            f"{path}: a box begins at {lowest:g}, and VOC counts pixels from 1; if this data set "
            "counts from 0, say so with --zero-based, else correct the box"
        )
    return _Annotation(size[0], size[1], tuple(objects))


def _parsed(path: Path, image_id: str) -> "Element":
    """Return the root element of an annotation."""
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    if is_endless(path):
        raise DataError(f"{path} is no regular file; expected an annotation")
    try:
        root: Element = fromstring(path.read_bytes())
    except FileNotFoundError as exc:
        raise DataError(f"image {image_id} has no annotation {path}; add it or unlist it") from exc
    except OSError as exc:
        raise DataError(f"cannot read {path}: {exc.strerror or exc}") from exc
    except (ParseError, DefusedXmlException, LookupError, ValueError, RecursionError) as exc:
        raise DataError(
            f"{path} is not a sound XML file: {exc}; restore it, or save it as UTF-8"
        ) from exc
    if root.tag != "annotation":
        raise DataError(f"{path} has the root <{root.tag}>; expected a VOC <annotation>")
    return root


def _only(node: "Element", path: str, where: str) -> str | None:
    """Return the text of the only element of that name; None if there is none."""
    elements = node.findall(path)
    if len(elements) > 1:
        raise DataError(f"{where}: {len(elements)} elements {path}; expected one")
    return (elements[0].text or "").strip() if elements else None


def _size(tree: "Element", side: str, path: Path) -> int:
    text = _only(tree, f"size/{side}", str(path))
    value = number(text, f"{path}: size/{side}") if text else 0.0
    if value < 0 or value != int(value):
        raise DataError(f"{path}: size/{side} {text!r}; expected a whole number of pixels")
    return int(value)


def _object(node: "Element", where: str) -> LabelledBox:
    name = class_name(_only(node, "name", where) or "", where)
    if not name:
        raise DataError(f"{where}: an object has no name")
    texts = [_only(node, f"bndbox/{side}", where) for side in ("xmin", "ymin", "xmax", "ymax")]
    if len(node.findall("bndbox")) != 1 or None in texts:
        raise DataError(f"{where}: an object {name!r} has no complete bndbox, or several")
    xmin, ymin, xmax, ymax = (
        number(text or "", f"{where}: an object {name!r} has the box {texts}, not four numbers")
        for text in texts
    )
    difficult = flag_word(_only(node, "difficult", where) or "", where, "difficult")
    return LabelledBox(name, (xmin, ymin, xmax, ymax), difficult)


def _from_one(box: Box) -> Box:
    xmin, ymin, xmax, ymax = box
    return xmin + 1, ymin + 1, xmax + 1, ymax + 1


def _uris(folder: Path, ids: Iterable[str]) -> list[str]:
    """Return the image file of each id: ``JPEGImages/<id>.jpg``, or the one with another ending.

    Raises
    ------
    DataError
        There is none directly in the folder, or there are several.
    """
    files: dict[str, list[str]] = {}
    deeper: dict[str, str] = {}
    for uri in list_images(folder / "JPEGImages"):
        if "/" in uri:
            deeper.setdefault(Path(uri).stem, uri)
        else:
            files.setdefault(Path(uri).stem, []).append(uri)
    missing = [i for i in ids if i not in files]
    if missing:
        near = deeper.get(missing[0])
        beside = f"; there is one in a folder below, JPEGImages/{near}" if near else ""
        raise DataError(
            f"no image {folder / 'JPEGImages' / missing[0]}.jpg ({len(missing)} missing in all)"
            f"{beside}; put it there or take it off the lists in ImageSets/Main"
        )
    return [f"JPEGImages/{_one_of(i, files[i], folder)}" for i in ids]


def _one_of(image_id: str, names: Sequence[str], folder: Path) -> str:
    if f"{image_id}.jpg" in names:
        return f"{image_id}.jpg"
    if len(names) > 1:
        raise DataError(
            f"image {image_id} may be any of {', '.join(names)} in {folder / 'JPEGImages'}; "
            "keep one of them"
        )
    return names[0]


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
                label = labels[i].get(name, -1) if i in labels else value
                if label != value:
                    raise DataError(
                        f"class {name!r}, image {i}: {path.name} says {value}, the annotation "
                        f"{label} (1: present, 0: only difficult objects, -1: absent); correct one"
                    )


def _read_class_list(path: Path) -> dict[str, int]:
    listed: dict[str, int] = {}
    for at, line in enumerate(read_text(path).splitlines(), start=1):
        words = line.rsplit(maxsplit=1)
        if not words:
            continue
        if len(words) != 2 or words[1] not in {"1", "0", "-1"} or words[0].strip() in listed:
            raise DataError(f"{path}, line {at}: {line!r}; expected '<image> 1|0|-1', each once")
        listed[words[0].strip()] = int(words[1])
    return listed


def _check_size(image_id: str, note: _Annotation, fact: FileFacts) -> None:
    """Compare the size of the XML with the file's; where that is unreadable, it bounds boxes."""
    stated, size = (note.width, note.height), (fact.width, fact.height)
    check_size(image_id, stated, size)
    for item in note.objects if not all(size) else ():
        check_box(image_id, item.box, stated)
