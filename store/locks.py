"""Locks between processes: files that one of them holds, until it ends in whatever way."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from time import sleep
from typing import TextIO

from fstore.store.tables import storage

__all__ = ["alone", "is_held"]

POLL_SECONDS = 1.0
"""Between two looks at a lock that is not free."""


@contextmanager
def alone(path: Path, on_wait: Callable[[], object] | None = None) -> Iterator[None]:
    """Wait until no other process, or thread, holds a lock, and hold it.

    The operating system frees the lock of a process that was killed. Without such locks (Windows)
    nobody waits.

    Parameters
    ----------
    path : Path
        A file that is made for the purpose and stays; its folder is made, too.
    on_wait : callable or None
        Called whenever the lock is found not free, which is looked at every second. What it raises
        ends the waiting.

    Raises
    ------
    StorageError
        The file cannot be made, or its file system knows no locks.
    """
    if find_spec("fcntl") is None:  # Windows
        yield
        return
    with storage(f"cannot lock {path}"):
        path.parent.mkdir(exist_ok=True)
        file = path.open("w")
    with file:
        while not _is_free(file, path):
            if on_wait is not None:
                on_wait()
            sleep(POLL_SECONDS)
        yield


def _is_free(file: TextIO, path: Path) -> bool:
    """Lock a file if nobody else has."""
    import fcntl

    with storage(f"cannot lock {path}"):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def is_held(path: Path) -> bool:
    """Tell whether somebody holds a lock; True where that cannot be told (Windows, no right)."""
    try:
        import fcntl

        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except (ImportError, OSError):
        return True
    return False
