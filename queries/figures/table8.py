"""Table 8 drawn: mean AP of detection by ablation, with intervals."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import BESIDE
from fstore.queries.figures.bars import mark_paper
from fstore.queries.figures.plots import Row, new_axes
from fstore.words import worded

if TYPE_CHECKING:
    from matplotlib.axes import Axes


__all__ = ["plot_table8"]


def plot_table8(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw mean AP by ablation with its interval, the paper's numbers as marks.

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
    ax = new_axes(ax)
    main = [row for row in rows if BESIDE not in str(row["col"])]
    ends = {str(row["col"]): float(row["value"] or 0) for row in rows}
    for x, row in enumerate(main):
        value, col = float(row["value"] or 0), str(row["col"])
        ax.bar(x, value, 0.6, color="0.6", edgecolor="0.1", linewidth=0.6)
        if f"{col}{BESIDE}low" in ends:
            sides = [[value - ends[f"{col}{BESIDE}low"]], [ends[f"{col}{BESIDE}high"] - value]]
            ax.errorbar(x, value, yerr=sides, color="0.1", capsize=4)
    if mark_paper(ax, range(len(main)), main):
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1))
    ax.set_xticks(range(len(main)), [worded(str(row["col"])) for row in main])
    ax.set_ylabel("Mean average precision (percent)")
    n = max(int(row["n"] or 0) for row in main)
    ax.set_xlabel(f"{main[0]['row']}; lines: 95 % bootstrap over {n} test images")
    return ax
