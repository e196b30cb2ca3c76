"""Folders that are parts of a data set, not classes: train, valid, Testing, data/train."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from fstore.errors import DataError
from fstore.extractor.datasets._cells import PART_WORDS
from fstore.extractor.datasets._folders import sub_folders
from fstore.types import Part

__all__ = ["Layout", "find_parts"]


@dataclass(frozen=True)
class Layout:
    """Which folders are parts; ``above`` is the folder around them, ``""`` for the root."""

    parts: Mapping[str, Part] = field(default_factory=dict)
    above: str = ""

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
        return words[1:] if self.above and words[0] == self.above else words


def find_parts(root: Path) -> Layout:
    """Tell from the names of folders whether they are parts or classes.

    Parts are understood where all folders of the root are called so (see ``PART_WORDS``), or all
    folders of its only folder.

    Raises
    ------
    DataError
        Some folders are called as parts and others are not; two are called as the same part;
        folders in a class folder are called as parts.
    """
    names = [p.name for p in sub_folders(root)]
    if len(names) == 1 and not _is_part(names[0]):
        inner = [p.name for p in sub_folders(root / names[0])]
        return Layout(_parts(root / names[0], inner), names[0])
    found = _parts(root, names)
    if not found:
        _check_below(root, names)
    return Layout(found)


def _is_part(name: str) -> bool:
    return name.lower() in PART_WORDS


def _parts(folder: Path, names: Iterable[str]) -> dict[str, Part]:
    """Folder -> part if all are parts, {} if all are classes."""
    parts = {name: PART_WORDS[name.lower()] for name in names if _is_part(name)}
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
    """Refuse parts inside class folders: ``cat/train``, or ``images/train`` beside ``labels``."""
    for name in names:
        inner = [p.name for p in sub_folders(root / name) if _is_part(p.name)]
        if len({PART_WORDS[word.lower()] for word in inner}) > 1:
            raise DataError(
                f"folders {_list(inner)} in {root / name} look like parts of the data set; give "
                f"--root {root / name} if it holds all images, put the parts outermost, or "
                "describe the data set in a CSV file (--format csv)"
            )


def _list(names: Iterable[str]) -> str:
    shown = [repr(name) for name in names]
    return ", ".join(shown[:4]) + (f" and {len(shown) - 4} more" if len(shown) > 4 else "")
