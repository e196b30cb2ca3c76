"""Errors of object storage as errors of the system, in words."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from fstore.errors import FstoreError, StorageError
from fstore.server_errors import NO_KEYS, said_by_server

__all__ = ["in_words"]


@contextmanager
def in_words(uri: str, *, but: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn what the client raises into errors of the system.

    Parameters
    ----------
    uri : str
        What was asked for.
    but : tuple of classes
        Errors of the client that pass as they are.

    Raises
    ------
    FileNotFoundError
        There is nothing of that name.
    StorageError
        Says what is wrong.
    """
    from obstore.exceptions import BaseError

    try:
        yield
    except FstoreError:
        raise
    except FileNotFoundError as error:
        if "NoSuchBucket" in str(error):
            raise StorageError(f"{uri}: {_first_line(error)}") from error
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), uri) from None
    except (BaseError, OSError, ValueError) as error:
        if isinstance(error, but):
            raise
        raise StorageError(f"{uri}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    text = str(error)
    said = said_by_server(text)
    if said is None and "Account must be specified" in text:
        said = NO_KEYS
    return said or (text.splitlines() or [type(error).__name__])[0]
