"""The history of reports: tables as they stood, and what changed between two times."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from fstore.errors import UnknownNameError
from fstore.queries.cells.noted import last_refresh, stored_as_of
from fstore.queries.cells.why import NEW, reasons
from fstore.queries.refresh.standing import with_paper
from fstore.queries.reports import REPORTS, reports_of
from fstore.queries.studies.study import load_study

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["Change", "as_of", "changes", "last_refresh_span"]

GONE = "its inputs are gone, or the study does not ask for it"


@dataclass(frozen=True, slots=True)
class Change:
    """A cell that differs between two times.

    ``change`` is ``changed``, ``appeared`` or ``disappeared``; ``difference`` is new minus old,
    None where one of them is missing; ``why`` says what of its code or inputs changed.
    """

    report: str
    row: str
    col: str
    change: str
    old: float | None
    new: float | None
    difference: float | None
    why: str


def as_of(store: "Store", study: str, name: str, *, time: datetime) -> list[dict[str, Any]]:
    """Return a report's rows as they stood at a time.

    They are those that the last refresh that was over by then left (``report show`` counts as one
    of its report). Cells that were already stale then are among them, and so is a cell that failed,
    as it was before; what a refresh had done that was still under way is not.

    Parameters
    ----------
    store : Store
    study : str
        Its name.
    name : str
        A registered report.
    time : datetime
        With a time zone.

    Returns
    -------
    list of dict
        Keys ``ROW_COLUMNS``.

    Raises
    ------
    UnknownNameError
        No such report, or it was not refreshed by then.
    """
    (report,) = _reports(store, study, [name])
    return with_paper(stored_as_of(store, study, report, time=time), report)


def changes(
    store: "Store", study: str, names: Sequence[str] = (), *, start: datetime, end: datetime
) -> Iterator[Change]:
    """Yield the cells that changed their value, appeared or disappeared between two times.

    Parameters
    ----------
    store : Store
    study : str
        Its name.
    names : sequence of str
        Reports; none for all.
    start, end : datetime
        With time zones. Each means the tables as :func:`as_of` gives them; before its first
        refresh a report has no cells.

    Raises
    ------
    UnknownNameError
        No such report.
    """
    from fstore.store.snapshot import FrozenStore

    frozen = FrozenStore(store.place)
    chosen = _reports(frozen, study, names)
    return (
        change
        for name in chosen
        for change in _changes(
            name, _stood(frozen, study, name, time=start), _stood(frozen, study, name, time=end)
        )
    )


def last_refresh_span(
    store: "Store", study: str, names: Sequence[str] = ()
) -> tuple[datetime, datetime]:
    """Return the times just before and after the last refresh that changed one of some reports.

    Raises
    ------
    UnknownNameError
        No such report; or there was none.
    """
    first, last = last_refresh(store, study, _reports(store, study, names) if names else ())
    return first - timedelta(microseconds=1), last


def _reports(store: "Store", study: str, names: Sequence[str] = ()) -> list[str]:
    """Return reports by their names; none for all: those of the study, and those that it had."""
    from fstore.store.tables import read_columns

    had = read_columns(store.place, "refreshes", ["report"], study=study)["report"].to_pylist()
    known = dict.fromkeys([*(entry.name for entry in REPORTS), *sorted(had)])
    with suppress(UnknownNameError):  # the study was not set, or REPORTS has all that is asked for
        if any(name not in known for name in names):
            known |= dict.fromkeys(e.name for e in reports_of(load_study(store, study)))
    return [n if n in known else REPORTS[n].name for n in dict.fromkeys(names)] or list(known)


def _stood(store: "Store", study: str, name: str, *, time: datetime) -> list[dict[str, Any]]:
    try:
        return stored_as_of(store, study, name, time=time)
    except UnknownNameError:  # not refreshed by then
        return []


def _changes(
    name: str, before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> Iterator[Change]:
    """Yield the differences of two states of a report, in the order of the later one."""
    old, new = ({(row["row"], row["col"]): row for row in rows} for rows in (before, after))
    was, now = ({_need(row): row for row in rows} for rows in (before, after))
    for key in dict.fromkeys((*new, *old)):
        a, b = old.get(key), new.get(key)
        if a is not None and b is not None:
            if not _same(a["value"], b["value"]):
                difference = b["value"] - a["value"]
                why = "; ".join(reasons(a, b))
                yield Change(name, *key, "changed", a["value"], b["value"], difference, why)
        elif b is not None:
            why = _why(was.get(_need(b)), b, NEW)
            yield Change(name, *key, "appeared", None, b["value"], None, why)
        elif a is not None:
            why = _why(a, now.get(_need(a)), GONE)
            yield Change(name, *key, "disappeared", a["value"], None, None, why)


def _need(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return which need a row is of: what it shares with others of one series."""
    cell = json.loads(row["inputs"]).get("cell")
    return tuple(cell) if cell else (row["row"], row["col"])


def _why(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None, otherwise: str) -> str:
    """Say what changed in the need of a cell that is there at one of two times only."""
    if old is None or new is None:
        return otherwise
    return "; ".join(reasons(old, new)) or otherwise


def _same(old: float, new: float) -> bool:
    return old == new or (math.isnan(old) and math.isnan(new))
