"""The kinds of places that a store can be in, and which of them a user means."""

import re
from pathlib import Path

from fstore.store.buckets import SCHEMES
from fstore.store.local import LocalPlace
from fstore.store.paths import check_place, local_path
from fstore.store.place import Place
from fstore.store.remote import RemotePlace

__all__ = ["place_at"]

REMOTE = re.compile(f"(?:{'|'.join(SCHEMES)})://", re.IGNORECASE)


def place_at(where: str | Path) -> Place:
    """Return the place that a user means.

    Parameters
    ----------
    where : str or Path
        A folder's path or ``file://`` URI, or the text ``s3://BUCKET/PREFIX`` (also ``gs://`` and
        ``az://``). Nothing is asked of a server yet.

    Raises
    ------
    StorageError
        It is a URI of another kind, or has characters that no store can be below.
    """
    if isinstance(where, str) and REMOTE.match(where):
        return RemotePlace(where)
    return LocalPlace(check_place(local_path(where)))
