"""Which cells a report had, and when: table ``refreshes``, and tables as they stood."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from fstore import commands
from fstore.errors import UnknownNameError
from fstore.queries.studies.study import not_current

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["last_noted", "last_refresh", "next_time", "note_refresh", "stored_as_of"]


def next_time(store: "Store", study: str) -> datetime:
    """Return the time, but later than any that is stored of a study, whatever the clock says.

    Where the clock went back that is a microsecond after the latest.
    """
    from fstore.store.tables import read_columns

    moments = [datetime.now(UTC)]
    for table, column in (("reports", "computed_at"), ("refreshes", "finished_at")):
        times = read_columns(store.place, table, [column], study=study)[column].to_pylist()
        moments += [time + timedelta(microseconds=1) for time in times]
    return max(moments)


def last_noted(store: "Store", study: str) -> dict[str, dict[str, Any]]:
    """Return the last row of table ``refreshes`` of each report of a study."""
    rows = store.rows("refreshes", study=study).to_pylist()
    return {row["report"]: row for row in sorted(rows, key=lambda row: row["finished_at"])}


def note_refresh(
    store: "Store",
    study: str,
    name: str,
    *,
    cells: Sequence[str],
    refresh_id: str,
    at: datetime | None = None,
) -> None:
    """Write down which cells (their fingerprints) a report has from a time on, or from now."""
    row = {"refresh_id": refresh_id, "study": study, "report": name}
    at = at or next_time(store, study)
    store.append("refreshes", [{**row, "finished_at": at, "fingerprints": list(cells)}])


def stored_as_of(store: "Store", study: str, name: str, *, time: datetime) -> list[dict[str, Any]]:
    """Return a report's rows of table ``reports`` as they stood at a time.

    That is what the last refresh that was over by then left: neither cells of one that was still
    under way, nor what might have been stale already. A cell that was reused counts, whenever it
    was computed.

    Parameters
    ----------
    store : Store
    study, name : str
        The report's.
    time : datetime
        With a time zone.

    Raises
    ------
    UnknownNameError
        The report was not refreshed before that.
    """
    rows = store.rows("refreshes", study=study, report=name).to_pylist()
    noted = sorted(rows, key=lambda row: row["finished_at"])
    before = [row for row in noted if row["finished_at"] <= time]
    if not before:
        first = noted[0]["finished_at"].isoformat(timespec="seconds") if noted else ""
        of_study = not_current(store, study)
        again = commands.report_refresh(store.place, name, study=of_study)
        more = f"; the first time was {first}" if first else f": {again}"
        raise UnknownNameError(
            f"report '{name}' of study '{study}' was not refreshed before "
            f"{time.isoformat(timespec='seconds')}{more}"
        )
    return _rows_of(store, study, name, noted=before[-1])


def _rows_of(
    store: "Store", study: str, name: str, *, noted: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the rows that a refresh left; of a cell computed twice, the later ones till then."""
    rows: dict[str, dict[datetime, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in store.rows("reports", study=study, report=name).to_pylist():
        if row["computed_at"] <= noted["finished_at"]:
            rows[row["fingerprint"]][row["computed_at"]].append(row)
    times = [rows[fingerprint] for fingerprint in noted["fingerprints"]]
    return [row for own in times if own for row in own[max(own)]]


def last_refresh(
    store: "Store", study: str, names: Sequence[str] = ()
) -> tuple[datetime, datetime]:
    """Return when the last refresh that changed something noted its first report and its last.

    Raises
    ------
    UnknownNameError
        There was none.
    """
    rows = store.rows("refreshes", study=study).to_pylist()
    noted = [row for row in rows if not names or row["report"] in names]
    if not noted:
        make = commands.report_refresh(store.place, study=not_current(store, study))
        raise UnknownNameError(f"no refresh of study '{study}' is on record; make one with: {make}")
    last = max(noted, key=lambda row: row["finished_at"])
    times = [r["finished_at"] for r in noted if r["refresh_id"] == last["refresh_id"]]
    return min(times), max(times)
