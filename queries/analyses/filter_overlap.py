"""Whether different classes use the same filters (section 4.2)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fstore.errors import DataError
from fstore.queries.analyses._api import Row, analysis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from fstore.queries.samples.single import Responses
    from fstore.store import Store

__all__ = ["class_overlap", "draw_overlap", "filter_overlap", "overlap_summary"]


def class_overlap(
    found: "Responses", *, top: int | None = None
) -> "tuple[list[str], NDArray[np.float64], int]":
    """Return classes, the share of best filters that each two have in common, and how many.

    Filters are ranked by |w| of an SVM on all of them, learned on train and val.

    Parameters
    ----------
    found : Responses
    top : int or None
        Filters of each class; None for 50, or the same share of a layer of fewer than 256.

    Raises
    ------
    DataError
        The layer has fewer filters than ``top``; fewer than two classes can be learned.
    """
    from fstore.queries.methods.filters import filter_weights, overlap, top_filters

    fitted = found.split.fitted
    weights = filter_weights(found.X[fitted], found.Y[fitted])
    known = np.flatnonzero(~np.isnan(weights).any(axis=1))
    if len(known) < 2:
        raise DataError(
            f"{len(known)} of {len(weights)} classes have both labels to learn from, among "
            f"{len(fitted)} samples; overlap needs 2"
        )
    top = top_filters(weights.shape[1]) if top is None else top
    return [found.classes[c] for c in known], overlap(weights[known], top=top), top


def overlap_summary(
    classes: Sequence[str], shares: "NDArray[np.float64]", *, chance: float
) -> dict[str, float]:
    """Return the mean share over pairs of different classes, and that by chance.

    For classes of PASCAL VOC also the mean over pairs within its groups of related classes
    (animals, vehicles, indoor things) and over the other pairs.
    """
    from fstore.queries.methods.filters import VOC_GROUPS

    pairs = [(i, j) for i in range(len(classes)) for j in range(i)]
    summary = {"chance": chance, "mean": float(np.mean([shares[p] for p in pairs]))}
    group = {name: g for g, names in VOC_GROUPS.items() for name in names}
    if set(classes) <= set(group):
        same = [group[classes[i]] == group[classes[j]] for i, j in pairs]
        for name, wanted in (("related", True), ("unrelated", False)):
            values = [shares[p] for p, s in zip(pairs, same, strict=True) if s is wanted]
            if values:
                summary[name] = float(np.mean(values))
    return summary


def draw_overlap(
    classes: Sequence[str],
    shares: "NDArray[np.float64]",
    *,
    chance: float,
    top: int,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw the shares as a matrix, in percent, chance marked beside the scale.

    Parameters
    ----------
    classes : sequence of str
    shares : array of shape (n_classes, n_classes)
    chance : float
    top : int
    ax : Axes or None
    """
    from fstore.queries.figures.plots import new_axes

    ax = new_axes(ax)
    figure = ax.get_figure(root=True)
    if figure is not None and len(figure.axes) == 1:
        figure.set_size_inches(7, 6)
    off = shares.copy()
    np.fill_diagonal(off, np.nan)
    most = float(np.nanmax(off)) if len(classes) > 1 else 1.0
    image = ax.imshow(100 * off, cmap="Greys", vmin=0, vmax=100 * max(most, chance))
    for i in range(len(classes)):
        for j in range(len(classes)):
            if i != j:
                ink = "white" if off[i, j] > 0.6 * most else "black"
                text = f"{100 * off[i, j]:.0f}"
                ax.text(j, i, text, ha="center", va="center", fontsize=6, color=ink)
    ax.set_xticks(range(len(classes)), classes, rotation=90, fontsize="small")
    ax.set_yticks(range(len(classes)), classes, fontsize="small")
    ax.grid(visible=False)
    if figure is not None:
        label = f"Percent of the {top} best filters in common (dashed: chance, {100 * chance:.1f})"
        bar = figure.colorbar(image, ax=ax, label=label)
        bar.ax.axhline(100 * chance, color="black", linestyle="--")
    return ax


def plot_filter_overlap(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw the shares of common filters as a matrix.

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
    classes = sorted({str(row["class"]) for row in rows})  # rows come by their share
    shares = np.ones((len(classes), len(classes)))
    for row in rows:
        shares[classes.index(row["class"]), classes.index(row["other"])] = row["share"]
    first = rows[0]
    return draw_overlap(classes, shares, chance=first["chance"], top=first["top"], ax=ax)


@analysis(
    "filter-overlap",
    title="Filters that classes have in common",
    source="section 4.2, Figure 5",
    columns=("class", "other", "share", "chance", "top"),
    plot=plot_filter_overlap,
)
def filter_overlap(
    store: "Store",
    *,
    layer: str,
    ckpt: str,
    dataset: str,
    view: str = "gt",
    network: str | None = None,
    split: str = "official",
    seed: int = 0,
    top: int | None = None,
    difficult: bool = False,
) -> list[dict[str, Any]]:
    """Give the share of best filters that each two classes have in common, most first.

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
    top : int or None
        Best filters of each class, by |w| of an SVM on all; default 50, or the same share (50 of
        256) of a smaller layer.
    difficult : bool
        Keep boxes that are flagged difficult.

    Returns
    -------
    list of dict
        A row an ordered pair of classes; ``chance`` is the share that random sets have in common.

    Raises
    ------
    UnknownNameError
        Activations or the split are not there; the message has the command that makes them.
    DataError
        The layer has fewer filters than ``top``; a response is NaN or infinite; fewer than two
        classes can be learned.
    """
    from fstore.queries.samples.single import find_responses

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
    classes, shares, top = class_overlap(found, top=top)
    chance = top / found.X.shape[1]
    rows = [
        {"class": a, "other": b, "share": float(shares[i, j]), "chance": chance, "top": top}
        for i, a in enumerate(classes)
        for j, b in enumerate(classes)
        if i != j
    ]
    return sorted(rows, key=lambda row: -float(str(row["share"])))
