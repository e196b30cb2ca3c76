"""Folders of images: class folders, train/val/test folders, a label file, or no labels."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from fstore.errors import DataError
from fstore.extractor.datasets._api import dataset_format
from fstore.extractor.datasets._files import (
    Fractions,
    Progress,
    check_manifest,
    file_facts,
    list_images,
    official_split,
    random_splits,
    sub_folders,
)
from fstore.types import DatasetManifest, Part, SampleRecord, ViewManifest

__all__ = ["imagefolder"]

_PART_FOLDERS: dict[str, Part] = {"train": "train", "val": "val", "test": "test"}


@dataset_format("imagefolder")
def imagefolder(
    name: str,
    root: Path,
    *,
    seeds: Sequence[int] = (),
    fractions: Fractions | None = None,
    label_file: str = "",
    on_progress: Progress | None = None,
) -> DatasetManifest:
    """Read a folder of images: one class a folder, or a label file, or no labels.

    Parameters
    ----------
    name : str
    root : Path
        Class folders (nested ones too: ``a/abbey`` is the class ``a/abbey``), or ``train``,
        ``val``, ``test`` folders with class folders in each (the official split), or images.
    seeds, fractions
        Stratified random splits.
    label_file : str
        Text file of lines ``<image> <label>``, for images outside class folders; relative to
        ``root`` or absolute. An image is named by its path in ``root``, in its part's folder, or
        by its file name where only one has it.

    Raises
    ------
    DataError
        No images, an empty class folder, an image without a label beside labelled ones.
    """
    root = root.resolve()
    parts = _part_folders(root)
    uris = list_images(root)
    labels = _labels(uris, parts, _read_label_file(root, label_file, uris) if label_file else {})
    _check_empty_folders(root, uris)
    facts = file_facts(root, uris, on_progress=on_progress)
    samples = tuple(
        SampleRecord(u, u, f.digest, f.width, f.height, {labels[u]: 1} if u in labels else {})
        for u, f in zip(uris, facts, strict=True)
    )
    splits = official_split(samples, {u: parts.get(_top(u)) for u in uris})
    view = ViewManifest("image", samples, splits + random_splits(samples, seeds, fractions))
    classes = tuple(sorted(set(labels.values())))
    _check_train_classes(labels, parts, root)
    return check_manifest(
        DatasetManifest(
            name, "single" if classes else "none", classes, root, (view,), "imagefolder"
        )
    )


def _top(uri: str) -> str:
    return PurePosixPath(uri).parts[0]


def _part_folders(root: Path) -> dict[str, Part]:
    """Folder -> part if the root's folders are parts, {} if they are classes."""
    names = {p.name for p in sub_folders(root)}
    return _PART_FOLDERS if names and names <= set(_PART_FOLDERS) else {}


def _labels(
    uris: Iterable[str], parts: Mapping[str, Part], listed: Mapping[str, str]
) -> dict[str, str]:
    """Label of every image, or of none."""
    labels: dict[str, str] = {}
    bare: list[str] = []
    for uri in uris:
        folder = PurePosixPath(uri).parent
        if parts and folder.parts and folder.parts[0] in parts:
            folder = folder.relative_to(folder.parts[0])
        label = listed.get(uri) or folder.as_posix()
        if label == ".":
            bare.append(uri)
        else:
            labels[uri] = label
    if labels and bare:
        raise DataError(
            f"image {bare[0]!r} has no label ({len(bare)} such, {len(labels)} have one); move it "
            "into a class folder, or give a list of labels with --label-file"
        )
    return labels


def _read_label_file(root: Path, label_file: str, uris: Sequence[str]) -> dict[str, str]:
    """Return uri -> label; every line must name exactly one image."""
    path = root / label_file
    if not path.is_file():
        raise DataError(f"no label file {path}; give its path, relative to {root} or absolute")
    names = _image_names(uris)
    labels: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split(maxsplit=1)
        if not words:
            continue
        where = f"{path}, line {number}"
        if len(words) != 2:
            raise DataError(f"{where}: {line!r}; expected '<image> <label>'")
        image, label = words
        found = names.get(image, [])
        if len(found) != 1:
            held = "no image" if not found else f"{len(found)} images"
            raise DataError(f"{where}: {held} {image!r} in {root}; name one by its path in there")
        if found[0] in labels:
            raise DataError(f"{where}: image {image!r} is labelled twice; keep one line")
        labels[found[0]] = label.strip()
    return labels


def _check_train_classes(labels: Mapping[str, str], parts: Mapping[str, Part], root: Path) -> None:
    """With a train folder, the other parts may only hold its classes."""
    trained = {label for uri, label in labels.items() if parts.get(_top(uri)) == "train"}
    if trained and (other := sorted(set(labels.values()).difference(trained))):
        where = next(uri for uri, label in labels.items() if label == other[0])
        raise DataError(
            f"image {where!r} is of class {other[0]!r}, which has no image in {root / 'train'}; "
            "name class folders alike in every part"
        )


def _image_names(uris: Iterable[str]) -> dict[str, list[str]]:
    """Everything that an image may be called in a label file -> the images called so."""
    names: dict[str, list[str]] = {}
    for uri in uris:
        path = PurePosixPath(uri)
        called = {uri, path.name}
        if path.parts[0] in _PART_FOLDERS and len(path.parts) > 1:
            called.add(path.relative_to(path.parts[0]).as_posix())
        for name in called:
            names.setdefault(name, []).append(uri)
    return names


def _check_empty_folders(root: Path, uris: Iterable[str]) -> None:
    """Raise DataError for a folder without images in or below it: a class that lost them."""
    filled = {parent.as_posix() for uri in uris for parent in PurePosixPath(uri).parents}
    pending = sub_folders(root)
    while pending:
        folder = pending.pop()
        if folder.relative_to(root).as_posix() not in filled:
            raise DataError(f"folder {folder} holds no image; add some, or remove the folder")
        pending += sub_folders(folder)
