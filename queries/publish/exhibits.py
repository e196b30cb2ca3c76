"""What the page shows of one report: its cells, how each came about, and what is not there."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from fstore.commands import portable
from fstore.queries.cells.missing import Missing
from fstore.queries.cells.needs import BESIDE
from fstore.queries.refresh.driver import Brought
from fstore.queries.refresh.standing import Standing, State, told, with_paper
from fstore.queries.reports import REPORTS, report_of, titled
from fstore.queries.studies.naming import label, name_parts
from fstore.queries.studies.study import Study

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["STATES", "Exhibit", "Key", "Provenance", "exhibit", "label", "names"]

COMPLETE, INCOMPLETE = "complete", "incomplete"
"""What a page says of a report that has all its cells, or some of them."""

STATES = {
    COMPLETE: "complete",
    INCOMPLETE: "some cells missing",
    State.STALE: "not computed",
    State.MISSING: "inputs missing",
    State.LEFT_OUT: "not in this study",
    State.FAILED: "failed",
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


def names(study: Study | None = None) -> list[str]:
    """Return the reports in the order of the page.

    Those of the study's own come first, then tables by number, figures, the supplement's.
    """
    own = () if study is None else study.report
    return [*(each.name for each in own), *sorted((e.name for e in REPORTS), key=_place)]


def _place(name: str) -> tuple[object, ...]:
    supplement, kind, number, rest = name_parts(name) or ("", "table", 10**6, name)
    return (bool(supplement), kind == "figure", number, rest)


def exhibit(store: "Store", study: Study, done: Brought) -> Exhibit:
    """Return a report as the page shows it; an error of the report is its state, never raised.

    Its commands do not name the store: a page is read on other machines.

    Parameters
    ----------
    store : Store
    study : Study
    done : Brought
        The report, brought up or looked at.
    """
    standing, name = done.standing, done.report
    rows, provenance = _stored(standing, name)
    return Exhibit(
        name,
        titled(name, study),
        str(report_of(study, name).meta["answers"]),
        _state(done, shown=bool(rows)),
        portable(told(done.raised), store.place),
        rows,
        provenance,
        tuple(replace(m, command=portable(m.command, store.place)) for m in done.missing),
        {} if standing.error is not None else _absent(standing),
    )


def _state(done: Brought, *, shown: bool) -> str:
    """Return one of :data:`STATES`; a report that has rows, but not all, is incomplete."""
    standing = done.standing
    if done.raised is not None:
        return done.state
    if standing.missing and not standing.stamps:
        return State.MISSING
    if standing.stale and not shown:
        return State.STALE
    return INCOMPLETE if standing.missing or standing.stale else COMPLETE


def _absent(standing: Standing) -> dict[Key, str]:
    """Return the cells of needs that name one and have no value."""
    stale = standing.stale
    return {
        (need.row, need.col): "not computed" if need in stale else "no inputs"
        for need in standing.needs
        if need.col and (need in stale or need not in standing.stamps)
    }


def _stored(standing: Standing, name: str) -> tuple[list[dict[str, Any]], dict[str, Provenance]]:
    """Return the stored rows that are still right, and what they were computed from."""
    shown = zip(standing.rows, with_paper(standing.rows, name), strict=True)
    rows = [{**row, "fingerprint": stored["fingerprint"]} for stored, row in shown]
    provenance = {
        row["fingerprint"]: Provenance(
            row["fingerprint"], row["code_version"], json.loads(row["inputs"]), row["computed_at"]
        )
        for row in standing.rows
    }
    return rows, provenance
