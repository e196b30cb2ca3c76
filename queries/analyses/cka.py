"""Linear CKA of the layers of two checkpoints."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fstore.queries.analyses._api import analysis
from fstore.queries.figures.similarity import plot_cka
from fstore.queries.samples.asked_two import AskedTwo, each_layer
from fstore.queries.samples.blocks import Rows
from fstore.types import OnProgress

if TYPE_CHECKING:
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
    from fstore.queries.methods.similarity import ckas

    rows, columns = asked.both(store, layer)
    ids = asked.ids(store, [*rows, *columns])
    tell: dict[str, Any] = {"what": "layers read", "on_progress": on_progress}
    own = dict(_centred(store, asked, [Rows(row, ids) for row in rows], **tell))
    cells: dict[tuple[Partition, Partition], float] = {}
    if rows == columns:  # the same both ways
        for at, b in enumerate(rows):
            values = ckas([own[a] for a in rows[at:]], own[b])
            for a, value in zip(rows[at:], values, strict=True):
                cells[a, b] = cells[b, a] = value
    else:
        others, tell = [Rows(column, ids) for column in columns], {**tell, "what": "linear CKA"}
        for column, centred in _centred(store, asked, others, **tell):  # held one at a time
            values = ckas([own[row] for row in rows], centred)
            cells |= {(row, column): v for row, v in zip(rows, values, strict=True)}
    return [
        {
            "ckpt": asked.called(a), "layer": a.layer,
            "other_ckpt": asked.called(b), "other_layer": b.layer,
            "cka": cells[a, b], "n": len(ids),
        }
        for a in rows for b in columns
    ]  # fmt: skip


def _centred(
    store: "Store",
    asked: AskedTwo,
    rows: Sequence[Rows],
    **tell: Any,  # noqa: ANN401 - what tells of each layer
) -> "Iterator[tuple[Partition, Centred]]":
    """Yield each layer's centred responses."""
    from fstore.queries.methods.similarity import centred

    for each in each_layer(store, rows, ablation=asked.ablation, **tell):
        yield each.partition, centred(each.blocks, n_features=each.n_features, name=each.name)


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

    (each,) = each_layer(store, [rows], ablation=ablation)
    return centred(each.blocks, n_features=each.n_features, name=each.name), each.n_features
