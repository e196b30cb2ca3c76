"""Bars by row and column of a report, the paper's numbers as marks."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fstore.queries.cells.registry import Plot
from fstore.queries.figures.plots import Row, new_axes
from fstore.words import worded

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["bar_plot", "grouped_bars", "mark_paper"]

FILLS: tuple[dict[str, Any], ...] = (
    {"color": "0.25"},
    {"color": "0.6"},
    {"color": "0.95", "hatch": "////"},
    {"color": "white"},
)


def grouped_bars(
    rows: Sequence[Row],
    columns: Sequence[str],
    *,
    ylabel: str,
    xlabel: str = "Layer",
    title: str = "",
    ordered: bool = False,
    named: bool = False,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw a group of bars a row, a bar a column; error bars are standard deviations over splits.

    Parameters
    ----------
    rows : sequence of mapping
        Of a report; those of other columns are not drawn.
    columns : sequence of str
        In the order of the bars.
    ylabel, xlabel : str
        Quantity and unit; what the groups are.
    title : str
        Of the legend; the default says what the error bars are.
    ordered : bool
        Whether columns are steps of one thing: then each bar is darker than the one before.
    named : bool
        Whether columns are names of the store, which are shown as they are; else they are ours, and
        are put in words.
    ax : Axes or None

    Returns
    -------
    Axes
    """
    ax = new_axes(ax)
    groups = list(dict.fromkeys(str(row["row"]) for row in rows if row["col"] in columns))
    width = 0.8 / len(columns)
    for i, (column, fill) in enumerate(
        zip(columns, _fills(len(columns), ordered=ordered), strict=True)
    ):
        mine = [row for row in rows if row["col"] == column]
        x = [groups.index(str(row["row"])) + (i + 0.5) * width - 0.4 for row in mine]
        y = [float(row["value"] or 0) for row in mine]
        spread = [float(row["std"] or 0) for row in mine]
        shown: dict[str, Any] = {"yerr": spread} if any(spread) else {}
        label = column if named else worded(column)
        ax.bar(x, y, width, label=label, edgecolor="0.1", linewidth=0.6, **fill, **shown)
        mark_paper(ax, x, mine, label=None if i else "the paper")
    ax.set_xticks(range(len(groups)), groups, rotation=30 if len(groups) > 7 else 0)
    ax.set_ylabel(ylabel)
    ax.set_xlabel(xlabel)
    counts = sorted({int(row["n"] or 1) for row in rows if row["col"] in columns})
    n = " or ".join(map(str, counts))
    over = f"bars: mean ± 1 s.d., n = {n} splits" if max(counts) > 1 else "one split"
    above: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 1)}
    ax.legend(title=title or over, ncols=min(len(columns) + 1, 5), **above)
    return ax


def bar_plot(columns: Sequence[str], *, ylabel: str) -> Plot:
    """Return a plot of a report's rows: :func:`grouped_bars` with these columns."""

    def plot(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
        """Draw a group of bars a row, a bar a column, the paper's numbers as marks.

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
        return grouped_bars(rows, columns, ylabel=ylabel, ax=ax)

    return plot


def mark_paper(
    ax: "Axes", x: Sequence[float], rows: Sequence[Row], *, label: str | None = "the paper"
) -> bool:
    """Mark the paper's numbers of rows at some places, if it has any; say whether it does."""
    marks = [(at, row["paper"]) for at, row in zip(x, rows, strict=True) if row["paper"]]
    if marks:
        face: dict[str, Any] = {"color": "black", "markerfacecolor": "white"}
        ax.plot(*zip(*marks, strict=True), "D", markersize=4, label=label, **face)
    return bool(marks)


def _fills(n: int, *, ordered: bool) -> Sequence[Mapping[str, Any]]:
    """Return how ``n`` bars of a group are filled: by pattern, or, ordered or many, by grey."""
    if n <= len(FILLS) and not ordered:
        return FILLS[:n]
    return [{"color": str(round(0.95 - 0.8 * i / max(1, n - 1), 3))} for i in range(n)]
