"""The sha256 of a store's files: each is read for it once in a process, unless it changes.

A server's answer takes a while, however little is asked. So of a place that is no folder, files
are listed rather than looked at one by one, several are read at a time, and what was written by
this process is not read again to be hashed.
"""

import errno
import hashlib
import os
from collections.abc import Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fstore.store.local import local_folder

if TYPE_CHECKING:
    from fstore.store.place import Entry, Place

__all__ = ["hash_ahead", "present", "put_hashed", "sha256_of"]

AT_ONCE = 16
FEW = 2
"""So many files are looked at one by one: a list would be another request."""
WHOLE_BYTES = 8 << 20
"""Files up to that size are fetched in one request."""

_known: dict[str, tuple[Hashable, str]] = {}  # file -> version that was read, its sha256


def sha256_of(root: "Place", key: str) -> str:
    """Hash a file, unless it was hashed and has the version of then."""
    entry = root.entry(key)
    if entry is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), root.uri(key))
    return _hashed(root, entry)


def _hashed(root: "Place", entry: "Entry") -> str:
    uri = root.uri(entry.key)
    kept = _known.get(uri)
    if kept is None or kept[0] != entry.version:
        kept = _known[uri] = entry.version, _digest(root, entry)
    return kept[1]


def _digest(root: "Place", entry: "Entry") -> str:
    if local_folder(root) is None and entry.size_bytes <= WHOLE_BYTES:
        return hashlib.sha256(root.read(entry.key)).hexdigest()
    with root.open(entry.key) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_ahead(root: "Place", folder: str, keys: Iterable[str]) -> dict[str, str]:
    """Return the sha256 of files below a folder of the store, of a place that is no folder.

    Files that are not there, or cannot be read, are left out: asking for one by itself says why.
    """
    wanted = set(keys) if local_folder(root) is None else set()
    if len(wanted) <= FEW:
        return {}
    hashed: dict[str, str] = {}

    def read(entry: "Entry") -> None:
        with suppress(OSError):
            hashed[entry.key] = _hashed(root, entry)

    with suppress(OSError), ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(read, [e for e in root.entries(folder) if e.key in wanted]))
    return hashed


def present(root: "Place", folder: str, keys: Iterable[str]) -> set[str]:
    """Return which of some files below a folder of the store are there."""
    if local_folder(root) is not None:
        return {key for key in keys if root.entry(key) is not None}
    return {entry.key for entry in root.entries(folder)}.intersection(keys)


def put_hashed(root: "Place", file: Path, key: str) -> None:
    """Move a local file into the store; its sha256 is known then without reading it there."""
    if local_folder(root) is not None:
        root.put(file, key)
        return
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    root.put(file, key)
    if (entry := root.entry(key)) is not None:
        _known[root.uri(key)] = entry.version, digest
