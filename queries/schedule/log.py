"""Scheduled runs on record, and the list of all runs; table ``runs`` itself is ``store/runs.py``'s.

A scheduled run has one row, of kind ``schedule``. It says ``running`` while the
run is at work and is replaced at its end. A process that is killed leaves it so; the next run of
the same job, which holds the job's lock, sees that nobody is at work and puts ``killed``. Where no
such run follows, the list of runs looks at the lock and says so.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fstore.errors import StorageError
from fstore.queries.refresh.standing import State
from fstore.store.runs import RUNNING, Run, append_run, listed_runs, replace_run

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = [
    "KIND",
    "RUN_COLUMNS",
    "AtWorkError",
    "Outcome",
    "ScheduledJob",
    "alone",
    "changes",
    "close_killed",
    "past_runs",
    "record",
    "runs_of",
    "seen",
    "summary",
]

KIND = "schedule"
"""Of scheduled runs, in table ``runs``."""

KILLED = {"exit": "killed", "message": "the process was killed"}
"""What is told of a run whose process is gone."""

RUN_COLUMNS = (
    *("kind", "started", "ended", "seconds", "status", "study"),
    *("computed", "reused", "failed", "changed", "samples", "message"),
)
"""Keys of :func:`past_runs`."""


class AtWorkError(StorageError):
    """Another process is at the same job."""


@dataclass(frozen=True, kw_only=True)
class ScheduledJob:
    """What a run does.

    Attributes
    ----------
    study : str
        Its name; its file is read anew by each attempt.
    reports : tuple of str
        Empty for all.
    retries : int
        Attempts after the first, at what failed.
    retry_wait : float
        Seconds before the first of them; each further wait is twice as long, up to an hour.
    """

    study: str
    reports: tuple[str, ...] = ()
    retries: int = 3
    retry_wait: float = 60.0

    @property
    def identity(self) -> tuple[str, list[str]]:
        """What makes two runs the same job: study and reports."""
        return self.study, sorted(set(self.reports))


@dataclass
class Outcome:
    """What a run has come to.

    Attributes
    ----------
    exit : str
        ``running``, ``ok``, ``failed`` or ``interrupted``.
    reports : dict
        Report's name to ``state``, ``computed``, ``reused`` and ``error``.
    error : str
        What went wrong in the last attempt beside single reports.
    changed : dict
        Report's name to its number of cells that have another value, appeared or disappeared.
    seen : str or None
        Up to when ``changed`` tells what changed; see :func:`seen`. None: it could not be told.
    """

    run_id: str
    started: datetime
    ended: datetime | None = None
    exit: str = RUNNING
    attempts: int = 0
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    error: str = ""
    changed: dict[str, int] = field(default_factory=dict)
    seen: str | None = None

    def total(self, counted: str) -> int:
        """Return the sum over reports of ``computed`` or ``reused``."""
        return sum(report[counted] for report in self.reports.values())

    @property
    def failures(self) -> dict[str, str]:
        """The reports that failed in the last attempt, and why."""
        states = self.reports.items()
        return {name: r["error"] for name, r in states if r["state"] == State.FAILED}

    @property
    def message(self) -> str:
        """What went wrong, in words; empty if nothing did."""
        failed = [f"{name}: {error}" for name, error in self.failures.items()]
        return "; ".join([*([self.error] if self.error else []), *failed])

    def __str__(self) -> str:
        told = f": {self.message}" if self.message else ""
        return (
            f"run {self.exit}: computed {self.total('computed')}, reused {self.total('reused')} "
            f"cells or series; {sum(self.changed.values())} values changed; "
            f"{len(self.failures)} reports failed{told}"
        )


# The lock


@contextmanager
def alone(store: "Store", job: ScheduledJob) -> Iterator[None]:
    """Hold a job's lock, which the system frees when the process ends, however it ends.

    Raises
    ------
    AtWorkError
        Another process holds it.
    StorageError
        The store is gone.
    """

    def refuse() -> None:
        raise AtWorkError(
            f"another process is at work on the same reports of study '{job.study}'; let it "
            "finish, or end it with SIGTERM"
        )

    with store.place.lock(_lock(job), refuse):
        yield


def _lock(job: ScheduledJob) -> str:
    digest = hashlib.sha256(json.dumps(job.identity).encode()).hexdigest()[:16]
    return f"schedule-{digest}.lock"


# Table runs


def past_runs(store: "Store", kind: str = "") -> list[dict[str, Any]]:
    """Return the runs on record, the latest first; rows have the keys :data:`RUN_COLUMNS`.

    A scheduled run whose row says ``running``, but whose lock is free, is told as ``killed``.

    Parameters
    ----------
    store : Store
    kind : str
        One of :data:`fstore.store.runs.KINDS`; empty for all.
    """
    return [_told(store, row) for row in listed_runs(store, kind)]


def _told(store: "Store", row: Mapping[str, Any]) -> dict[str, Any]:
    more, seconds = row["parameters"], row["seconds"]
    if row["kind"] == KIND and row["exit"] == RUNNING:
        job = ScheduledJob(study=more["study"], reports=tuple(more["reports"]))
        row = row if store.place.is_locked(_lock(job)) else {**row, **KILLED}
    return {
        "kind": row["kind"],
        "started": row["started_at"].replace(microsecond=0),
        "ended": row["finished_at"] and row["finished_at"].replace(microsecond=0),
        "seconds": None if seconds is None else round(seconds, 1),
        "status": row["exit"],
        **{key: more.get(key) for key in ("study", "computed", "reused", "failed", "changed")},
        "samples": row["samples"],
        "message": row["message"],
    }


def runs_of(store: "Store", job: ScheduledJob) -> list[dict[str, Any]]:
    """Return a job's runs, rows of table ``runs`` by their start, ``parameters`` as a mapping."""
    rows = reversed(listed_runs(store, KIND))
    return [
        r for r in rows if (r["parameters"]["study"], r["parameters"]["reports"]) == job.identity
    ]


