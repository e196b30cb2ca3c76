"""Changes that are made only if nobody else was quicker: by the version that a file has.

A request whose answer is lost may have changed the file. It is sent again, and refused then: the
file has another version, which is our own. So after a lost answer a refusal is looked into.
"""

import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fstore.errors import StorageError
from fstore.store.remote_errors import in_words

if TYPE_CHECKING:
    from fstore.store.buckets import Bucket

__all__ = ["Version", "change", "look", "put_if"]

Version = str
"""An etag."""
TRIES = 7
"""Of one request that gets no clear answer: with the pauses between, some ten seconds."""
PAUSE_S, MOST_PAUSE_S = 0.1, 5.0
CHANGE_TRIES = 300
"""How often others may be quicker."""


def look(bucket: "Bucket", key: str) -> tuple[bytes, Version, float] | None:
    """Return content, version and time of the last change; None if there is no such file."""
    for attempt in range(2):  # the client does not ask again for an answer that was cut off
        with suppress(StorageError):
            return _look(bucket, key)
        pause(attempt)
    return _look(bucket, key)


def _look(bucket: "Bucket", key: str) -> tuple[bytes, Version, float] | None:
    try:
        with in_words(bucket.uri(key)):
            got = bucket.client().get(key)
            return bytes(got.bytes()), str(got.meta["e_tag"]), got.meta["last_modified"].timestamp()
    except FileNotFoundError:
        return None


def put_if(
    bucket: "Bucket",
    key: str,
    data: bytes,
    *,
    version: Version | None,
    is_ours: Callable[[bytes], bool] | None = None,
) -> Version | None:
    """Write a file if it has a version still.

    Parameters
    ----------
    bucket, key, data : Bucket, str, bytes
        The file and its new content.
    version : str or None
        What it must have; None: it must not be there.
    is_ours : callable or None
        Tells of a content whether this write led to it; None: it equals the data. Asked only where
        an answer was lost.

    Returns
    -------
    str or None
        The new version; None if another was quicker, and nothing was changed.

    Raises
    ------
    StorageError
        The server does not answer; nobody knows whether the file was changed.
    """
    from obstore.exceptions import AlreadyExistsError, GenericError, PreconditionError

    mode: Any = "create" if version is None else {"e_tag": version}
    client, unsure = bucket.client(once=True), False
    for attempt in range(TRIES):
        try:
            with in_words(
                bucket.uri(key), but=(AlreadyExistsError, PreconditionError, GenericError)
            ):
                return str(client.put(key, data, mode=mode, use_multipart=False)["e_tag"])
        except (AlreadyExistsError, PreconditionError):
            return _ours(bucket, key, is_ours or data.__eq__) if unsure else None
        except FileNotFoundError:  # it had a version, and was deleted
            return None
        except GenericError:
            unsure = True
            if attempt == TRIES - 1:
                with in_words(bucket.uri(key)):
                    raise
        pause(attempt)
    return None


def _ours(bucket: "Bucket", key: str, is_ours: Callable[[bytes], bool]) -> Version | None:
    now = look(bucket, key)
    return now[1] if now is not None and is_ours(now[0]) else None


def change(bucket: "Bucket", key: str, make: Callable[[bytes | None], bytes]) -> None:
    """Replace a file by what is made of it; of two that do so at once both changes are kept.

    Raises
    ------
    StorageError
        Others were quicker each time, or the server does not answer.
    """
    for attempt in range(CHANGE_TRIES):
        now = look(bucket, key)
        data = make(None if now is None else now[0])
        version = None if now is None else now[1]
        if put_if(bucket, key, data, version=version, is_ours=_begins_with(data)) is not None:
            return
        pause(min(attempt, 3) - 3)
    raise StorageError(f"{bucket.uri(key)}: {CHANGE_TRIES} changes in a row met another writer's")


def _begins_with(data: bytes) -> Callable[[bytes], bool]:
    """Recognise what was written, and maybe added to since."""
    return lambda content: content.startswith(data)


def pause(attempt: int) -> None:
    """Wait, longer each time, and never as long as another who waits."""
    time.sleep(min(PAUSE_S * 2**attempt, MOST_PAUSE_S) * random.uniform(0.5, 1))  # noqa: S311
