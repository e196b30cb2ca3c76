"""``fstore report build``: a study's tables and figures as a site of files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fstore.cli.app import open_store
from fstore.cli.output import note
from fstore.cli.progress import bar
from fstore.cli.report import Format, StudyName, report

if TYPE_CHECKING:
    from fstore.queries.studies.study import Study
    from fstore.store import Store

__all__ = ["build"]


@report.command("build")
def build(
    ctx: typer.Context,
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the site.")],
    *,
    study: StudyName = "",
    compute: Annotated[
        bool,
        typer.Option("--compute/--no-compute", help="Compute cells that are not stored, or not."),
    ] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what was built there before.")
    ] = False,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="Instead of pages, a file for a paper of each table."),
    ] = None,
) -> None:
    """Write all tables and figures as pages that open without a server; print the first one's path.

    With --format, a table is a Markdown, LaTeX or CSV file, and the files' paths are printed.

    Example: fstore report build page
    """
    from fstore.queries.publish import build_page
    from fstore.queries.studies.study import load_study

    store = open_store(ctx)
    current = load_study(store, study or None)
    if form is not None:
        _tables(ctx, store, current, out=out, form=form, compute=compute, overwrite=overwrite)
        return
    with bar(quiet=ctx.obj["quiet"]) as advance:
        index = build_page(
            store, current, out, compute=compute, overwrite=overwrite, on_progress=advance
        )
    typer.echo(index)


def _tables(
    ctx: typer.Context,
    store: "Store",
    study: "Study",
    *,
    out: Path,
    form: Format,
    compute: bool,
    overwrite: bool,
) -> None:
    """Write tables for a paper; say what is not in them."""
    from fstore.queries.publish.paper_tables import check_files, tabular, write_tables
    from fstore.queries.refresh.driver import brought
    from fstore.queries.refresh.listing import states

    names, failed = tabular(study, form.value), []
    check_files(study, out, form.value, overwrite=overwrite)  # before anything is computed
    if compute:
        with bar(quiet=ctx.obj["quiet"]) as advance:
            for done in brought(store, study, names, on_progress=advance):
                failed += [done] if done.state == "failed" else []
    for file in write_tables(store, study, out, form=form.value, overwrite=overwrite):
        typer.echo(file)
    for state in states(store, study, names):
        if state.state not in {"left out", "fresh"}:
            note(f"{state.name} is not complete: {state.state}: {state.why}")
    for done in failed:
        note(f"{done.report} failed: {done.error}")
    if failed:
        raise typer.Exit(1)
