"""Layers that no network has: a function of a user's made them from a stored layer.

Their row in table ``layers`` says so: its ``definition`` is ``derived:LAYER:HASH``, LAYER the
stored one. What each of their partitions was made with stands in its identity.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from fstore.errors import IdentityError, UnknownNameError
from fstore.store.tables import read_rows

if TYPE_CHECKING:
    from fstore.store.place import Place

__all__ = [
    "definition",
    "derived_layers",
    "how_to_derive",
    "refuse_derived",
    "refuse_other",
    "source_of",
]

PREFIX = "derived:"


def definition(source: str, of_source: str, shape: tuple[int, int, int]) -> str:
    """Return the definition of a derived layer.

    Parameters
    ----------
    source : str
        The stored layer.
    of_source : str
        Its definition.
    shape : channels, height and width of the derived layer
    """
    text = json.dumps([of_source, *shape])
    return f"{PREFIX}{source}:{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def source_of(definition: str) -> str | None:
    """Return the layer that a derived one was made from; None of a layer that is none."""
    if not definition.startswith(PREFIX):
        return None
    return definition.removeprefix(PREFIX).rpartition(":")[0]


def derived_layers(root: "Place", **equal: str) -> dict[tuple[str, str], str]:
    """Return the derived layers: (network, layer) -> the layer that each was made from.

    Parameters
    ----------
    root : Place
        The store.
    **equal : str
        ``network`` and ``layer``, or one of them, or none.
    """
    return {
        (row["network"], row["layer"]): source
        for row in read_rows(root, "layers", **equal).to_pylist()
        if (source := source_of(row["definition"])) is not None
    }


def how_to_derive(layer: str, source: str) -> str:
    """Say how the responses of a derived layer are made, again or for the first time."""
    return (
        f"layer '{layer}' was derived from '{source}' by a function of yours: in Python, call "
        f'store.add_layer_from("{source}", name="{layer}", ...) again'
    )


def refuse_derived(root: "Place", network: str, layers: Iterable[str]) -> None:
    """Refuse to compute layers that a network does not have.

    Parameters
    ----------
    root : Place
        The store.
    network : str
    layers : iterable of str
        As they were asked for; ``a,b`` is two.

    Raises
    ------
    UnknownNameError
        One of them was derived; the message says how it is made.
    """
    derived = derived_layers(root, network=network)
    for layer in [part.strip() for name in layers for part in (name, *name.split(","))]:
        if (network, layer) in derived:
            raise UnknownNameError(
                f"network '{network}' has no layer '{layer}' to extract; "
                + how_to_derive(layer, derived[network, layer])
            )


def refuse_other(root: "Place", network: str, layer: str, *, definition: str) -> None:
    """Refuse to derive a layer under a name that stands for something else.

    Raises
    ------
    IdentityError
        The network has a layer of that name, or it was derived from another layer, or with
        another shape; the message has the command that makes room.
    """
    from fstore import commands

    rows = read_rows(root, "layers", network=network, layer=layer).to_pylist()
    if not rows or rows[0]["definition"] == definition:
        return
    row, source = rows[0], source_of(rows[0]["definition"])
    if source is None:
        raise IdentityError(
            f"'{layer}' is a layer of network '{network}' itself; give what is derived another "
            f"name, such as 'sae/{layer}'"
        )
    room = commands.drop(root, {"network": network, "layer": layer})
    raise IdentityError(
        f"layer '{layer}' of network '{network}' is on record as derived from '{source}' with "
        f"shape {row['channels']} x {row['height']} x {row['width']}; this is another layer or "
        f"shape. Use another name, or drop what was derived, of all checkpoints: {room}"
    )
