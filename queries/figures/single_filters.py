"""Single filters drawn: their average precision, and precision against recall."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fstore.queries.figures.plots import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes


__all__ = ["plot_filter_curves", "plot_single_filters"]


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
