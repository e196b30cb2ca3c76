"""Folders that are parts of a data set, not classes: train, valid, Testing, data/train."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from fstore.errors import DataError
from fstore.extractor.datasets._cells import PART_WORDS
from fstore.extractor.datasets._folders import sub_folders
from fstore.types import Part

__all__ = ["Layout", "find_parts", "part_folder"]

_PART_FOLDER = re.compile(
    rf"({'|'.join(PART_WORDS)})(?:[ _-]?(?:(?:19|20)[0-9]{{2}}|images?|imgs?|set|data|split))?"
)


@dataclass(frozen=True)
class Layout:
    """Which folders are parts; ``above`` are the folders around them, () for the root."""

    parts: Mapping[str, Part] = field(default_factory=dict)
    above: tuple[str, ...] = ()

    def part(self, uri: str) -> Part | None:
        """Return the part that an image plays by its folder."""
        words = self._words(uri)
        return self.parts.get(words[0]) if len(words) > 1 else None

    def below(self, uri: str) -> str:
        """Return the path of an image in its part's folder; in the root without parts."""
        words = self._words(uri)
        return "/".join(words[1:] if self.part(uri) else words)

    def _words(self, uri: str) -> tuple[str, ...]:
        words = PurePosixPath(uri).parts
        depth = len(self.above)
        return words[depth:] if words[:depth] == self.above else words


def find_parts(root: Path) -> Layout:
    """Tell from the names of folders whether they are parts or classes.

    Parts are understood where all folders of the root are called so (see `part_folder`), or all
    folders of its only folder, however many only folders lie around them.

    Raises
    ------
    DataError
        Some folders are called as parts and others are not; two are called as the same part;
        folders in a class folder, at any depth, are called as parts.
    """
    above: tuple[str, ...] = ()
    folder, names = root, _names(root)
    while len(names) == 1 and part_folder(names[0]) is None:
        above, folder = (*above, names[0]), folder / names[0]
        names = _names(folder)
    parts = _parts(folder, names)
    if parts:
        return Layout(parts, above)
    _check_below(folder, names)
    return Layout()


def part_folder(name: str) -> Part | None:
    """Return the part that a folder is called as, alone or with a year or a word for images.

    Examples
    --------
    >>> part_folder("Valid"), part_folder("train2017"), part_folder("test_images")
    ('val', 'train', 'test')
    """
    match = _PART_FOLDER.fullmatch(name.lower())
    return PART_WORDS[match[1]] if match else None


def _names(folder: Path) -> list[str]:
    return [p.name for p in sub_folders(folder)]


def _parts(folder: Path, names: Iterable[str]) -> dict[str, Part]:
    """Folder -> part if all are parts, {} if all are classes."""
    parts = {name: part for name in names if (part := part_folder(name)) is not None}
    others = [name for name in names if name not in parts]
    if parts and others:
        _check_class(folder, list(parts), others)
        return {}
    first: dict[Part, str] = {}
    for name, part in parts.items():
        if (other := first.setdefault(part, name)) != name:
            raise DataError(
                f"folders {other!r} and {name!r} in {folder} are both called as the part {part}; "
                "put one inside the other, or rename it"
            )
    return parts


def _check_class(folder: Path, parts: list[str], others: list[str]) -> None:
    """Let ``train`` alone be a class, beside ``bus``; refuse what may be either."""
    if [name.lower() for name in parts] == ["train"] and not sub_folders(folder / parts[0]):
        return
    raise DataError(
        f"in {folder}, {_list(parts)} look like parts of the data set, {_list(others)} like "
        "classes; move the others elsewhere, or rename folders, or describe the data set in a "
        "CSV file (--format csv)"
    )


def _check_below(root: Path, names: Iterable[str]) -> None:
    """Refuse parts at any depth in class folders: ``cat/train``, or ``images/train``."""
    pending = [root / name for name in names]
    while pending:
        folder = pending.pop()
        inner = _names(folder)
        called = {name: part for name in inner if (part := part_folder(name)) is not None}
        if len(set(called.values())) > 1:
            raise DataError(
                f"folders {_list(called)} in {folder} look like parts of the data set; give "
                f"--root {folder} if it holds all images, put the parts outermost, or "
                "describe the data set in a CSV file (--format csv)"
            )
        pending += [folder / name for name in inner]


def _list(names: Iterable[str]) -> str:
    shown = [repr(name) for name in names]
    return ", ".join(shown[:4]) + (f" and {len(shown) - 4} more" if len(shown) > 4 else "")
