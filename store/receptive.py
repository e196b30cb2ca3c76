"""Receptive fields of a network's layers, as they were computed where the network was loaded."""

from typing import TYPE_CHECKING

from fstore.fields import Field, box_of
from fstore.store.field_files import read_fields

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["Field", "box_of", "receptive_field", "receptive_fields"]


def receptive_field(store: "Store", network: str, layer: str) -> Field | None:
    """Return which pixels of the input the places of a layer's map see.

    Parameters
    ----------
    store : Store
    network, layer : str
        As the table ``layers`` names them.

    Returns
    -------
    Field or None
        None where it is not known: it was never computed, could not be found, or was computed of a
        layer with another definition. Derived layers have none.
    """
    return receptive_fields(store, network).get(layer)


def receptive_fields(store: "Store", network: str) -> dict[str, Field]:
    """Return the fields of a network's layers that are known, by layer."""
    return read_fields(store.place, network)
