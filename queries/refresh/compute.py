"""Compute a report's cells for a study, keep them, and reuse those that are still right."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

from fstore.errors import DataError, FstoreError, UnknownNameError
from fstore.queries.cells.inputs import Inputs
from fstore.queries.cells.missing import Missing
from fstore.queries.cells.needs import Need, Row
from fstore.queries.cells.noted import next_time, note_refresh
from fstore.queries.cells.why import is_of
from fstore.queries.refresh.standing import Standing, kept_rows, stamps_of, standing, with_paper
from fstore.queries.reports import REPORTS
from fstore.queries.studies.study import Study
from fstore.types import OnProgress

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = [
    "Brought",
    "Shown",
    "alone_at",
    "bring_up",
    "illustrated",
    "show_report",
]


@dataclass(frozen=True, slots=True)
class Shown:
    """A report's rows, and how they came about.

    ``rows`` have the keys ``ROW_COLUMNS``; ``computed`` and ``reused`` count needs (a cell, or a
    series of cells); ``missing`` says which are not there and why.
    """

    rows: list[dict[str, Any]]
    computed: int
    reused: int
    missing: list[Missing]


def show_report(
    store: "Store",
    study: Study,
    name: str,
    *,
    on_progress: OnProgress | None = None,
    on_wait: Callable[[], object] | None = None,
    refresh_id: str = "",
) -> Shown:
    """Return a report's rows, computing and storing those whose inputs or code changed.

    What is computed is stored as it is done, so that a run that is stopped goes on from there.

    Parameters
    ----------
    store : Store
    study : Study
    name : str
        A registered report.
    on_progress : callable or None
    on_wait : callable or None
        Called each second while another process computes this report: that one is waited for.
    refresh_id : str
        Names the refresh that this is part of, in the history; empty for one of its own.

    Returns
    -------
    Shown
        A cell whose activations are missing or incomplete has no row.

    Raises
    ------
    UnknownNameError
        No such report; a data set or split is not registered; no cell can be computed (the
        message has the ``fstore extract`` command).
    DataError
        The study does not bind a part that the report needs.
    """
    found = standing(store, study, name)
    done = bring_up(
        store, study, name, found, on_progress=on_progress, on_wait=on_wait, refresh_id=refresh_id
    )
    if done.error is not None:
        raise done.error
    found = done.found
    if not found.stamps:
        raise UnknownNameError(
            f"report '{name}' of study '{study.name}' has nothing to show: "
            + "; ".join(str(m) for m in found.missing)
        )
    reused = len(found.stamps) - done.computed
    return Shown(with_paper(found.rows, name), done.computed, reused, found.missing)


@dataclass(frozen=True, slots=True)
class Brought:
    """How a report stands after :func:`bring_up`.

    ``computed`` counts the needs that were computed and stored; ``error`` is why not all were.
    """

    found: "Standing"
    computed: int = 0
    error: Exception | None = None


def bring_up(
    store: "Store",
    study: Study,
    name: str,
    found: "Standing",
    *,
    on_progress: OnProgress | None = None,
    on_wait: Callable[[], object] | None = None,
    refresh_id: str = "",
) -> Brought:
    """Compute and store what is stale of a report, and note which cells it now has.

    A cell that fails keeps no other out of the history, and itself stays in it as it was: stale,
    like one that was not refreshed.

    Parameters
    ----------
    store : Store
    study : Study
    name : str
        A registered report.
    found : Standing
        How it stood a moment ago. If that was as it should be, nothing is done.
    on_progress, on_wait, refresh_id
        As :func:`show_report`.

    Returns
    -------
    Brought
        With the error, which is not raised, if computing failed.
    """
    if found.is_noted:
        return Brought(found)
    with alone_at(store, study, name, on_wait):
        found = standing(store, study, name)  # another process may have been at it
        if found.is_noted:
            return Brought(found)
        to_do, error = len(found.stale), None
        if to_do:
            error = _tried(store, study.name, name, found, on_progress)
            found = replace(found, kept=kept_rows(store, study.name, name))
        cells = _standing_cells(found)
        if error is None or cells != found.noted_cells:
            refresh_id = refresh_id or uuid4().hex
            note_refresh(store, study.name, name, cells, refresh_id=refresh_id)
    return Brought(found, to_do - len(found.stale), error)


def _standing_cells(found: "Standing") -> list[str]:
    """Return the fingerprints of a report's cells; of one that failed, that which it had before."""
    past = [(cell, found.kept[cell][0]) for cell in found.noted_cells if cell in found.kept]
    cells = []
    for need, stamp in found.stamps.items():
        if (own := stamp["fingerprint"]) in found.kept:
            cells.append(own)
        else:
            cells += [cell for cell, row in past if is_of(row, need, stamp)][:1]
    return cells


