"""Where a store lies: the one way to its files, its locks and its leases.

A :class:`Place` has files under *keys*: texts such as ``sums/labels.sha256``, parts joined by
``/``, relative to the store. Nothing outside this seam joins a path onto a store's root. There are
two kinds of places, a local folder (``local.py``) and object storage (``remote.py``); the tests
that each kind must pass are in ``tests/_place_contract.py``.

A store may come from somebody else, and its tables hold paths. A path out of a table is followed,
deleted or overwritten only after :func:`inside` said that it leads to a place in the store. What
a user names as an output is checked by :func:`outside`.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from fstore.errors import StorageError
from fstore.store.schema import TABLES

if TYPE_CHECKING:
    import duckdb
    from pyarrow.fs import FileSystem

__all__ = ["STORE_FOLDERS", "Entry", "Place", "inside", "outside"]

STORE_FOLDERS = {
    "images",
    "checkpoints",
    "detectors",
    "fields",
    "locks",
    "proposals",
    "sums",
    "topk",
    "training",
    "weights",
    *TABLES,
}
"""What a store may hold at its top, beside its marker."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a place; times in seconds since 1970, by the place's clock."""

    key: str
    size_bytes: int
    written: float
    touched: float
    """When it was last written or moved."""
    version: Hashable
    """Another one whenever the content may be another."""


class Place(Hashable, Protocol):
    """Where a store lies. Its text is what a user calls it; equal places are the same store.

    A method that reads or writes raises :class:`OSError`, ``FileNotFoundError`` where nothing is
    under a key; locks and leases raise :class:`~fstore.errors.StorageError`.
    """

    # What libraries call things

    def table(self, name: str) -> str:
        """Return what deltalake opens as a table.

        Raises
        ------
        StorageError
            Its name would be taken for another.
        """

    def uri(self, key: str) -> str:
        """Return what DuckDB, and pyarrow with :attr:`filesystem`, call what is under a key."""

    @property
    def filesystem(self) -> "FileSystem":
        """What pyarrow reads through."""

    @property
    def storage_options(self) -> dict[str, str]:
        """What deltalake is told wherever it opens, makes or writes a table; it may hold keys."""

    def register(self, duck: "duckdb.DuckDBPyConnection") -> None:
        """Have a DuckDB read what :meth:`uri` gives, before it is closed to the outside."""

    def readable(self) -> set[str]:
        """Return what a program that reads the tables must be allowed to open."""

    # Local paths, for libraries that know no others

    def local(self, key: str) -> Path:
        """Return the path of a local file, or folder, with what is under a key; to be read.

        What is not on this machine is copied to it: ask for no more than is needed.
        """

    def workspace(self, key: str) -> Path:
        """Return the path of a local folder for work in hand, which stays; it may not exist yet."""

    def draft(self, folder: str, suffix: str) -> Path:
        """Return an unused local path to write a file to that :meth:`put` is for.

        Its name is 12 random hex digits and the suffix; its folder exists.
        """

    def key_of(self, path: Path) -> str | None:
        """Return the key of a local path, links followed; None if it is not in the store."""

    # Files

    def make(self) -> None:
        """Make the place, unless it is there.

        Raises
        ------
        StorageError
            No store can be in it.
        """

    def names(self, folder: str) -> list[str]:
        """Return the names directly below a key, of folders too, in any order; none is no error."""

    def entries(self, folder: str) -> Iterator[Entry]:
        """Yield all files below a key, by key; what is not a file (a link) is left out."""

    def entry(self, key: str) -> Entry | None:
        """Return what is known of a file; None if there is none."""

    def follow(self, key: str) -> str | None:
        """Return the key that a key leads to; None if it leads out of the store.

        A link at the top of the store is trusted: its owner put a part of it on another disk.
        """

    def open(self, key: str) -> BufferedIOBase:
        """Open a file for reading at any place in it."""

    def read(self, key: str) -> bytes:
        """Return a file's content."""

    def write(self, key: str, data: bytes) -> None:
        """Write a file, in place of one that is there: all of it or nothing is ever seen."""

    def create(self, key: str, data: bytes) -> bool:
        """Write a file as :meth:`write`, unless there is one; return whether it was written.

        Of two at once one is told that it was. Whoever is told that it was not, and may have asked
        twice, must look: an answer can be lost.
        """

    def append(self, key: str, data: bytes) -> None:
        """Add to the end of a file, which may not exist yet; of two at once nothing is lost."""

    def put(self, file: Path, key: str) -> None:
        """Move a local file into the store, in place of one that is there, as :meth:`write`."""

    def delete(self, key: str) -> None:
        """Delete a file, if it is there."""

    def check_writable(self, folder: str) -> None:
        """Raise the :class:`OSError` of a place that is full, or not to be written."""

    # Those who are at work

    def lock(
        self,
        name: str,
        on_wait: Callable[[], object] | None = None,
        *,
        poll_s: float | None = None,
    ) -> AbstractContextManager[None]:
        """Wait until no other process, or thread, holds a lock, and hold it.

        It is free again when its holder ends, in whatever way.

        Parameters
        ----------
        name : str
        on_wait : callable or None
            Called whenever the lock is found not free. What it raises ends the waiting.
        poll_s : float or None
            Seconds between two looks; None for one.
        """

    def is_locked(self, name: str) -> bool:
        """Tell whether somebody holds a lock; True where that cannot be told."""

    def lease(self, what: str) -> AbstractContextManager[None]:
        """Say, as long as it is held, that files are written that no log names yet.

        Parameters
        ----------
        what : str
            For people: what is done.
        """

    def oldest_lease(self) -> float:
        """Return since when files are spared: the start of the oldest lease in force, or infinity.

        Leases of dead processes are removed.
        """


def inside(root: Place, relative: str, *, table: str, row: str, folder: str = "") -> str:
    """Return the key that a path of a table names.

    The path must be relative, without ``..``, and lie in the store after all links are followed.

    Parameters
    ----------
    root : Place
        The store.
    relative : str
        What the table holds, with ``/``.
    table, row : str
        Where it stands, for the message.
    folder : str
        First part that it must have, and not alone; empty for any place in the store.

    Raises
    ------
    StorageError
        The path leads elsewhere.
    """
    path = PurePosixPath(relative)
    odd = not relative or "\0" in relative or ".." in path.parts or path.is_absolute()
    if not odd and not (folder and (path.parts[:1] != (folder,) or len(path.parts) == 1)):
        key = root.follow("/".join(path.parts))
        if key is not None and (not folder or key.startswith(f"{folder}/")):
            return key
    where = f"folder {folder}/ of the store" if folder else "the store"
    raise StorageError(
        f"table '{table}', {row}: the path {relative!r} does not lie in {where} {root}; fstore "
        "follows and deletes only what is in the store; was the table changed by another program?"
    )


def outside(root: Place, path: Path) -> Path:
    """Return a path that a user wants written, unless it is among the store's own files.

    Raises
    ------
    StorageError
        It lies in a folder that fstore keeps for itself, or is the store's marker.
    """
    key = root.key_of(path)
    if key is not None:
        top = key.split("/")[0]
        if not key or top in STORE_FOLDERS or (key == top and top.startswith("fstore.json")):
            raise StorageError(f"{path} is among the store's own files in {root}; write elsewhere")
    return path
