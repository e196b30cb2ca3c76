"""``fstore report findings``: the paper's claims, checked on a study's numbers."""

from textwrap import fill
from typing import Annotated, Any

import typer

from fstore.cli.app import open_store
from fstore.cli.output import AsCsv, AsJson, emit
from fstore.cli.progress import bar
from fstore.cli.report import StudyName, report

__all__ = ["findings"]

COLUMNS = (
    "name",
    "claim",
    "verdict",
    "evidence",
    "criterion",
    "paper",
    "source",
    "reports",
)
SHOWN = {"claim": 34, "verdict": 15, "evidence": 60}
"""Columns of the table, and characters a line."""


@report.command("findings")
def findings(
    ctx: typer.Context,
    *,
    study: StudyName = "",
    compute: Annotated[
        bool,
        typer.Option("--compute", help="First compute what the reports that claims read lack."),
    ] = False,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Check each claim of the paper on the study's numbers: holds, does not hold, not enough data.

    --json and --csv also say what makes a claim hold, and what the paper's own numbers say.

    Example: fstore report findings --compute
    """
    from dataclasses import asdict

    from fstore.queries.findings import check_findings
    from fstore.queries.studies.study import load_study

    store = open_store(ctx)
    current = load_study(store, study or None)
    with bar(quiet=ctx.obj["quiet"]) as advance:
        judged = check_findings(store, current, compute=compute, on_progress=advance)
    rows = [{**asdict(finding), "reports": list(finding.reports)} for finding in judged]
    if as_json or as_csv:
        emit(rows, columns=COLUMNS, as_json=as_json, as_csv=as_csv)
    else:
        emit(map(_wrapped, rows), columns=list(SHOWN))


def _wrapped(row: dict[str, Any]) -> dict[str, str]:
    """Return a row of the table, its sentences over several lines, a blank one after them."""
    return {
        # a command is copied from here: its options stay whole
        column: fill(row[column], width, break_on_hyphens=False) + "\n "
        for column, width in SHOWN.items()
    }
