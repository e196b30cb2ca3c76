"""Object storage for pyarrow and DuckDB: both read it as fsspec's file systems are read."""

import atexit
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from fsspec import AbstractFileSystem

from fstore.errors import StorageError
from fstore.store.remote_files import RangeFile

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

    from fstore.store.objects import Objects

__all__ = ["StoreFiles", "arrow_files"]

_open: WeakSet[RangeFile] = WeakSet()
LONGEST_S = 5.0
"""What the end of a process waits for at most."""


@atexit.register
def _wait() -> None:
    """Wait until Arrow's threads have let go of all files.

    They do so a little after a table was read. A thread that wants Python while it ends takes the
    process with it: "terminate called without an active exception".
    """
    end = time.monotonic() + LONGEST_S
    while _open and time.monotonic() < end:
        time.sleep(0.001)


class StoreFiles(AbstractFileSystem):  # type: ignore[misc]  # untyped
    """A store's files under their URIs, to be read."""

    cachable = False

    def __init__(self, place: "Objects", *, by_thread: bool) -> None:
        super().__init__()
        self.by_thread = by_thread
        self.place = place
        self.protocol = place.bucket.scheme

    def _strip_protocol(self, path: str) -> str:
        """Keep a path as it is: it is the URI."""
        return path

    def _key(self, path: str) -> str:
        base = f"{self.place.address}/"
        if not path.startswith(base):
            raise StorageError(f"{path} is not in the store {self.place}")
        return path.removeprefix(base)

    def open(self, path: str, mode: str = "rb", **_: object) -> RangeFile:
        """Open a file for reading."""
        if mode not in {"r", "rb"}:
            raise StorageError(f"{path} is only read here, not opened as {mode!r}")
        file = self.place.ranges(self._key(path), by_thread=self.by_thread)
        if not self.by_thread:  # else it is DuckDB's, which ends its threads itself
            _open.add(file)
        return file

    def info(self, path: str, **_: object) -> Mapping[str, Any]:
        """Return a file's size, and when it was written."""
        key = self._key(path)
        with self.place.asking(key):
            head, _tail = self.place.head(key)
        about = {"name": path, "size": head["size"], "type": "file", "ETag": head["e_tag"]}
        return about | {"mtime": head["last_modified"].timestamp()}

    def modified(self, path: str) -> datetime:
        """Return when a file was written."""
        return datetime.fromtimestamp(self.info(path)["mtime"], tz=UTC)

    def exists(self, path: str, **_: object) -> bool:
        """Whether there is such a file."""
        return self.place.entry(self._key(path)) is not None

    def glob(self, path: str, **_: object) -> list[str]:
        """Return the path: what is read has its full name in the log, and is not asked for."""
        return [path]


def arrow_files(place: "Objects") -> "FileSystem":
    """Return what pyarrow reads a store through."""
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    return PyFileSystem(FSSpecHandler(StoreFiles(place, by_thread=False)))
