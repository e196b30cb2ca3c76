"""Compute what is stale of one report, store it as it is done, and keep the history."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

from fstore.errors import DataError, FstoreError
from fstore.queries.cells.inputs import Inputs
from fstore.queries.cells.needs import Need
from fstore.queries.cells.noted import next_time, note_refresh
from fstore.queries.cells.why import is_of
from fstore.queries.refresh.standing import Standing, kept_rows, look, stamps_of
from fstore.queries.refresh.task import Result, Stamps, computed_here
from fstore.queries.studies.study import Study
from fstore.types import OnProgress

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["Computed", "Computing", "bring_up"]

Computing: TypeAlias = Callable[[str, Stamps], Iterator[Result | None]]
"""Called with a report and what of it is stale; yields what these needs give, in any order.

None where nothing came for a while: what came before is stored then.
"""


@dataclass(frozen=True, slots=True)
class Computed:
    """How a report stands after :func:`bring_up`.

    ``computed`` counts the needs that were computed and stored; ``error`` is why not all were.
    """

    standing: Standing
    computed: int = 0
    error: Exception | None = None


def bring_up(
    store: "Store",
    study: Study,
    name: str,
    *,
    refresh_id: str,
    computing: Computing | None = None,
    on_progress: OnProgress | None = None,
    on_wait: Callable[[], object] | None = None,
) -> Computed:
    """Compute and store what is stale of a report, and note which cells it now has.

    What is computed is stored as it is done, so that a run that is stopped goes on from there. A
    cell that fails keeps no other out of the history, and itself stays in it as it was: stale,
    like one that was not refreshed.

    Parameters
    ----------
    store : Store
    study : Study
    name : str
        A registered report.
    refresh_id : str
        Names the refresh that this is part of, in the history.
    computing : callable or None
        What computes; None for this process.
    on_progress : callable or None
    on_wait : callable or None
        Called each second while another process computes this report: that one is waited for.

    Returns
    -------
    Computed
        With the error, which is not raised, if computing failed.
    """
    computing = computing or partial(computed_here, store)
    with _alone_at(store, study, name, on_wait=on_wait):
        at_first = look(Inputs.now(store), study, name)  # another process may have been at it
        if at_first.is_settled:
            return Computed(at_first)
        after, error = at_first, None
        if at_first.stale:
            computed = computing(name, dict(at_first.stale))
            error = _tried(
                store,
                study.name,
                name,
                standing=at_first,
                computed=computed,
                on_progress=on_progress,
            )
            after = replace(at_first, kept=kept_rows(store, study.name, name))
        cells = _standing_cells(after)
        if error is None or cells != after.noted_cells:
            note_refresh(store, study.name, name, cells=cells, refresh_id=refresh_id)
    return Computed(after, len(at_first.stale) - len(after.stale), error)


def _standing_cells(standing: Standing) -> list[str]:
    """Return the fingerprints of a report's cells; of one that failed, that which it had before."""
    past = [
        (cell, standing.kept[cell][0]) for cell in standing.noted_cells if cell in standing.kept
    ]
    cells = []
    for need, stamp in standing.stamps.items():
        if (own := stamp["fingerprint"]) in standing.kept:
            cells.append(own)
        else:
            cells += [cell for cell, row in past if is_of(row, need, stamp)][:1]
    return cells


def _alone_at(
    store: "Store", study: Study, name: str, *, on_wait: Callable[[], object] | None
) -> AbstractContextManager[None]:
    """Return the lock under which a report is computed and its history is written."""
    return store.place.lock(f"{quote(study.name, safe='')}.{name}.lock", on_wait)


COMMIT_SECONDS = 5
"""What is computed waits no longer than this to be stored together with what comes next."""


def _tried(
    store: "Store",
    study: str,
    name: str,
    *,
    standing: Standing,
    computed: Iterator[Result | None],
    on_progress: OnProgress | None,
) -> Exception | None:
    """Store what is computed; return an error. An interruption passes: the refresh is not over."""
    try:
        _store_as_done(
            store, study, name, standing=standing, computed=computed, on_progress=on_progress
        )
    except Exception as error:  # noqa: BLE001 - raised again by who asked
        return error
    return None


def _store_as_done(
    store: "Store",
    study: str,
    name: str,
    *,
    standing: Standing,
    computed: Iterator[Result | None],
    on_progress: OnProgress | None,
) -> None:
    """Store what is computed, some needs at a time; an error loses none of them."""
    left, total, first = standing.stale, len(standing.stale), next_time(store, study)
    rows: dict[Need, list[dict[str, Any]]] = {}
    changed: list[Need] = []
    stored = time.perf_counter()
    try:
        for result in computed:
            if result is not None:
                need, at = result.need, max(first, datetime.now(UTC))
                same = {"study": study, "report": name, **left.pop(need), "computed_at": at}
                rows[need] = _rows(result, same)
                if on_progress is not None:
                    who = f", {result.worker}" if result.worker else ""
                    on_progress(name, total - len(left), total, f"{need.row} {need.col}{who}")
            if rows and time.perf_counter() - stored > COMMIT_SECONDS:
                changed += _store_rows(store, name, rows, stamps=standing.stamps)
                rows, stored = {}, time.perf_counter()
    finally:
        changed += _store_rows(store, name, rows, stamps=standing.stamps)
    if changed:
        which = ", ".join(f"{need.row} {need.col}".strip() for need in changed[:3])
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise DataError(f"inputs of {which}{more} changed while it was computed; refresh again")
    if left:
        raise RuntimeError(f"report {name} gave no cell for {next(iter(left))}")


def _rows(result: Result, same: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of what a need gave, as table ``reports`` has them."""
    seconds = result.seconds / max(1, len(result.cells))
    return [{**same, "seconds": seconds, **asdict(cell)} for cell in result.cells]


def _store_rows(
    store: "Store",
    name: str,
    rows: Mapping[Need, Sequence[Mapping[str, Any]]],
    *,
    stamps: Mapping[Need, Mapping[str, str]],
) -> list[Need]:
    """Store what was computed from inputs that are still the same; return the other needs.

    Their values may be of other inputs than their fingerprints say.
    """
    now = Inputs.now(store) if rows else None
    changed = [need for need in rows if now and not _holds(name, need, now, stamp=stamps[need])]
    right = [row for need, own in rows.items() if need not in changed for row in own]
    if right:
        store.append("reports", right)
    return changed


def _holds(name: str, need: Need, inputs: Inputs, *, stamp: Mapping[str, str]) -> bool:
    try:
        return stamps_of(name, [need], inputs)[need] == stamp
    except FstoreError:  # they are gone
        return False
