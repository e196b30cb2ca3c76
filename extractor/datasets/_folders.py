"""Walk a folder of images: what is taken, what is left out, and that it ends."""

import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from PIL import features

from fstore.errors import DataError

__all__ = [
    "IMAGE_SUFFIXES",
    "Listing",
    "check_twins",
    "is_utf8",
    "list_images",
    "scan",
    "shown",
    "sub_folders",
]

IMAGE_SUFFIXES = frozenset(
    {
        *(".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm"),
        *(".ppm", ".tif", ".tiff", ".webp"),
        *((".avif",) if features.check("avif") else ()),
    }
)
"""Endings of image files, in small letters; a file with another is left out and counted."""

_MACHINE_FOLDERS = frozenset(
    {"@eadir", "__macosx", "lost+found", "$recycle.bin", "system volume information"}
)
"""Folders that machines make beside one's files, in small letters."""

_MACHINE_FILES = frozenset({"thumbs.db", "desktop.ini"})


@dataclass
class Listing:
    """The image files of a folder, and what was left out of it: reason -> files."""

    uris: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def told(self) -> str:
        """Return what was left out as text, ``3 .xcf, 12 in @eaDir``; empty if nothing was."""
        order = sorted(self.left_out.items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{n} {reason}" for reason, n in order)


def shown(path: Path | str) -> str:
    """Return a path for a message; bytes that are no UTF-8 are spelt in hexadecimal."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def is_utf8(text: str) -> bool:
    """Tell whether a name read from a disk can be written down."""
    return not any("\ud800" <= sign <= "\udfff" for sign in text)


def check_twins(names: Iterable[str], what: str, *, spaces: bool = False) -> None:
    """Refuse names that a reader takes for the same.

    Raises
    ------
    DataError
        Two differ only in their Unicode form (``é`` as one sign or two), or, where ``spaces``
        are looked at, in spaces around a name.
    """
    first_written: dict[str, str] = {}
    for name in names:
        plain = unicodedata.normalize("NFC", name)
        plain = "/".join(word.strip() for word in plain.split("/")) if spaces else plain
        other = first_written.setdefault(plain, name)
        if other != name:
            raise DataError(
                f"{what} {other!a} and {name!a} differ only in spaces or in the Unicode form of "
                "their names; rename one"
            )


def sub_folders(folder: Path) -> list[Path]:
    """Return the folders in ``folder`` by name, but hidden ones and links that lead back up."""
    if not folder.is_dir():
        raise DataError(f"no folder {shown(folder)}; give the data set's folder with --root")
    return sorted(
        p for p in folder.iterdir() if not _hidden_folder(p.name) and p.is_dir() and not _up(p)
    )


def _up(folder: Path) -> bool:
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())


def _hidden_folder(name: str) -> bool:
    return name.startswith(".") or name.lower() in _MACHINE_FOLDERS


def list_images(root: Path) -> list[str]:
    """Return the image files under ``root``, as `scan` finds them."""
    return scan(root).uris


def scan(root: Path) -> Listing:
    """List the image files under ``root``, as paths relative to it, in code-point order.

    Linked folders are followed, each real folder once. Hidden files and folders, what machines
    leave behind (``@eaDir``, ``__MACOSX``), links that lead back up, files without an image's
    ending, pipes and devices, and files whose name is no UTF-8 are left out and counted.

    Raises
    ------
    DataError
        Two links lead to one folder, a folder cannot be read, its name is no UTF-8.
    """
    listing = Listing()
    seen: dict[tuple[int, int], str] = {}
    pending = [(root, "")]
    while pending:
        folder, uri = pending.pop()
        _see(folder, uri, seen)
        for entry in _entries(folder):
            below = f"{uri}/{entry.name}" if uri else entry.name
            if not _is_folder(entry):
                _take(entry, below, listing)
            elif _hidden_folder(entry.name):
                listing.left_out[f"in {_kind(entry.name)}"] += _count(Path(entry))
            elif _up(Path(entry)):
                listing.left_out["linked folders that lead back up"] += 1
            elif not is_utf8(entry.name):
                raise DataError(f"the name of folder {shown(entry.path)} is no UTF-8; rename it")
            else:
                pending.append((Path(entry), below))
    listing.uris.sort()
    return listing


def _see(folder: Path, uri: str, seen: dict[tuple[int, int], str]) -> None:
    """Enter a folder, unless it was entered under another name: links lead to it."""
    about = folder.stat()
    other = seen.setdefault((about.st_dev, about.st_ino), uri)
    if other != uri:
        raise DataError(
            f"folders {other or '.'!r} and {uri!r} are one and the same, by a link: "
            f"{shown(folder.resolve())}; its images would count twice: remove the link"
        )


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as exc:
        raise DataError(f"cannot read folder {shown(folder)}: {exc.strerror}") from exc


def _take(entry: os.DirEntry[str], uri: str, listing: Listing) -> None:
    """Enter one file in the list, or in the count of those left out."""
    suffix = Path(entry.name).suffix.lower()
    if entry.name.startswith(".") or entry.name.lower() in _MACHINE_FILES:
        listing.left_out["hidden"] += 1
    elif not is_utf8(entry.name):
        listing.left_out[f"whose name is no UTF-8 ({shown(Path(entry.path).parent)})"] += 1
    elif suffix not in IMAGE_SUFFIXES:
        listing.left_out[suffix or "without an ending"] += 1
    elif _is_special(entry):
        listing.left_out[f"{suffix} that are pipes, sockets or devices"] += 1
    else:
        listing.uris.append(uri)  # a link to nowhere too: whoever reads it says so


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_special(entry: os.DirEntry[str]) -> bool:
    try:
        return not entry.is_file() and not stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return False


def _kind(name: str) -> str:
    return "hidden folders" if name.startswith(".") else name


def _count(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))
