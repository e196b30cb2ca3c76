"""Locks between processes: files that one of them holds, until it ends in whatever way.

Waiting is :mod:`filelock`'s; looking without touching is ours (``docs/decisions/0011-locks.md``).
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING

from fstore.errors import StorageError
from fstore.system_errors import reason

if TYPE_CHECKING:
    from filelock import FileLock

    from fstore.store.place import Place

__all__ = ["alone", "is_held", "naming"]

POLL_SECONDS = 1.0
"""Between two looks at a lock that is not free."""

NAMES = "names.lock"
NAMES_POLL_SECONDS = 0.02  # what is done under it is short

_named = threading.local()


@contextmanager
def alone(
    path: Path, on_wait: Callable[[], object] | None = None, *, poll_s: float | None = None
) -> Iterator[None]:
    """Wait until no other process, or thread, holds a file's lock, and hold it.

    The operating system frees the lock of a process that was killed.

    Parameters
    ----------
    path : Path
        A file that is made for the purpose and stays; its folder is made, too.
    on_wait : callable or None
        Called whenever the lock is found not free, which is looked at every second. What it raises
        ends the waiting.
    poll_s : float or None
        Seconds between two looks; None for :data:`POLL_SECONDS`.

    Raises
    ------
    StorageError
        The file cannot be made, or its file system knows no locks.
    """
    from filelock import FileLock

    # Instead of a lock, a marker file would stay behind when its holder is killed.
    lock = FileLock(path, thread_local=False, fallback_to_soft=False)
    while not _is_free(lock, path):
        if on_wait is not None:
            on_wait()
        sleep(POLL_SECONDS if poll_s is None else poll_s)
    try:
        yield
    finally:
        lock.release()


def _is_free(lock: "FileLock", path: Path) -> bool:
    """Take a lock if nobody else has it."""
    from filelock import Timeout

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        return False
    except OSError as error:
        raise StorageError(f"cannot lock {path}: {reason(error)}") from error
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


@contextmanager
def naming(root: "Place") -> Iterator[None]:
    """Be the only one in a store who looks whether a name is taken, and takes or frees it.

    Data sets, checkpoints, layers, proposals, detectors and studies are named under this one lock,
    and dropped under it: of two that add one name with other content, one finds the other's. A
    thread that has the lock may ask for it again.

    Parameters
    ----------
    root : Place
        The store.

    Raises
    ------
    StorageError
        The store cannot be written, or its file system knows no locks.
    """
    held: set[Place] = _named.__dict__.setdefault("roots", set())
    if root in held:
        yield
        return
    with root.lock(NAMES, poll_s=NAMES_POLL_SECONDS):
        held.add(root)
        try:
            yield
        finally:
            held.discard(root)
