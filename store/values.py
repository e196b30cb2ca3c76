"""Values of a query as Python has them; those that Python has not, as text.

DuckDB knows ``infinity`` and years beyond 9999, Python's dates do not. A few types of DuckDB come
through Arrow as something else (UHUGEINT wraps around), so a column of one is refused.
"""

import re
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from numpy.typing import NDArray

from fstore.errors import QueryError

if TYPE_CHECKING:
    import duckdb

__all__ = ["check_types", "column_array", "plain_rows"]

LOST_IN_ARROW = re.compile(r"\b(UHUGEINT|BIT|BIGNUM|TIMETZ|TIME WITH TIME ZONE)\b")

TOO_FAR = (OverflowError, ValueError, pa.ArrowException)
"""What pyarrow raises for a value that Python has not."""


def check_types(relation: "duckdb.DuckDBPyRelation") -> None:
    """Refuse a column whose values would come out as others.

    Raises
    ------
    QueryError
        Of type UHUGEINT, BIT, BIGNUM or TIME WITH TIME ZONE, or one that holds such a type.
    """
    for name, kind in zip(relation.columns, relation.types, strict=True):
        lost = LOST_IN_ARROW.search(re.sub(r'"[^"]*"', "", str(kind)))
        if lost is not None:
            raise QueryError(
                f"column {name!r} is of type {lost[0]}, which would come out as another value; "
                "cast it, for example to text: ...::VARCHAR"
            )


def plain_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return a batch's rows as dictionaries.

    A date or time that Python has not is text: ``infinity``, ``-infinity``, or ISO 8601 with a year
    of more digits or before 1, such as ``12000-01-01``.
    """
    try:
        return list(batch.to_pylist())
    except TOO_FAR:
        columns = [[_value(scalar) for scalar in column] for column in batch.columns]
        names = batch.schema.names
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def column_array(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return a column as an array, shape (n_rows,).

    Of numbers in lists that have one length, without NULL, the shape is (n_rows, length).
    """
    import pyarrow.compute as pc

    array = column.combine_chunks()
    kind = array.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        values, lengths = array.flatten(), pc.unique(pc.list_value_length(array))
        plain = pa.types.is_floating(values.type) or pa.types.is_integer(values.type)
        if plain and len(lengths) == 1 and not (array.null_count or values.null_count):
            whole: NDArray[Any] = values.to_numpy(zero_copy_only=False)
            return whole.reshape(len(array), -1)
    rows: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return rows


def _value(scalar: Any) -> Any:  # noqa: ANN401 - any of Arrow's
    try:
        return scalar.as_py()
    except TOO_FAR:
        kind = scalar.type
    if pa.types.is_map(kind):
        return [(_value(pair["key"]), _value(pair["value"])) for pair in scalar.values]
    if pa.types.is_struct(kind):
        return {name: _value(scalar[name]) for name in kind.names}
    if pa.types.is_nested(kind):
        return [_value(item) for item in scalar.values]
    return _far(scalar)


def _far(scalar: Any) -> str:  # noqa: ANN401 - a date or a timestamp
    largest = 2**31 - 1 if pa.types.is_date32(scalar.type) else 2**63 - 1
    if abs(scalar.value) == largest:
        return "infinity" if scalar.value > 0 else "-infinity"
    if not pa.types.is_timestamp(scalar.type):
        return str(scalar.cast(pa.string()).as_py())
    local = pa.scalar(scalar.value, pa.timestamp(scalar.type.unit))  # UTC, where it has a zone
    text = str(local.cast(pa.string()).as_py()).replace(" ", "T")
    return f"{text}+00:00" if scalar.type.tz else text
