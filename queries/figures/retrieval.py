"""Retrieval drawn: mean AP by layer, a bar a kind of code."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import BESIDE
from fstore.queries.figures.bars import grouped_bars
from fstore.queries.figures.plots import Row
from fstore.words import worded

if TYPE_CHECKING:
    import altair as alt

__all__ = ["plot_retrieval", "plot_retrieved"]


def plot_retrieval(rows: Sequence[Row], *, title: str = "") -> "alt.LayerChart":
    """Draw retrieval mean AP by layer, a bar a kind of code.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the report.
    title : str
    """
    return grouped_bars(
        rows,
        list(dict.fromkeys(str(row["col"]) for row in rows if BESIDE not in str(row["col"]))),
        ylabel="Retrieval mean average precision (percent)",
        title=title,
        of="Code",
        over="queries",
        of_mean=True,
    )


def plot_retrieved(rows: Sequence[Row], *, title: str = "") -> "alt.LayerChart":
    """Draw the mean AP of retrieval, a bar a kind of code.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the analysis.
    title : str
    """
    cells = [
        {
            "row": worded(str(row["code"])),
            "col": "mean_ap",
            "value": 100 * row["mean_ap"],
            "std": None if row["std"] is None else 100 * row["std"],
            "n": row["queries"],
            "paper": None,
        }
        for row in rows
    ]
    return grouped_bars(
        cells,
        ["mean_ap"],
        ylabel="Retrieval mean average precision (percent)",
        xlabel="Code",
        title=title,
        over="queries",
        of_mean=True,
    )
