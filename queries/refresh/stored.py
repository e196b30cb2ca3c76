"""A report's rows for those who gather several: as stored, or computed, and what is not there."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fstore import commands
from fstore.queries.cells.missing import Missing
from fstore.queries.refresh.compute import show_report
from fstore.queries.refresh.standing import standing, with_paper
from fstore.queries.studies.study import Study, not_current
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
        As :func:`fstore.queries.refresh.compute.show_report`: compute and store what is stale; else
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
    notes = [_stale_note(store, study, name, len(found.stale))] if found.stale else []
    notes += [note] if (note := _note(name, found.missing)) else []
    return AtHand(with_paper(found.rows, name), " ".join(notes))


def _stale_note(store: "Store", study: Study, name: str, n_cells: int) -> str:
    show = commands.report_show(store.path, name, study=not_current(store, study.name))
    return f"{name}: {n_cells} cells are not computed; {show} computes them."


def _note(name: str, missing: list[Missing]) -> str:
    """Say what is lacking in sentences; no command stands before a full stop."""
    return " ".join(f"{name}: no {m.what}: {m.lack}; {m.command} makes it." for m in missing)
