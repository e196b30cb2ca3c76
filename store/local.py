"""A store in a local folder."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from io import BufferedReader
from pathlib import Path, PurePosixPath
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING
from uuid import uuid4

from fstore.errors import StorageError
from fstore.store import leases, locks
from fstore.store.paths import check_place
from fstore.store.place import STORE_FOLDERS, Entry
from fstore.store.schema import TABLES

if TYPE_CHECKING:
    import duckdb
    from pyarrow.fs import FileSystem

    from fstore.store.place import Place

__all__ = ["LocalPlace", "local_folder"]

LOCKS = "locks"
LEAST_FREE = 1 << 20
"""Bytes without which no commit is begun."""


def local_folder(place: "Place") -> Path | None:
    """Return the folder that a place is; None for one that is no folder of this machine."""
    return place.path if isinstance(place, LocalPlace) else None


@dataclass(frozen=True)
class LocalPlace:
    """A local folder; see :class:`~fstore.store.place.Place` for what the methods promise."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @cached_property
    def _text(self) -> str:
        return str(self.path)

    def table(self, name: str) -> str:
        """Return a table's folder, links resolved: it may be on another disk."""
        return str(check_place(self.path / name))

    def uri(self, key: str) -> str:
        """Return the path as a text."""
        return f"{self._text}/{key}"

    @cached_property
    def filesystem(self) -> "FileSystem":
        """Local files."""
        from pyarrow.fs import LocalFileSystem

        return LocalFileSystem()

    @property
    def storage_options(self) -> dict[str, str]:
        """Nothing: a folder needs none."""
        return {}

    def register(self, duck: "duckdb.DuckDBPyConnection") -> None:
        """Do nothing: DuckDB reads folders by itself."""

    def readable(self) -> set[str]:
        """Return the folder, and those of tables that are on another disk."""
        return {self._text, *(str((self.path / name).resolve()) for name in TABLES)}

    def local(self, key: str) -> Path:
        """Return the path itself."""
        return self.path / key

    def workspace(self, key: str) -> Path:
        """Return a folder in the store."""
        return self.path / key

    def draft(self, folder: str, suffix: str) -> Path:
        """Return an unused path in a folder of the store: a move on one disk is quick."""
        parent = self.path / folder
        parent.mkdir(parents=True, exist_ok=True)
        return parent / f"{uuid4().hex[:12]}{suffix}"

    def key_of(self, path: Path) -> str | None:
        """Return what stands after the folder, or after one that a link at its top leads to."""
        real = path.resolve()
        for name, home in self._homes():
            if real.is_relative_to(home):
                return _key(name, real.relative_to(home))
        return None

    def _homes(self) -> Iterator[tuple[str, Path]]:
        """Yield the folder, and where links at its top lead to: (name, folder)."""
        yield "", self.path.resolve()
        for name in sorted(STORE_FOLDERS):
            if (top := self.path / name).is_symlink():
                yield name, top.resolve()

    def make(self) -> None:
        """Make the folder."""
        if self.path.exists() and not self.path.is_dir():
            raise StorageError(f"{self.path} is a file; choose a folder for the store")
        self.path.mkdir(parents=True, exist_ok=True)

    def names(self, folder: str) -> list[str]:
        """List a folder."""
        try:
            return os.listdir(self.path / folder)  # noqa: PTH208 - names are asked for, not paths
        except (FileNotFoundError, NotADirectoryError):
            return []

    def entries(self, folder: str) -> Iterator[Entry]:
        """Walk a folder; a link at its top is followed, others are not."""
        for path in sorted((self.path / folder).rglob("*")):
            with suppress(FileNotFoundError):  # deleted meanwhile
                if S_ISREG((state := path.lstat()).st_mode):
                    yield _entry(path.relative_to(self.path).as_posix(), state)

    def entry(self, key: str) -> Entry | None:
        """Look at a file, links followed."""
        try:
            state = os.stat(self.uri(key))  # noqa: PTH116 - looked at often: quicker than a Path
        except (FileNotFoundError, NotADirectoryError):
            return None
        return None if S_ISDIR(state.st_mode) else _entry(key, state)

    def follow(self, key: str) -> str | None:
        """Follow links; the key of a file in a linked part begins with the link's name."""
        top = key.partition("/")[0]
        own = self.path / top if top in STORE_FOLDERS else self.path
        try:
            real = (self.path / key).resolve()
            homes = {top if top in STORE_FOLDERS else "": own.resolve(), "": self.path.resolve()}
        except (OSError, RuntimeError):  # links in a circle
            return None
        for name, home in homes.items():
            if real.is_relative_to(home):
                return _key(name, real.relative_to(home))
        return None

    def open(self, key: str) -> BufferedReader:
        """Open a file."""
        return (self.path / key).open("rb")

    def read(self, key: str) -> bytes:
        """Return a file's content."""
        return (self.path / key).read_bytes()

    def write(self, key: str, data: bytes) -> None:
        """Write beside the file, and put it in its place."""
        path = self.path / key
        with _written_beside(path, data) as unfinished:
            unfinished.replace(path)

    def create(self, key: str, data: bytes) -> bool:
        """Write beside the file, and give it its name, which fails where there is one."""
        path = self.path / key
        with _written_beside(path, data) as unfinished:
            try:
                path.hardlink_to(unfinished)
            except FileExistsError:
                return False
        return True

    def append(self, key: str, data: bytes) -> None:
        """Write to the end, in one piece."""
        path = self.path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            if os.write(handle, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        finally:
            os.close(handle)

    def put(self, file: Path, key: str) -> None:
        """Rename a file."""
        path = self.path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        file.replace(path)

    def delete(self, key: str) -> None:
        """Delete a file."""
        (self.path / key).unlink(missing_ok=True)

    def check_writable(self, folder: str) -> None:
        """Look at rights and free space."""
        path = self.uri(folder)
        if not os.access(path, os.W_OK):
            where = os.statvfs(path)  # or an error: it is not there
            number = errno.EROFS if where.f_flag & os.ST_RDONLY else errno.EACCES
            raise OSError(number, os.strerror(number), path)
        if shutil.disk_usage(path).free < LEAST_FREE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    def lock(
        self,
        name: str,
        on_wait: Callable[[], object] | None = None,
        *,
        poll_s: float | None = None,
    ) -> AbstractContextManager[None]:
        """Lock a file in ``locks/``, which stays."""
        return locks.alone(self.path / LOCKS / name, on_wait, poll_s=poll_s)

    def is_locked(self, name: str) -> bool:
        """Look at a file in ``locks/``."""
        return locks.is_held(self.path / LOCKS / name)

    def lease(self, what: str) -> AbstractContextManager[None]:
        """Lock a new file in ``locks/``, which goes afterwards."""
        return leases.held(self.path / LOCKS, what)

    def oldest_lease(self) -> float:
        """Look at the files in ``locks/``."""
        return leases.oldest(self.path / LOCKS)


@contextmanager
def _written_beside(path: Path, data: bytes) -> Iterator[Path]:
    """Write a file beside another one, which it can become; what is left of it then goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{uuid4().hex}")
    try:
        unfinished.write_bytes(data)
        yield unfinished
    finally:
        unfinished.unlink(missing_ok=True)


def _key(top: str, below: Path) -> str:
    """Return a key; that of the store itself is empty."""
    return "/".join((*PurePosixPath(top).parts, *below.parts))


def _entry(key: str, state: os.stat_result) -> Entry:
    return Entry(
        key=key,
        size_bytes=state.st_size,
        written=state.st_mtime,
        touched=max(state.st_mtime, state.st_ctime),
        version=(state.st_size, state.st_mtime_ns, state.st_ino),
    )
