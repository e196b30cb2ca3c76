"""How the reports of a study stand, listed, and what a refresh would do; nothing is computed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from fstore.queries.cells.inputs import Inputs
from fstore.queries.cells.noted import last_noted
from fstore.queries.cells.why import stale_reasons, summary
from fstore.queries.refresh.driver import Brought, brought
from fstore.queries.refresh.standing import State
from fstore.queries.reports import report_of
from fstore.queries.studies.study import Study

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["Due", "ReportState", "due", "states"]


@dataclass(frozen=True, slots=True)
class ReportState:
    """How a report stands, without anything being computed.

    Attributes
    ----------
    name, title, answers : str
        The report.
    state : State, or an empty text
        Empty: no study was given.
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
class Due:
    """A need that a refresh would compute, or cannot; ``state`` says which."""

    report: str
    state: State
    row: str
    col: str
    why: str
    command: str = ""


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
    reports = brought(store, study, names, compute=False, inputs=inputs)
    return [_state(inputs.store, study, seen) for seen in reports]


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
    reports = brought(store, study, names, compute=False, inputs=inputs)
    return (each for seen in reports for each in _due(inputs.store, study, seen))


def _state(store: "Store", study: Study, seen: Brought) -> ReportState:
    name, standing, meta = seen.report, seen.standing, report_of(study, seen.report).meta
    listed = ReportState(
        name,
        meta["title"],
        meta["answers"],
        seen.state,
        commands=tuple(m.command for m in seen.missing),
        **_last(store, study.name, name),
    )
    if seen.raised is not None:
        return replace(listed, why=seen.error)
    stale = stale_reasons(store, study.name, name, stale=standing.stale)
    lacks = [f"no {', '.join(m.rows)}: {m.lack}" for m in seen.missing]
    reasons = [summary(stale.values(), len(standing.stamps))] * bool(stale) + lacks
    return replace(listed, why="; ".join(reasons))


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


def _due(store: "Store", study: Study, seen: Brought) -> Iterator[Due]:
    name = seen.report
    if seen.raised is not None:
        if seen.state is not State.LEFT_OUT:
            command = "; ".join(m.command for m in seen.missing)
            yield Due(name, seen.state, "", "", seen.error, command)
        return
    reasons = stale_reasons(store, study.name, name, stale=seen.standing.stale)
    for need, why in reasons.items():
        yield Due(name, State.STALE, need.row, need.col, "; ".join(why))
    for missing in seen.missing:
        for row in missing.rows:
            yield Due(name, State.MISSING, row, "", missing.lack, missing.command)
