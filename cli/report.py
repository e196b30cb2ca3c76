"""``fstore report``: tables and figures of a study."""

from collections.abc import Iterable
from dataclasses import asdict, fields
from enum import StrEnum
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fstore.cli.app import open_store, sub_app
from fstore.cli.output import AsCsv, AsJson, emit, note
from fstore.cli.progress import bar
from fstore.cli.times import AsOf, parse_time
from fstore.errors import DataError, StorageError, UnknownNameError

if TYPE_CHECKING:
    from fstore.queries.refresh.listing import ReportState
    from fstore.registry import Entry

__all__ = ["Format", "StudyName", "report", "tell_commands"]

report = sub_app("report", "Compute, show and draw the tables and figures of a study.")

_LIST_COLUMNS = ("name", "state", "computed_at", "seconds", "answers", "why")
"""Of the table; JSON and CSV have all there is."""

_WHY_WIDTH = 80
"""Characters of ``why`` in the table."""


class Format(StrEnum):
    """How a table for a paper is written."""

    MD = "md"
    LATEX = "latex"
    CSV = "csv"


StudyName = Annotated[
    str, typer.Option("--study", help="A study that was set. Default: the one set last.")
]


@report.command("list")
def list_(
    ctx: typer.Context, *, study: StudyName = "", as_json: AsJson = False, as_csv: AsCsv = False
) -> None:
    """List the reports: what each answers, and whether it is fresh for the study.

    Example: fstore report list
    """
    from fstore.queries.refresh.listing import ReportState

    states = _states(ctx, study)
    whole = as_json or as_csv
    columns = [f.name for f in fields(ReportState)] if whole else _LIST_COLUMNS
    rows = (_listed(one, whole=whole) for one in states)
    emit(rows, columns=columns, as_json=as_json, as_csv=as_csv)
    tell_commands(ctx, [command for one in states for command in one.commands])


def _states(ctx: typer.Context, study: str) -> "list[ReportState]":
    """Return how the reports stand; without a store or a study, only what they are."""
    from fstore.queries.refresh.listing import ReportState, states
    from fstore.queries.reports import REPORTS
    from fstore.queries.studies.study import load_study

    try:
        store = open_store(ctx)
        current = load_study(store, study or None)
    except (StorageError, UnknownNameError) as error:
        if study:
            raise
        note(f"no states: {error}")
        return [ReportState(e.name, e.meta["title"], e.meta["answers"]) for e in REPORTS]
    return states(store, current)


def _listed(state: "ReportState", *, whole: bool) -> dict[str, Any]:
    """Return a row of the list, or of a table that fits a wide screen."""
    time = state.computed_at
    why = state.why if whole else shorten(state.why, _WHY_WIDTH, placeholder=" ...")
    return {**asdict(state), "why": why, "computed_at": time and time.isoformat(timespec="seconds")}


def tell_commands(ctx: typer.Context, commands: Iterable[str]) -> None:
    """Say on stderr which commands make what is missing, each once."""
    if (each := dict.fromkeys(commands)) and not ctx.obj["quiet"]:
        note("\n  ".join(["some cells lack inputs; run:", *each]))


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
    as_of: AsOf = "",
    beside: Annotated[
        bool, typer.Option("--beside", help="Also the columns that the paper's table lacks.")
    ] = False,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="A table for a paper: rows and columns as there."),
    ] = None,
    long: Annotated[
        bool, typer.Option("--long", help="A line a cell, as --json and --csv have it.")
    ] = False,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show a report; what is stored and still right is not computed again.

    With --as-of nothing is computed: the table is as the last refresh before that left it.

    Example: fstore report show table6 --plot table6.png
    """
    from fstore.queries.cells.needs import ROW_COLUMNS
    from fstore.queries.figures.plots import check_out, save_plot

    draw = _report_of(ctx, name, study).meta["plot"]
    if sum([form is not None, plot is not None, long or as_json or as_csv]) > 1:
        raise typer.BadParameter("choose one of --format, --plot, --long, --json and --csv")
    if plot is not None:
        if draw is None:
            raise DataError(f"report '{name}' has no plot; print it as a table, or with --csv")
        check_out(plot, overwrite=overwrite)
    beside = beside or plot is not None  # a drawing has all its numbers: the ends of intervals too
    if as_of:
        rows = _past_rows(ctx, name, study, time=as_of, beside=beside, drawn=plot is not None)
    else:
        rows = _rows(ctx, name, study, beside=beside, drawn=plot is not None)
    if form is not None:
        typer.echo(_table(ctx, name, study, rows=rows, form=form), nl=False)
    elif plot is None and (long or as_json or as_csv):
        emit(rows, columns=ROW_COLUMNS, as_json=as_json, as_csv=as_csv)
    elif plot is None:
        _emit_pivoted(ctx, name, study, rows=rows)
    else:
        title = _title(ctx, name, study)
        out = save_plot(draw, rows, plot, columns=ROW_COLUMNS, overwrite=overwrite, title=title)
        typer.echo(out)


def _report_of(ctx: typer.Context, name: str, study: str) -> "Entry[Any]":
    """Return a report by its name: one of fstore's, or of the study's own."""
    from fstore.queries.reports import REPORTS, report_of
    from fstore.queries.studies.study import load_study

    if name in REPORTS:
        return REPORTS[name]
    return report_of(load_study(open_store(ctx), study or None), name)


def _title(ctx: typer.Context, name: str, study: str) -> str:
    """Return what stands over a report's drawing."""
    from fstore.queries.publish.titles import report_title
    from fstore.queries.studies.study import load_study

    return report_title(name, load_study(open_store(ctx), study or None))


