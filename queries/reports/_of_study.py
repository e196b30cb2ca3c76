"""The reports of a study: the paper's, and those that it states itself.

Whoever lists reports of a study, or looks one up, asks here.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fstore import commands
from fstore.errors import DataError, UnknownNameError
from fstore.queries.cells.needs import Need, Reading
from fstore.queries.cells.registry import REPORTS, Compute
from fstore.queries.reports._own import own_entry
from fstore.queries.reports._own_compute import compute_own
from fstore.queries.studies.study import Study, UnboundError
from fstore.registry import Entry
from fstore.words import worded

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["column_words", "computes", "is_own", "needs_of", "negative_note", "report_of",
           "reports_of", "titled"]  # fmt: skip


def reports_of(study: Study) -> "list[Entry[Compute]]":
    """Return the reports of a study: the paper's, then its own in the order of the file.

    Parameters
    ----------
    study : Study

    Raises
    ------
    DataError
        One of its own has the name of one of the paper's.
    """
    if taken := next((own.name for own in study.report if own.name in REPORTS), None):
        raise DataError(
            f"report '{taken}' of study '{study.name}' has the name of one that comes with fstore; "
            "give it another"
        )
    return [*REPORTS, *(own_entry(own) for own in study.report)]


def report_of(study: Study, name: str) -> "Entry[Compute]":
    """Return a report of a study by its name.

    Raises
    ------
    UnknownNameError
        It has none of this name.
    """
    if name in REPORTS:
        return REPORTS[name]
    own = next((own for own in study.report if own.name == name), None)
    if own is not None:
        return own_entry(own)
    names = ", ".join(sorted(entry.name for entry in reports_of(study)))
    raise UnknownNameError(f"no report {name!r}; there are: {names}")


def is_own(name: str) -> bool:
    """Whether a report is a study's own."""
    return name not in REPORTS


def computes(name: str) -> Compute:
    """Return the function that computes the cells of a report."""
    return REPORTS[name].function if name in REPORTS else compute_own


def needs_of(store: "Store", study: Study, name: str) -> Sequence[Need]:
    """Return the cells of a report and what each of them reads.

    Raises
    ------
    UnboundError
        The study does not bind a part that the report needs; the message says how to.
    UnknownNameError
        No such report; a data set or split is not registered.
    DataError
        A report of the study's own is wrong.
    """
    try:
        needs: Sequence[Need] = report_of(study, name).meta["needs"](store, study)
    except UnboundError as error:
        again = commands.study_set(store.place)
        raise UnboundError(f"{error}; {again} takes the changed file") from error
    return needs


def negative_note(store: "Store", study: Study, name: str) -> str:
    """Say what a report makes of responses below 0; empty if its layers have none.

    Parameters
    ----------
    store : Store
    study : Study
    name : str
        A report of the study.
    """
    from fstore.queries.cells.inputs import partition_of
    from fstore.store.signs import has_negative

    text: str = report_of(study, name).meta["negative"]
    if not text:
        return ""
    readings = [r for need in needs_of(store, study, name) for r in need.readings]
    places = dict.fromkeys(partition_of(r) for r in readings if isinstance(r, Reading))
    layers = dict.fromkeys(place.layer for place in places if has_negative(store, place))
    return f"responses of {', '.join(layers)} are below 0 in part: {text}" if layers else ""


def column_words(name: str) -> Callable[[str], str]:
    """Return how a report's columns are called in a text: ours in words, the store's as they are.

    Parameters
    ----------
    name : str
        A report; one whose columns depend on the study has names of the store, or of its own.
    """
    return worded if name in REPORTS and REPORTS[name].meta["columns"] else str


def titled(name: str, study: Study) -> str:
    """Return a report's title with the data sets that the study binds to it.

    Parameters
    ----------
    name : str
        A report of the study.
    study : Study
    """
    meta = report_of(study, name).meta
    bound = getattr(study, meta["on"]) if meta["on"] else ()
    datasets = " + ".join(dict.fromkeys(b.dataset for b in bound))
    return f"{meta['title']}, {datasets}" if datasets else str(meta["title"])
