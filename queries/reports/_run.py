"""Compute a report's cells for a study, keep them, and reuse those that are still right."""

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

from fstore.errors import DataError, FstoreError, UnknownNameError
from fstore.queries.reports._api import REPORTS, Need, Row, paper_numbers
from fstore.queries.reports._code import code_version
from fstore.queries.reports._history import last_noted, next_time, note_refresh
from fstore.queries.reports._inputs import Inputs
from fstore.queries.reports._missing import Missing, what_is_missing
from fstore.queries.reports._why import is_of
from fstore.queries.study import Study
from fstore.types import OnProgress

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = [
    "Brought",
    "Shown",
    "Standing",
    "alone_at",
    "bring_up",
    "illustrated",
    "show_report",
    "standing",
    "with_paper",
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
            found = replace(found, kept=_kept(store, study.name, name))
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
    from fstore.store.locks import alone

    with alone(store.path / "locks" / f"{quote(study.name, safe='')}.{name}.lock", on_wait):
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


@dataclass(frozen=True, slots=True)
class Standing:
    """What of a report can be computed, what of it is stored, and what it lacks.

    ``needs`` are all cells, or series of cells; ``stamps`` has those whose activations are there,
    ``kept`` the stored rows by fingerprint, ``noted`` the last row of table ``refreshes`` on the
    report.
    """

    needs: Sequence[Need]
    stamps: dict[Need, dict[str, str]]
    kept: dict[str, list[dict[str, Any]]]
    missing: list[Missing]
    noted: dict[str, Any] | None

    @property
    def stale(self) -> dict[Need, dict[str, str]]:
        """The needs that :func:`show_report` would compute."""
        return {
            n: stamp for n, stamp in self.stamps.items() if stamp["fingerprint"] not in self.kept
        }

    @property
    def cells(self) -> list[str]:
        """The fingerprints of all that can be computed, in order."""
        return [stamp["fingerprint"] for stamp in self.stamps.values()]

    @property
    def noted_cells(self) -> list[str]:
        """The fingerprints of the cells that the history has last, in order."""
        return [] if self.noted is None else list(self.noted["fingerprints"])

    @property
    def is_noted(self) -> bool:
        """Whether nothing is stale, and the history says so."""
        return not self.stale and self.cells == self.noted_cells

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The stored rows of cells that are not stale, in order."""
        return [row for cell in self.cells for row in self.kept.get(cell, ())]


def standing(store: "Store", study: Study, name: str, *, inputs: Inputs | None = None) -> Standing:
    """Return how a report stands, without computing anything.

    Parameters
    ----------
    store : Store
    study : Study
    name : str
        A registered report.
    inputs : Inputs or None
        Of a store at one moment, to look at several reports; None for the present one.

    Raises
    ------
    UnknownNameError
        No such report; a data set or split is not registered.
    DataError
        The study does not bind a part that the report needs.
    """
    inputs = inputs or Inputs.now(store)
    frozen = inputs.store
    needs: Sequence[Need] = REPORTS[name].meta["needs"](frozen, study)
    lacks = {need: inputs.lacks(need) for need in needs}
    ready = [need for need in needs if not lacks[need]]
    return Standing(
        needs=needs,
        stamps=_stamps(name, ready, inputs),
        kept=_kept(frozen, study.name, name),
        missing=what_is_missing(frozen, study, lacks),
        noted=last_noted(frozen, study.name).get(name),
    )


def _stamps(name: str, needs: Sequence[Need], inputs: Inputs) -> dict[Need, dict[str, str]]:
    """Return, for each cell, the columns that say what it is computed from."""
    code = code_version(REPORTS[name].function.__module__)
    stamps = {}
    for need in needs:
        cell = {"cell": [need.row, need.col]}
        read = json.dumps(inputs.described(need) | cell, sort_keys=True)
        fingerprint = hashlib.sha256(json.dumps([name, read, code]).encode()).hexdigest()
        stamps[need] = {"fingerprint": fingerprint, "code_version": code, "inputs": read}
    return stamps


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
        return _stamps(name, [need], inputs)[need] == stamp
    except FstoreError:  # they are gone
        return False


def _kept(store: "Store", study: str, name: str) -> dict[str, list[dict[str, Any]]]:
    """Return the stored rows by fingerprint; of one computed twice, the later."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in store.rows("reports", study=study, report=name).to_pylist():
        found[row["fingerprint"]].append(row)
    for fingerprint, rows in found.items():
        latest = max(row["computed_at"] for row in rows)
        found[fingerprint] = [row for row in rows if row["computed_at"] == latest]
    return found


def with_paper(rows: Sequence[Mapping[str, Any]], name: str) -> list[dict[str, Any]]:
    """Return stored rows of a report as it shows them, the paper's numbers beside them."""
    paper, paper_row = (REPORTS[name].meta[key] for key in ("paper", "paper_row"))
    numbers = paper_numbers(paper) if paper else {}
    columns = ("study", "report", "row", "col", "value", "std", "n")
    return [
        {**{c: row[c] for c in columns}, "paper": numbers.get((paper_row(row["row"]), row["col"]))}
        for row in rows
    ]
