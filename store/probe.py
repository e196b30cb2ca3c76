"""Whether a server keeps two writers apart: asked before a store is made on it.

A commit to a table, a lock and an addition to a file are each one put that the server must refuse
if somebody else was quicker. Some servers take such a put for any other: two writers would then
undo each other's commits without a word.
"""

from contextlib import suppress
from uuid import uuid4

from fstore.errors import StorageError
from fstore.store.buckets import Bucket
from fstore.store.conditional import look, put_if
from fstore.store.remote_errors import in_words

__all__ = ["check_conditions"]

WRONG_VERSION = '"00000000000000000000000000000000"'


def check_conditions(bucket: Bucket) -> None:
    """Refuse a server that ignores the conditions of a put.

    Raises
    ------
    StorageError
        It does, or it cannot be written to.
    """
    key = f"locks/probe-{uuid4().hex}"
    try:
        missing = _missing(bucket, key)
    finally:
        with suppress(StorageError, FileNotFoundError), in_words(bucket.uri(key)):
            bucket.client().delete(key)
    if missing:
        raise StorageError(
            f"{bucket.uri('')}: the server ignores {missing}: of two programs that write at once, "
            "one would undo the other's commit without a word, so no store is made there. Use a "
            "server, or a version of it, with conditional writes (Amazon S3 and SeaweedFS have "
            "them, 'rclone serve s3' has none), or a local folder"
        )


def _missing(bucket: Bucket, key: str) -> str:
    """Return which condition a server ignores; empty if it heeds both."""
    version = put_if(bucket, key, b"1", version=None)
    if version is None:
        return "If-None-Match (it says that a new file was there before)"
    if put_if(bucket, key, b"2", version=None) is not None:
        return "If-None-Match on a put"
    if put_if(bucket, key, b"3", version=WRONG_VERSION) is not None:
        return "If-Match on a put"
    if put_if(bucket, key, b"4", version=version) is None:
        return "the version that it gave itself, in If-Match on a put"
    now = look(bucket, key)
    return "" if now is not None and now[0] == b"4" else "a put: it gives older content"
