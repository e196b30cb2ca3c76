"""Table 6 drawn: non-zero responses by layer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fstore.queries.figures.bars import grouped_bars
from fstore.queries.figures.plots import Row

if TYPE_CHECKING:
    import altair as alt

__all__ = ["plot_table6"]


def plot_table6(rows: Sequence[Row], *, title: str = "") -> "alt.LayerChart":
    """Draw the percent of non-zero responses by layer, the paper's numbers as marks.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the report.
    title : str
    """
    return grouped_bars(
        rows,
        ["nonzero_percent"],
        ylabel="Non-zero responses (percent)",
        title=title,
        of="Quantity",
        over="images",
    )
