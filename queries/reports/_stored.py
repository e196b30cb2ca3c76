"""A report's rows for those who gather several: as stored, or computed, and what is not there."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fstore.queries.reports._api import REPORTS, ROW_COLUMNS, paper_numbers
from fstore.queries.reports._run import Missing, Standing, show_report, standing
from fstore.queries.study import Study
from fstore.types import OnProgress

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["AtHand", "report_rows"]


@dataclass(frozen=True, slots=True)
class AtHand:
    """A report's rows, with the keys ``ROW_COLUMNS``; ``note`` says what is not among them."""

    rows: list[dict[str, Any]]
    note: str = ""


def report_rows(
    store: "Store",
    study: Study,
    name: str,
    *,
    compute: bool,
    on_progress: OnProgress | None = None,
) -> AtHand:
    """Return a report's rows.

    Parameters
    ----------
    store : Store
    study : Study
    name : str
        A registered report.
    compute : bool
        As :func:`fstore.queries.reports._run.show_report`: compute and store what is stale; else
        only rows that are stored and still right are returned.
    on_progress : callable or None

    Raises
    ------
    UnknownNameError
        No such report; a data set or split is not registered; nothing can be computed, if asked.
    DataError
        The study does not bind a part that the report needs.
    """
    if compute:
        shown = show_report(store, study, name, on_progress=on_progress)
        return AtHand(shown.rows, _note(name, shown.missing))
    found = standing(store, study, name)
    waiting = len(found.stale)
    command = f"fstore report show {name}"
    stale = f"{name}: {waiting} cells are not computed; compute them with: {command}."
    notes = [stale] if waiting else []
    notes += [note] if (note := _note(name, found.missing)) else []
    return AtHand(_stored(found, name), " ".join(notes))


def _stored(found: Standing, name: str) -> list[dict[str, Any]]:
    """Return the rows of the cells that are stored and still right, the paper's beside."""
    paper = REPORTS[name].meta["paper"]
    numbers = paper_numbers(paper) if paper else {}
    return [
        {c: row.get(c) for c in ROW_COLUMNS} | {"paper": numbers.get((row["row"], row["col"]))}
        for stamp in found.stamps.values()
        for row in found.kept.get(stamp["fingerprint"], ())
    ]


def _note(name: str, missing: list[Missing]) -> str:
    return " ".join(f"{name}: {lack}." for lack in missing)
