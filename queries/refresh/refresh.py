"""Keep all reports of a study fresh: how each stands, what is stale and why, and computing that."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, partial
from time import perf_counter
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from fstore import commands
from fstore.errors import FstoreError, UnknownNameError
from fstore.queries.cells.inputs import Inputs
from fstore.queries.cells.missing import Missing
from fstore.queries.cells.noted import last_noted, note_refresh
from fstore.queries.cells.why import stale_reasons, summary
from fstore.queries.refresh.compute import Brought, alone_at, bring_up
from fstore.queries.refresh.standing import Standing, standing
from fstore.queries.reports import REPORTS
from fstore.queries.studies.study import Study, UnboundError, not_current
from fstore.queries.studies.ways import dataset_command
from fstore.types import OnProgress

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = [
    "Due",
    "Missing",
    "Refreshed",
    "ReportState",
    "due",
    "refresh",
    "states",
    "unregistered",
    "wait_notes",
]

FRESH, STALE, COMPUTED = "fresh", "stale", "computed"
MISSING, LEFT_OUT, FAILED = "missing inputs", "left out", "failed"


@dataclass(frozen=True, slots=True)
class ReportState:
    """How a report stands, without anything being computed.

    Attributes
    ----------
    name, title, answers : str
        The report.
    state : {"fresh", "stale", "missing inputs", "left out", "failed", ""}
        ``left out``: the study binds no such part. ``stale`` and ``missing inputs`` may both be
        so; stale is said first. Empty: no study was given.
    why : str
        What changed, or is lacking.
    commands : tuple of str
        What makes the missing inputs.
    computed_at : datetime or None
        When a cell of it was last computed.
    seconds : float or None
        That its stored cells took to compute.
    """

    name: str
    title: str
    answers: str
    state: str = ""
    why: str = ""
    commands: tuple[str, ...] = ()
    computed_at: datetime | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What became of a report in a refresh.

    ``state`` is ``fresh``; ``computed``, where a cell was; ``missing inputs``, where nothing
    could be; ``left out``, where the study binds no part; or ``failed``, with ``error``.
    ``error`` also says why a report is left out, or what is not registered. ``computed`` and
    ``reused`` count needs (a cell, or a series of cells), also those of a report that failed.
    """

    report: str
    state: str
    computed: int = 0
    reused: int = 0
    missing: tuple[Missing, ...] = ()
    seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Due:
    """A need that a refresh would compute, or cannot; ``state`` is one of :class:`ReportState`."""

    report: str
    state: str
    row: str
    col: str
    why: str
    command: str = ""


def wait_notes(say: Callable[[str], object]) -> Callable[[str], None]:
    """Return an ``on_wait`` that says once of each report that another process computes it."""

    @cache
    def tell(report: str) -> None:
        say(f"{report}: another process is computing it; waiting for that")

    return tell


def refresh(
    store: "Store",
    study: Study,
    names: Sequence[str] = (),
    *,
    on_progress: OnProgress | None = None,
    on_wait: Callable[[str], object] | None = None,
) -> Iterator[Refreshed]:
    """Compute the stale cells of reports, and no others; each is stored as it is done.

    A refresh that is stopped goes on from there when it is run again. Of two at once, the second
    waits for each report that the first is computing, and finds it fresh.

    Parameters
    ----------
    store : Store
    study : Study
    names : sequence of str
        Reports; none for all.
    on_progress : callable or None
        Called with the report, the cells of it that are done, those to do, and the cell.
    on_wait : callable or None
        Called with a report that another process is computing, each second while it is waited for;
        what it raises ends the waiting.

    Yields
    ------
    Refreshed
        Of each report, when it is over. An error of one does not stop the others.

    Raises
    ------
    UnknownNameError
        No such report.
    """
    chosen = _chosen(names)
    named = not_current(store, study.name)
    return _refreshed(_Refresh(store, study, named, on_progress, on_wait), chosen)


def states(store: "Store", study: Study, names: Sequence[str] = ()) -> list[ReportState]:
    """Return how reports stand; nothing is computed.

    Parameters
    ----------
    store : Store
    study : Study
    names : sequence of str
        Reports; none for all.

    Raises
    ------
    UnknownNameError
        No such report.
    """
    inputs = Inputs.now(store)
    return [_state(inputs, study, name) for name in _chosen(names)]


def due(store: "Store", study: Study, names: Sequence[str] = ()) -> Iterator[Due]:
    """Yield what a refresh would compute, and why, and what it could not; nothing is computed.

    Parameters
    ----------
    store : Store
    study : Study
    names : sequence of str
        Reports; none for all.

    Yields
    ------
    Due
        A stale cell, or series of cells; or cells whose inputs are missing. Nothing of a report
        that is fresh, or of which the study binds no part.

    Raises
    ------
    UnknownNameError
        No such report.
    """
    inputs = Inputs.now(store)
    return (one for name in _chosen(names) for one in _due(inputs, study, name))


def _chosen(names: Sequence[str]) -> list[str]:
    """Return the names of reports, each once; all of them if none is given."""
    return [REPORTS[name].name for name in dict.fromkeys(names)] or [e.name for e in REPORTS]


@dataclass(frozen=True, slots=True)
class _Unknown:
    """Why it cannot be told what a report needs."""

    state: str
    why: str
    missing: tuple[Missing, ...] = ()


def _look(inputs: Inputs, study: Study, name: str) -> Standing | _Unknown:
    """Return how a report stands, or why it cannot be told."""
    try:
        return standing(inputs.store, study, name, inputs=inputs)
    except UnboundError as error:
        return _Unknown(LEFT_OUT, str(error))
    except UnknownNameError as error:
        return _Unknown(MISSING, str(error), (unregistered(inputs.store, study, error),))
    except FstoreError as error:
        return _Unknown(FAILED, str(error))


