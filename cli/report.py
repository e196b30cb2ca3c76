"""``fstore report``: tables and figures of a study."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from fstore.cli.app import open_store, sub_app
from fstore.cli.output import AsCsv, AsJson, emit, note
from fstore.cli.progress import bar
from fstore.errors import DataError

__all__ = ["Format", "StudyName", "report"]

report = sub_app("report", "Compute, show and draw the tables and figures of a study.")

_LIST_COLUMNS = ("name", "title", "answers", "paper")


class Format(StrEnum):
    """How a table for a paper is written."""

    MD = "md"
    LATEX = "latex"
    CSV = "csv"


StudyName = Annotated[
    str, typer.Option("--study", help="A study that was set. Default: the one set last.")
]


@report.command("list")
def list_(as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """List the reports: what each answers, and the file of the paper's numbers.

    Example: fstore report list
    """
    from fstore.queries.reports import REPORTS

    rows = ({"name": entry.name, **entry.meta} for entry in REPORTS)
    emit(rows, columns=_LIST_COLUMNS, as_json=as_json, as_csv=as_csv)


@report.command("show")
def show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of a report, as in: fstore report list")],
    *,
    study: StudyName = "",
    plot: Annotated[
        Path | None, typer.Option(help="Draw to this .png, .svg or .pdf, and print its path.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file of --plot.")
    ] = False,
    beside: Annotated[
        bool, typer.Option("--beside", help="Also the columns that the paper's table lacks.")
    ] = False,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="A table for a paper: rows and columns as there."),
    ] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show a report; what is stored and still right is not computed again.

    Example: fstore report show table6 --plot table6.png
    """
    from fstore.queries.plots import check_out, save_plot
    from fstore.queries.reports import REPORTS
    from fstore.queries.reports._api import ROW_COLUMNS

    draw = REPORTS[name].meta["plot"]
    if form is not None and (plot is not None or as_json or as_csv):
        raise typer.BadParameter("choose one of --format, --plot, --json and --csv")
    if plot is not None:
        if draw is None:
            raise DataError(f"report '{name}' has no plot; print it as a table, or with --csv")
        check_out(plot, overwrite=overwrite)
    rows = _rows(ctx, name, study, beside=beside, drawn=plot is not None)
    if form is not None:
        typer.echo(_table(name, rows, form), nl=False)
    elif plot is None:
        emit(rows, columns=ROW_COLUMNS, as_json=as_json, as_csv=as_csv)
    else:
        typer.echo(save_plot(draw, rows, plot, columns=ROW_COLUMNS, overwrite=overwrite))


def _rows(
    ctx: typer.Context, name: str, study: str, *, beside: bool, drawn: bool
) -> list[dict[str, Any]]:
    """Return a report's rows; tell on stderr what was computed and what is missing."""
    from fstore.queries.reports._api import BESIDE
    from fstore.queries.reports._run import illustrated, show_report
    from fstore.queries.study import load_study

    store = open_store(ctx)
    current = load_study(store, study or None)
    with bar(quiet=ctx.obj["quiet"]) as advance:
        shown = show_report(store, current, name, on_progress=advance)
    if shown.computed and not ctx.obj["quiet"]:
        note(f"{name}: computed and stored {shown.computed} cells, {shown.reused} were stored")
    for missing in shown.missing:
        note(f"{name}: {missing}")
    rows = [row for row in shown.rows if beside or BESIDE not in row["col"]]
    return illustrated(store, current, name, rows) if drawn else rows


def _table(name: str, rows: list[dict[str, Any]], form: Format) -> str:
    from fstore.queries.reports import REPORTS
    from fstore.queries.tables import table_text

    return table_text(rows, form.value, title=REPORTS[name].meta["title"], label=name)
