"""Grandmother cells: how well a single filter tells a class (section 4.1)."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fstore.errors import DataError, UnknownNameError
from fstore.queries.analyses._api import analysis
from fstore.queries.figures.single_filters import plot_filter_curves, plot_single_filters
from fstore.queries.methods.single_filters import curve_rows, label_aps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fstore.queries.samples.single import Responses
    from fstore.store import Store

__all__ = ["filter_curves", "single_filters"]


@analysis(
    "single-filters",
    title="Average precision of single filters",
    source="section 4.1",
    columns=("class", "rank", "channel", "ap_11", "ap_all", "prior", "n"),
    plot=plot_single_filters,
)
def single_filters(
    store: "Store",
    *,
    layer: str,
    ckpt: str,
    dataset: str,
    view: str = "gt",
    network: str | None = None,
    split: str = "official",
    seed: int = 0,
    part: str = "test",
    top: int = 5,
    difficult: bool = False,
) -> list[dict[str, Any]]:
    """Rank every filter by its average precision as a detector of each class.

    A filter's score of a sample is the largest response of its map.

    Parameters
    ----------
    store : Store
        Where the activations are.
    layer : str
        Layer whose filters are studied.
    ckpt : str
        Checkpoint, as NAME or NETWORK/NAME.
    dataset : str
        Data set.
    view : str
        gt (ground-truth boxes), image (whole images) or proposal.
    network : str or None
        Network, where several have a checkpoint of this name.
    split : str
        official or random.
    seed : int
        Which of the random splits.
    part : str
        Samples that are ranked: train, val, test, or all of the split.
    top : int
        Filters to list for each class, best first; 0 for all.
    difficult : bool
        Keep boxes that are flagged difficult.

    Returns
    -------
    list of dict
        AP from 0 to 1, at 11 recalls (which ranks) and over all points; ``prior``, the share of
        positives, is what a random filter gets over all points. A class without a positive in the
        part has no rows.

    Raises
    ------
    UnknownNameError
        Activations or the split are not there; the message has the command that makes them.
    DataError
        A response is NaN or infinite; the part shows no class; ``top`` is below 0.
    """
    from fstore.queries.samples.single import find_responses

    if top < 0:
        raise DataError(f"top must be 0 (all filters) or more, got {top}")
    found = find_responses(
        store,
        layer=layer,
        ckpt=ckpt,
        dataset=dataset,
        view=view,
        network=network,
        split=split,
        seed=seed,
        difficult=difficult,
    )
    X, Y = _of_part(found, part)
    ap_11, ap_all = label_aps(X, Y)
    rows: list[dict[str, Any]] = []
    for c, name in enumerate(found.classes):
        if np.isnan(ap_11[c]).any():
            continue
        counted = Y[:, c] != 0
        same = {"prior": float((Y[counted, c] > 0).mean()), "n": int(counted.sum())}
        order = np.argsort(-ap_11[c], kind="stable")[: top or None]
        rows += [
            {
                "class": name,
                "rank": rank,
                "channel": int(i),
                "ap_11": float(ap_11[c, i]),
                "ap_all": float(ap_all[c, i]),
                **same,
            }
            for rank, i in enumerate(order, start=1)
        ]
    return rows


@analysis(
    "filter-curves",
    title="Precision and recall of the best single filters",
    source="section 4.1, Figure 3",
    columns=("class", "rank", "channel", "ap_11", "recall", "precision", "prior", "n"),
    plot=plot_filter_curves,
)
def filter_curves(
    store: "Store",
    *,
    layer: str,
    ckpt: str,
    dataset: str,
    view: str = "gt",
    network: str | None = None,
    split: str = "official",
    seed: int = 0,
    part: str = "test",
    top: int = 5,
    difficult: bool = False,
) -> list[dict[str, Any]]:
    """Give the precision-recall curves of the best filters of each class.

    Parameters
    ----------
    store : Store
        Where the activations are.
    layer : str
        Layer whose filters are studied.
    ckpt : str
        Checkpoint, as NAME or NETWORK/NAME.
    dataset : str
        Data set.
    view : str
        gt (ground-truth boxes), image (whole images) or proposal.
    network : str or None
        Network, where several have a checkpoint of this name.
    split : str
        official or random.
    seed : int
        Which of the random splits.
    part : str
        Samples that are ranked: train, val, test, or all of the split.
    top : int
        Filters of each class.
    difficult : bool
        Keep boxes that are flagged difficult.

    Returns
    -------
    list of dict
        A row a point: at recalls 0, 0.02, ..., 1 the best precision at that recall or a higher one.

    Raises
    ------
    UnknownNameError
        Activations or the split are not there; the message has the command that makes them.
    DataError
        A response is NaN or infinite; the part shows no class; ``top`` is below 1.
    """
    from fstore.queries.samples.single import find_responses

    if top < 1:
        raise DataError(f"top must be at least 1, got {top}")
    found = find_responses(
        store,
        layer=layer,
        ckpt=ckpt,
        dataset=dataset,
        view=view,
        network=network,
        split=split,
        seed=seed,
        difficult=difficult,
    )
    X, Y = _of_part(found, part)
    return curve_rows(X, Y, found.classes, top=top)


def _of_part(found: "Responses", part: str) -> "tuple[NDArray[np.float32], NDArray[np.int8]]":
    """Return responses and labels of one part of the split."""
    parts = {
        "train": found.split.train,
        "val": found.split.val,
        "test": found.split.test,
        "all": np.arange(len(found.X)),
    }
    if part not in parts:
        raise UnknownNameError(f"no part '{part}'; there are: {', '.join(parts)}")
    if len(parts[part]) == 0:
        there = ", ".join(name for name, rows in parts.items() if len(rows))
        raise UnknownNameError(f"part '{part}' of the split has no samples; there are: {there}")
    return found.X[parts[part]], found.Y[parts[part]]
