"""Figure 2 drawn: first-layer filters, a panel a checkpoint."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fstore import commands
from fstore.errors import DataError
from fstore.queries.figures.plots import Row

if TYPE_CHECKING:
    from PIL.Image import Image

    from fstore.queries.figures.sheet import Tile
    from fstore.queries.studies.study import Study
    from fstore.store import Store

__all__ = ["add_filters", "plot_figure2"]


PANELS = 3
"""In a line."""
SIDE = 320
"""Pixels that a panel has at least."""


def add_filters(store: "Store", study: "Study", rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the rows, those of mean cosines with the checkpoint's ``filters``."""
    from fstore.queries.methods.first_layer import first_filters

    illustrated: list[dict[str, Any]] = [dict(row) for row in rows]
    for row in illustrated:
        if row["col"] == "cosine":
            row["filters"] = first_filters(store, row["row"], study.network)
    return illustrated


def plot_figure2(rows: Sequence[Row], *, title: str = "") -> "Image":
    """Draw the filters of every checkpoint as a grid, a panel a checkpoint.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the report, those of the column ``cosine`` with ``filters``, an array of shape
        (n_filters, 3, height, width), RGB.
    title : str
        What is drawn: network, checkpoints.

    Returns
    -------
    Image of mode RGB

    Raises
    ------
    DataError
        The rows have no filters.
    """
    from fstore.queries.figures.sheet import Line, sheet

    shown = [row for row in rows if row["col"] == "cosine"]
    if not shown or not all("filters" in row for row in shown):
        draw = commands.report_show(None, "figure2", plot="figure2.png")
        raise DataError(f"the rows have no filters; draw them with: {draw}")
    tiles = [_tile(row) for row in shown]
    note = f"n = {shown[0]['n']} filters, each with a scale of its own; grey is 0. The cosine is "
    return sheet(
        [Line("", tiles[i : i + PANELS]) for i in range(0, len(tiles), PANELS)],
        title=title,
        note=f"{note}that to the same filter of the last checkpoint before fine-tuning.",
        alt=f"First-layer filters of checkpoints {', '.join(str(row['row']) for row in shown)}",
    )


def _tile(row: Row) -> "Tile":
    from fstore.queries.figures.first_layer import filter_grid
    from fstore.queries.figures.sheet import Tile

    grid = filter_grid(row["filters"], side=SIDE)
    return Tile(grid, (f"{row['row']}  (mean cosine {row['value']:.2f})",))