def unregistered(store: "Store", study: Study, error: UnknownNameError) -> Missing:
    """Say which command registers the data set or the split that an error is about.

    Parameters
    ----------
    store : Store
    study : Study
    error : UnknownNameError
    """
    name = error.dataset or "NAME"
    return Missing((), str(error), dataset_command(store, study, name))


# How reports stand


def _state(inputs: Inputs, study: Study, name: str) -> ReportState:
    meta, found, store = REPORTS[name].meta, _look(inputs, study, name), inputs.store
    known = ReportState(name, meta["title"], meta["answers"], **_last(store, study.name, name))
    if isinstance(found, _Unknown):
        commands = tuple(m.command for m in found.missing)
        return replace(known, state=found.state, why=found.why, commands=commands)
    stale = stale_reasons(store, study.name, name, found.stale)
    lacks = [f"no {', '.join(m.rows)}: {m.lack}" for m in found.missing]
    return replace(
        known,
        state=STALE if stale else MISSING if lacks else FRESH,
        why="; ".join([summary(stale.values(), len(found.stamps))] * bool(stale) + lacks),
        commands=tuple(m.command for m in found.missing),
    )


def _last(store: "Store", study: str, name: str) -> dict[str, Any]:
    """Return when a report was last computed, and what its last cells cost."""
    rows = store.rows("reports", study=study, report=name)
    noted = last_noted(store, study).get(name)
    if not rows.num_rows:
        return {}
    now = set(noted["fingerprints"]) if noted else set(rows["fingerprint"].to_pylist())
    columns = (rows["fingerprint"].to_pylist(), rows["seconds"].to_pylist())
    seconds = [s for f, s in zip(*columns, strict=True) if f in now and s is not None]
    return {
        "computed_at": max(rows["computed_at"].to_pylist()),
        "seconds": sum(seconds) if seconds else None,
    }


def _due(inputs: Inputs, study: Study, name: str) -> Iterator[Due]:
    found = _look(inputs, study, name)
    if isinstance(found, _Unknown):
        if found.state != LEFT_OUT:
            command = "; ".join(m.command for m in found.missing)
            yield Due(name, found.state, "", "", found.why, command)
        return
    for need, why in stale_reasons(inputs.store, study.name, name, found.stale).items():
        yield Due(name, STALE, need.row, need.col, "; ".join(why))
    for missing in found.missing:
        for row in missing.rows:
            yield Due(name, MISSING, row, "", missing.lack, missing.command)


# Refreshing


@dataclass(frozen=True, slots=True)
class _Refresh:
    """One call of :func:`refresh`; ``named`` is the study's name where a command must say it."""

    store: "Store"
    study: Study
    named: str | None
    on_progress: OnProgress | None
    on_wait: Callable[[str], object] | None


def _refreshed(call: _Refresh, names: Sequence[str]) -> Iterator[Refreshed]:
    inputs, refresh_id = Inputs.now(call.store), uuid4().hex
    for name in names:
        began, settled = perf_counter(), False
        try:
            found = _look(inputs, call.study, name)
            settled = _is_settled(inputs, call.study, name, found)
            brought = found if settled else _settle(call, name, found, refresh_id)
            done = _outcome(call, name, brought)
        except Exception as error:  # noqa: BLE001 - the other reports have a right to be computed
            done = Refreshed(name, FAILED, error=_told(call, name, error))
        if not settled:
            inputs = Inputs.now(call.store)  # that took time
        yield replace(done, seconds=perf_counter() - began)


def _is_settled(inputs: Inputs, study: Study, name: str, found: Standing | _Unknown) -> bool:
    """Whether there is nothing to compute of a report, and the history says how it stands."""
    if isinstance(found, Standing):
        return found.is_noted
    noted = last_noted(inputs.store, study.name).get(name)
    return found.state == FAILED or noted is None or not noted["fingerprints"]


def _settle(
    call: _Refresh, name: str, found: Standing | _Unknown, refresh_id: str
) -> Brought | _Unknown:
    """Compute what is stale of a report, or note that it has no cells any more."""
    store, study = call.store, call.study
    on_wait = None if call.on_wait is None else partial(call.on_wait, name)
    if isinstance(found, _Unknown):
        with alone_at(store, study, name, on_wait):
            inputs = Inputs.now(store)  # another process may have been at it
            found = _look(inputs, study, name)
            if isinstance(found, _Unknown):
                if not _is_settled(inputs, study, name, found):
                    note_refresh(store, study.name, name, [], refresh_id=refresh_id)
                return found
    return bring_up(
        store,
        study,
        name,
        found,
        on_progress=call.on_progress,
        on_wait=on_wait,
        refresh_id=refresh_id,
    )


def _outcome(call: _Refresh, name: str, done: Standing | Brought | _Unknown) -> Refreshed:
    if isinstance(done, _Unknown):
        return Refreshed(name, done.state, missing=done.missing, error=done.why)
    if isinstance(done, Standing):
        done = Brought(done)
    found, computed = done.found, done.computed
    state = COMPUTED if computed else MISSING if found.missing else FRESH
    told = "" if done.error is None else _told(call, name, done.error)
    return Refreshed(
        name,
        FAILED if told else state,
        computed,
        len(found.stamps) - len(found.stale) - computed,
        tuple(found.missing),
        error=told,
    )


def _told(call: _Refresh, name: str, error: Exception) -> str:
    """Return an error for readers; one that is a bug with its kind."""
    if isinstance(error, FstoreError):
        return str(error)
    again = commands.report_show(call.store.path, name, study=call.named)
    return f"{type(error).__name__}: {error} ({again} shows where)"
