"""Which filters of a layer changed most between two checkpoints."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fstore.errors import DataError
from fstore.queries.analyses._api import analysis
from fstore.queries.figures.similarity import plot_filter_change
from fstore.queries.samples.asked_two import AskedTwo, called
from fstore.queries.samples.blocks import Rows, ablated_blocks

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["AskedChange", "filter_changes"]


@dataclass(frozen=True, kw_only=True)
class AskedChange(AskedTwo):
    """The same, of two checkpoints of one network.

    Parameters
    ----------
    other : str
        Checkpoint to compare with.
    """

    other: str = field()


@analysis(
    "filter-change",
    title="Filters that changed between two checkpoints",
    source="Pearson's r of a filter's responses; not in the paper",
    columns=("rank", "channel", "change", "constant_in", "n"),
    plot=plot_filter_change,
)
def filter_changes(
    store: "Store",
    asked: AskedChange,
    *,
    layer: str,
) -> list[dict[str, Any]]:
    """Rank a layer's filters by how much their responses changed, most first.

    Parameters
    ----------
    store : Store
        Where the activations are.
    asked : AskedChange
        Which checkpoints of one network, and which responses to which samples.
    layer : str
        Layer of both.

    Returns
    -------
    list of dict
        A row a filter: ``change``, 1 less Pearson's r between its responses to the same samples
        in the two (0 the same up to scale and offset, 1 unrelated, 2 turned round); None, and
        last, where it responds alike to all samples in the checkpoint that ``constant_in`` names
        (or in ``both``).

    Raises
    ------
    UnknownNameError
        Activations or the part are not there; the layer is stored of one checkpoint only.
    DataError
        The checkpoints are of different networks, whose filters are not the same; both are one
        checkpoint; a response is NaN or infinite.
    """
    from fstore.queries.methods.similarity import filter_change

    a, b = (own[0] for own in asked.both(store))
    if a.network != b.network:
        raise DataError(
            f"{called(a)} and {called(b)} are different networks: filter 3 of one is not filter 3 "
            "of the other; compare two checkpoints of one network"
        )
    a, b = (own[0] for own in asked.both(store, (layer,)))
    if a == b:
        raise DataError(f"a filter's change needs two checkpoints; {called(a)} was named twice")
    ids = asked.ids(store, [a, b])
    names = {(True, False): called(a), (False, True): called(b), (True, True): "both"}
    rows_of: list[dict[str, Any]] = []
    both = [Rows(place, ids) for place in (a, b)]
    for channels, X in ablated_blocks(store, both, ablation=asked.ablation):
        change, *constant = filter_change(X[: len(ids)], X[len(ids) :])
        rows_of += [
            {
                "channel": int(channel),
                "change": None if np.isnan(change[i]) else float(change[i]),
                "constant_in": names.get((bool(constant[0][i]), bool(constant[1][i]))),
                "n": len(ids),
            }
            for i, channel in enumerate(channels)
        ]
    rows_of.sort(key=lambda row: math.inf if row["change"] is None else -row["change"])
    return [{"rank": rank, **row} for rank, row in enumerate(rows_of, start=1)]
