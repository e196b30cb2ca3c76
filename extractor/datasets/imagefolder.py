"""Folders of images: class folders, train/val/test folders, a label file, or no labels."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from fstore.errors import DataError
from fstore.extractor.datasets._api import dataset_format
from fstore.extractor.datasets._cells import class_name
from fstore.extractor.datasets._files import (
    Note,
    Progress,
    check_folder,
    check_manifest,
    file_facts,
    find_file,
    image_records,
)
from fstore.extractor.datasets._folders import scan, sub_folders
from fstore.extractor.datasets._parts import Layout, find_parts
from fstore.extractor.datasets._splits import Fractions, image_view
from fstore.reading import read_text
from fstore.types import DatasetManifest

__all__ = ["imagefolder"]


@dataset_format("imagefolder")
def imagefolder(
    name: str,
    root: Path,
    *,
    seeds: Sequence[int] = (),
    fractions: Fractions | None = None,
    label_file: str = "",
    encoding: str = "",
    on_progress: Progress | None = None,
    on_note: Note | None = None,
) -> DatasetManifest:
    """Read a folder of images: one class a folder, or a label file, or no labels.

    The first tab of a line of a label file ends the image's name; in a line without tabs the
    first space does. An image is named by its path in ``root``, in its part's folder, or by its
    file name where only one has it.

    Parameters
    ----------
    name : str
    root : Path
        Class folders (nested ones too: ``a/abbey`` is the class ``a/abbey``), or folders of
        parts (``train``, ``val``, ``test`` and what else people call them) with class folders in
        each (the official split), or images. The parts may lie in the root's only folder.
    seeds, fractions
        Stratified random splits.
    label_file : str
        Text file of lines ``<image> <label>``, for images outside class folders; from the working
        directory, else from ``root``.
    encoding : str
        Of the text file, as ``latin-1``. Default: UTF-8, or what its byte order mark says.
    on_progress : callable or None
        Called with (files hashed, files in all).
    on_note : callable or None
        Called with a sentence that says what was left out: files by their ending, and why.

    Raises
    ------
    DataError
        No images, an empty class folder, an image without a label beside labelled ones, folders
        that may be parts or classes, folders that links lead to twice.
    """
    if encoding and not label_file:
        raise DataError("--encoding is that of the label file; give one with --label-file")
    root = check_folder(root)
    listing = scan(root)
    layout = find_parts(root)
    uris = listing.uris
    if on_note is not None and (told := listing.told()):
        on_note(f"left out: {told}")
    listed = (
        _read_label_file(root, label_file, encoding=encoding, uris=uris, layout=layout)
        if label_file
        else {}
    )
    labels = _labels(uris, layout, listed)
    _check_empty_folders(root, uris)
    facts = file_facts(root, uris, on_progress=on_progress)
    samples = image_records(uris, facts, {uri: {label: 1} for uri, label in labels.items()})
    parts = {uri: layout.part(uri) for uri in uris}
    view = image_view(samples, parts, seeds=seeds, fractions=fractions)
    classes = tuple(sorted(set(labels.values())))
    _check_train_classes(labels, layout)
    task: Literal["single", "none"] = "single" if classes else "none"
    return check_manifest(DatasetManifest(name, task, classes, root, (view,), "imagefolder"))


def _labels(uris: Iterable[str], layout: Layout, listed: Mapping[str, str]) -> dict[str, str]:
    """Label of every image, or of none."""
    labels: dict[str, str] = {}
    bare: list[str] = []
    for uri in uris:
        place = layout.below(uri) if layout.parts else uri
        label = listed.get(uri) or PurePosixPath(place).parent.as_posix()
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


def _read_label_file(
    root: Path, label_file: str, *, encoding: str, uris: Iterable[str], layout: Layout
) -> dict[str, str]:
    """Return uri -> label; every line must name exactly one image."""
    path = find_file(label_file, root, "--label-file")
    names = _image_names(uris, layout)
    labels: dict[str, str] = {}
    for number, line in enumerate(read_text(path, encoding=encoding).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        image, label = _image_and_label(line, where)
        called = names.get(image, [])
        if len(called) != 1:
            held = "no image" if not called else f"{len(called)} images"
            raise DataError(f"{where}: {held} {image!r} in {root}; name one by its path in there")
        if called[0] in labels:
            raise DataError(f"{where}: image {image!r} is labelled twice; keep one line")
        labels[called[0]] = label
    if not labels:
        raise DataError(f"{path} holds no line; expected lines '<image> <label>'")
    return labels


def _image_and_label(line: str, where: str) -> tuple[str, str]:
    """Split a line at its first tab; where it has none, at its first space."""
    line = line.strip(" \t")
    image, mark, label = line.partition("\t" if "\t" in line else " ")
    image, label = image.strip(" "), label.strip(" \t")
    if not mark or not image or not label:
        raise DataError(
            f"{where}: {line!r}; expected '<image> <label>', a space or a tab between them"
        )
    return image, class_name(label, where)


def _check_train_classes(labels: Mapping[str, str], layout: Layout) -> None:
    """With a train folder, the other parts may only hold its classes."""
    trained = {label for uri, label in labels.items() if layout.part(uri) == "train"}
    if trained and (other := sorted(set(labels.values()).difference(trained))):
        where = next(uri for uri, label in labels.items() if label == other[0])
        train = next(name for name, part in layout.parts.items() if part == "train")
        raise DataError(
            f"image {where!r} is of class {other[0]!r}, which has no image in folder {train!r}; "
            "name class folders alike in every part"
        )


def _image_names(uris: Iterable[str], layout: Layout) -> dict[str, list[str]]:
    """Everything that an image may be called in a label file -> the images called so."""
    names: dict[str, list[str]] = {}
    for uri in uris:
        for name in {uri, PurePosixPath(uri).name, layout.below(uri)}:
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
