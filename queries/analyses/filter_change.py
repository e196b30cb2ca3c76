"""Which filters of a layer changed most between two checkpoints."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fstore.errors import DataError
from fstore.queries.analyses._api import analysis
from fstore.queries.figures.similarity import plot_filter_change
from fstore.queries.samples.asked_two import AskedTwo, called
from fstore.queries.samples.blocks import Rows, ablated_blocks, whole_layer

if TYPE_CHECKING:
    from fstore.store import Store
    from fstore.store.files import Partition

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
    source="Pearson's r, not in the paper; pairs as in Li et al. 2015, arXiv:1511.07543",
    columns=("rank", "channel", "other_channel", "change", "fate", "constant_in", "n"),
    plot=plot_filter_change,
)
def filter_changes(
    store: "Store",
    asked: AskedChange,
    *,
    layer: str,
    match: bool = False,
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
    match : bool
        Compare each filter with its partner in the other checkpoint: pairs, one to one, whose
        correlations have the largest sum. The networks may differ then.

    Returns
    -------
    list of dict
        A row a filter: ``change``, 1 less Pearson's r between its responses to the same samples
        in the two (0 the same up to scale and offset, 1 unrelated, 2 turned round); None, and
        last, where it responds alike to all samples in the checkpoint that ``constant_in`` names
        (or in ``both``). ``fate``, from ``ckpt`` to ``other``: ``died`` if it responds alike to
        all samples in the other only, ``born`` if in the first only. ``other_channel`` is the
        same filter or, with ``match``, its partner. A filter that has none has no ``change``; of
        the other checkpoint it has no ``channel``.

    Raises
    ------
    UnknownNameError
        Activations or the part are not there; the layer is stored of one checkpoint only.
    DataError
        The checkpoints are of different networks, whose filters are not the same; both are one
        checkpoint; a response is NaN or infinite.
    """
    a, b = _compared(store, asked, layer, match=match)
    ids = asked.ids(store, [a, b])
    both = Rows(a, ids), Rows(b, ids)
    rows_of = (_matched if match else _one_by_one)(store, *both, ablation=asked.ablation)
    rows_of.sort(key=lambda row: math.inf if row["change"] is None else -row["change"])
    return [{"rank": rank, **row, "n": len(ids)} for rank, row in enumerate(rows_of, start=1)]


def _compared(
    store: "Store", asked: AskedChange, layer: str, *, match: bool
) -> "tuple[Partition, Partition]":
    """Return the layer in both checkpoints; refuse those whose filters are not the same."""
    a, b = (own[0] for own in asked.both(store))
    if a.network != b.network and not match:
        raise DataError(
            f"{called(a)} and {called(b)} are different networks: filter 3 of one is not filter 3 "
            "of the other; compare two checkpoints of one network, or add --match"
        )
    a, b = (own[0] for own in asked.both(store, (layer,)))
    if a == b:
        raise DataError(f"a filter's change needs two checkpoints; {called(a)} was named twice")
    return a, b


def _one_by_one(store: "Store", a: Rows, b: Rows, *, ablation: str) -> list[dict[str, Any]]:
    """Compare each filter with the one of its number."""
    from fstore.queries.methods.similarity import filter_change

    rows_of, n = [], len(a.ids)
    for channels, X in ablated_blocks(store, [a, b], ablation=ablation):
        change, *constant = filter_change(X[:n], X[n:])
        for i, channel in enumerate(channels.tolist()):
            told = bool(constant[0][i]), bool(constant[1][i])
            row = _row(channel, channel, change=float(change[i]))
            rows_of.append({**row, **_constant(a, b, told)})
    return rows_of


def _matched(store: "Store", a: Rows, b: Rows, *, ablation: str) -> list[dict[str, Any]]:
    """Compare each filter with its partner; then those that have none."""
    from fstore.queries.methods.matching import match_filters

    X, Y = (whole_layer(store, [each], ablation=ablation) for each in (a, b))
    of_X, of_Y, r = match_filters(X, Y)
    pairs = zip(of_X.tolist(), of_Y.tolist(), r.tolist(), strict=True)
    rows_of = [{**_row(c, k, change=1 - v), **_constant(a, b)} for c, k, v in pairs]
    for c in np.setdiff1d(np.arange(X.shape[1]), of_X).tolist():
        told = bool((X[:, c] == X[:1, c, :1]).all())
        rows_of.append({**_row(c, None), **_constant(a, b, (told, False), fate=False)})
    for k in np.setdiff1d(np.arange(Y.shape[1]), of_Y).tolist():
        told = bool((Y[:, k] == Y[:1, k, :1]).all())
        rows_of.append({**_row(None, k), **_constant(a, b, (False, told), fate=False)})
    return rows_of


def _row(channel: int | None, other: int | None, change: float = math.nan) -> dict[str, Any]:
    told = None if math.isnan(change) else change
    return {"channel": channel, "other_channel": other, "change": told}


def _constant(
    a: Rows, b: Rows, told: tuple[bool, bool] = (False, False), *, fate: bool = True
) -> dict[str, Any]:
    """Say in which checkpoint a filter responds alike to all samples, and what became of it."""
    where = {
        (True, False): called(a.partition),
        (False, True): called(b.partition),
        (True, True): "both",
    }
    fates = {(True, False): "born", (False, True): "died"} if fate else {}
    return {"fate": fates.get(told), "constant_in": where.get(told)}
