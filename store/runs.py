"""Runs on record: table ``runs``, a row for each piece of work that changed the store or tried to.

:func:`recorded` wraps the work: extraction, proposals, training, detectors, refreshes. The row is
written when the work ends, in whatever way; a process that is killed at once (``SIGKILL``) leaves
none. Scheduled runs write theirs at the start as well, and so ``running`` is what a killed one
leaves (``queries/schedule/log.py``).

The table is for people. Nothing that later work needs is read from here: how proposals were found
stands in table ``datasets``, how weights were trained in ``checkpoints``, which samples cannot be
read in ``unreadable``.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from fstore.errors import FstoreError

if TYPE_CHECKING:
    from fstore.store.store import Store

__all__ = [
    "FAILED",
    "INTERRUPTED",
    "KINDS",
    "OK",
    "RUNNING",
    "Run",
    "append_run",
    "listed_runs",
    "recorded",
    "replace_run",
]

KINDS = (
    "extract",
    "derive",
    "proposals",
    "pretrain",
    "finetune",
    "detector",
    "detect",
    "refresh",
    "schedule",
)
"""What ``kind`` may be."""

RUNNING, OK, FAILED, INTERRUPTED = "running", "ok", "failed", "interrupted"
"""How a run ended, column ``exit``; ``running`` is one that has not."""

INTERRUPTIONS = (KeyboardInterrupt, GeneratorExit)
"""What ends a run that did not fail: a signal, a time limit, nobody who wants the rest."""


@dataclass
class Run:
    """One run: a row of table ``runs``.

    Attributes
    ----------
    kind : str
        One of :data:`KINDS`.
    parameters : dict
        What was asked, and what came of it, in types that JSON knows.
    run_id : str
    started, ended : datetime
    seconds : float or None
        That it took, by a clock that nobody sets.
    exit, message : str
        How it ended, and what went wrong.
    fingerprints : dict
        Partition, or view, to the fingerprint of what it holds.
    libraries : sequence of str
        Distributions whose versions matter, beside fstore and Python.
    device : str
    samples, rows, bytes : int or None
    images_per_s : float or None
    quarantined : list of dict
        Samples that could not be read: data set, view, sample_id, uri, reason.
    """

    kind: str
    parameters: dict[str, Any] = field(default_factory=dict)
    run_id: str = field(default_factory=lambda: uuid4().hex)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended: datetime | None = None
    seconds: float | None = None
    exit: str = RUNNING
    message: str = ""
    fingerprints: dict[str, str] = field(default_factory=dict)
    libraries: Sequence[str] = ()
    device: str | None = None
    samples: int | None = None
    rows: int | None = None
    bytes: int | None = None
    images_per_s: float | None = None
    quarantined: list[dict[str, Any]] = field(default_factory=list)

    def fail(self, message: str) -> None:
        """Say that the run failed although it goes on to its end."""
        self.exit, self.message = FAILED, message

    def end(self, error: BaseException | None, seconds: float) -> None:
        """Say how the run ended, and when; a failure that was told before stays one."""
        self.ended, self.seconds = datetime.now(UTC), seconds
        if error is None:
            self.exit = OK if self.exit == RUNNING else self.exit
        elif self.exit == RUNNING:
            self.exit = INTERRUPTED if isinstance(error, INTERRUPTIONS) else FAILED
            self.message = f"{type(error).__name__}: {error}".removesuffix(": ")

    @property
    def row(self) -> dict[str, Any]:
        """The run as table ``runs`` has it."""
        return {
            "run_id": self.run_id,
            "kind": self.kind,
            "started_at": self.started,
            "finished_at": self.ended,
            "seconds": self.seconds,
            "exit": self.exit,
            "message": self.message,
            "parameters": json.dumps(self.parameters, default=list),
            "fingerprints": json.dumps(self.fingerprints),
            "versions": json.dumps(_versions(self.libraries)),
            "device": self.device,
            "samples": self.samples,
            "rows": self.rows,
            "bytes": self.bytes,
            "images_per_s": self.images_per_s,
            "quarantined": self.quarantined,
        }


@contextmanager
def recorded(
    store: "Store", kind: str, parameters: Mapping[str, Any], *, libraries: Sequence[str] = ()
) -> Iterator[Run]:
    """Do some work as a run on record: when the context ends, its row is written.

    Parameters
    ----------
    store : Store
    kind : str
        One of :data:`KINDS`.
    parameters : mapping
        What was asked.
    libraries : sequence of str
        Distributions whose versions matter.

    Yields
    ------
    Run
        To be filled with what came of it.

    Raises
    ------
    StorageError
        The row cannot be written. After an error of the work itself, that one is raised.
    """
    run, began = Run(kind, dict(parameters), libraries=libraries), perf_counter()
    try:
        yield run
    except BaseException as error:
        run.end(error, perf_counter() - began)
        with suppress(FstoreError):  # a failing store must not hide the first error
            append_run(store, run)
        raise
    run.end(None, perf_counter() - began)
    append_run(store, run)


def append_run(store: "Store", run: Run) -> None:
    """Write a run's row.

    Raises
    ------
    StorageError
        It cannot be written.
    """
    store.append("runs", [run.row])


def replace_run(store: "Store", row: Mapping[str, Any]) -> None:
    """Write a run's row in place of the one that stands there under its ``run_id``.

    Parameters
    ----------
    store : Store
    row : mapping
        As :attr:`Run.row`, or as read from the table.
    """
    from fstore.store.tables import replace_rows

    replace_rows(store.place, "runs", [dict(row)], run_id=row["run_id"])


def listed_runs(store: "Store", kind: str = "") -> list[dict[str, Any]]:
    """Return rows of table ``runs``, the latest first, ``parameters`` as a mapping.

    Parameters
    ----------
    store : Store
    kind : str
        One of :data:`KINDS`; empty for all.
    """
    rows = store.rows("runs", **({"kind": kind} if kind else {})).to_pylist()
    rows.sort(key=lambda row: row["started_at"], reverse=True)
    return [{**row, "parameters": json.loads(row["parameters"] or "{}")} for row in rows]


def _versions(libraries: Sequence[str]) -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    versions = {"python": sys.version.split()[0]}
    for library in ("fstore", *libraries):
        with suppress(PackageNotFoundError):  # an optional one
            versions[library] = version(library)
    return versions
