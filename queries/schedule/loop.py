"""Refresh a study's reports on a schedule: missed times, retries, hooks.

Times come from ``cron``, the record of each run is in ``log``. Clock, sleep and what refreshes are
given (:class:`Surroundings`), so that a test needs no real time. One loop waits, runs, and waits
again: within a process no two runs overlap; a lock keeps processes apart.
"""

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from fstore import commands
from fstore.errors import FstoreError
from fstore.queries.cells.code import code_changed
from fstore.queries.refresh.standing import State
from fstore.queries.reports import REPORTS, computes
from fstore.queries.schedule.cron import Cron
from fstore.queries.schedule.hooks import Hooks, call_hooks
from fstore.queries.schedule.log import (
    AtWorkError,
    Outcome,
    ScheduledJob,
    alone,
    changes,
    close_killed,
    record,
    runs_of,
    seen,
    summary,
)
from fstore.queries.studies.study import load_study, not_current

if TYPE_CHECKING:
    from fstore.queries.refresh.driver import Brought
    from fstore.queries.studies.study import Study
    from fstore.store import Store

__all__ = ["Surroundings", "missed", "run_once", "run_schedule"]

FINISHED = ("ok", "failed")

SLICE_SECONDS = 60.0
"""The longest sleep between two looks at the clock: it may be set, or the machine suspended."""

LONGEST_WAIT = 3600.0
"""Between two attempts, in seconds."""


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """The world outside.

    Attributes
    ----------
    refresh : callable
        As :func:`fstore.queries.refresh.driver.brought`.
    wait : callable
        ``wait(seconds)`` sleeps, and returns True as soon as the process is to stop.
    say : callable
        Takes a line for people.
    clock : callable
        Returns the time, aware.
    publish : callable or None
        ``publish(store, study)`` makes a page of what was refreshed.
    """

    refresh: "Callable[..., Iterator[Brought]]"
    wait: Callable[[float], bool]
    say: Callable[[str], None]
    clock: Callable[[], datetime] = _now
    publish: "Callable[[Store, Study], object] | None" = None


def run_schedule(
    store: "Store",
    cron: Cron,
    job: ScheduledJob,
    *,
    around: Surroundings,
    hooks: Hooks | None = None,
    catch_up: bool = True,
) -> None:
    """Run a job at the times of a cron expression, until the process is to stop.

    A time that passes while a run is at work is left out. A time that passes while the machine
    sleeps is made up for on waking, once.

    Parameters
    ----------
    store : Store
    cron : Cron
    job : ScheduledJob
    around : Surroundings
    hooks : Hooks or None
    catch_up : bool
        Run at once if a time was missed before the start; see :func:`missed`.

    Raises
    ------
    FstoreError
        fstore's code is not that which this process imported: cells that it computes would be
        taken for those of the new code.
    StorageError
        The store is gone, or cannot be opened.
    """
    _check_code()  # reads the sources, now that they are those that were imported
    if catch_up and missed(store, cron, job, now=around.clock()):
        around.say("no run has finished since the latest scheduled time: running now")
        _run_and_go_on(store, job, around, hooks=hooks)
    while (due := _next_time(cron, around)) is not None:
        _run_and_go_on(store, job, around, hooks=hooks)
        if cron.after(due) <= around.clock():
            around.say("scheduled times passed while this run was at work; they are left out")


def missed(store: "Store", cron: Cron, job: ScheduledJob, *, now: datetime) -> bool:
    """Tell whether no run that began since the latest scheduled time has finished.

    A run that failed has finished; one that was killed or interrupted has not. True as well if
    there never was one.
    """
    began = [
        row["started_at"]
        for row in runs_of(store, job)
        if row["exit"] in FINISHED and row["started_at"] <= now
    ]
    return not began or cron.after(max(began)) <= now


def _next_time(cron: Cron, around: Surroundings) -> datetime | None:
    """Wait for the next time and return it; None if the process is to stop."""
    before = around.clock()
    due = cron.after(before)
    if not around.wait(0):
        around.say(f"next run at {due:%Y-%m-%d %H:%M:%S %Z}")
    while (now := around.clock()) < due:
        if now < before:  # the clock was set back
            due = cron.after(now)
        before = now
        if around.wait(min(SLICE_SECONDS, (due - now).total_seconds())):
            return None
    return None if around.wait(0) else due


def _run_and_go_on(
    store: "Store", job: ScheduledJob, around: Surroundings, *, hooks: Hooks | None
) -> None:
    type(store).open(str(store.place))  # or an error: nothing can be done where it is gone
    try:
        run_once(store, job, around, hooks=hooks)
    except AtWorkError as error:
        around.say(f"left out: {error}")