@contextmanager
def alone_at(
    store: "Store", study: Study, name: str, on_wait: Callable[[], object] | None
) -> Iterator[None]:
    """Hold the lock under which a report is computed and its history is written."""
    with store.place.lock(f"{quote(study.name, safe='')}.{name}.lock", on_wait):
        yield


def illustrated(
    store: "Store", study: Study, name: str, rows: Sequence[Row]
) -> list[dict[str, Any]]:
    """Return a report's rows with all that its plot needs, ready to be drawn.

    Parameters
    ----------
    store : Store
    study : Study
    name : str
        A registered report.
    rows : sequence of mapping
        Its rows, as :func:`show_report` gives them.

    Raises
    ------
    DataError
        An image or a file of weights is not there any more.
    """
    add = REPORTS[name].meta["illustrate"]
    return [dict(row) for row in (rows if add is None else add(store, study, rows))]


COMMIT_SECONDS = 5
"""What is computed waits no longer than this to be stored together with what comes next."""


def _tried(
    store: "Store", study: str, name: str, found: Standing, on_progress: OnProgress | None
) -> Exception | None:
    """Compute what is stale; return an error. An interruption passes: the refresh is not over."""
    try:
        _compute(store, study, name, found, on_progress)
    except Exception as error:  # noqa: BLE001 - raised again by who asked
        return error
    return None


def _compute(
    store: "Store", study: str, name: str, found: Standing, on_progress: OnProgress | None
) -> None:
    """Compute what is stale and store it, some needs at a time; an error loses none of them."""
    left, total, first = found.stale, len(found.stale), next_time(store, study)
    rows: dict[Need, list[dict[str, Any]]] = {}
    changed: list[Need] = []
    began = stored = time.perf_counter()
    try:
        for need, cells in REPORTS[name].function(store, list(left)):
            seconds = (time.perf_counter() - began) / max(1, len(cells))
            at, stamp = max(first, datetime.now(UTC)), left.pop(need)
            same = {"study": study, "report": name, **stamp, "computed_at": at, "seconds": seconds}
            rows[need] = [{**same, **asdict(cell)} for cell in cells]
            if on_progress is not None:
                on_progress(name, total - len(left), total, f"{need.row} {need.col}")
            if time.perf_counter() - stored > COMMIT_SECONDS:
                changed += _store_rows(store, name, rows, found.stamps)
                rows, stored = {}, time.perf_counter()
            began = time.perf_counter()
    finally:
        changed += _store_rows(store, name, rows, found.stamps)
    if changed:
        which = ", ".join(f"{need.row} {need.col}".strip() for need in changed[:3])
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise DataError(f"inputs of {which}{more} changed while it was computed; refresh again")
    if left:
        raise RuntimeError(f"report {name} gave no cell for {next(iter(left))}")


def _store_rows(
    store: "Store",
    name: str,
    rows: Mapping[Need, Sequence[Mapping[str, Any]]],
    stamps: Mapping[Need, Mapping[str, str]],
) -> list[Need]:
    """Store what was computed from inputs that are still the same; return the other needs.

    Their values may be of other inputs than their fingerprints say.
    """
    now = Inputs.now(store) if rows else None
    changed = [need for need in rows if now and not _holds(name, need, now, stamps[need])]
    right = [row for need, own in rows.items() if need not in changed for row in own]
    if right:
        store.append("reports", right)
    return changed


def _holds(name: str, need: Need, inputs: Inputs, stamp: Mapping[str, str]) -> bool:
    try:
        return stamps_of(name, [need], inputs)[need] == stamp
    except FstoreError:  # they are gone
        return False
