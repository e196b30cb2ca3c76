"""Table 9 drawn: the decrease of MCAuE by layer, a line a measure."""

from collections.abc import Sequence
from math import nan
from typing import TYPE_CHECKING

from fstore.queries.figures.plots import Row
from fstore.queries.methods.entropy import MEASURES
from fstore.words import worded

if TYPE_CHECKING:
    from matplotlib.axes import Axes


__all__ = ["plot_table9"]


def plot_table9(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw the percent decrease by layer, a line a measure, for all filters and the best tenth.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the report.
    ax : Axes or None
        Where to draw; None makes a figure.

    Returns
    -------
    Axes
    """
    from fstore.queries.figures.plots import new_axes

    ax = new_axes(ax)
    values = {(str(row["row"]), str(row["col"])): float(row["value"] or 0) for row in rows}
    layers = list(dict.fromkeys(row for row, _ in values))
    for measure, marker in zip(MEASURES, "osD", strict=True):
        for share, style in ((0.1, "-"), (1.0, ":")):
            y = [values.get((layer, f"{measure} {share:g}"), nan) for layer in layers]
            label = f"{worded(measure)}, fraction {share:g}"
            ax.plot(layers, y, marker + style, color="0.2", markerfacecolor="white", label=label)
    ax.axhline(0, color="0.6", linewidth=0.8)
    ax.set_xlabel("Layer")
    ax.set_ylabel("Decrease of MCAuE (percent)")
    ax.tick_params(axis="x", rotation=30 if len(layers) > 7 else 0)
    ax.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return ax