def run_once(
    store: "Store", job: ScheduledJob, around: Surroundings, *, hooks: Hooks | None = None
) -> Outcome:
    """Refresh a study's reports, record the run in table ``runs``, and call the hooks.

    What failed is tried again after a while. A failure is part of the outcome, not an error.

    Parameters
    ----------
    store : Store
    job : ScheduledJob
    around : Surroundings
    hooks : Hooks or None

    Returns
    -------
    Outcome
        ``exit`` is ``ok``, ``failed`` or ``interrupted``.

    Raises
    ------
    AtWorkError
        Another process is at the same job.
    FstoreError
        fstore's code changed, as in :func:`run_schedule`.
    """
    _check_code()
    outcome = Outcome(uuid4().hex, around.clock())
    with alone(store, job):
        with _noted(around, "cannot record the start of the run"):
            outcome.seen = seen(store, job)
            for killed in close_killed(store, job):
                around.say(f"the run that began at {killed:%Y-%m-%d %H:%M:%S} UTC was killed")
            record(store, job, outcome)
        _attempt_all(store, job, around, outcome=outcome)
        if around.publish is not None and outcome.exit in FINISHED:
            _publish(store, job, around, outcome=outcome, publish=around.publish)
        if outcome.exit in FINISHED and outcome.seen is not None:
            with _noted(around, "cannot tell what changed"):
                outcome.changed, outcome.seen = changes(store, job, outcome.seen)
        outcome.ended = around.clock()
        with _noted(around, "cannot record the run"):
            record(store, job, outcome)
    around.say(str(outcome))
    if hooks is not None and outcome.exit in FINISHED:
        call_hooks(hooks, summary(store, job, outcome), around.say)
    return outcome


def _check_code() -> None:
    """Refuse to go on if the reports' code changed since this was first called."""
    if code_changed({computes("").__module__, *(e.function.__module__ for e in REPORTS)}):
        raise FstoreError("fstore's code changed since this process began; restart it")


@contextmanager
def _noted(around: Surroundings, what: str) -> Iterator[None]:
    """Go on where the books cannot be kept (a full disk); the run itself is tried all the same."""
    try:
        yield
    except FstoreError as error:
        around.say(f"{what}: {error}")


# Attempts


def _attempt_all(
    store: "Store", job: ScheduledJob, around: Surroundings, *, outcome: Outcome
) -> None:
    """Refresh; try again at what failed, with growing waits in between."""
    names: Sequence[str] = job.reports
    for attempt in range(job.retries + 1):
        wait = min(job.retry_wait * 2 ** (attempt - 1), LONGEST_WAIT) if attempt else 0.0
        if attempt:
            around.say(f"trying again in {wait:g} s: {outcome.message}")
        if around.wait(wait):
            outcome.exit = "interrupted"
            return
        outcome.attempts += 1
        _attempt(store, job, around, outcome=outcome, names=names)
        if outcome.exit == "interrupted":
            return
        if not outcome.message:
            break
        names = job.reports if outcome.error else tuple(outcome.failures)
    outcome.exit = "failed" if outcome.message else "ok"


def _attempt(
    store: "Store",
    job: ScheduledJob,
    around: Surroundings,
    *,
    outcome: Outcome,
    names: Sequence[str],
) -> None:
    """Refresh some reports once."""
    outcome.error = ""
    with _caught(around, outcome):
        study = load_study(store, job.study)
        watch = {"on_progress": _stopping(around), "on_wait": _waiting(around)}
        see = commands.report_list(store.place, study=not_current(store, study.name))
        for done in around.refresh(store, study, names, **watch):
            _note(done, around, outcome, see=see)
            _stop_if_told(around)


def _publish(
    store: "Store",
    job: ScheduledJob,
    around: Surroundings,
    *,
    outcome: Outcome,
    publish: "Callable[[Store, Study], object]",
) -> None:
    """Make the page, also of what is left where a report failed."""
    with _caught(around, outcome):
        publish(store, load_study(store, job.study))
    if outcome.error:
        outcome.exit = "failed"


@contextmanager
def _caught(around: Surroundings, outcome: Outcome) -> Iterator[None]:
    """Make whatever is raised part of the outcome."""
    try:
        yield
    except KeyboardInterrupt:
        outcome.exit = "interrupted"
    except FstoreError as error:
        outcome.error = str(error)
    except Exception as error:  # noqa: BLE001 - a schedule outlives whatever goes wrong in a run
        around.say(traceback.format_exc().rstrip())
        outcome.error = f"{type(error).__name__}: {error}"


def _stopping(around: Surroundings) -> Callable[[str, int, int, str], None]:
    """Return what is called after each cell: it ends the work if the process is to stop."""

    def after_cell(_what: str, _done: int, _total: int, _note: str) -> None:
        _stop_if_told(around)

    return after_cell


def _waiting(around: Surroundings) -> Callable[[str], None]:
    """Return what is called each second while another process computes a report."""
    from fstore.queries.refresh.driver import wait_notes

    tell = wait_notes(around.say)

    def while_waiting(report: str) -> None:
        tell(report)
        _stop_if_told(around)

    return while_waiting


def _stop_if_told(around: Surroundings) -> None:
    if around.wait(0):
        raise KeyboardInterrupt


def _note(done: "Brought", around: Surroundings, outcome: Outcome, *, see: str) -> None:
    """Count a report; what an earlier attempt computed of it stays counted.

    ``see`` is the command that lists what is missing.
    """
    before = outcome.reports.get(done.report, {"computed": 0})
    computed = before["computed"] + done.computed
    outcome.reports[done.report] = {**done.counts, "computed": computed}
    if done.computed or done.state is State.FAILED:
        why = f"failed ({done.error}), " if done.state is State.FAILED else ""
        around.say(f"{done.report}: {why}computed {done.computed}, reused {done.reused}")
    elif done.state is State.MISSING:
        around.say(f"{done.report}: missing inputs, see: {see}")
