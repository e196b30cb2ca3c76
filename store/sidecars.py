"""Sidecars in the store: the files of ``topk/``, each beside one data file of ``activations``.

A sidecar is derived from its data file, and never needed: who finds none, or a damaged one, reads
the data file. It is written and synced before the commit that makes its data file visible, and
deleted after its data file.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fstore.ending import leftover
from fstore.errors import StorageError
from fstore.store.kept import Kept, pack, sidecar_key, unpack

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fstore.store.place import Place

__all__ = ["DRAFT", "holds_bits", "read_sidecar", "sidecar_problem", "write_sidecar"]

DRAFT = ".topk.tmp"
"""How the name of an unfinished sidecar ends."""


def holds_bits(parts: Mapping[str, str]) -> bool:
    """Whether responses with an identity are stored as bits, of which none is the strongest."""
    return parts.get("stored precision") == "bit"


def write_sidecar(root: "Place", key: str, kept: Kept) -> int:
    """Write the sidecar of a data file, in place of one that is there; return its bytes.

    Parameters
    ----------
    root : Place
        The store.
    key : str
        Of the data file.
    kept : Kept

    Raises
    ------
    OSError
        The disk is full, or the store cannot be written; nothing is left then.
    """
    content = pack(kept, key.rpartition("/")[2])
    place = sidecar_key(key)
    draft = root.draft(place.rpartition("/")[0], DRAFT)
    try:
        with leftover(draft), draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        root.put(draft, place)
    finally:
        draft.unlink(missing_ok=True)  # it has another name by now
    return len(content)


def read_sidecar(
    root: "Place", key: str, *, channels: "NDArray[np.int32] | None" = None
) -> Kept | None:
    """Return what a data file's sidecar holds; None if it has none, or a damaged one.

    Parameters
    ----------
    root : Place
        The store.
    key : str
        Of the data file.
    channels : array of int32 or None
        Of these channels, or of all.
    """
    try:
        return unpack(root.read(sidecar_key(key)), key.rpartition("/")[2], channels=channels)
    except (OSError, StorageError):
        return None


def sidecar_problem(root: "Place", key: str) -> str | None:
    """Say what is wrong with a data file's sidecar; None if nothing is, or it has none."""
    try:
        unpack(root.read(sidecar_key(key)), key.rpartition("/")[2])
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"the file cannot be read: {error}"
    except StorageError as error:
        return str(error)
    return None
