"""Leases: how work in hand tells ``fstore gc`` that files without a log entry are wanted.

Work that writes files and names them in a log later holds a lease meanwhile: a file of its own in
the store's ``locks/``, locked until the work ends in whatever way. Whatever was written or moved
since the oldest lease in force began is spared, however old it is by now. The lock of a process
that died is free, so its lease counts no more. ``locks/`` must be on the file system of the store:
times are compared with those of its files.
"""

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO
from uuid import uuid4

from fstore.errors import StorageError

if TYPE_CHECKING:
    from fstore.store.place import Place

__all__ = ["held", "oldest", "working"]

PREFIX, SUFFIX = "work-", ".lease"
SLACK_S = 2.0
"""Times of files are this coarse on the coarsest file system (FAT)."""

_in_hand = threading.local()


@contextmanager
def working(root: "Place", what: str) -> Iterator[None]:
    """Hold a lease on the store while files are written that no log names yet.

    Work within work (of one thread) is covered by the outer lease.

    Parameters
    ----------
    root : Place
        The store.
    what : str
        For people who look into ``locks/``: what is done.

    Raises
    ------
    StorageError
        The lease cannot be written.
    """
    in_hand: set[Place] = _in_hand.__dict__.setdefault("roots", set())
    if root in in_hand:
        yield
        return
    with root.lease(what):
        in_hand.add(root)
        try:
            yield
        finally:
            in_hand.discard(root)


@contextmanager
def held(folder: Path, what: str) -> Iterator[None]:
    """Hold a lease: a new locked file in a folder.

    Raises
    ------
    StorageError
        The file cannot be written.
    """
    try:
        path, file = _take(folder, what)
    except OSError as error:
        raise StorageError(f"cannot write to {folder}: {error}") from error
    try:
        yield
    finally:
        with suppress(OSError):  # a lease that stays is free, and goes with the next gc
            path.unlink(missing_ok=True)
        file.close()


def _take(folder: Path, what: str) -> tuple[Path, TextIO]:
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "what": what,
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    while True:
        path = folder / f"{PREFIX}{uuid4().hex}{SUFFIX}"
        file = path.open("x", encoding="utf-8")
        if _lock(file) and path.exists():  # else a gc took it for a dead one's
            json.dump(about, file)
            file.flush()
            return path, file
        file.close()


def oldest(folder: Path) -> float:
    """Return since when files are spared: the start of the oldest lease in force, or infinity.

    Leases of dead processes are removed.
    """
    since = float("inf")
    for path in folder.glob(f"{PREFIX}*{SUFFIX}"):
        try:
            with path.open("r+", encoding="utf-8") as file:
                began = _began(file, path)
                if _lock(file):
                    path.unlink(missing_ok=True)
                    continue
        except FileNotFoundError:
            continue
        except OSError:  # no right to look: take it for one in force
            began = path.stat().st_ctime if path.exists() else float("inf")
        since = min(since, began - SLACK_S)
    return since


def _began(file: TextIO, path: Path) -> float:
    """When a lease began; its file was last written at that time."""
    state = os.fstat(file.fileno())
    return min(state.st_mtime, state.st_ctime) if state.st_size else path.stat().st_ctime


def _lock(file: TextIO) -> bool:
    """Lock a file if nobody else has; where there are no such locks (Windows), never free."""
    try:
        import fcntl
    except ImportError:
        return file.tell() == 0 and "x" in file.mode
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
