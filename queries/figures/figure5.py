"""Figure 5 drawn: the shares of common filters as a matrix."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import SUMMARY
from fstore.queries.figures.overlap import draw_overlap
from fstore.queries.figures.plots import Row

if TYPE_CHECKING:
    import altair as alt

__all__ = ["plot_figure5"]


def plot_figure5(rows: Sequence[Row], *, title: str = "") -> "alt.LayerChart":
    """Draw the shares of common filters as a matrix, in percent.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the report.
    title : str
    """
    values = {(str(row["row"]), str(row["col"])): float(row["value"] or 0) for row in rows}
    shares = {pair: share for pair, share in values.items() if pair[0] != SUMMARY}
    counts = [int(row["n"]) for row in rows if row["n"]]
    top, chance = int(values[SUMMARY, "top"]), values[SUMMARY, "chance"]
    return draw_overlap(shares, chance=chance, top=top, title=title, n=max(counts, default=0))
