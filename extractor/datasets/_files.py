"""What every data-set reader needs: file facts, paths, checks."""

import errno
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from fstore.errors import DataError
from fstore.extractor.datasets._folders import (
    IMAGE_SUFFIXES,
    check_twins,
    is_utf8,
    list_images,
    shown,
    sub_folders,
)
from fstore.pixels.image_files import digest_bytes, image_size
from fstore.reading import is_endless
from fstore.types import Box, DatasetManifest, SampleRecord

__all__ = [
    "IMAGE_SUFFIXES",
    "FileFacts",
    "Note",
    "Progress",
    "check_box",
    "check_folder",
    "check_manifest",
    "digest_file",
    "file_facts",
    "find_file",
    "image_records",
    "list_images",
    "relative_uri",
    "sub_folders",
]

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the files read so far and their number."""

Note: TypeAlias = Callable[[str], None]
"""Called with a sentence that the user must know, as what was left out."""


_HASHING_THREADS = 8


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Digest and size of an image file; empty and 0 where they could not be read."""

    digest: str
    width: int
    height: int


def digest_file(path: Path) -> str:
    """Return the BLAKE2b-128 digest of a file's bytes, hex."""
    return digest_bytes(path.read_bytes())


def file_facts(
    root: Path, uris: Sequence[str], *, on_progress: Progress | None = None
) -> list[FileFacts]:
    """Hash the files and read their headers, several at a time.

    Parameters
    ----------
    root : Path
    uris : sequence of str
        Paths relative to ``root``; a missing file is a DataError, an unreadable one is not.
    on_progress : callable or None
        Called from this thread with (files done, files in all).
    """
    facts: list[FileFacts] = []
    with ThreadPoolExecutor(_HASHING_THREADS) as pool:
        for fact in pool.map(lambda uri: _facts(root / uri), uris):
            facts.append(fact)
            if on_progress is not None:
                on_progress(len(facts), len(uris))
    return facts


def _facts(path: Path) -> FileFacts:
    try:
        if is_endless(path):
            raise DataError(f"image {path} is no regular file; take it off the list")
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise DataError(f"no image file {path}; put it there or take it off the list") from exc
    except OSError as exc:
        if exc.errno == errno.ENAMETOOLONG:
            raise DataError(f"no image file {path}: its name is too long for a file") from exc
        return FileFacts("", 0, 0)
    return FileFacts(digest_bytes(data), *image_size(data))


def image_records(
    uris: Sequence[str], facts: Sequence[FileFacts], labels: Mapping[str, Mapping[str, int]]
) -> tuple[SampleRecord, ...]:
    """Return whole images, each named by its path, with the labels of those that have some."""
    return tuple(
        SampleRecord(u, u, f.digest, f.width, f.height, dict(labels.get(u, {})))
        for u, f in zip(uris, facts, strict=True)
    )


def relative_uri(text: str, where: str) -> str:
    """Return the normal form of a path below the root; DataError if it is none."""
    if "\0" in text or not is_utf8(text):
        raise DataError(f"{where}: {text!a} is no name that a file can have")
    path = PurePosixPath(text)
    if not path.parts or path.is_absolute() or ".." in path.parts:
        raise DataError(f"{where}: {text!r} is not a path below --root")
    return str(path)


def check_folder(root: Path) -> Path:
    """Return the data set's folder, links resolved.

    Raises
    ------
    DataError
        It is no folder, or its name is no UTF-8 and could not be recorded.
    """
    if not root.is_dir():
        raise DataError(f"no folder {shown(root)}; give the data set's folder with --root")
    root = root.resolve()
    if not is_utf8(str(root)):
        raise DataError(f"the name of folder {shown(root)} is no UTF-8; rename it")
    return root


def find_file(text: str, root: Path, option: str) -> Path:
    """Return the file that an option names: from the working directory, else from the root.

    Parameters
    ----------
    text : str
        A path, absolute or relative.
    root : Path
        The data set's folder.
    option : str
        For messages.

    Raises
    ------
    DataError
        There is none, only a folder, or two different ones that the path may mean.
    """
    places = [Path.cwd() / text, root / text]
    try:
        existing = [p for p in places if p.exists()]
        files = [p for p in existing if not p.is_dir()]
        differ = len(files) == 2 and not files[0].samefile(files[1])
    except (OSError, ValueError) as exc:
        raise DataError(f"{option} {text!r}: {exc}") from exc
    if differ:
        raise DataError(f"{option} {text!r} may be {files[0]} or {files[1]}; give an absolute path")
    if files:
        return files[0]
    if existing:
        raise DataError(f"{existing[0]} is a folder, not a file; give a file with {option}")
    looked = " or ".join(dict.fromkeys(shown(p) for p in places))
    raise DataError(f"no file {looked}; give it with {option}")


def check_box(image_id: str, box: Box, size: tuple[int, int]) -> None:
    """Raise DataError unless the box lies inside the image; a size of 0 is not known."""
    xmin, ymin, xmax, ymax = box
    width, height = size if all(size) else (math.inf, math.inf)
    if not (1 <= xmin <= xmax <= width and 1 <= ymin <= ymax <= height):
        raise DataError(
            f"image {image_id}: box ({xmin:g}, {ymin:g}, {xmax:g}, {ymax:g}) is not inside "
            f"1 ... {width:g} x 1 ... {height:g}; boxes are xmin, ymin, xmax, ymax in pixels, "
            "counted from 1, last pixel included"
        )


def check_manifest(manifest: DatasetManifest) -> DatasetManifest:
    """Return the manifest if its image view is sound.

    Raises
    ------
    DataError
        No image, an image listed twice, a class without images, a split whose length differs.
    """
    images = next(v for v in manifest.views if v.view == "image").samples
    where = f"data set {manifest.name!r} ({manifest.root})"
    if not images:
        raise DataError(f"{where} has no image; files need one of {', '.join(_suffixes())}")
    for kind, values in (("id", (s.image_id for s in images)), ("file", (s.uri for s in images))):
        twice = [name for name, n in Counter(values).items() if n > 1]
        if twice:
            raise DataError(f"{where} lists the {kind} {twice[0]!r} twice; list each image once")
    check_twins(manifest.classes, f"{where}: classes", spaces=True)
    check_twins((s.uri for s in images), f"{where}: images")
    used = {name for s in images for name in s.labels}
    if empty := [name for name in manifest.classes if name not in used]:
        raise DataError(
            f"{where} has no image of class {', '.join(map(repr, empty[:5]))}; "
            "add some, or remove the class (its folder, lists or category)"
        )
    if unknown := used.difference(manifest.classes):
        raise ValueError(f"labels outside the class list: {sorted(unknown)[:5]}")
    return manifest


def _suffixes() -> list[str]:
    return sorted(IMAGE_SUFFIXES)
