"""Files that a table's log let go lately: who opened the table before then may read them still."""

import json
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from fstore.store.place import Place

__all__ = ["removed_since"]


def removed_since(root: "Place", name: str, since: float) -> set[str]:
    """Return the keys of files that commits took from a table's log after a time.

    Only commits that were written after it are read.

    Parameters
    ----------
    root : Place
        The store.
    name : str
        The table.
    since : float
        Seconds since 1970.
    """
    keys = set()
    for entry in root.entries(f"{name}/_delta_log"):
        if entry.written < since or not entry.key.endswith(".json"):
            continue
        for line in root.read(entry.key).splitlines():
            if b'"remove"' in line and (gone := json.loads(line).get("remove")):
                keys.add(f"{name}/{unquote(gone['path'])}")
    return keys
