"""Files of object storage: read by ranges at any place, and copied to this machine when asked for.

Where a library knows nothing but local files, what it needs is copied into a folder of this
machine: ``~/.cache/fstore``, or where the variable ``FSTORE_CACHE`` says. A copy is named by the
version that it is of.
"""

import errno
import hashlib
import io
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

__all__ = ["RangeFile", "cache_folder", "copied", "draft_in"]

FIRST, MOST = 1 << 14, 1 << 23
"""Bytes that are asked for at once: at a new place, and at most when a file is read on."""
GRID = 1 << 12
"""Where a read at a new place begins: who looks at a page's head goes back a little afterwards."""
SMALL, KEPT = 1 << 16, 4
"""Parts of a file that stay for all threads: bytes at most, and how many."""
OLD_S = 2 * 24 * 3600
"""After that long a draft is one of a process that died."""


class _Block(NamedTuple):
    """A part of a file that is here."""

    begins: int
    data: memoryview

    @property
    def ends(self) -> int:
        """The place behind it."""
        return self.begins + len(self.data)

    def covers(self, begin: int, end: int) -> bool:
        """Whether it has all bytes from a place to another."""
        return self.begins <= begin <= end <= self.ends


class _Reader:
    """Where somebody is in a file, and what was fetched there."""

    at = 0
    last_end = -1
    block = _Block(0, memoryview(b""))
    ahead = FIRST


class _ReaderOfThread(threading.local, _Reader):
    """The same, for each thread its own."""


class RangeFile(io.BufferedIOBase):
    """A file that is read by ranges.

    Whoever reads on from where the last read ended gets more at once each time; whoever goes to
    another place gets little.

    Parameters
    ----------
    fetch : callable
        Returns the bytes from a place (first argument) to another (second).
    size : int
        Bytes in the file.
    tail : bytes
        Its last bytes, as far as they were fetched already.
    by_thread : bool
        Whether each thread is at a place of its own. DuckDB's threads share a file, and each goes
        to a place and reads, in two steps that nothing keeps together.
    """

    def __init__(
        self,
        fetch: Callable[[int, int], memoryview | bytes],
        size: int,
        *,
        tail: bytes = b"",
        by_thread: bool = False,
    ) -> None:
        super().__init__()
        self._fetch = fetch
        self._size = size
        self._tail = _Block(size - len(tail), memoryview(tail))
        self._small: tuple[_Block, ...] = ()  # what any thread fetched last
        self._now = _ReaderOfThread() if by_thread else _Reader()

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Return the place in the file."""
        return self._now.at

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self._size

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._now.at, os.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._now.at = start + offset
        return self._now.at

    def read(self, size: int | None = -1, /) -> bytes:
        """Return that many bytes, or as many as there are; -1 or None: all."""
        now = self._now
        left = max(0, self._size - now.at)
        wanted = left if size is None or size < 0 else min(size, left)
        return bytes(self._take(now, wanted))

    def readinto(self, buffer: "bytearray | memoryview", /) -> int:  # type: ignore[override]
        """Fill a buffer from the place in the file; return the number of bytes."""
        now = self._now
        wanted = max(0, min(len(buffer), self._size - now.at))
        buffer[:wanted] = self._take(now, wanted)
        return wanted

    read1, readinto1 = read, readinto  # type: ignore[assignment]  # buffers of bytes only

    def _take(self, now: _Reader, wanted: int) -> memoryview:
        """Return the next bytes, and go on behind them."""
        if not wanted:
            return memoryview(b"")
        block = self._here(now, now.at + wanted) or self._fill(now, wanted)
        begin = now.at - block.begins
        taken = block.data[begin : begin + wanted]
        now.at += wanted
        now.last_end = now.at
        if len(now.block.data) > MOST:  # asked for as a whole: it is not asked for again
            now.block = _Block(0, memoryview(b""))
        return taken

    def _here(self, now: _Reader, end: int) -> _Block | None:
        """Return what is here and covers the bytes from a reader's place to another."""
        blocks = (now.block, *self._small, self._tail)
        return next((block for block in blocks if block.covers(now.at, end)), None)

    def _fill(self, now: _Reader, wanted: int) -> _Block:
        """Fetch what is not here of the next bytes, and somewhat more."""
        goes_on = now.at == now.last_end
        now.ahead = min(2 * now.ahead, MOST) if goes_on else FIRST
        stop = min(self._size, now.at + max(wanted, now.ahead))
        part = self._here(now, now.at)
        if part is not None and part.ends > now.at:
            head, begins = part.data[now.at - part.begins :], now.at
        else:
            head, begins = memoryview(b""), now.at - (0 if goes_on else now.at % GRID)
        start = begins + len(head)
        tail = self._tail.data[max(0, start - self._tail.begins) : max(0, stop - self._tail.begins)]
        stop = min(stop, self._tail.begins)
        middle = self._fetch(start, stop) if start < stop else b""
        data = b"".join((head, middle, tail)) if head or tail else middle
        now.block = _Block(begins, memoryview(data))
        if len(now.block.data) <= SMALL:
            self._small = (now.block, *self._small[: KEPT - 1])
        return now.block


def cache_folder(place: str) -> Path:
    """Return the folder of this machine for copies of a place, and for work in hand on it."""
    top = os.environ.get("FSTORE_CACHE")
    base = Path(top) if top else Path.home() / ".cache" / "fstore"
    return base / hashlib.sha256(place.encode()).hexdigest()[:16]


def copied(folder: Path, key: str, version: str, *, fetch: Callable[[Path], object]) -> Path:
    """Return a copy of one version of a file; older versions go.

    Parameters
    ----------
    folder : Path
        Of all copies.
    key, version : str
        The file.
    fetch : callable
        Writes the file under the path that it is given.
    """
    mine = folder / hashlib.sha256(key.encode()).hexdigest()[:16]
    path = mine / hashlib.sha256(version.encode()).hexdigest()[:16] / key.rpartition("/")[2]
    if not path.exists():
        older = list(mine.iterdir()) if mine.exists() else []
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{uuid4().hex}.part")
        try:
            fetch(unfinished)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        for other in older:
            if other != path.parent:
                shutil.rmtree(other, ignore_errors=True)
    return path


def draft_in(folder: Path, suffix: str) -> Path:
    """Return an unused path in a folder, which exists; drafts of dead processes go."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.lstat().st_mtime < time.time() - OLD_S:
            path.unlink(missing_ok=True)
    return folder / f"{uuid4().hex[:12]}{suffix}"
