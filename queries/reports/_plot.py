"""Save a report's plot."""

from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path

from fstore.errors import DataError
from fstore.queries.reports._api import REPORTS, Row

__all__ = ["save_plot"]

SUFFIXES = (".png", ".svg", ".pdf")


def save_plot(name: str, rows: Sequence[Row], out: Path, *, overwrite: bool = False) -> Path:
    """Draw a report's rows and save the figure.

    Parameters
    ----------
    name : str
        A registered report that has a plot.
    rows : sequence of mapping
        Its rows.
    out : Path
        ``.png`` (150 dpi), ``.svg`` or ``.pdf``; the same rows give the same bytes.
    overwrite : bool
        Replace a file that is there.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    DataError
        The report has no plot, the name has another suffix, or the file exists.
    """
    plot = REPORTS[name].meta["plot"]
    if plot is None:
        raise DataError(f"report '{name}' has no plot; print it as a table, or with --csv")
    check_out(out, overwrite=overwrite)
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style = files("fstore.queries.reports").joinpath("fstore.mplstyle")
    with as_file(style) as path, mpl.rc_context(fname=path):
        figure = Figure()
        FigureCanvasAgg(figure)
        plot(rows, ax=figure.add_subplot())
        undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out, metadata=undated.get(out.suffix))
    return out


def check_out(out: Path, *, overwrite: bool) -> None:
    """Refuse a file that exists, or a format that is not known.

    Raises
    ------
    DataError
    """
    if out.suffix not in SUFFIXES:
        raise DataError(f"cannot draw to '{out}'; its name must end in {', '.join(SUFFIXES)}")
    if out.exists() and not overwrite:
        raise DataError(f"{out} exists; choose another name, or add --overwrite")
