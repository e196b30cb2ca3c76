"""The one driver: how each report of a study stands, and, if asked, what is stale is computed.

Whoever needs several reports iterates :func:`brought`: a refresh, a schedule, the page, tables for
a paper, the findings, a reproduction. One report alone is ``show``'s, which raises its error. What
is done is on record in table ``runs``; the cells that a report has then, in ``refreshes``.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias

from fstore import commands
from fstore.errors import FstoreError
from fstore.queries.cells.inputs import Inputs
from fstore.queries.cells.missing import Missing
from fstore.queries.refresh.compute import Computed, bring_up
from fstore.queries.refresh.elsewhere import Elsewhere, Sent
from fstore.queries.refresh.standing import Standing, State, look, told, with_paper
from fstore.queries.reports import report_of, reports_of
from fstore.queries.studies.study import Study, not_current
from fstore.types import OnProgress

if TYPE_CHECKING:
    from fstore.store import Store
    from fstore.store.runs import Run

__all__ = ["Brought", "Watch", "brought", "chosen_reports", "wait_notes"]

Watch: TypeAlias = Callable[[str, Standing], AbstractContextManager[OnProgress | None]]
"""Called with a report and how it stands before it is brought up."""


@dataclass(frozen=True, slots=True)
class Brought:
    """A report after it was brought up, or looked at.

    Attributes
    ----------
    report : str
        Its name.
    state : State
        ``COMPUTED``, where a cell was; ``FAILED``, with ``error``; else how it stands.
    computed, reused : int
        Needs (a cell, or a series of cells) that were computed now, or were stored; also of a
        report that failed.
    seconds : float
        That it took.
    error : str
        Why it failed or is left out, or what is not registered.
    standing : Standing
        How it stands now.
    show : str
        The command that computes and shows it.
    raised : Exception or None
        What ``error`` tells, for who wants it raised.
    """

    report: str
    state: State
    computed: int = 0
    reused: int = 0
    seconds: float = 0.0
    error: str = ""
    standing: Standing = field(default_factory=Standing)
    show: str = ""
    raised: Exception | None = None

    @property
    def missing(self) -> tuple[Missing, ...]:
        """Cells that cannot be computed, what they lack, and the commands that make it."""
        return tuple(self.standing.missing)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Its stored rows that are still right, with the keys ``ROW_COLUMNS``."""
        return with_paper(self.standing.rows, self.report)

    @property
    def counts(self) -> dict[str, Any]:
        """What a run on record says of it."""
        columns = ("state", "computed", "reused", "error")
        return {column: getattr(self, column) for column in columns}

    @property
    def note(self) -> str:
        """What is not among the rows and why, in sentences; empty if nothing is."""
        if self.raised is not None:
            return f"{self.report}: {told(self.raised)}."
        notes = [f"no {m.what}: {m.lack}; {m.command} makes it." for m in self.missing]
        if stale := len(self.standing.stale):
            notes.insert(0, f"{stale} cells are not computed; {self.show} computes them.")
        return " ".join(f"{self.report}: {note}" for note in notes)  # no command before a full stop


def wait_notes(say: Callable[[str], object]) -> Callable[[str], None]:
    """Return an ``on_wait`` that says once of each report that another process computes it."""

    @cache
    def tell(report: str) -> None:
        say(f"{report}: another process is computing it; waiting for that")

    return tell


def brought(
    store: "Store",
    study: Study,
    names: Sequence[str] = (),
    *,
    compute: bool = True,
    elsewhere: Elsewhere | None = None,
    on_progress: OnProgress | None = None,
    on_wait: Callable[[str], object] | None = None,
    watch: Watch | None = None,
    on_record: bool = True,
    inputs: Inputs | None = None,
) -> Iterator[Brought]:
    """Yield reports one after the other, each brought up: its stale cells computed, no others.

    Each cell is stored as it is done: a refresh that is stopped goes on from there when it is run
    again. Of two at once, the second waits for each report that the first is computing, and finds
    it fresh.

    Parameters
    ----------
    store : Store
    study : Study
    names : sequence of str
        Reports; none for all.
    compute : bool
        False: only look; nothing is computed or written.
    elsewhere : Elsewhere or None
        Where cells are computed; None for this process. What is stale of all reports is sent there
        at once. An error of a cell keeps no other cell of its report from being computed.
    on_progress : callable or None
        Called with the report, the cells of it that are done, those to do, and the cell.
    on_wait : callable or None
        Called with a report that another process is computing, each second while it is waited for;
        what it raises ends the waiting.
    watch : callable or None
        ``watch(report, standing)``, called before each report that can be told, gives the context
        in which it is brought up, and there what to call in place of ``on_progress``.
    on_record : bool
        Write a row of table ``runs``, unless there was nothing to do. False: this is part of a run
        that is on record already.
    inputs : Inputs or None
        Of the store at the moment at which to look, for who reads more of it; None for the present.

    Yields
    ------
    Brought
        Of each report, when it is over. An error of one, whatever it is, is in its result and does
        not stop the others; an interruption passes.

    Raises
    ------
    UnknownNameError
        No such report.
    """
    chosen = chosen_reports(study, names)
    call = _Call(store, study, compute, elsewhere, on_progress, on_wait, watch, on_record)
    return _brought(call, chosen, inputs)


