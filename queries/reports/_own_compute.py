"""The cells of a report that a study states itself: run, checked against what is expected, named.

Another version of this module makes the cells of all such reports stale.
"""

import math
from collections.abc import Iterator, Sequence
from decimal import Decimal
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fstore.errors import DataError, FstoreError
from fstore.queries.cells.needs import Cell, Need, Own
from fstore.queries.cells.own_inputs import source_of, values_of
from fstore.queries.cells.row_names import row_name

if TYPE_CHECKING:
    import pyarrow as pa

    from fstore.store import Store
    from fstore.store.reads import StatementReader
    from fstore.store.result import Result

__all__ = ["MOST_CELLS", "compute_own", "key_columns"]

MOST_CELLS = 10_000
"""A report is read by people; a cell of it that gives more numbers is refused."""

IDENTITIES = ("channel", "sample_id", "seed")
"""Whole numbers of the store that name a row, like texts."""

EMPTY = "rows"
"""The column of the one cell that is stored of a result without rows: 0."""


def compute_own(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield the numbers of a result, a cell each; what fails keeps no other from being computed."""
    from fstore.store.reads import StatementReader

    failed, reader = list[FstoreError](), StatementReader(store.place)
    for need in needs:
        try:
            cells = _cells_of(store, need, reader)
        except FstoreError as error:
            failed.append(error)
        else:
            yield need, cells
    if failed:
        raise DataError("; ".join(map(str, failed)))


def _cells_of(store: "Store", need: Need, reader: "StatementReader") -> list[Cell]:
    own = need.own
    assert own is not None  # noqa: S101 - no other need comes here
    where = f"cell '{need.row}' of report '{own.report}'"
    try:
        table = _called(store, need, reader) if own.python else _asked(store, need, reader)
    except FstoreError as error:
        raise DataError(f"{where}: {error}") from error
    check_expected(table, own.expect, where)
    return _cells(table, need, own.rows, where=where)


def _asked(store: "Store", need: Need, reader: "StatementReader") -> "pa.Table":
    """Return the result of a statement."""
    assert need.own is not None  # noqa: S101 - of an own report
    text, values = reader.numbered(need.own.statement, values_of(need))
    return store.sql(text, values).arrow()


# A function of the user's own


class Given:
    """The store as a function of the user's own has it: it reads what the report's needs name.

    Parameters
    ----------
    store : Store
    need : Need
    reader : StatementReader
    """

    def __init__(self, store: "Store", need: Need, reader: "StatementReader") -> None:
        self._store = store
        self._reader = reader
        assert need.own is not None  # noqa: S101 - of an own report
        self._may = [reader.reads(each, values_of(need)) for each in need.own.needs]

    def sql(self, statement: str, **values: str | int) -> "Result":
        """Run one statement that only reads; ``$layer`` in it is the value given as ``layer``.

        Parameters
        ----------
        statement : str
        **values : str or int

        Raises
        ------
        DataError
            It reads what the report's ``needs`` do not name.
        QueryError
            It does not only read, or does not run.
        """
        if lacking := [n for n in self._reader.parameters(statement) if n not in values]:
            raise DataError(f"${lacking[0]} has no value; call sql(..., {lacking[0]}=VALUE)")
        reads = self._reader.reads(statement, values)
        tables = reads.tables.difference(*(may.tables for may in self._may))
        partitions = reads.partitions.difference(*(may.partitions for may in self._may))
        strange = sorted([*tables, *map(str, partitions)])
        if strange:
            raise DataError(
                f"the function reads {strange[0]}, which its needs do not name; add it to needs in "
                "the study file, or narrow the statement's WHERE"
            )
        text, numbered = self._reader.numbered(statement, values)
        return self._store.sql(text, numbered)


def _called(store: "Store", need: Need, reader: "StatementReader") -> "pa.Table":
    """Return what a function gives; its code runs only if the user agreed to that."""
    from fstore.trust import check_consent

    own = need.own
    assert own is not None  # noqa: S101 - of an own report
    check_consent(store.trusted, own.python)
    file, _, name = own.python.rpartition(":")
    module = ModuleType("own_report")
    module.__file__ = file
    try:
        exec(compile(source_of(own), file, "exec"), module.__dict__)  # noqa: S102 - agreed to
        function = getattr(module, name, None)
        given = (
            function(Given(store, need, reader), **values_of(need)) if callable(function) else None
        )
    except FstoreError:
        raise
    except Exception as error:
        raise DataError(f"{own.python} failed: {type(error).__name__}: {error}") from error
    if not callable(function):
        raise DataError(f"{file} has no function '{name}'")
    return _as_table(given, own)


def _as_table(given: object, own: Own) -> "pa.Table":
    import pyarrow as pa

    for method in ("arrow", "to_arrow"):  # a result of SQL, a frame of Polars
        if hasattr(given, method):
            given = getattr(given, method)()
    if isinstance(given, pa.Table):
        return given
    if isinstance(given, list) and all(isinstance(row, dict) for row in given):
        return pa.Table.from_pylist(given)
    raise DataError(
        f"{own.python} returned {type(given).__name__}; expected a list of dictionaries, a frame "
        "of Polars, or an Arrow table"
    )


# What is expected


def check_expected(table: "pa.Table", expect: Sequence[str], where: str) -> None:
    """Refuse a result of which a row does not meet a condition.

    Parameters
    ----------
    table : pa.Table
    expect : sequence of str
        Conditions in SQL on the columns of the result; ``rows`` is the number of its rows. One that
        is NULL is not met.
    where : str
        The cell, for messages.

    Raises
    ------
    DataError
        Says which condition, of how many rows, and shows one of them.
    """
    for condition in expect:
        broken = _broken(table, condition, where)
        if broken:
            shown = ", ".join(f"{k} = {_short(v)}" for k, v in broken[0].items() if k != EMPTY)
            which = f"{len(broken)} of {table.num_rows} rows do not" if shown else "it has no rows"
            raise DataError(
                f"{where}: expected {condition}; {which}" + (f": {shown}" * bool(shown))
            )


def _broken(table: "pa.Table", condition: str, where: str) -> list[dict[str, Any]]:
    """Return the rows that do not meet a condition; of a result without rows, one of NULL."""
    import duckdb
    import pyarrow as pa

    n = table.num_rows
    met = f"coalesce(({condition}), {'false' if n else 'true'})"
    if not n:  # a condition on rows alone is told all the same
        table = pa.table({f.name: pa.nulls(1, f.type) for f in table.schema})
    table = table.append_column(EMPTY, pa.array([n] * table.num_rows, pa.int64()))
    config: Any = {"enable_external_access": False, "python_enable_replacements": False}
    with duckdb.connect(config=config) as duck:
        try:
            rows = duck.from_arrow(table).filter(f"NOT {met}").to_arrow_table().to_pylist()
        except duckdb.Error as error:
            raise DataError(f'{where}: expect = "{condition}": {error}') from error
    return rows if n else [{EMPTY: 0}] * len(rows)


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


# Cells


def _cells(table: "pa.Table", need: Need, rows: Sequence[str], *, where: str) -> list[Cell]:
    """Return the numbers of a result, named by the parameters and by the columns that say which."""
    if not table.num_rows:
        return [Cell(need.row, EMPTY, 0.0, n=0)]
    parameters = values_of(need)
    keys = key_columns(table, rows, where)
    own_keys = [key for key in keys if key not in parameters]
    values = [name for name in table.column_names if name not in keys and name not in parameters]
    if not values:
        raise DataError(f"{where}: the result has no column of numbers, which a report is made of")
    if (n := table.num_rows * len(values)) > MOST_CELLS:
        raise DataError(
            f"{where}: the result has {n:,} numbers; a report keeps at most {MOST_CELLS:,}: "
            "aggregate, or add LIMIT"
        )
    cells, seen = list[Cell](), set[str]()
    for row in table.to_pylist():
        name = row_name({**parameters, **{key: row[key] for key in own_keys}}) or need.row
        if name in seen:
            raise DataError(
                f"{where}: two rows are called '{name}'; say which columns tell rows apart: "
                'rows = ["COLUMN"]'
            )
        seen.add(name)
        cells += [Cell(name, col, _number(row[col], col, where)) for col in values]
    return cells


def key_columns(table: "pa.Table", rows: Sequence[str], where: str) -> list[str]:
    """Return the columns that name a row: those that are given; else texts, and the store's own.

    Parameters
    ----------
    table : pa.Table
    rows : sequence of str
    where : str
        For messages.

    Raises
    ------
    DataError
        There is no such column, or one is there twice.
    """
    import pyarrow as pa

    if lacking := [name for name in rows if name not in table.column_names]:
        there = ", ".join(table.column_names)
        raise DataError(f"{where}: rows: there is no column '{lacking[0]}'; there are: {there}")
    if rows:
        return list(rows)
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return [
        f.name
        for f in table.schema
        if f.name in IDENTITIES or any(is_text(f.type) for is_text in texts)
    ]


def _number(value: object, col: str, where: str) -> float:
    """Return a value as a number; NULL is none."""
    if value is None:
        return math.nan
    if isinstance(value, int | float | Decimal):
        return float(value)
    raise DataError(
        f"{where}: column '{col}' has {str(value)[:40]!r}, which is no number; leave it out, or "
        f'name it among the columns that tell rows apart: rows = ["{col}"]'
    )
