"""The filters that classes have in common, drawn as a matrix."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fstore.queries.figures.plots import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray


__all__ = ["draw_overlap", "plot_filter_overlap"]


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
