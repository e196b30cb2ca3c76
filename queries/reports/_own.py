"""A report that a study states itself, as an entry like those of the paper's reports."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from fstore import commands
from fstore.errors import DataError, QueryError
from fstore.queries.cells.needs import Need, Own
from fstore.queries.cells.row_names import row_name
from fstore.queries.figures.own import own_plot
from fstore.queries.reports._own_compute import compute_own
from fstore.queries.reports._own_values import values_of
from fstore.queries.studies.own import OwnReport
from fstore.queries.studies.study import Study
from fstore.registry import Entry

if TYPE_CHECKING:
    from fstore.queries.cells.registry import Compute
    from fstore.store import Store

__all__ = ["own_entry"]

ALL = "all"
"""What the one cell of a report without parameters is called."""


def own_entry(own: OwnReport) -> "Entry[Compute]":
    """Return a study's own report as an entry, with the keys that ``report`` gives to others.

    Parameters
    ----------
    own : OwnReport
    """
    unit = f" ({own.unit})" if own.unit else ""
    meta: dict[str, Any] = {
        "title": own.title + unit,
        "answers": own.answers,
        "paper": None,
        "columns": (),
        "plot": None if own.chart is None else own_plot(own.chart, own.unit),
        "chart": None,
        "illustrate": None,
        "on": "",
        "paper_row": str,
        "negative": "",
        "together": False,
        "needs": lambda store, study: _needs(store, study, own),
        "method": _method(own),
    }
    return Entry(own.name, compute_own, meta)


def _method(own: OwnReport) -> str:
    """Say how a report is computed: by its statement, or by which function."""
    how = f"``{own.python}``" if own.python else f"``{' '.join((own.sql or '').split())}``"
    checks = "".join(f"\n\nEach row meets ``{each}``." for each in own.expect)
    return f"The study's own report, computed by {how}{checks}"


def _needs(store: "Store", study: Study, own: OwnReport) -> Sequence[Need]:
    """Return a cell for each combination of the values of the parameters."""
    if own.sql_file is not None:
        raise DataError(
            f"report '{own.name}': the text of {own.sql_file} is not in the study; set it with: "
            f"{commands.study_set(store.place)}"
        )
    lists = {name: values_of(study, own, name) for name in _parameters(store, own)}
    spec = Own(own.name, own.sql or "", own.python or "", own.needs, own.rows, own.expect)
    return [
        _need(dict(zip(lists, values, strict=True)), spec) for values in product(*lists.values())
    ]


def _need(values: Mapping[str, str | int], spec: Own) -> Need:
    return Need(row_name(values) or ALL, "", parameters=tuple(values.items()), own=spec)


def _parameters(store: "Store", own: OwnReport) -> list[str]:
    """Return the names of a report's parameters: those that the file gives, then the others."""
    from fstore.store.reads import StatementReader

    reader = StatementReader(store.place)
    try:
        named = [name for text in own.statements for name in reader.parameters(text)]
    except QueryError as error:
        raise DataError(f"report '{own.name}': {error}") from error
    unused = [name for name in own.params if name not in named]
    if unused and not own.python:
        there = ", ".join(f"${name}" for name in dict.fromkeys(named)) or "none"
        raise DataError(
            f"report '{own.name}': params: the statement has no ${unused[0]}; it has: {there}"
        )
    return list(dict.fromkeys([*own.params, *named]))
