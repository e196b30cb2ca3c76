"""Save figures, their numbers beside them, and lay out figures of many panels."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from fstore.csv_text import csv_cell, csv_rows
from fstore.errors import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Row", "check_out", "drawn", "new_axes", "panels", "save_plot", "styled"]

Row: TypeAlias = Mapping[str, Any]
"""A row of a report or of an analysis, as it is drawn."""

SUFFIXES = (".png", ".svg", ".pdf")


def save_plot(
    plot: "Callable[..., Axes]",
    rows: Sequence[Mapping[str, Any]],
    out: Path,
    *,
    columns: Sequence[str],
    overwrite: bool = False,
) -> Path:
    """Draw rows and save the figure, and the rows as CSV under the same stem.

    Parameters
    ----------
    plot : callable
        ``plot(rows, *, ax=None) -> Axes``.
    rows : sequence of mapping
    out : Path
        ``.png`` (150 dpi), ``.svg`` or ``.pdf``; the same rows give the same bytes.
    columns : sequence of str
        Of the CSV.
    overwrite : bool
        Replace files that are there.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    DataError
        The name has another suffix, or a file exists.
    """
    check_out(out, overwrite=overwrite)
    with styled():
        figure = drawn(plot, rows)
        undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out, metadata=undated.get(out.suffix))
    _write_csv(rows, out.with_suffix(".csv"), columns)
    return out


def drawn(plot: "Callable[..., Axes]", rows: Sequence[Mapping[str, Any]]) -> "Figure":
    """Return a new figure with rows drawn, in the style of :func:`styled`; no window opens.

    Parameters
    ----------
    plot : callable
        ``plot(rows, *, ax=None) -> Axes``.
    rows : sequence of mapping
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with styled():
        figure = Figure()
        FigureCanvasAgg(figure)
        plot(rows, ax=figure.add_subplot())
    return figure


@contextmanager
def styled() -> Iterator[None]:
    """Draw, and save what was drawn, with fstore's style."""
    import matplotlib as mpl

    style = files("fstore.queries").joinpath("fstore.mplstyle")
    with as_file(style) as path, mpl.rc_context(fname=path):
        yield


def check_out(out: Path, *, overwrite: bool) -> None:
    """Refuse a file that exists, or a format that is not known.

    Raises
    ------
    DataError
    """
    if out.suffix not in SUFFIXES:
        raise DataError(f"cannot draw to '{out}'; its name must end in {', '.join(SUFFIXES)}")
    for file in (out, out.with_suffix(".csv")):
        if file.exists() and not overwrite:
            raise DataError(f"{file} exists; choose another name, or add --overwrite")


def new_axes(ax: "Axes | None") -> "Axes":
    """Return the axes to draw on: those given, or those of a new figure."""
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots()
    return ax


def panels(
    ax: "Axes | None",
    n_panels: int,
    *,
    n_columns: int,
    size: tuple[float, float],
    sharex: bool = False,
    sharey: bool = False,
) -> "tuple[Axes, list[Axes]]":
    """Put a grid of panels in the place of some axes.

    Parameters
    ----------
    ax : Axes or None
        Emptied and kept as the frame of the grid, for a common title or legend; None makes a
        figure. A figure that has no other axes is made as large as the grid needs.
    n_panels, n_columns : int
    size : tuple of float
        Width and height of a panel, in inches.
    sharex, sharey : bool
        Whether panels have one axis together.

    Returns
    -------
    frame : Axes
    panels : list of Axes, ``n_panels`` of them, row by row
    """
    frame = new_axes(ax)
    figure, place = frame.get_figure(root=True), frame.get_subplotspec()
    if figure is None or place is None:
        raise ValueError("axes outside a grid cannot be divided")
    n_columns = min(n_columns, n_panels)
    n_rows = -(-n_panels // n_columns)
    if len(figure.axes) == 1:
        figure.set_size_inches(n_columns * size[0], n_rows * size[1])
    frame.axis("off")
    grid = place.subgridspec(n_rows, n_columns).subplots(
        squeeze=False, sharex=sharex, sharey=sharey
    )
    axes = list(grid.flat)
    for empty in axes[n_panels:]:
        empty.axis("off")
    return frame, axes[:n_panels]


def _write_csv(rows: Sequence[Mapping[str, Any]], out: Path, columns: Sequence[str]) -> None:
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(map(csv_cell, columns))
        writer.writerows(csv_rows(rows, columns))
