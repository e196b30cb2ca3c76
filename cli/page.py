"""``fstore report build``: a study's tables and figures as a site of files."""

from pathlib import Path
from typing import Annotated

import typer

from fstore.cli.app import open_store
from fstore.cli.progress import bar
from fstore.cli.report import StudyName, report

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
        bool, typer.Option("--overwrite", help="Replace a site that was built there before.")
    ] = False,
) -> None:
    """Write all tables and figures as pages that open without a server; print the first one's path.

    Example: fstore report build page
    """
    from fstore.queries.page import build_page
    from fstore.queries.study import load_study

    store = open_store(ctx)
    current = load_study(store, study or None)
    with bar(quiet=ctx.obj["quiet"]) as advance:
        index = build_page(
            store, current, out, compute=compute, overwrite=overwrite, on_progress=advance
        )
    typer.echo(index)
