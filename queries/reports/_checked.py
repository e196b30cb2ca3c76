"""Reports of a study's own are looked at before the study is set: names, statements, columns."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fstore.errors import DataError, QueryError
from fstore.queries.cells.own_inputs import OwnInputs, source_of, values_of
from fstore.queries.reports._of_study import needs_of, reports_of
from fstore.queries.reports._own_compute import key_columns
from fstore.queries.studies.own import OwnReport
from fstore.queries.studies.study import Study

if TYPE_CHECKING:
    import pyarrow as pa

    from fstore.queries.cells.needs import Need
    from fstore.store import Store

__all__ = ["check_own_reports"]


def check_own_reports(store: "Store", study: Study) -> None:
    """Refuse a study with a report that cannot be computed, as far as that can be told now.

    Nothing is computed: statements are planned, with the first value of each parameter.

    Parameters
    ----------
    store : Store
    study : Study

    Raises
    ------
    DataError
        Says which report, and what is wrong with it.
    """
    reports_of(study)
    for own in study.report:
        needs = needs_of(store, study, own.name)
        if not needs:
            raise DataError(f"report '{own.name}': one of its parameters has no value")
        OwnInputs(store).reads(needs[0])
        if own.python is None:
            _check_columns(
                own, _planned(store, needs[0]), [name for name, _ in needs[0].parameters]
            )
        else:
            source_of(needs[0].own)  # type: ignore[arg-type]


def _planned(store: "Store", need: "Need") -> "pa.Table":
    """Return the result of a statement without its rows."""
    from fstore.store.reads import StatementReader

    own = need.own
    assert own is not None  # noqa: S101 - of an own report
    text, values = StatementReader(store.place).numbered(own.statement, values_of(need))
    bare = text.strip().rstrip(";")
    try:
        return store.sql(f"SELECT * FROM (\n{bare}\n) LIMIT 0", values).arrow()
    except QueryError as error:
        raise DataError(f"report '{own.report}': {error}") from error


def _check_columns(own: OwnReport, table: "pa.Table", parameters: Sequence[str]) -> None:
    where = f"report '{own.name}'"
    keys = key_columns(table, own.rows, where)
    there = list(dict.fromkeys([*parameters, *keys, *table.column_names]))
    if own.chart is None:
        return
    for column in filter(None, (own.chart.x, own.chart.y, own.chart.color)):
        if column not in there:
            raise DataError(
                f"{where}: chart: there is no column '{column}'; there are: {', '.join(there)}"
            )
    number = own.chart.color if own.chart.kind == "heatmap" else own.chart.y
    if number is None or number in {*keys, *parameters}:
        wanted = "color" if own.chart.kind == "heatmap" else "y"
        raise DataError(f"{where}: chart: {wanted} must be a column of numbers, not a row's name")
