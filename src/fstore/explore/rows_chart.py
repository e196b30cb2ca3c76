"""A chart of any rows: which columns go where is asked for, or guessed by their types."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from fstore.explore.rendering import embedded
from fstore.store.values import plain_rows

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["KINDS", "is_number", "rows_chart"]

KINDS = ("table", "bars", "line", "points", "histogram")
"""What rows may be shown as."""


def is_number(kind: pa.DataType) -> bool:
    """Whether a column holds numbers."""
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def rows_chart(table: pa.Table, kind: str, *, x: str, y: str, colour: str) -> "Markup":
    """Return rows as an element that draws them.

    Parameters
    ----------
    table : pa.Table
    kind : str
        One of :data:`KINDS` but ``table``.
    x, y, colour : str
        Columns; what is none of the table's is chosen: the last numbers by the first column.
    """
    import altair as alt

    names = table.schema.names
    numbers = [field.name for field in table.schema if is_number(field.type)]
    x = x if x in names else names[0]
    y = y if y in names else (numbers[-1] if numbers else names[-1])
    used = list(dict.fromkeys(n for n in (x, y, colour) if n in names))
    kept = table.select([names.index(n) for n in used])
    rows = [row for batch in kept.to_batches() for row in plain_rows(batch)]
    values = [{n: _drawn(value) for n, value in row.items()} for row in rows]
    base = alt.Chart(alt.InlineData(values), width="container", height=320)
    said = f"{table.num_rows} rows"
    if kind == "histogram":
        across = alt.X(_field(x), type="quantitative", bin=alt.Bin(maxbins=40), title=x)
        up = alt.Y(aggregate="count", type="quantitative", title="rows")
        return embedded(base.mark_bar().encode(x=across, y=up), f"Histogram of {x}, {said}")
    encoding: dict[str, Any] = {
        "x": alt.X(_field(x), type=_kind(x, numbers), title=x, sort=None),
        "y": alt.Y(_field(y), type=_kind(y, numbers), title=y, sort=None),
        "tooltip": [alt.Tooltip(_field(name), title=name, type="nominal") for name in used],
    }
    if colour in names:
        encoding["color"] = alt.Color(_field(colour), type=_kind(colour, numbers), title=colour)
    marks = {
        "bars": base.mark_bar,
        "line": lambda: base.mark_line(point=True),
        "points": base.mark_point,
    }
    return embedded(marks[kind]().encode(**encoding), f"{y} by {x}, {said}")


def _field(name: str) -> str:
    """Return a column's name as Vega-Lite takes it: dots and brackets are part of it."""
    for sign in ("\\", ".", "[", "]"):
        name = name.replace(sign, "\\" + sign)
    return name


def _kind(name: str, numbers: Sequence[str]) -> Literal["quantitative", "nominal"]:
    return "quantitative" if name in numbers else "nominal"


def _drawn(value: object) -> object:
    return value if isinstance(value, (int, float, str)) or value is None else str(value)
