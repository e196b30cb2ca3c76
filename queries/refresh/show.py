"""One report shown: its rows, brought up, and all that its plot needs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fstore.errors import UnknownNameError
from fstore.queries.cells.missing import Missing
from fstore.queries.cells.needs import Row
from fstore.queries.refresh.driver import brought
from fstore.queries.reports import report_of
from fstore.queries.studies.study import Study
from fstore.types import OnProgress

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["Shown", "illustrated", "show_report"]


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
    on_wait: Callable[[str], object] | None = None,
) -> Shown:
    """Return a report's rows, computing and storing those whose inputs or code changed.

    Parameters
    ----------
    store : Store
    study : Study
    name : str
        A registered report.
    on_progress : callable or None
    on_wait : callable or None
        As for :func:`fstore.queries.refresh.driver.brought`, of which this is the case of one
        report whose errors are raised.

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
    (done,) = brought(store, study, [name], on_progress=on_progress, on_wait=on_wait)
    if done.raised is not None:
        raise done.raised
    if not done.standing.stamps:
        raise UnknownNameError(
            f"report '{name}' of study '{study.name}' has nothing to show: "
            + "; ".join(str(m) for m in done.missing)
        )
    return Shown(done.rows, done.computed, done.reused, list(done.missing))


def illustrated(
    store: "Store", study: Study, name: str, *, rows: Sequence[Row]
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
    add = report_of(study, name).meta["illustrate"]
    return [dict(row) for row in (rows if add is None else add(store, study, rows))]
