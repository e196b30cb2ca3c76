"""Retrieval drawn: mean AP by layer, a bar a kind of code."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import BESIDE
from fstore.queries.figures.bars import grouped_bars
from fstore.queries.figures.plots import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes


__all__ = ["plot_retrieval"]


def plot_retrieval(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw retrieval mean AP by layer, a bar a kind of code.

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
    n = max(int(row["n"] or 0) for row in rows)
    plain = [{**row, "std": None} for row in rows]  # the deviation over queries is the task's
    return grouped_bars(
        plain,
        list(dict.fromkeys(str(row["col"]) for row in rows if BESIDE not in str(row["col"]))),
        ylabel="Retrieval mean average precision (percent)",
        title=f"bars: mean over {n} queries",
        ax=ax,
    )
