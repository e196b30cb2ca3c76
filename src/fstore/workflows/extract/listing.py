"""Which layers an extraction would mean; nothing is extracted, and the store stays as it is."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fstore.workflows.extract.plan import Chosen, ExtractionOptions, Planner

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["MEANT_COLUMNS", "meant_layers"]

MEANT_COLUMNS = ("network", "layer", "map", "values", "bytes", "matched")


def meant_layers(
    store: "Store",
    *,
    layers: Sequence[str],
    ckpts: Sequence[str],
    network: str | None = None,
    on_note: Callable[[str], None] | None = None,
) -> list[dict[str, Any]]:
    """Say which layers ``extract`` with the same arguments would fill.

    Parameters
    ----------
    store, layers, ckpts, network
        As for :func:`fstore.workflows.extract.run.extract`.
    on_note : called with what was left out and why, and how a word of two meanings was read

    Returns
    -------
    list of dict
        Keys :data:`MEANT_COLUMNS`: a row a layer of each network, in the order in which they run.
        ``map`` is the shape of one sample's response, ``bytes`` are those of its values as raw
        float32, ``matched`` is the word that meant the layer.

    Raises
    ------
    UnknownNameError, DataError
        As :func:`fstore.workflows.extract.run.extract`.
    """
    planner = Planner(store, Chosen(layers, ckpts, network=network), ExtractionOptions())
    records = [store.find_checkpoint(name, network) for name in ckpts]
    rows = [
        {
            "network": record.network,
            "layer": spec.name,
            "map": spec.map_size,
            "values": spec.values,
            "bytes": 4 * spec.values,
            "matched": meant.words[spec.name],
        }
        for record in {record.network: record for record in records}.values()
        for meant in [planner.meant(record)]
        for spec in meant.specs
    ]
    if on_note is not None:
        for text in dict.fromkeys(planner.notes):
            on_note(text)
    return rows