def chosen_reports(study: Study, names: Sequence[str]) -> list[str]:
    """Return the names of reports of a study, each once; all of them if none is given.

    Raises
    ------
    UnknownNameError
        No such report.
    """
    chosen = [report_of(study, name).name for name in dict.fromkeys(names)]
    return chosen or [entry.name for entry in reports_of(study)]


@dataclass(frozen=True)
class _Call:
    """One call of :func:`brought`."""

    store: "Store"
    study: Study
    compute: bool
    elsewhere: Elsewhere | None
    on_progress: OnProgress | None
    on_wait: Callable[[str], object] | None
    watch: Watch | None
    on_record: bool

    @cached_property
    def named(self) -> str | None:
        """The study's name, where a command must say it."""
        return not_current(self.store, self.study.name)

    def watched(self, name: str, standing: Standing) -> AbstractContextManager[OnProgress | None]:
        """Return the context in which a report is brought up."""
        if self.watch is None or standing.error is not None:
            return nullcontext(self.on_progress)
        return self.watch(name, standing)

    def bring(
        self, name: str, on_progress: OnProgress | None, refresh_id: str, *, sent: Sent | None
    ) -> Computed:
        """Compute what is stale of a report; what goes wrong is in the result."""
        on_wait = None if self.on_wait is None else partial(self.on_wait, name)
        return bring_up(
            self.store,
            self.study,
            name,
            refresh_id=refresh_id,
            computing=None if sent is None else sent.collect,
            on_progress=on_progress,
            on_wait=on_wait,
        )


def _brought(call: _Call, names: Sequence[str], inputs: Inputs | None) -> Iterator[Brought]:
    inputs, seen, run = inputs or Inputs.now(call.store), list[Brought](), None
    with ExitStack() as away, ExitStack() as on_record:  # the record is closed first: that is quick
        sent: Sent | None = None
        for at, name in enumerate(names):
            began = perf_counter()
            done = Computed(look(inputs, call.study, name))
            with call.watched(name, done.standing) as on_progress:
                if call.compute and not done.standing.is_settled:
                    run = run or on_record.enter_context(_run(call, names))
                    if call.elsewhere is not None and done.standing.stale and sent is None:
                        sent = away.enter_context(call.elsewhere.sent(call.store))
                        _send(sent, call.study, names[at:], inputs=inputs)
                    try:
                        done = call.bring(name, on_progress, run.run_id, sent=sent)
                    except Exception as error:  # noqa: BLE001 - the other reports are computed
                        done = replace(done, error=error)
                    inputs = Inputs.now(call.store)  # that took time
            if sent is not None:
                sent.cancel(name)  # what another process has computed meanwhile
            seen.append(_outcome(call, name, done, seconds=perf_counter() - began))
            if run is not None:
                _tell(run, seen)
            yield seen[-1]


def _send(sent: Sent, study: Study, names: Sequence[str], *, inputs: Inputs) -> None:
    """Send what is stale of all reports, so that no worker waits for the last cell of one."""
    for name in names:
        sent.send(name, look(inputs, study, name).stale)


def _run(call: _Call, names: Sequence[str]) -> AbstractContextManager["Run"]:
    """Return the run that begins where the first report has something to be done."""
    from fstore.store.runs import Run, recorded

    parameters = {"study": call.study.name, "reports": list(names)}
    if call.on_record:
        return recorded(call.store, "refresh", parameters)
    return nullcontext(Run("refresh", parameters))


def _tell(run: "Run", seen: Sequence[Brought]) -> None:
    """Put on record what became of the reports so far."""
    failed = [done for done in seen if done.state is State.FAILED]
    run.parameters |= {
        "computed": sum(done.computed for done in seen),
        "reused": sum(done.reused for done in seen),
        "failed": len(failed),
        "states": {done.report: done.counts for done in seen},
    }
    if failed:
        run.fail("; ".join(f"{done.report}: {done.error}" for done in failed))


def _outcome(call: _Call, name: str, done: Computed, *, seconds: float) -> Brought:
    standing, computed = done.standing, done.computed
    show = commands.report_show(call.store.place, name, study=call.named)
    state = State.COMPUTED if computed else standing.state
    return Brought(
        name,
        state if done.error is None else State.FAILED,
        computed,
        len(standing.stamps) - len(standing.stale) - computed,
        seconds,
        _with_hint(done.error or standing.error, show),
        standing,
        show,
        done.error or standing.error,
    )


def _with_hint(error: Exception | None, show: str) -> str:
    """Return an error for readers; of one that is a bug, also what shows where it is."""
    if error is None or isinstance(error, FstoreError):
        return told(error)
    return f"{told(error)} ({show} shows where)"
