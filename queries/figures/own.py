"""The chart of a report that a study states itself: columns along x and y, and in colour."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fstore.errors import DataError
from fstore.queries.cells.row_names import row_parts
from fstore.queries.figures.parts import HEIGHT, WIDTH, inline, titled, told
from fstore.queries.figures.plots import Row
from fstore.queries.figures.vega import CATEGORIES
from fstore.queries.studies.own import OwnChart

if TYPE_CHECKING:
    import altair as alt

__all__ = ["own_plot"]

OTHERS = "which"
"""The field of what x leaves open, which colours tell where a chart names no column."""


def own_plot(chart: OwnChart, unit: str) -> Callable[..., "alt.TopLevelMixin"]:
    """Return what draws the rows of a report as its chart says.

    Parameters
    ----------
    chart : OwnChart
    unit : str
        Of the numbers; empty for none.
    """

    def plot(rows: Sequence[Row], *, title: str = "") -> "alt.TopLevelMixin":
        """Draw the rows; a symbol, bar or field is a row of the report's result."""
        points = _points(rows, chart)
        n = f"n = {len(points):,} rows."
        drawn = (
            _heatmap(points, chart, unit)
            if chart.kind == "heatmap"
            else _plane(points, chart, unit)
        )
        return titled(drawn, title, n)  # type: ignore[no-any-return]

    return plot


def _points(rows: Sequence[Row], chart: OwnChart) -> list[dict[str, Any]]:
    """Return a mapping a row of the result: what names it, and its numbers, by column."""
    wide: dict[str, dict[str, Any]] = {}
    for row in rows:
        if "=" in str(row["row"]) or row["col"] != "rows":  # a result without rows is not drawn
            point = wide.setdefault(str(row["row"]), dict(row_parts(str(row["row"]))))
            point[str(row["col"])] = row["value"]
    wanted = [column for column in (chart.x, chart.y, chart.color) if column]
    points = [p for p in wide.values() if all(column in p for column in wanted)]
    if not points:
        there = list(dict.fromkeys(column for point in wide.values() for column in point))
        lacking = next((column for column in wanted if column not in there), wanted[0])
        raise DataError(
            f"chart: the report has no column '{lacking}'; it has: {', '.join(there) or 'no rows'}"
        )
    left = [k for k in points[0] if k not in wanted and isinstance(points[0][k], str)]
    for point in points:
        point[OTHERS] = ", ".join(str(point[key]) for key in left if key in point)
    axes = [chart.x, chart.y] if chart.kind in {"line", "scatter"} else []
    for column in axes:
        if _all_numbers(points, column):
            for point in points:
                point[column] = float(point[column])
    return points


def _all_numbers(points: Sequence[dict[str, Any]], column: str) -> bool:
    try:
        return all(float(point[column]) is not None for point in points)
    except ValueError:
        return False


def _field(column: str, points: Sequence[dict[str, Any]], *, ordinal: bool = False) -> str:
    """Return a column as Vega-Lite names it, with its type."""
    kind = "O" if ordinal or isinstance(points[0][column], str) else "Q"
    escaped = "".join(f"\\{c}" if c in ".[]:\\'\"" else c for c in column)
    return f"{escaped}:{kind}"


def _order(column: str, points: Sequence[dict[str, Any]]) -> list[Any] | None:
    """Return the order of names, as the rows have them; None for numbers."""
    values = list(dict.fromkeys(point[column] for point in points))
    return values if isinstance(values[0], str) else None


def _plane(points: Sequence[dict[str, Any]], chart: OwnChart, unit: str) -> "alt.Chart":
    import altair as alt

    by = chart.color or (OTHERS if len({p[OTHERS] for p in points}) > 1 else "")
    if by:
        points = [{**point, by: str(point[by])} for point in points]
    base = alt.Chart(inline(points)).properties(width=WIDTH, height=HEIGHT)
    marked = {
        "bar": base.mark_bar(),
        "line": base.mark_line(point=True),
        "scatter": base.mark_point(filled=True, size=40),
    }
    ordinal = chart.kind == "bar"
    encoded: dict[str, Any] = {
        "x": alt.X(
            _field(chart.x, points, ordinal=ordinal), title=chart.x, sort=_order(chart.x, points)
        ),
        "y": alt.Y(_field(chart.y, points), title=_with_unit(chart.y, unit)),
        "tooltip": _tooltip(points, [chart.x, chart.y, by]),
    }
    if by:
        of = chart.color or _others_title(points, chart)
        names = list(dict.fromkeys(str(point[by]) for point in points))
        colours = [CATEGORIES[i % len(CATEGORIES)] for i in range(len(names))]
        scale = alt.Scale(domain=names, range=colours)
        encoded["color"] = alt.Color(
            _field(by, points), title=of, scale=scale, legend=alt.Legend(symbolLimit=60)
        )
        if chart.kind == "bar":
            encoded["xOffset"] = alt.XOffset(_field(by, points), sort=names)
    drawn: alt.Chart = marked[chart.kind].encode(**encoded)
    return drawn


def _heatmap(points: Sequence[dict[str, Any]], chart: OwnChart, unit: str) -> "alt.Chart":
    import altair as alt

    of = str(chart.color)
    axes = [
        channel(_field(c, points, ordinal=True), title=c, sort=_order(c, points))
        for channel, c in ((alt.X, chart.x), (alt.Y, chart.y))
    ]
    color = alt.Color(
        _field(of, points), title=_with_unit(of, unit), scale=alt.Scale(scheme="viridis")
    )
    tooltip = _tooltip(points, [chart.x, chart.y, of])
    base = alt.Chart(inline(points)).properties(width=WIDTH, height=HEIGHT)
    drawn: alt.Chart = base.mark_rect().encode(x=axes[0], y=axes[1], color=color, tooltip=tooltip)
    return drawn


def _tooltip(points: Sequence[dict[str, Any]], columns: Sequence[str]) -> "list[alt.Tooltip]":
    return told(*((_field(c, points), c) for c in dict.fromkeys(columns) if c))


def _others_title(points: Sequence[dict[str, Any]], chart: OwnChart) -> str:
    used = {chart.x, chart.y, chart.color, OTHERS}
    return ", ".join(k for k, v in points[0].items() if k not in used and isinstance(v, str))


def _with_unit(column: str, unit: str) -> str:
    return f"{column} ({unit})" if unit and unit != column else column
