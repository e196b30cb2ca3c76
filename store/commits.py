"""Commits to a table: one transaction each, tried again while other writers are quicker."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from fstore.errors import StorageError
from fstore.store import sums
from fstore.store.leases import working
from fstore.system_errors import is_panic, reason

if TYPE_CHECKING:
    from fstore.store.place import Place

__all__ = ["committing", "storage", "until_committed", "writing"]

COMMIT_TRIES = 100
RETRY_SECONDS = 0.01
"""Between two tries: who was quicker has time to end."""

T = TypeVar("T")


def until_committed(name: str, attempt: Callable[[], T]) -> T:
    """Return what an attempt at a commit returns, once no other writer is quicker.

    Parameters
    ----------
    name : str
        The table, for the message.
    attempt : callable
        Opens the table, looks at what is there and commits; ``CommitFailedError`` says that another
        process committed in between. Any other error ends the trying.

    Raises
    ------
    StorageError
        Others were quicker each time.
    """
    from deltalake.exceptions import CommitFailedError

    for _ in range(COMMIT_TRIES):
        try:
            return attempt()
        except CommitFailedError:
            time.sleep(RETRY_SECONDS)
    raise StorageError(f"table '{name}': {COMMIT_TRIES} commits in a row met another writer's")


@contextmanager
def committing(root: "Place", name: str, doing: str) -> Iterator[None]:
    """Commit to a table: under a lease, errors in words, and the sums noted afterwards."""
    with writing(root, name, doing), working(root, f"write {name}"):
        yield
    sums.record(root, name)


@contextmanager
def storage(doing: str) -> Iterator[None]:
    """Turn what a full disk or a damaged store raises into a :class:`StorageError`.

    A ``CommitFailedError`` passes: another process was quicker, and the caller tries again.
    """
    from deltalake.exceptions import CommitFailedError, DeltaError

    try:
        yield
    except CommitFailedError:
        raise
    except (OSError, DeltaError, pa.ArrowException) as error:
        raise StorageError(f"{doing}: {reason(error)}") from error
    except BaseException as error:
        if is_panic(error):
            raise StorageError(f"{doing}: {reason(error)}") from error
        raise


@contextmanager
def writing(root: "Place", name: str, doing: str) -> Iterator[None]:
    """As :func:`storage`, after a look whether a table can be written at all.

    Where it cannot, deltalake's own threads would write a report of their crash to stderr.
    """
    with storage(doing):
        root.check_writable(name)
        yield
