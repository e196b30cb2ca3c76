"""Tasks drawn: a group of bars a task."""

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import BESIDE
from fstore.queries.figures.bars import grouped_bars
from fstore.queries.figures.plots import Plot, Row
from fstore.queries.studies.tasks import QUANTITIES, role_of

if TYPE_CHECKING:
    import altair as alt

__all__ = ["task_plot"]


NARROW = 18
"""Characters a line of a task's name."""


def _label(row: str) -> str:
    """Return a task's name over several lines, and below it what is measured."""
    quantity = fill(QUANTITIES[role_of(row)], NARROW)
    return f"{fill(row, NARROW, break_on_hyphens=False)}\n{quantity}"


def task_plot(columns: Sequence[str] = (), *, ordered: bool = False) -> Plot:
    """Return a plot of a report's rows on tasks: a group of bars a task, a bar a column.

    Parameters
    ----------
    columns : sequence of str
        In the order of the bars; none for all that stand beside nothing.
    ordered : bool
        Whether columns are steps of pre-training: checkpoints, called as the store does.
    """

    def plot(rows: Sequence[Row], *, title: str = "") -> "alt.LayerChart":
        """Draw a group of bars a task, a bar a column, the paper's numbers as marks.

        Parameters
        ----------
        rows : sequence of mapping
            Rows of the report.
        title : str
        """
        named = [{**row, "row": _label(str(row["row"]))} for row in rows]
        shown = columns or list(
            dict.fromkeys(str(row["col"]) for row in rows if BESIDE not in str(row["col"]))
        )
        return grouped_bars(
            named,
            shown,
            ylabel="Accuracy or mean AP (percent)",
            xlabel="Task",
            title=title,
            of="Pre-trained for" if ordered else "Training",
            over="runs",
            ordered=ordered,
            named=ordered,
        )

    return plot