def record(store: "Store", job: ScheduledJob, outcome: Outcome) -> None:
    """Write a run's row, in place of the one that said ``running``."""
    study, reports = job.identity
    parameters = {
        "study": study,
        "reports": reports,
        "attempts": outcome.attempts,
        "computed": outcome.total("computed"),
        "reused": outcome.total("reused"),
        "failed": len(outcome.failures),
        "changed": sum(outcome.changed.values()),
        "seen": outcome.seen,
        "states": outcome.reports,
    }
    ended = outcome.ended
    run = Run(
        KIND,
        parameters,
        run_id=outcome.run_id,
        started=outcome.started,
        ended=ended,
        seconds=None if ended is None else (ended - outcome.started).total_seconds(),
        exit=outcome.exit,
        message=outcome.message,
    )
    if outcome.exit == RUNNING:
        append_run(store, run)
    else:
        replace_run(store, run.row)


def close_killed(store: "Store", job: ScheduledJob) -> list[datetime]:
    """Put ``killed`` where a row says ``running``, and return when those runs began.

    Call it with the job's lock held: then nobody is at work.
    """
    dead = [row for row in runs_of(store, job) if row["exit"] == RUNNING]
    for row in dead:
        replace_run(store, {**row, **KILLED, "parameters": json.dumps(row["parameters"])})
    return [row["started_at"] for row in dead]


# What changed


def seen(store: "Store", job: ScheduledJob) -> str:
    """Return up to when a job's runs have told what changed, in ISO form.

    Before its first run that is the last refresh there was; empty if there was none.
    """
    before = [row["parameters"]["seen"] for row in runs_of(store, job)]
    told = [str(t) for t in before if t is not None]
    # not that of the last run: the clock may have been set back, and what is told stays told
    return max(told, key=_time) if told else _latest(store, job)


def changes(store: "Store", job: ScheduledJob, since: str) -> tuple[dict[str, int], str]:
    """Return how many cells of each report got another value, appeared or disappeared.

    What a killed run computed, or somebody in between, counts as well: it was not told of.

    Parameters
    ----------
    store : Store
    job : ScheduledJob
    since : str
        As :func:`seen` gives it.

    Returns
    -------
    changed : dict of report's name to number
    seen : str
        Up to when that is.
    """
    from fstore.queries.refresh import history

    latest = _latest(store, job)
    start, end = _time(since), _time(latest)
    if end <= start:
        return {}, since
    changed = history.changes(store, job.study, job.reports, start=start, end=end)
    return dict(Counter(change.report for change in changed)), latest


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text) if text else datetime.min.replace(tzinfo=UTC)


def _latest(store: "Store", job: ScheduledJob) -> str:
    """Return when a report of the job's study was last refreshed to something new."""
    import pyarrow.compute as pc

    latest = pc.max(store.rows("refreshes", study=job.study)["finished_at"]).as_py()
    return "" if latest is None else str(latest.isoformat())


def summary(store: "Store", job: ScheduledJob, outcome: Outcome) -> dict[str, Any]:
    """Return what hooks are told of a run, in types that JSON knows."""
    events = {"change": bool(outcome.changed), "failure": outcome.exit == "failed"}
    return {
        "run_id": outcome.run_id,
        "store": str(store.place),
        "study": job.study,
        "events": [event for event, happened in events.items() if happened],
        "exit": outcome.exit,
        "started": outcome.started.isoformat(),
        "ended": outcome.ended and outcome.ended.isoformat(),
        "attempts": outcome.attempts,
        "computed": outcome.total("computed"),
        "reused": outcome.total("reused"),
        "changed": outcome.changed,
        "failed": outcome.failures,
        "message": outcome.message,
    }
