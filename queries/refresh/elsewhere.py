"""Cells that workers compute: sent ahead, report by report, and collected as they come.

What runs them is an executor in the manner of ``concurrent.futures``. Whether that is a pool of
threads or a cluster is nobody's concern here: it places tasks, and tries again where a worker is
lost. What a worker gives is stored by the one process that refreshes.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from fstore.queries.refresh.task import Answer, Result, Stamps, Task, run_task
from fstore.queries.reports import REPORTS, is_own

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["Elsewhere", "Executor", "Sent", "Worked"]


IDLE_SECONDS = 5
"""After so long without a result, whoever collects is told that none came."""


class Executor(Protocol):
    """What runs functions elsewhere: as ``concurrent.futures.Executor``, as far as that is used."""

    def submit(self, function: Callable[..., Any], /, *given: Any) -> "Future[Any]":  # noqa: ANN401
        """Have a function called; both it and what it is given can be sent to other processes."""


@dataclass(frozen=True, slots=True)
class Worked:
    """What a worker did: needs that it computed, and the seconds that these took."""

    needs: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Elsewhere:
    """Where a refresh has its cells computed, and who did what of it.

    Attributes
    ----------
    open : callable
        Gives the context in which there is an executor. It is called when there is something to
        compute, and left when that is over, in whatever way: what still runs is to be ended then.
    work : dict of worker's name to Worked
        Filled as results come.
    """

    open: Callable[[], AbstractContextManager[Executor]]
    work: dict[str, Worked] = field(default_factory=dict)

    @contextmanager
    def sent(self, store: "Store") -> "Iterator[Sent]":
        """Give what sends tasks on a store, as long as the executor is there."""
        with self.open() as executor:
            sent = Sent(executor, str(store.place), self.work)
            try:
                yield sent
            finally:
                sent.cancel()

    @property
    def lines(self) -> list[str]:
        """A line a worker, by name.

        Examples
        --------
        >>> Elsewhere(open, {"b/7": Worked(2, 3.14159), "a/4": Worked(1, 0.5)}).lines
        ['worker a/4: 1 cell in 0.5 s', 'worker b/7: 2 cells in 3.1 s']
        """
        return [
            f"worker {name}: {w.needs} cell{'s' * (w.needs != 1)} in {w.seconds:.1f} s"
            for name, w in sorted(self.work.items())
        ]


class Sent:
    """Tasks that were sent, by report and by the fingerprint of each of their needs.

    Inputs may change between sending and collecting: then a need has another fingerprint, the task
    that was sent for it is not looked at, and another is sent.
    """

    def __init__(self, executor: Executor, store: str, work: dict[str, Worked]) -> None:
        self._executor = executor
        self._store = store
        self._work = work
        self._tasks: dict[tuple[str, str], Future[Answer]] = {}

    def send(self, report: str, stamps: Stamps) -> None:
        """Send what of some needs is not sent yet: a task each, or one where they share work.

        Parameters
        ----------
        report : str
            A registered report.
        stamps : mapping
            The needs, and what each is to be computed from.
        """
        new = {n: s for n, s in stamps.items() if (report, s["fingerprint"]) not in self._tasks}
        together = not is_own(report) and bool(REPORTS[report].meta.get("together"))
        for group in [new] if together else [{need: stamp} for need, stamp in new.items()]:
            if group:
                task = Task(self._store, report, {n: dict(s) for n, s in group.items()})
                future = self._executor.submit(run_task, task)
                prints = (stamp["fingerprint"] for stamp in group.values())
                self._tasks |= dict.fromkeys(((report, each) for each in prints), future)

    def collect(self, report: str, stamps: Stamps) -> Iterator[Result | None]:
        """Yield what some needs give as it comes, in any order; what was not sent is sent now.

        None is yielded where nothing came for :data:`IDLE_SECONDS`.

        Parameters
        ----------
        report : str
            A registered report.
        stamps : mapping
            The needs, and what each is to be computed from.

        Raises
        ------
        Exception
            The first error of a task, when all others are over.
        """
        self.send(report, stamps)
        wanted = {stamp["fingerprint"] for stamp in stamps.values()}
        futures = {self._tasks.pop((report, each)) for each in wanted}
        errors: list[Exception] = []
        try:
            for future in _as_they_come(futures):
                if future is None:
                    yield None
                    continue
                answer = _answer(future)
                errors += [] if answer.error is None else [answer.error]
                for each, result in answer.results.items():
                    if each in wanted:
                        self._note(answer.worker, result)
                        yield replace(result, worker=answer.worker)
        finally:
            for future in futures:
                future.cancel()
        if errors:
            raise errors[0]

    def cancel(self, report: str | None = None) -> None:
        """Give up what was sent and not collected, of one report or of all."""
        for key in [key for key in self._tasks if report in {None, key[0]}]:
            self._tasks.pop(key).cancel()

    def _note(self, worker: str, result: Result) -> None:
        before = self._work.get(worker, Worked())
        self._work[worker] = Worked(before.needs + 1, before.seconds + result.seconds)


def _as_they_come(futures: "set[Future[Answer]]") -> "Iterator[Future[Answer] | None]":
    """Yield each future when it is over, and None now and then while there is none."""
    over: SimpleQueue[Future[Answer]] = SimpleQueue()
    for future in futures:
        future.add_done_callback(over.put)
    for _ in futures:
        while True:
            try:
                yield over.get(timeout=IDLE_SECONDS)
                break
            except Empty:
                yield None


def _answer(future: "Future[Answer]") -> Answer:
    """Return a task's answer; what kept it from coming is an error like those of its cells."""
    error = future.exception()
    if isinstance(error, Exception):
        return Answer("", error=error)
    return future.result()
