"""Top images drawn: a sheet of what filters respond to most, responses laid over."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fstore.errors import DataError
from fstore.queries.figures.plots import Row

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from fstore.queries.figures.sheet import Line, Tile

__all__ = ["plot_top_images"]

WIDEST = 10
"""Images in a line of the sheet, at most."""


def plot_top_images(rows: Sequence[Row], *, title: str = "") -> "Image":
    """Draw a sheet, a row a filter: its top samples as the network saw them, responses over them.

    Under each stand its classes, its largest response, and the name of its file.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the analysis, with their ``picture`` and ``map``.
    title : str
        What is drawn: layer, checkpoint, data set.

    Returns
    -------
    Image of mode RGB

    Raises
    ------
    DataError
        There is no row, or they are too many for one sheet; an image file is gone, or is not the
        registered one any more.
    """
    from fstore.queries.figures.sheet import sheet

    if not rows:
        raise DataError("there is no image to draw: no sample was ranked")
    channels = list(dict.fromkeys(row["channel"] for row in rows))
    if any(row["map"] is None for row in rows):
        raise DataError(
            f"{len(rows)} images of {len(channels)} filters are no sheet; name some filters with "
            "--channel, or ask for fewer with --top"
        )
    lines = [line for c in channels for line in _lines(c, [r for r in rows if r["channel"] == c])]
    filters = ", ".join(map(str, channels))
    return sheet(
        lines,
        title=title,
        note=_note(rows[0]),
        alt=f"Images to which filters {filters} respond most, with their responses laid over",
    )


def _lines(channel: int, rows: Sequence[Row]) -> "list[Line]":
    """Return the lines of one filter's images, evenly filled; its name stands at the first."""
    from fstore.queries.figures.sheet import Line

    n_lines = -(-len(rows) // WIDEST)
    columns = -(-len(rows) // n_lines)
    return [
        Line("" if i else f"filter {channel}", [_tile(r) for r in rows[i : i + columns]])
        for i in range(0, len(rows), columns)
    ]


def _tile(row: Row) -> "Tile":
    from fstore.queries.figures.overlay import overlay
    from fstore.queries.figures.sheet import Tile

    value = row["act_max"]
    response = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    names = ", ".join(row["classes"]) or "(no class)"
    return Tile(overlay(row["picture"], _laid(row)), (names, response), tail=row["uri"])


def _laid(row: Mapping[str, Any]) -> "NDArray[Any] | None":
    """Return a row's map as it lies over the image; None where that is not known."""
    laid: NDArray[Any] | None = row.get("laid", row["map"])
    return laid


def _note(row: Row) -> str:
    """Say what is drawn of all rows, from the first of them."""
    note = f"Under each image its classes, its largest response, its file. n = {row['n']} samples."
    laid = _laid(row)
    if laid is None:
        return f"{note} Not drawn: where a token lies in the image is not known."
    if laid.size == 1:
        return note
    left_out = "" if laid.size == row["map"].size else " The class token is left out."
    return f"{note} Line: half of the largest response; cross: its place; darker: less.{left_out}"
