"""What the page shows of one report: its cells, how each came about, and what is not there."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from fstore.commands import portable
from fstore.errors import FstoreError, UnknownNameError
from fstore.queries.cells.missing import Missing
from fstore.queries.cells.needs import BESIDE, REPORTS, titled
from fstore.queries.refresh.compute import show_report
from fstore.queries.refresh.refresh import unregistered
from fstore.queries.refresh.standing import Standing, standing, with_paper
from fstore.queries.studies.study import Study, UnboundError
from fstore.types import OnProgress

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["STATES", "Exhibit", "Key", "Provenance", "exhibit", "label", "names"]

STATES = {
    "complete": "complete",
    "incomplete": "some cells missing",
    "stale": "not computed",
    "missing inputs": "inputs missing",
    "left out": "not in this study",
    "failed": "failed",
}
"""States of an exhibit, and what a reader is told."""

Key: TypeAlias = tuple[str, str]
"""Row and column of a cell."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What some cells were computed from, by which code, and when; see table ``reports``."""

    fingerprint: str
    code_version: str
    inputs: dict[str, Any]
    computed_at: datetime


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A table or figure as the page shows it.

    Attributes
    ----------
    name, title, answers : str
        Of the report.
    state : str
        One of :data:`STATES`.
    why : str
        An error, or what the study does not bind.
    rows : list of dict
        As ``report show --json --beside``, and the ``fingerprint`` of each.
    provenance : mapping
        By fingerprint.
    missing : tuple of Missing
        What is lacking, and the commands that make it.
    absent : mapping
        Cells that are to be there and are not, and why: ``no inputs`` or ``not computed``.
    """

    name: str
    title: str
    answers: str
    state: str
    why: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)
    provenance: Mapping[str, Provenance] = field(default_factory=dict)
    missing: tuple[Missing, ...] = ()
    absent: Mapping[Key, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What the paper calls it: ``Table 3``."""
        return label(self.name)

    @property
    def is_figure(self) -> bool:
        """Whether it is drawn rather than read."""
        return "figure" in self.name

    @property
    def main(self) -> list[dict[str, Any]]:
        """Rows without those that stand beside the paper's columns."""
        return [row for row in self.rows if BESIDE not in row["col"]]

    @property
    def computed_at(self) -> datetime | None:
        """When the latest of its cells was computed."""
        return max((p.computed_at for p in self.provenance.values()), default=None)


def names() -> list[str]:
    """Return the reports in the order of the page: tables by number, figures, the supplement's."""
    return sorted((entry.name for entry in REPORTS), key=_place)


def label(name: str) -> str:
    """Return what the paper calls a report; of one that it does not have, its own name.

    Examples
    --------
    >>> label("table10"), label("s_figure2"), label("table7_accuracy"), label("retrieval")
    ('Table 10', 'Supplementary Figure 2', 'Table 7, accuracy', 'Retrieval')
    """
    found = _parts(name)
    if found is None:
        return name.replace("_", " ").capitalize()
    supplement, kind, number, rest = found
    text = f"{'Supplementary ' if supplement else ''}{kind.capitalize()} {number}"
    return text + (f", {rest.replace('_', ' ')}" if rest else "")


def _parts(name: str) -> tuple[str, str, int, str] | None:
    found = re.fullmatch(r"(s_)?(table|figure)(\d+)_?(.*)", name)
    return (found[1] or "", found[2], int(found[3]), found[4]) if found else None


def _place(name: str) -> tuple[object, ...]:
    supplement, kind, number, rest = _parts(name) or ("", "table", 10**6, name)
    return (bool(supplement), kind == "figure", number, rest)


def exhibit(
    store: "Store",
    study: Study,
    name: str,
    *,
    compute: bool,
    on_progress: OnProgress | None = None,
) -> Exhibit:
    """Return a report as the page shows it; an error of the report is its state, never raised.

    Its commands do not name the store: a page is read on other machines.

    Parameters
    ----------
    store : Store
    study : Study
    name : str
        A registered report.
    compute : bool
        Compute and store the cells that are not stored; else show what is.
    on_progress : callable or None
    """
    shown = _exhibit(store, study, name, compute=compute, on_progress=on_progress)
    missing = [replace(m, command=portable(m.command, store.path)) for m in shown.missing]
    return replace(shown, why=portable(shown.why, store.path), missing=tuple(missing))


def _exhibit(
    store: "Store", study: Study, name: str, *, compute: bool, on_progress: OnProgress | None
) -> Exhibit:
    meta = REPORTS[name].meta
    about = (name, titled(name, study), str(meta["answers"]))
    try:
        found = standing(store, study, name)
    except UnboundError as error:
        return Exhibit(*about, state="left out", why=str(error))
    except UnknownNameError as error:
        lacks = (unregistered(store, study, error),)
        return Exhibit(*about, state="missing inputs", why=str(error), missing=lacks)
    except Exception as error:  # noqa: BLE001 - one report must not keep the others from the page
        return Exhibit(*about, state="failed", why=_told(error))
    why = ""
    if compute and found.stale:
        try:
            show_report(store, study, name, on_progress=on_progress)
        except Exception as error:  # noqa: BLE001 - likewise
            why = _told(error)
        found = standing(store, study, name)
    rows, provenance = _stored(found, name)
    state = "failed" if why else _state(found, shown=bool(rows))
    return Exhibit(*about, state, why, rows, provenance, tuple(found.missing), _absent(found))


def _told(error: Exception) -> str:
    """Return an error for readers; one that is a bug with its kind."""
    return str(error) if isinstance(error, FstoreError) else f"{type(error).__name__}: {error}"


def _state(found: Standing, *, shown: bool) -> str:
    if found.missing and not found.stamps:
        return "missing inputs"
    if found.stale and not shown:
        return "stale"
    return "incomplete" if found.missing or found.stale else "complete"


def _absent(found: Standing) -> dict[Key, str]:
    """Return the cells of needs that name one and have no value."""
    stale = found.stale
    return {
        (need.row, need.col): "not computed" if need in stale else "no inputs"
        for need in found.needs
        if need.col and (need in stale or need not in found.stamps)
    }


def _stored(found: Standing, name: str) -> tuple[list[dict[str, Any]], dict[str, Provenance]]:
    """Return the stored rows that are still right, and what they were computed from."""
    shown = zip(found.rows, with_paper(found.rows, name), strict=True)
    rows = [{**row, "fingerprint": stored["fingerprint"]} for stored, row in shown]
    provenance = {
        row["fingerprint"]: Provenance(
            row["fingerprint"], row["code_version"], json.loads(row["inputs"]), row["computed_at"]
        )
        for row in found.rows
    }
    return rows, provenance