def _rows(
    ctx: typer.Context, name: str, study: str, *, beside: bool, drawn: bool
) -> list[dict[str, Any]]:
    """Return a report's rows; tell on stderr what was computed and what is missing."""
    from fstore.queries.refresh.driver import wait_notes
    from fstore.queries.refresh.show import illustrated, show_report
    from fstore.queries.reports import negative_note
    from fstore.queries.studies.study import load_study

    store = open_store(ctx)
    current = load_study(store, study or None)
    with bar(quiet=ctx.obj["quiet"]) as advance:
        shown = show_report(store, current, name, on_progress=advance, on_wait=wait_notes(note))
    if shown.computed and not ctx.obj["quiet"]:
        note(f"{name}: computed and stored {shown.computed} cells, {shown.reused} were stored")
    for missing in shown.missing:
        note(f"{name}: {missing}")
    if text := negative_note(store, current, name):
        note(f"{name}: {text}")
    rows = _chosen(shown.rows, beside=beside)
    return illustrated(store, current, name, rows=rows) if drawn else rows


def _emit_pivoted(ctx: typer.Context, name: str, study: str, *, rows: list[dict[str, Any]]) -> None:
    """Print a report with its rows and columns, as the paper prints a table."""
    from fstore.queries.publish.paper_tables import dressed, table_grid
    from fstore.queries.studies.study import load_study

    if not rows:
        emit([], columns=["row"])
        return
    look = dressed(load_study(open_store(ctx), study or None), name)
    grid = table_grid(rows, word=look["word"], spread=look["spread"])
    columns = ["row", *grid.header[1:]]
    if not ctx.obj["quiet"]:
        note(look["title"])
    emit((dict(zip(columns, line, strict=True)) for line in grid.lines), columns=columns)
    if grid.note and not ctx.obj["quiet"]:
        note(grid.note)


def _table(
    ctx: typer.Context, name: str, study: str, *, rows: list[dict[str, Any]], form: Format
) -> str:
    from fstore.queries.publish.paper_tables import dressed, table_text
    from fstore.queries.studies.study import load_study

    current = load_study(open_store(ctx), study or None)
    return table_text(rows, form.value, **dressed(current, name))


def _chosen(rows: list[dict[str, Any]], *, beside: bool) -> list[dict[str, Any]]:
    """Return the rows of the paper's columns, or all of them."""
    from fstore.queries.cells.needs import BESIDE

    return [row for row in rows if beside or BESIDE not in row["col"]]


def _past_rows(
    ctx: typer.Context, name: str, study: str, *, time: str, beside: bool, drawn: bool
) -> list[dict[str, Any]]:
    """Return a report's rows as they stood at a time."""
    from fstore.queries.refresh.history import as_of
    from fstore.queries.studies.study import load_study

    if drawn and _report_of(ctx, name, study).meta["illustrate"] is not None:
        raise DataError(
            f"the plot of '{name}' shows pictures of today's images or weights, not of another "
            "time; print it as a table, or leave out --as-of"
        )
    store = open_store(ctx)
    rows = as_of(store, load_study(store, study or None).name, name, time=parse_time(time))
    return _chosen(rows, beside=beside)
