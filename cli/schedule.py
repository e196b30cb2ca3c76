"""``fstore schedule|runs``: reports refreshed at set times, and the runs on record."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fstore import ending
from fstore.cli.app import app, open_store
from fstore.cli.elsewhere import computed_elsewhere
from fstore.cli.engines import AddressOption, EngineOption, check_engine
from fstore.cli.output import AsCsv, AsJson, emit, note
from fstore.engines import EngineName
from fstore.errors import FstoreError

if TYPE_CHECKING:
    from fstore.queries.refresh.driver import Brought
    from fstore.queries.schedule.log import Outcome, ScheduledJob
    from fstore.queries.schedule.loop import Surroundings
    from fstore.store import Store

__all__ = ["runs", "schedule"]


@app.command("schedule")
def schedule(
    ctx: typer.Context,
    *,
    cron: Annotated[
        str, typer.Option(metavar="EXPR", help="Run at these times, as in crontab: '0 3 * * *'.")
    ] = "",
    once: Annotated[
        bool, typer.Option("--once", help="Run now, once; for cron and systemd timers.")
    ] = False,
    timezone: Annotated[
        str, typer.Option(help="Of --cron, such as Europe/Berlin. Default: the machine's.")
    ] = "",
    study: Annotated[
        str, typer.Option(help="A study that was set. Default: the one set last.")
    ] = "",
    report: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only these reports: a,b.")
    ] = None,
    retries: Annotated[int, typer.Option(min=0, help="Further attempts at what failed.")] = 3,
    retry_wait: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Before the first; then doubled.")
    ] = 60.0,
    page: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="After each run, write the page there anew."),
    ] = None,
    on_change: Annotated[
        str, typer.Option(metavar="COMMAND", help="Run it when a cell's value changed.")
    ] = "",
    on_failure: Annotated[
        str, typer.Option(metavar="COMMAND", help="Run it when a run failed.")
    ] = "",
    webhook: Annotated[
        str,
        typer.Option(
            metavar="URL",
            envvar="FSTORE_WEBHOOK",
            show_envvar=False,
            help="POST a summary as JSON on change and failure. Default: $FSTORE_WEBHOOK.",
        ),
    ] = "",
    catch_up: Annotated[
        bool, typer.Option(help="Run at once if a time was missed before the start.")
    ] = True,
    engine: EngineOption = EngineName.LOCAL,
    address: AddressOption = None,
) -> None:
    """Refresh the reports at set times; what is stored and still right is not computed again.

    Each run is recorded: fstore runs --kind schedule. SIGTERM or Ctrl-C ends it within a second;
    what is computed is stored, and the next run goes on from there.

    Example: fstore schedule --cron "0 3 * * *" --timezone Europe/Berlin
    """
    from fstore.queries.schedule.cron import parse_cron
    from fstore.queries.schedule.hooks import parse_hooks
    from fstore.queries.schedule.loop import run_once, run_schedule

    if bool(cron) == once:
        raise typer.BadParameter("give one of --cron and --once")
    check_engine(engine, address)
    times = parse_cron(cron, timezone) if cron else None
    hooks = parse_hooks(on_change=on_change, on_failure=on_failure, webhook=webhook)
    store = open_store(ctx)
    job = _job(store, study, report or (), retries=retries, retry_wait=retry_wait)
    around = _surroundings(_wait, page, where=(engine, address), quiet=ctx.obj["quiet"])
    if times is not None:
        run_schedule(store, times, job, around=around, hooks=hooks, catch_up=catch_up)
        _leave()
        return
    outcome = run_once(store, job, around, hooks=hooks)
    _leave()
    _exit(outcome)


@app.command("runs")
def runs(
    ctx: typer.Context,
    *,
    kind: Annotated[
        str,
        typer.Option(
            help="Only these: extract, derive (layers of functions), proposals, pretrain, "
            "finetune, detector (training one), detect, refresh or schedule."
        ),
    ] = "",
    last: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="No more than the latest N.")
    ] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List the runs on record, the latest first: when, how they ended, what they did.

    A run has a row from its end on, a scheduled one from its start. A refresh that found nothing
    to do has none.

    Example: fstore runs --kind schedule
    """
    from fstore.queries.schedule.log import RUN_COLUMNS, past_runs

    rows = past_runs(open_store(ctx), kind)[:last]
    emit(rows, columns=RUN_COLUMNS, as_json=as_json, as_csv=as_csv)


def _job(store: "Store", study: str, reports: Any, **retries: Any) -> "ScheduledJob":  # noqa: ANN401
    """Return what is to be done; unknown names are refused now, not at night."""
    from fstore.queries.reports import report_of
    from fstore.queries.schedule.log import ScheduledJob
    from fstore.queries.studies.study import load_study

    current = load_study(store, study or None)
    names = tuple(report_of(current, name).name for name in reports)
    return ScheduledJob(study=current.name, reports=names, **retries)


def _surroundings(
    wait: Callable[[float], bool],
    page: Path | None,
    *,
    where: tuple[EngineName, str | None],
    quiet: bool,
) -> "Surroundings":
    from fstore.queries.publish import build_page, check_place
    from fstore.queries.schedule.loop import Surroundings

    def say(line: str) -> None:
        if not quiet:
            note(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S}  {line}")

    refresh = partial(_refreshed, where=where, say=say)
    if page is None:
        return Surroundings(refresh=refresh, wait=wait, say=say)
    check_place(page, overwrite=True)
    write = partial(build_page, out=page, compute=False, overwrite=True)
    return Surroundings(refresh=refresh, wait=wait, say=say, publish=write)


def _refreshed(
    *given: Any,  # noqa: ANN401 - as brought takes it
    where: tuple[EngineName, str | None],
    say: Callable[[str], None],
    **named: Any,  # noqa: ANN401
) -> "Iterator[Brought]":
    """Refresh, on a cluster if that is wanted: it is connected only while there is work."""
    from fstore.queries.refresh.driver import brought

    with computed_elsewhere(*where, say) as elsewhere:
        # the scheduled run is on record
        yield from brought(*given, elsewhere=elsewhere, on_record=False, **named)


def _exit(outcome: "Outcome") -> None:
    """End with 1 after a failure, 130 after an interruption."""
    if outcome.exit == "interrupted":
        raise KeyboardInterrupt
    if outcome.exit != "ok":
        raise FstoreError(f"the run failed: {outcome.message}")


def _wait(seconds: float) -> bool:
    """Sleep; return True if the process is to end. A signal ends the sleep with an error."""
    if ending.stopped() is not None:
        return True
    time.sleep(seconds)
    return False


def _leave() -> None:
    """End as a signal wants it, if one came during a run, which then only ends."""
    why = ending.stopped()
    if why is not None:
        raise why
