"""Tasks drawn: a group of bars a task."""

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import BESIDE, Row
from fstore.queries.cells.registry import Plot
from fstore.queries.figures.bars import grouped_bars
from fstore.queries.studies.tasks import QUANTITIES, role_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


__all__ = ["task_plot"]


NARROW = 16
"""Characters a line of a task's name, where labels are many."""


def _label(row: str, gap: str) -> str:
    """Return a task's name over several lines, and below it what is measured."""
    quantity = gap.join(QUANTITIES[role_of(row)].rsplit(" ", 1))
    return f"{fill(row, NARROW, break_on_hyphens=False) if gap != ' ' else row}\n{quantity}"


def task_plot(columns: Sequence[str] = (), *, ordered: bool = False) -> Plot:
    """Return a plot of a report's rows on tasks: a group of bars a task, a bar a column.

    Parameters
    ----------
    columns : sequence of str
        In the order of the bars; none for all that stand beside nothing.
    ordered : bool
        Whether columns are steps of pre-training: checkpoints, called as the store does.
    """

    def plot(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
        """Draw a group of bars a task, a bar a column, the paper's numbers as marks.

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
        names = dict.fromkeys(str(row["row"]) for row in rows)
        gap = " " if len(names) < 3 else "\n"  # many labels: narrow ones
        labels = {name: _label(name, gap) for name in names}
        named = [{**row, "row": labels[str(row["row"])]} for row in rows]
        shown = columns or list(
            dict.fromkeys(str(row["col"]) for row in rows if BESIDE not in str(row["col"]))
        )
        words = {"ylabel": "Percent", "xlabel": "Task"}
        return grouped_bars(named, shown, **words, ordered=ordered, named=ordered, ax=ax)

    return plot
