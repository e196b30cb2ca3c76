"""Grandmother cells: how well a single filter tells a class (section 4.1)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fstore.errors import DataError, UnknownNameError
from fstore.queries.analyses._api import Row, analysis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from fstore.queries.samples.single import Responses
    from fstore.store import Store

__all__ = ["filter_curves", "plot_filter_curves", "plot_single_filters", "single_filters"]

RECALLS = tuple(round(0.02 * i, 2) for i in range(51))


def plot_single_filters(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw the best filters' AP of every class as dots, the prior as a tick.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the analysis.
    ax : Axes or None
        Where to draw; None makes a figure.

    Returns
    -------
    Axes
    """
    from fstore.queries.figures.plots import new_axes

    ax = new_axes(ax)
    classes = list(dict.fromkeys(str(row["class"]) for row in rows))
    best = {c: max(float(r["ap_11"]) for r in rows if r["class"] == c) for c in classes}
    classes.sort(key=lambda c: best[c])
    at = {c: i for i, c in enumerate(classes)}
    aps = [100 * float(row["ap_11"]) for row in rows]
    ax.plot(aps, [at[str(row["class"])] for row in rows], "o", color="0.35", label="a filter")
    priors = {str(row["class"]): 100 * float(row["prior"]) for row in rows}
    ax.plot([priors[c] for c in classes], range(len(classes)), "k|", label="random filter")
    ax.set_yticks(range(len(classes)), classes, fontsize="small")
    ax.set_xlim(left=0)
    n = rows[0]["n"] if rows else 0
    ax.set_xlabel(f"11-point average precision (percent), n = {n} samples")
    ax.set_ylabel("Class")
    ax.legend(loc="lower right")
    return ax


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
    ap_11, ap_all = _aps(X, Y)
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


def plot_filter_curves(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw precision against recall, a panel a class, a line a filter.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the analysis.
    ax : Axes or None
        Where to draw; None makes a figure.

    Returns
    -------
    Axes
    """
    from fstore.queries.figures.plots import panels

    classes = list(dict.fromkeys(str(row["class"]) for row in rows))
    frame, drawn = panels(ax, len(classes), n_columns=5, size=(1.7, 1.5), sharex=True, sharey=True)
    last = max(2, *(row["rank"] for row in rows))
    for name, panel in zip(classes, drawn, strict=True):
        mine = [row for row in rows if row["class"] == name]
        for rank in dict.fromkeys(row["rank"] for row in mine):
            line = [row for row in mine if row["rank"] == rank]
            shade = str(0.6 * (rank - 1) / (last - 1))
            panel.plot(
                [row["recall"] for row in line],
                [row["precision"] for row in line],
                color=shade,
                linewidth=1,
            )
        panel.axhline(mine[0]["prior"], color="black", linestyle=":", linewidth=1)
        panel.set_title(f"{name} ({100 * mine[0]['ap_11']:.0f})", fontsize="small")
        panel.set_ylim(0, 1.02)
        panel.set_xlim(0, 1)
    n = rows[0]["n"] if rows else 0
    label = f"Recall (n = {n} samples; dark: best filter, its AP in percent; dotted: random)"
    frame.get_figure(root=True).supxlabel(label, fontsize="small")  # type: ignore[union-attr]
    frame.get_figure(root=True).supylabel("Precision", fontsize="small")  # type: ignore[union-attr]
    return frame


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


def curve_rows(
    X: "NDArray[np.float32]", Y: "NDArray[np.int8]", classes: Sequence[str], *, top: int
) -> list[dict[str, Any]]:
    """Return the points of the best filters' curves; see :func:`filter_curves`."""
    from fstore.queries.methods.filters import interpolated_precision

    ap_11, _ = _aps(X, Y)
    rows: list[dict[str, Any]] = []
    for c, name in enumerate(classes):
        if np.isnan(ap_11[c]).any():
            continue
        counted = Y[:, c] != 0
        same = {"prior": float((Y[counted, c] > 0).mean()), "n": int(counted.sum())}
        for rank, i in enumerate(np.argsort(-ap_11[c], kind="stable")[:top], start=1):
            line = {"class": name, "rank": rank, "channel": int(i), "ap_11": float(ap_11[c, i])}
            values = interpolated_precision(X[:, i], Y[:, c], RECALLS)
            rows += [
                {**line, "recall": recall, "precision": float(value), **same}
                for recall, value in zip(RECALLS, values, strict=True)
            ]
    return rows


def _aps(
    X: "NDArray[np.float32]", Y: "NDArray[np.int8]"
) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Return AP by class and filter; NaN for a class without a positive, but not for all."""
    from fstore.queries.methods.filters import single_filter_aps

    ap_11, ap_all = single_filter_aps(X, Y)
    if np.isnan(ap_11).all():
        raise DataError(f"no class has a positive among {len(X)} samples; take another part")
    return ap_11, ap_all


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
