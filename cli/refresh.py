"""``fstore report refresh`` and ``diff``: compute what is stale, and see what that changed."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fstore.cli.app import open_store
from fstore.cli.elsewhere import computed_elsewhere
from fstore.cli.engines import AddressOption, EngineOption, check_engine
from fstore.cli.limits import Timeout
from fstore.cli.output import AsCsv, AsJson, emit, note
from fstore.cli.progress import bar
from fstore.cli.report import StudyName, report, tell_commands
from fstore.cli.times import parse_time
from fstore.ending import within
from fstore.engines import EngineName

if TYPE_CHECKING:
    from fstore.queries.refresh.driver import Brought
    from fstore.queries.studies.study import Study
    from fstore.store import Store

__all__: list[str] = []

_COLUMNS = ("report", "state", "computed", "reused", "seconds", "missing", "error")

Names = Annotated[
    list[str] | None, typer.Argument(help="Reports; none for all, as in: fstore report list")
]


@report.command("refresh")
def refresh(
    ctx: typer.Context,
    names: Names = None,
    *,
    study: StudyName = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Compute nothing; list what is stale, and why.")
    ] = False,
    engine: EngineOption = EngineName.LOCAL,
    address: AddressOption = None,
    timeout: Timeout = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Compute the cells whose inputs or code changed, and no others; store each as it is done.

    With --engine ray a cell is a task of a cluster (docs/ray-reports.md). Exit status 1 if a report
    failed; the others are done all the same.

    Example: fstore report refresh --dry-run
    """
    from fstore.queries.studies.study import load_study

    check_engine(engine, address)
    store = open_store(ctx)
    current = load_study(store, study or None)
    done: list[Brought] = []
    if dry_run:
        columns, rows = _due(store, current, names or ())
    else:
        columns, where = _COLUMNS, (engine, address)
        rows = _refreshed(ctx, store, current, names=names or (), where=where, done=done)
    with within(timeout):
        emit(rows, columns=columns, as_json=as_json, as_csv=as_csv)
    tell_commands(ctx, [m.command for one in done for m in one.missing])
    if any(one.state == "failed" for one in done):
        raise typer.Exit(1)


def _due(
    store: "Store", study: "Study", names: Sequence[str]
) -> tuple[Sequence[str], Iterator[dict[str, Any]]]:
    """Return the columns and rows of a dry run."""
    from fstore.queries.refresh.listing import Due, due

    return [f.name for f in fields(Due)], (asdict(one) for one in due(store, study, names))


def _refreshed(
    ctx: typer.Context,
    store: "Store",
    study: "Study",
    *,
    names: Sequence[str],
    where: tuple[EngineName, str | None],
    done: "list[Brought]",
) -> Iterator[dict[str, Any]]:
    """Yield a row a report as it is over; add to ``done``."""
    from fstore.queries.refresh.driver import brought, wait_notes

    quiet = ctx.obj["quiet"]
    say = _silent if quiet else note
    with computed_elsewhere(*where, say) as elsewhere, bar(quiet=quiet) as advance:
        tell = wait_notes(note)
        for each in brought(
            store, study, names, elsewhere=elsewhere, on_progress=advance, on_wait=tell
        ):
            done.append(each)
            lacking = {row for m in each.missing for row in m.rows}
            yield {**{c: getattr(each, c) for c in _COLUMNS}, "missing": len(lacking)}


def _silent(_line: str) -> None:
    pass


@report.command("diff")
def diff(
    ctx: typer.Context,
    names: Names = None,
    *,
    study: StudyName = "",
    from_: Annotated[
        str, typer.Option("--from", help="A time, or how long ago. Default: the last refresh.")
    ] = "",
    to: Annotated[str, typer.Option("--to", help="A time, or how long ago. Default: now.")] = "",
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List the cells that changed, appeared or disappeared, with old and new value, and why.

    Without --from: what the last refresh that changed something changed.

    Example: fstore report diff --from 1d
    """
    from fstore.queries.refresh.history import Change, changes, last_refresh_span
    from fstore.queries.studies.study import load_study

    store = open_store(ctx)
    name = load_study(store, study or None).name
    if not from_ and to:
        raise typer.BadParameter("--to needs a --from")
    start, end = (
        (parse_time(from_), parse_time(to) if to else datetime.now(UTC))
        if from_
        else last_refresh_span(store, name, names or ())
    )
    if not ctx.obj["quiet"]:
        times = (t.isoformat(sep=" ", timespec="seconds") for t in (start, end))
        note(f"study {name}, from {' to '.join(times)}")
    rows = (asdict(one) for one in changes(store, name, names or (), start=start, end=end))
    emit(rows, columns=[f.name for f in fields(Change)], as_json=as_json, as_csv=as_csv)
