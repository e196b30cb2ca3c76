"""Some cells of one report, computed here or in any process that can open the store.

A task is sent with what its cells are to be computed from. Who runs it looks first whether the
store says the same to it: another folder under the same path, a file system that lags behind, or
other code of fstore must not give a cell.
"""

import os
import pickle
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, TypeAlias

from fstore.errors import FstoreError, StorageError
from fstore.queries.cells.inputs import Inputs
from fstore.queries.cells.needs import Cell, Need
from fstore.queries.refresh.standing import stamps_of
from fstore.queries.reports import computes

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["Answer", "Result", "Stamps", "Task", "computed_here", "run_task"]

Stamps: TypeAlias = Mapping[Need, Mapping[str, str]]
"""What each need is computed from, as in ``Standing.stamps``."""


@dataclass(frozen=True, slots=True)
class Result:
    """The cells of a need, the seconds that they took together, and who computed them elsewhere."""

    need: Need
    cells: Sequence[Cell]
    seconds: float
    worker: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """Needs of one report, and the store that they read: a path or a URI."""

    store: str
    report: str
    stamps: Stamps


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker made of a task: by fingerprint, what it computed; and why that is not all."""

    worker: str
    results: dict[str, Result] = field(default_factory=dict)
    error: Exception | None = None


def computed_here(store: "Store", report: str, stamps: Stamps) -> Iterator[Result]:
    """Yield what needs of a report give, in this process, in the order in which it comes.

    Parameters
    ----------
    store : Store
    report : str
        A registered report.
    stamps : mapping
        Its keys are the needs.
    """
    began = perf_counter()
    for need, cells in computes(report)(store, list(stamps)):
        yield Result(need, cells, perf_counter() - began)
        began = perf_counter()  # what was done with the cells meanwhile is not theirs


def run_task(task: Task) -> Answer:
    """Return what a task gives; an error is part of the answer, and loses nothing that was done.

    Parameters
    ----------
    task : Task
        Of a store that can be opened here.
    """
    from fstore.store import Store

    answer = Answer(f"{socket.gethostname()}/{os.getpid()}")
    try:
        store = Store.open(task.store)
        _check_inputs(store, task, worker=answer.worker)
        for result in computed_here(store, task.report, task.stamps):
            answer.results[task.stamps[result.need]["fingerprint"]] = result
    except Exception as error:  # noqa: BLE001 - raised where the answer is read
        return Answer(answer.worker, answer.results, _portable(error))
    return answer


def _check_inputs(store: "Store", task: Task, *, worker: str) -> None:
    """Refuse to compute from anything but what the task was made for."""
    own = stamps_of(task.report, list(task.stamps), Inputs.now(store))
    for need, stamp in task.stamps.items():
        what = f"{need.row} {need.col}".strip()
        if own[need]["code_version"] != stamp["code_version"]:
            raise FstoreError(
                f"worker {worker} has another version of fstore's code for {task.report}; install "
                "the same on every node, and refresh again"
            )
        if own[need] != stamp:
            raise StorageError(
                f"worker {worker} sees other inputs of {what} in the store at {task.store}: they "
                "changed meanwhile, or that is another store there; refresh again"
            )


def _portable(error: Exception) -> Exception:
    """Return an error that can be sent: itself, or one that says the same."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - made in the line itself
    except Exception:  # noqa: BLE001 - whatever keeps it from being sent
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
