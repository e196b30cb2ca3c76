"""Representational similarity analysis of the layers of two checkpoints."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fstore.errors import DataError
from fstore.queries.analyses._api import analysis
from fstore.queries.figures.similarity import plot_rsa
from fstore.queries.samples.asked_two import AskedTwo, called, each_layer
from fstore.queries.samples.blocks import Rows
from fstore.types import OnProgress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fstore.store import Store
    from fstore.store.files import Partition

__all__ = ["AskedFew", "rsa_of_layers"]


@dataclass(frozen=True, kw_only=True)
class AskedFew(AskedTwo):
    """The same, of at most a thousand samples where no other number is named.

    Parameters
    ----------
    samples : int
        At most as many samples, drawn at random; 0 for all. A layer takes 4 n^2 bytes.
    """

    samples: int = 1000


@analysis(
    "rsa",
    title="Representational similarity of layers",
    source="Kriegeskorte et al. 2008, doi:10.3389/neuro.06.004.2008",
    columns=("ckpt", "layer", "other_ckpt", "other_layer", "rho", "n", "left_out"),
    plot=plot_rsa,
)
def rsa_of_layers(
    store: "Store",
    asked: AskedFew,
    *,
    layer: tuple[str, ...] = (),
    on_progress: OnProgress | None = None,
) -> list[dict[str, Any]]:
    """Give the rank correlation of layers' dissimilarities between samples, each with each.

    Parameters
    ----------
    store : Store
        Where the activations are.
    asked : AskedFew
        Which checkpoints, and which responses to which samples.
    layer : tuple of str
        Layer of either checkpoint; default all that are stored.
    on_progress : callable or None
        Told of long work.

    Returns
    -------
    list of dict
        A row a pair of layers: Spearman's rho (-1 to 1) between the upper triangles of their
        matrices of 1 - Pearson's r between samples; None where all dissimilarities of a layer are
        equal. ``n`` samples; ``left_out`` more were drawn, to which all features of some layer
        respond alike, so that r is not defined.

    Raises
    ------
    UnknownNameError
        Activations or the part are not there.
    DataError
        Fewer than three samples are left; a layer has a single feature; a response is NaN or
        infinite.
    """
    from fstore.queries.methods.similarity import dissimilarity, rank_correlations

    rows, columns = asked.both(store, layer)
    partitions = list(dict.fromkeys([*rows, *columns]))
    ids = asked.ids(store, partitions)
    triangles, told = [], []
    tell: dict[str, Any] = {"what": "dissimilarities", "on_progress": on_progress}
    wanted = [Rows(partition, ids) for partition in partitions]
    for each in each_layer(store, wanted, ablation=asked.ablation, **tell):
        triangle, patterned = dissimilarity(each.blocks, name=each.name)
        triangles.append(triangle)
        told.append(patterned)
    kept = _told_by_all(partitions, told)
    rho = rank_correlations(_between(triangles, kept))
    n, left_out = int(kept.sum()), int((~kept).sum())
    index = {partition: i for i, partition in enumerate(partitions)}
    return [
        {
            "ckpt": asked.called(a), "layer": a.layer,
            "other_ckpt": asked.called(b), "other_layer": b.layer,
            "rho": _number(rho[index[a], index[b]]), "n": n, "left_out": left_out,
        }
        for a in rows for b in columns
    ]  # fmt: skip


def _number(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)


def _told_by_all(
    partitions: "Sequence[Partition]", told: "Sequence[NDArray[np.bool_]]"
) -> "NDArray[np.bool_]":
    """Return which samples have a pattern in every layer."""
    kept: NDArray[np.bool_] = np.logical_and.reduce(told)
    if kept.sum() < 3:
        fewest, partition = min(zip((int(t.sum()) for t in told), partitions, strict=True))
        raise DataError(
            f"{int(kept.sum())} of {len(kept)} samples have a pattern in every layer; RSA needs 3. "
            f"Fewest have one in layer {partition.layer} of {called(partition)}: {fewest}. Leave "
            "it out: name the others with --layer"
        )
    return kept


def _between(
    triangles: "list[NDArray[np.float64]]", kept: "NDArray[np.bool_]"
) -> "list[NDArray[np.float64]]":
    """Return the dissimilarities between the samples that are kept."""
    rows, columns = np.triu_indices(len(kept), 1)
    pairs = kept[rows] & kept[columns]
    return [triangle[pairs] for triangle in triangles]
