"""The folder of a site: written beside its place, and moved there when it is complete."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from fstore.ending import leftover
from fstore.errors import DataError

__all__ = ["MARKER", "check_place", "files_of", "replaced", "study_of"]

MARKER = "fstore-page.json"
"""File that says that a folder is a site of ours, which may be replaced."""


def check_place(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder of something else, and an earlier site unless it may be replaced.

    Raises
    ------
    DataError
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise DataError(f"{out} is a file; name a new folder for the page")
    if (out / MARKER).is_file():
        if not overwrite:
            raise DataError(f"{out} holds a page already; add --overwrite to replace it")
    elif held := next(out.iterdir(), None):
        raise DataError(
            f"{out} is not empty and no page of fstore's (it holds {held.name!r}); "
            "name a new folder"
        )


def study_of(out: Path) -> str | None:
    """Return the study whose site a folder holds, or None."""
    try:
        return str(json.loads((out / MARKER).read_text(encoding="utf-8"))["study"])
    except (OSError, ValueError, KeyError):
        return None


@contextmanager
def replaced(out: Path) -> Iterator[Path]:
    """Give a new folder that takes the place of ``out`` at the end; after an error it goes."""
    from fstore.store.commits import storage

    new = out.with_name(f".{out.name}.{uuid4().hex[:8]}")
    try:
        with storage(f"cannot write the page to {out}"):
            with leftover(new):
                new.mkdir(parents=True)
                yield new
            _swap(new, out)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _swap(new: Path, out: Path) -> None:
    """Put a folder in the place of another, which goes; if it cannot be, that one stays.

    What somebody else put into the old one is moved over; nothing but fstore's own goes.

    Raises
    ------
    DataError
        A file of somebody else has the name of one of the new site.
    """
    own = _own_files(out)
    if own is None:  # built before sites kept a list: what the new one has too was fstore's
        own = files_of(new)
    in_the_way = sorted((files_of(out) - own) & files_of(new))
    if in_the_way:
        raise DataError(
            f"{out / in_the_way[0]} is not of fstore's making, and the new page has a file of that "
            "name; move yours away"
        )
    old = new.with_name(f"{new.name}.old")
    if out.exists():
        out.rename(old)
    try:
        new.rename(out)
    except OSError:
        if old.exists():
            old.rename(out)
        raise
    for file in sorted(files_of(old) - own):
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        (old / file).rename(out / file)
    shutil.rmtree(old, ignore_errors=True)  # what is left is fstore's own


def _own_files(out: Path) -> set[Path] | None:
    """Return the files of a site, as its marker lists them; None if it has no list."""
    try:
        files = json.loads((out / MARKER).read_text(encoding="utf-8"))["files"]
        return {Path(file) for file in files}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def files_of(folder: Path) -> set[Path]:
    """List all files below a folder, and links, relative to it."""
    return {
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }
