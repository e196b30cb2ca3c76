"""Locks between processes: files that one of them holds, until it ends in whatever way."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from fstore.store.tables import storage

__all__ = ["alone"]


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
        Called once if the lock is not free.

    Raises
    ------
    StorageError
        The file cannot be made, or its file system knows no locks.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with storage(f"cannot lock {path}"):
        path.parent.mkdir(exist_ok=True)
        file = path.open("w")
    with file:
        with storage(f"cannot lock {path}"):
            free = _is_free(file)
        if not free:
            if on_wait is not None:
                on_wait()
            with storage(f"cannot lock {path}"):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_free(file: TextIO) -> bool:
    """Lock a file if nobody else has."""
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
