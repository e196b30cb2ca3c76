"""Figure 2 drawn: first-layer filters, a panel a checkpoint."""

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from fstore import commands
from fstore.errors import DataError
from fstore.queries.figures.plots import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from fstore.queries.studies.study import Study
    from fstore.store import Store

__all__ = ["add_filters", "plot_figure2"]


PANELS = 3
"""In a line."""


def add_filters(store: "Store", study: "Study", rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the rows, those of mean cosines with the checkpoint's ``filters``."""
    from fstore.queries.methods.first_layer import first_filters

    illustrated: list[dict[str, Any]] = [dict(row) for row in rows]
    for row in illustrated:
        if row["col"] == "cosine":
            row["filters"] = first_filters(store, row["row"], study.network)
    return illustrated


def plot_figure2(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw the filters of every checkpoint as a grid, a panel a checkpoint.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the report, those of the column ``cosine`` with ``filters``, an array of shape
        (n_filters, 3, height, width), RGB.
    ax : Axes or None
        Where to draw; None makes a figure.

    Returns
    -------
    Axes
    """
    from fstore.queries.figures.plots import panels
    from fstore.queries.methods.first_layer import mosaic

    shown = [row for row in rows if row["col"] == "cosine"]
    if not shown or not all("filters" in row for row in shown):
        draw = commands.report_show(None, "figure2", plot="figure2.png")
        raise DataError(f"the rows have no filters; draw them with: {draw}")
    frame, drawn = panels(ax, len(shown), n_columns=PANELS, size=(2.3, 2.5))
    for row, panel in zip(shown, drawn, strict=True):
        filters: NDArray[np.float32] = row["filters"]
        picture = mosaic(filters)
        panel.imshow(picture, interpolation="nearest")
        edge = 0.03 * len(picture)  # panels are farther apart than filters
        panel.set_xlim(-edge, picture.shape[1] + edge)
        panel.set_ylim(len(picture) + edge, -edge)
        panel.set_title(f"{row['row']}  ({row['value']:.2f})", fontsize="small")
        panel.axis("off")
    figure = frame.get_figure(root=True)
    if figure is not None:
        n = shown[0]["n"]
        note = f"n = {n} filters; in brackets: mean cosine to the last before fine-tuning"
        figure.supxlabel(fill(note, 40 * min(len(shown), PANELS)), fontsize="small")
    return frame
