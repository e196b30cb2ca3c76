"""Folders of images in object storage: copied to this machine as long as they are registered."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from fstore.errors import DataError

if TYPE_CHECKING:
    from fstore.store.place import Entry, Place

__all__ = ["at_hand"]

AT_ONCE = 16
"""Files that are under way: each waits for an answer most of its time."""


@contextmanager
def at_hand(
    root: str | Path,
    *,
    into_store: bool,
    on_progress: Callable[[int, int], None] | None = None,
    on_note: Callable[[str], object] | None = None,
) -> Iterator[Path]:
    """Give a folder's path; one in object storage is copied to this machine for as long.

    Parameters
    ----------
    root : str or Path
        A folder, or a text such as ``s3://BUCKET/PREFIX``.
    into_store : bool
        Whether the images are copied into the store: else nobody would find them later.
    on_progress : callable or None
        Called with (files copied, files in all).
    on_note : callable or None
        Told where the copies are, and how much that is.

    Raises
    ------
    DataError
        The images are in object storage, and are not to be copied into the store; there is none;
        or a name leads out of the folder.
    StorageError
        The server cannot be asked.
    """
    from fstore.store.places import REMOTE, place_at

    if not (isinstance(root, str) and REMOTE.match(root)):
        yield Path(root)
        return
    if not into_store:
        raise DataError(
            f"--root is {root}; images in object storage are copied into the store: give "
            "--copy-images as well"
        )
    place = place_at(root)
    entries = list(place.entries(""))
    if not entries:
        raise DataError(f"there is no file below {root}")
    with TemporaryDirectory(prefix="fstore-images-") as folder:
        size = sum(entry.size_bytes for entry in entries) / 1e6
        if on_note is not None:
            on_note(
                f"{len(entries)} files of {root} ({size:.1f} MB) are copied into {folder} while "
                "they are registered"
            )
        _fetch(place, entries, Path(folder), on_progress=on_progress)
        yield Path(folder)


def _fetch(
    place: "Place",
    entries: "list[Entry]",
    folder: Path,
    *,
    on_progress: Callable[[int, int], None] | None,
) -> None:
    def fetch(entry: "Entry") -> None:
        path = folder / _checked(place, entry.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(place.read(entry.key))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done, _ in enumerate(pool.map(fetch, entries), start=1):
            if on_progress is not None:
                on_progress(done, len(entries))


def _checked(place: "Place", key: str) -> PurePosixPath:
    """Return a key as a path below a folder."""
    path = PurePosixPath(key)
    if path.is_absolute() or {"", ".", ".."} & set(key.split("/")):
        raise DataError(f"{place}/{key} names no file below a folder; take it away or rename it")
    return path
