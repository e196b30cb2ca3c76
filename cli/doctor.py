"""``fstore doctor``: what this machine and the store are fit for."""

from dataclasses import asdict

import typer

from fstore.cli.app import app
from fstore.cli.output import AsCsv, AsJson, emit, note

__all__ = ["doctor"]


@app.command("doctor")
def doctor(ctx: typer.Context, *, as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """Look at the device, memory, disk, optional libraries and the store; say what to do.

    It takes a few seconds and changes nothing; it writes 64 MB beside the store's locks and removes
    them. The status is 1 if there is a problem.

    Example: fstore doctor
    """
    from fstore.workflows.doctor import examine

    found = list(examine(ctx.obj["store"]))
    columns = ("what", "state", "found", "advice")
    emit(map(asdict, found), columns=columns, as_json=as_json, as_csv=as_csv)
    problems = sum(finding.state == "problem" for finding in found)
    note(f"{problems} problem{'' if problems == 1 else 's'}")
    if problems:
        raise typer.Exit(1)
