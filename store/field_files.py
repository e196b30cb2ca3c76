"""The files of receptive fields; :mod:`fstore.store.receptive` answers from them.

They lie beside the tables, in one small file a network, each with the definition of the layer that
it was computed of: one whose definition is another now has no field. Nothing but convenience is
lost with these files, and ``fstore index`` makes them again.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fstore.fields import Field
from fstore.store.commits import storage
from fstore.store.tables import read_rows

if TYPE_CHECKING:
    from fstore.store.place import Place

__all__ = ["add_fields", "forget_fields", "read_fields", "without_field"]

FOLDER = "fields"


def read_fields(root: "Place", network: str) -> dict[str, Field]:
    """Return the fields of a network's layers that are known, by layer."""
    return {
        layer: Field.from_json(entry["field"])
        for layer, entry in _current(root, network).items()
        if entry["field"] is not None
    }


def without_field(root: "Place", network: str) -> dict[str, str]:
    """Return the layers of a network whose fields nobody has tried to compute: their definitions.

    Layers for which none could be found are not among them, unless their definition changed.
    """
    tried = _current(root, network)
    return {n: d for n, d in _definitions(root, network).items() if n not in tried}


def add_fields(root: "Place", network: str, found: Mapping[str, tuple[str, "Field | str"]]) -> None:
    """Record fields, in place of those of the same layers.

    Parameters
    ----------
    root : Place
        The store.
    network : str
    found : mapping of layer to (definition, Field or str)
        A text says why there is none.

    Raises
    ------
    StorageError
        The store cannot be written.
    """
    entries = {
        layer: {
            "definition": definition,
            "field": field.to_json() if isinstance(field, Field) else None,
            "reason": "" if isinstance(field, Field) else field,
        }
        for layer, (definition, field) in found.items()
    }
    with root.lock(f"{FOLDER}.lock"), storage("cannot store the receptive fields"):
        both = _read(root, network) | entries
        root.write(_key(network), json.dumps(both, indent=0, sort_keys=True).encode())


def forget_fields(root: "Place", network: str) -> None:
    """Delete the fields of a network."""
    with root.lock(f"{FOLDER}.lock"), storage("cannot delete receptive fields"):
        root.delete(_key(network))


def _current(root: "Place", network: str) -> dict[str, dict[str, Any]]:
    """Return what is on record of the layers that the network has now."""
    entries = _read(root, network)
    if not entries:
        return {}
    definitions = _definitions(root, network)
    return {n: e for n, e in entries.items() if definitions.get(n) == e["definition"]}


def _definitions(root: "Place", network: str) -> dict[str, str]:
    rows = read_rows(root, "layers", network=network).to_pylist()
    return {row["layer"]: row["definition"] for row in rows}


def _read(root: "Place", network: str) -> dict[str, dict[str, Any]]:
    """Return a network's file; nothing where there is none, or one that cannot be understood."""
    try:
        entries = json.loads(root.read(_key(network)))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError):
        return {}  # damaged: the next one who computes them writes it anew
    return {n: e for n, e in _items(entries) if _is_entry(e)}


def _items(entries: object) -> list[tuple[str, Any]]:
    return list(entries.items()) if isinstance(entries, dict) else []


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, dict) or not {"definition", "field"} <= set(entry):
        return False
    try:
        return entry["field"] is None or bool(Field.from_json(entry["field"]))
    except (TypeError, ValueError, AttributeError, KeyError):
        return False


def _key(network: str) -> str:
    return f"{FOLDER}/{quote(network, safe='')}.json"
