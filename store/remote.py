"""A store in object storage: under a prefix of a bucket, for many machines at once."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fstore.errors import StorageError
from fstore.store import remote_locks
from fstore.store.objects import Objects
from fstore.store.probe import check_conditions
from fstore.store.remote_files import cache_folder, copied, draft_in

if TYPE_CHECKING:
    import duckdb
    from pyarrow.fs import FileSystem

__all__ = ["RemotePlace"]

LOCKS = "locks"
DUCK_SETTINGS = (
    "disable_parquet_prefetching = true",
    "validate_external_file_cache = 'NO_VALIDATION'",  # data files are never changed in place
    "parquet_metadata_cache = true",
    "external_file_cache_remote_max_block_size = 262144",  # smaller files are read as a whole
)
PART_BYTES, PARTS_AT_ONCE = 8 << 20, 4
"""Of an upload."""


@dataclass(frozen=True)
class RemotePlace(Objects):
    """A prefix of a bucket; see :class:`~fstore.store.place.Place` for what the methods promise.

    What a request changes is never changed by halves. Where two may change one file at once, the
    server is told which version is meant, and refuses another.
    """

    def __reduce__(self) -> tuple[type["RemotePlace"], tuple[str]]:
        return RemotePlace, (self.address,)  # another process speaks to the server itself

    # What libraries call things

    def table(self, name: str) -> str:
        """Return a table's URI."""
        return self.uri(name)

    @property
    def storage_options(self) -> dict[str, str]:
        """The address and the keys of the server; they are of now, and expire."""
        return self.bucket.options()

    @cached_property
    def filesystem(self) -> "FileSystem":
        """Reads ranges."""
        from fstore.store.remote_readers import arrow_files

        return arrow_files(self)

    def readable(self) -> set[str]:
        """Return the prefix."""
        return {self.address}

    def register(self, duck: "duckdb.DuckDBPyConnection") -> None:
        """Have DuckDB read through this place."""
        from fstore.store.remote_readers import StoreFiles

        duck.register_filesystem(StoreFiles(self, by_thread=True))
        for setting in DUCK_SETTINGS:
            duck.execute(f"SET GLOBAL {setting}")

    # Local paths, for libraries that know no others

    def local(self, key: str) -> Path:
        """Copy a file, or all files of a folder, to this machine, unless they are there.

        Raises
        ------
        StorageError
            It is the whole store.
        """
        if not key:
            raise StorageError(f"{self} is in object storage: it has no folder on this machine")
        entry = self.entry(key)
        if entry is not None:
            return copied(
                self._cache / "files",
                key,
                str(entry.version),
                fetch=lambda path: self._fetch(key, path),
            )
        return self._local_folder(key)

    def _local_folder(self, key: str) -> Path:
        folder = self._cache / "folders" / key
        for entry in self.entries(key):
            path = folder / entry.key.removeprefix(f"{key}/")
            state = path.stat() if path.exists() else None
            if state is None or (state.st_size, state.st_mtime) != (
                entry.size_bytes,
                entry.written,
            ):
                draft = draft_in(self._cache / "drafts", ".part")
                self._fetch(entry.key, draft)
                os.utime(draft, (entry.written, entry.written))
                path.parent.mkdir(parents=True, exist_ok=True)
                draft.replace(path)
        return folder

    def _fetch(self, key: str, path: Path) -> None:
        """Copy a file to this machine, a piece at a time."""
        with self.asking(key), path.open("wb") as file:
            for piece in self.client.get(key).stream(min_chunk_size=PART_BYTES):
                file.write(piece)

    @cached_property
    def _cache(self) -> Path:
        return cache_folder(f"{self.bucket.endpoint} {self.address}")

    def workspace(self, key: str) -> Path:
        """Return a folder of this machine."""
        return self._cache / "work" / key

    def draft(self, folder: str, suffix: str) -> Path:  # noqa: ARG002 - all lie in one folder
        """Return an unused path on this machine."""
        return draft_in(self._cache / "drafts", suffix)

    def key_of(self, path: Path) -> str | None:  # noqa: ARG002
        """Return None: no path of this machine leads into a bucket."""
        return None

    # Files

    def make(self) -> None:
        """See whether the bucket is there, and its server fit; a prefix needs no making."""
        self.names("")
        check_conditions(self.bucket)

    def follow(self, key: str) -> str | None:
        """Return the key: object storage has no links."""
        parts = [part for part in key.split("/") if part not in {"", "."}]
        return None if ".." in parts else "/".join(parts)

    def put(self, file: Path, key: str) -> None:
        """Upload a file, in parts if it is large, and delete it here."""
        with self.asking(key):
            self.client.put(key, file, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE)
        file.unlink(missing_ok=True)

    def check_writable(self, folder: str) -> None:
        """Do nothing: object storage tells by the write itself, and nothing is half written."""

    # Those who are at work

    def lock(
        self,
        name: str,
        on_wait: Callable[[], object] | None = None,
        *,
        poll_s: float | None = None,
    ) -> AbstractContextManager[None]:
        """Hold an object in ``locks/``, which stays."""
        return remote_locks.alone(self, f"{LOCKS}/{name}", on_wait, poll_s=poll_s)

    def is_locked(self, name: str) -> bool:
        """Look at an object in ``locks/``."""
        return remote_locks.is_held(self, f"{LOCKS}/{name}")

    def lease(self, what: str) -> AbstractContextManager[None]:
        """Keep a new object in ``locks/``, which goes afterwards."""
        return remote_locks.lease(self, LOCKS, what)

    def oldest_lease(self) -> float:
        """Look at the objects in ``locks/``."""
        return remote_locks.oldest_lease(self, LOCKS)
