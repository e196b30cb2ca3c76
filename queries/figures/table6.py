"""Table 6 drawn: non-zero responses by layer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fstore.queries.figures.plots import Row, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


__all__ = ["plot_table6"]


def plot_table6(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw the percent of non-zero responses by layer, the paper's numbers as marks.

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
    heights, spread = ([float(row[c] or 0) for row in rows] for c in ("value", "std"))
    counts = sorted({int(row["n"] or 0) for row in rows})
    n = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    bars = ax.bar(range(len(rows)), heights, yerr=spread, label=f"this study, n = {n} images")
    handles: list[Any] = [bars]
    marks = [(i + 0.25, row["paper"]) for i, row in enumerate(rows) if row["paper"] is not None]
    if marks:  # beside the error bars, white, so that both are seen on grey
        x, y = zip(*marks, strict=True)
        handles += ax.plot(x, y, "D", color="black", markerfacecolor="white", label="the paper")
    ax.set_xticks(range(len(rows)), [str(row["row"]) for row in rows])
    ax.set_ylim(bottom=0)
    ax.set_xlabel("Layer")
    ax.set_ylabel("Non-zero responses (percent)")
    title = "bars: mean ± 1 standard deviation over images"
    above: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 1)}
    ax.legend(handles=handles, title=title, ncols=len(handles), **above)
    return ax
