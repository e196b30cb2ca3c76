"""Linear CKA of the layers of two checkpoints."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fstore.queries.analyses._api import analysis
from fstore.queries.figures.similarity import plot_cka
from fstore.queries.samples.asked_two import AskedTwo, called, layer_features
from fstore.queries.samples.blocks import Rows
from fstore.types import OnProgress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fstore.queries.methods.similarity import Centred
    from fstore.store import Store
    from fstore.store.files import Partition

__all__ = ["centred_layer", "cka_of_layers"]


@analysis(
    "cka",
    title="Linear CKA of layers",
    source="Kornblith et al. 2019, arXiv:1905.00414",
    columns=("ckpt", "layer", "other_ckpt", "other_layer", "cka", "n"),
    plot=plot_cka,
)
def cka_of_layers(
    store: "Store",
    asked: AskedTwo,
    *,
    layer: tuple[str, ...] = (),
    on_progress: OnProgress | None = None,
) -> list[dict[str, Any]]:
    """Give the linear CKA of each layer of a checkpoint with each of another, the same samples.

    Parameters
    ----------
    store : Store
        Where the activations are.
    asked : AskedTwo
        Which checkpoints, and which responses to which samples.
    layer : tuple of str
        Layer of either checkpoint; default all that are stored.
    on_progress : callable or None
        Told of long work.

    Returns
    -------
    list of dict
        A row a pair of layers. CKA from 0 to 1, the biased estimator: too large where a layer has
        many more features than there are samples, n.

    Raises
    ------
    UnknownNameError
        Activations or the part are not there.
    DataError
        No feature of a layer differs between samples; a response is NaN or infinite; fewer than
        three samples are stored of all layers.
    """
    from fstore.queries.methods.similarity import cka

    rows, columns = asked.both(store, layer)
    ids = asked.ids(store, [*rows, *columns])
    own = _read(store, asked, rows, ids=ids, on_progress=on_progress)
    cells: dict[tuple[Partition, Partition], float] = {}
    for at, column in enumerate(columns):  # those of the other are held one at a time
        b = own.get(column) or _centred(store, asked, Rows(column, ids))
        cells |= {(row, column): cka(a, b) for row, a in own.items()}
        if on_progress is not None:
            on_progress("linear CKA", at + 1, len(columns), column.layer)
    return [
        {
            "ckpt": called(a), "layer": a.layer, "other_ckpt": called(b), "other_layer": b.layer,
            "cka": cells[a, b], "n": len(ids),
        }
        for a in rows for b in columns
    ]  # fmt: skip


def _read(
    store: "Store",
    asked: AskedTwo,
    partitions: "Sequence[Partition]",
    *,
    ids: "NDArray[np.int64]",
    on_progress: OnProgress | None,
) -> "dict[Partition, Centred]":
    held = {}
    for partition in partitions:
        held[partition] = _centred(store, asked, Rows(partition, ids))
        if on_progress is not None:
            on_progress("layers read", len(held), len(partitions), partition.layer)
    return held


def _centred(store: "Store", asked: AskedTwo, rows: Rows) -> "Centred":
    return centred_layer(store, rows, ablation=asked.ablation)[0]


def centred_layer(store: "Store", rows: Rows, *, ablation: str) -> "tuple[Centred, int]":
    """Return a layer's responses, centred, and how many features they are.

    Parameters
    ----------
    store : Store
    rows : Rows
    ablation : str
        What is taken from the responses first.

    Raises
    ------
    DataError
        No feature differs between samples; a response is NaN or infinite.
    """
    from fstore.queries.methods.similarity import centred

    blocks, n_features = layer_features(store, rows, ablation=ablation)
    place = rows.partition
    name = f"layer {place.layer} of {called(place)} over {place.dataset}.{place.view}"
    return centred(blocks, n_features=n_features, name=name), n_features
