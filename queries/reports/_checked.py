"""Reports of a study's own are looked at before the study is set: names, statements, columns."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fstore.errors import DataError, QueryError
from fstore.queries.cells.own_inputs import OwnInputs, source_of, values_of
from fstore.queries.reports._of_study import needs_of, reports_of
from fstore.queries.reports._own_analysis import TOLD
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
        parameters = [name for name, _ in needs[0].parameters]
        _check_told(own, needs)
        if own.analysis is not None:
            _check_analysis(own, parameters)
            continue
        OwnInputs(store).reads(needs[0])
        if own.python is None:
            _check_columns(own, _planned(store, needs[0]), parameters)
        else:
            source_of(needs[0].own)  # type: ignore[arg-type]


def _check_told(own: OwnReport, needs: "Sequence[Need]") -> None:
    """Refuse a scatter plot in whose colours several values of a parameter cannot be told apart.

    Without ``color``, colours tell all that x leaves open; other kinds draw a panel a value.
    """
    chart = own.chart
    if chart is None or chart.color is None or chart.kind != "scatter":
        return
    for name in dict(needs[0].parameters):
        values = {dict(need.parameters)[name] for need in needs}
        if len(values) > 1 and name not in (chart.x, chart.y, chart.color):
            raise DataError(
                f"report '{own.name}': chart: ${name} has {len(values)} values, and the chart does "
                f'not tell them apart; write color = "{name}", leave color out, or give ${name} '
                "one value"
            )


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


def _check_analysis(own: OwnReport, parameters: Sequence[str]) -> None:
    """Refuse columns that an analysis does not give."""
    from fstore.queries.analyses import ANALYSES

    where, columns = f"report '{own.name}'", ANALYSES[str(own.analysis)].meta["columns"]
    if lacking := [name for name in own.rows if name not in columns]:
        raise DataError(
            f"{where}: rows: there is no column '{lacking[0]}'; there are: {', '.join(columns)}"
        )
    there = list(
        dict.fromkeys([*parameters, *(c for c in columns if c in own.rows or c not in TOLD)])
    )
    _check_drawn(own, there, where)


def _check_gallery(own: OwnReport, there: Sequence[str], where: str) -> None:
    """Refuse a gallery of rows that do not say which sample of which data set they are of."""
    names = own.rows or there
    if "sample_id" not in names:
        raise DataError(f"{where}: chart: a gallery needs a column sample_id, which names its rows")
    if "dataset" not in (*there, *own.options):
        raise DataError(f"{where}: chart: a gallery needs a column dataset, or a parameter")


def _check_drawn(own: OwnReport, there: Sequence[str], where: str) -> None:
    """Refuse a chart of columns that are not there."""
    if own.chart is None:
        return
    if own.chart.kind == "gallery":
        _check_gallery(own, there, where)
    for column in filter(None, (own.chart.x, own.chart.y, own.chart.color)):
        if column not in there:
            raise DataError(
                f"{where}: chart: there is no column '{column}'; there are: {', '.join(there)}"
            )


def _check_columns(own: OwnReport, table: "pa.Table", parameters: Sequence[str]) -> None:
    where = f"report '{own.name}'"
    keys = key_columns(table, own.rows, where)
    _check_drawn(own, list(dict.fromkeys([*parameters, *keys, *table.column_names])), where)
    if own.chart is None:
        return
    number = own.chart.color if own.chart.kind == "heatmap" else own.chart.y
    if number is None or number in {*keys, *parameters}:
        wanted = "color" if own.chart.kind == "heatmap" else "y"
        raise DataError(f"{where}: chart: {wanted} must be a column of numbers, not a row's name")
