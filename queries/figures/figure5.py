"""Figure 5 drawn: the shares of common filters as a matrix."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fstore.queries.cells.needs import SUMMARY
from fstore.queries.figures.plots import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes


__all__ = ["plot_figure5"]


def plot_figure5(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw the shares of common filters as a matrix, in percent.

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
    from fstore.queries.figures.overlap import draw_overlap

    values = {(str(row["row"]), str(row["col"])): float(row["value"] or 0) for row in rows}
    classes = list(dict.fromkeys(row for row, _ in values if row != SUMMARY))
    shares = np.array([[values[a, b] for b in classes] for a in classes])
    top, chance = int(values[SUMMARY, "top"]), values[SUMMARY, "chance"]
    return draw_overlap(classes, shares, chance=chance, top=top, ax=ax)
