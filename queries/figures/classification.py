"""Average precision and accuracy by class, drawn."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fstore.queries.figures.plots import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes


__all__ = ["plot_classification"]


def plot_classification(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw the AP of every class, best first, and the mean as a line.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the analysis.
    ax : Axes or None
        Where to draw; None makes a figure.

    Returns
    -------
    Axes
    """
    from fstore.queries.figures.plots import new_axes

    ax = new_axes(ax)
    tested = [row for row in rows if row["class"] != MEAN and row["ap_11"] is not None]
    tested.sort(key=lambda row: float(row["ap_11"]))
    mean = next(row for row in rows if row["class"] == MEAN)
    labels = [f"{row['class']} (n = {row['positives_test']})" for row in tested]
    ax.barh(range(len(tested)), [100 * row["ap_11"] for row in tested], color="0.6")
    ax.set_yticks(range(len(tested)), labels, fontsize="small")
    ax.axvline(100 * mean["ap_11"], color="0.1", linestyle="--", label="mean over classes")
    ax.set_xlabel("11-point average precision (percent); n: positives tested on")
    ax.set_ylabel("Class")
    ax.legend(loc="lower right")
    return ax


MEAN = "(mean)"
