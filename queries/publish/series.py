"""Interactive charts: what ``page.js`` hands to Plotly, made from a report's rows and its look.

A chart is a dict that JSON knows: ``traces`` and ``layout`` as Plotly's, but for colours, which
stand in ``light`` and ``dark`` beside each trace, and ``facets``, by which traces are shown and
hidden.
"""

from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from typing import Any

from fstore.queries.cells.needs import BESIDE
from fstore.queries.publish.chart import (
    INK,
    Chart,
    Roles,
    Rows,
    Trace,
    by_symbol,
    facet_list,
    plain,
    split,
    styled,
)
from fstore.queries.publish.looks import Look

__all__ = [
    "chart_of",
]


OURS, PAPER = "this study", "the paper"


def chart_of(rows: Rows, look: Look, roles: Roles, *, title: str) -> Chart | None:
    """Return the chart of a report's rows; None if there is nothing to draw.

    Parameters
    ----------
    rows : sequence of mapping
        Of the report, with what stands beside.
    look : Look
    roles : mapping
        Checkpoint by role.
    title : str
        For the description.
    """
    from fstore.queries.publish import own_charts

    own: dict[str, Callable[[Rows, Look, Roles], Chart | None]] = {
        "filters": own_charts.filters,
        "precision": own_charts.precision,
        "matrix": own_charts.matrix,
        "maps": own_charts.maps,
    }
    if not rows:
        return None
    drawn = own.get(look.kind, series)(rows, look, roles)
    return drawn and Chart(drawn.traces, drawn.layout, f"{title}. {drawn.alt}", drawn.facets)


def series(rows: Rows, look: Look, roles: Roles) -> Chart:
    """Draw a series a row, or a series a column, over the other."""
    rows = [row for row in rows if BESIDE not in row["col"]]
    other = "col" if look.series == "row" else "row"
    drawn = {name: [r for r in rows if r[look.series] == name] for name in _of(rows, look.series)}
    labels = {name: split(name, look, roles) for name in drawn}
    styles = styled(labels.values(), look)
    traces: list[Trace] = []
    both = any(row["paper"] is not None for row in rows)
    for i, (name, mine) in enumerate(drawn.items()):
        facets, style = labels[name], styles[tuple(labels[name].values())]
        with_source = facets | ({"Numbers": OURS} if both else {})
        traces.append(
            _ours(mine, other, look, facets=facets, style=style, group=str(i))
            | {"facets": with_source}
        )
        if any(row["paper"] is not None for row in mine):
            traces.append(_papers(mine, other, look, facets=facets, style=style, group=str(i)))
    facets_of = facet_list(labels.values(), styles, look)
    if both:
        marks = [{"value": OURS, "mark": ""}, {"value": PAPER, "mark": "◇"}]
        facets_of.append({"name": "Numbers", "values": marks, "choose": False})
    layout: dict[str, Any] = {"xaxis": _x_axis(rows, other, look), "yaxis": _y_axis(look)}
    if look.kind == "bars":
        gap = max(0.25, 1 - 0.12 * len(rows))  # a few bars are no wider than many
        layout |= {"barmode": "group", "scattermode": "group", "bargap": gap, "scattergap": gap}
    return Chart(traces, layout, _described(rows, look, list(labels.values())), facets_of)


def _described(rows: Rows, look: Look, labels: Sequence[Mapping[str, str]]) -> str:
    """Return what is drawn in words: quantity, range, and the first series."""
    values = [row["value"] for row in rows]
    first = ", ".join(" ".join(facets.values()) for facets in labels[:8])
    return (
        f"{len(labels)} series of {look.quantity} over {look.over}, from {min(values):.4g} to "
        f"{max(values):.4g}: {first}{', ...' if len(labels) > 8 else ''}."
    )


def _of(rows: Rows, key: str) -> list[str]:
    return list(dict.fromkeys(str(row[key]) for row in rows))


def _ours(
    rows: Rows, other: str, look: Look, *, facets: Mapping[str, str], style: Mapping[str, Any],
    group: str,
) -> Trace:  # fmt: skip
    """Return the trace of our own numbers."""
    x = [row[other] for row in rows] if look.kind != "curve" else [float(r[other]) for r in rows]
    name = plain(", ".join(facets.values()))
    trace: Trace = {
        "x": [plain(look.text(other, v)) if isinstance(v, str) else v for v in x],
        "y": [row["value"] for row in rows],
        "name": name,
        "hovertext": [_hover(name, row, other, look=look) for row in rows],
        "hoverinfo": "text",
        "light": style["light"],
        "dark": style["dark"],
    }
    if any(row["std"] for row in rows):
        trace["error_y"] = {
            "array": [_error(row, look) for row in rows],
            "thickness": 1.2,
            "width": 3,
        }
    if look.kind == "bars":
        return trace | {"type": "bar", "offsetgroup": group}
    mode = {"points": "markers", "lines": "lines+markers", "curve": "lines"}[look.kind]
    if look.kind == "curve" and len(rows) <= 20:
        mode = "lines+markers"
    trace |= {"type": "scatter", "mode": mode}
    if "lines" in mode:
        trace["line"] = {"dash": style["dash"], "width": 1.8}
    if "markers" in mode:
        own = look.kind == "points" or by_symbol(look)
        trace["marker"] = {"symbol": style["symbol"] if own else "circle"}
        trace["marker"]["size"] = 9 if own else 6
    return trace


def _error(row: Mapping[str, Any], look: Look) -> float:
    """Return what an error bar shows: the deviation, or a population mean's standard error."""
    std = float(row["std"] or 0)
    return std / sqrt(row["n"]) if look.of_mean and row["n"] else std


def _papers(
    rows: Rows, other: str, look: Look, *, facets: Mapping[str, str], style: Mapping[str, Any],
    group: str,
) -> Trace:  # fmt: skip
    """Return the paper's numbers as marks beside ours."""
    marked = [row for row in rows if row["paper"] is not None]
    name = plain(", ".join(facets.values()))
    bars = look.kind == "bars"
    light, dark = INK if bars else (style["light"], style["dark"])
    trace: Trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [plain(look.text(other, str(row[other]))) for row in marked],
        "y": [row["paper"] for row in marked],
        "name": f"{name}, {PAPER}",
        "hovertext": [
            f"{name}, {plain(look.text(other, str(row[other])))}<br>{PAPER}: {row['paper']:g}"
            for row in marked
        ],
        "hoverinfo": "text",
        "light": light,
        "dark": dark,
        "marker": {"symbol": "diamond-open", "size": 10, "line": {"width": 2}},
        "facets": {**facets, "Numbers": PAPER},
    }
    return trace | ({"offsetgroup": group, "ring": True} if bars else {})


def _hover(name: str, row: Mapping[str, Any], other: str, *, look: Look) -> str:
    """Return what is said of one point: which it is, and its value."""
    value = f"{row['value']:.{max(look.digits, 1) if look.digits else 0}f}"
    spread = f" ± {row['std']:.{look.digits}f}" if row["std"] is not None else ""
    n = f" (n = {row['n']})" if row["n"] is not None else ""
    over = plain(look.text(other, str(row[other])))
    where = f"{name}, {over}" if look.kind != "curve" else f"{name}<br>{plain(look.over)}: {over}"
    paper = f"<br>{PAPER}: {row['paper']:g}" if row["paper"] is not None else ""
    return f"{where}<br><b>{value}</b>{spread}{n}{paper}"


def _x_axis(rows: Rows, other: str, look: Look) -> dict[str, Any]:
    title = {"text": plain(look.over)}
    if look.kind != "curve":
        return {"title": title, "type": "category"}
    if not look.log_x:
        return {"title": title}
    ticks = sorted({float(row[other]) for row in rows})
    shown = [t for t in ticks if t in {1, 2, 5, 10, 25, 50, 100, 256} or t == ticks[-1]]
    text = [f"{t:g}" for t in shown]
    return {"title": title, "type": "log", "tickvals": shown, "ticktext": text}


def _y_axis(look: Look) -> dict[str, Any]:
    axis: dict[str, Any] = {"title": {"text": plain(look.quantity)}}
    if look.log_y:
        ticks = [k * 10**e for e in range(5) for k in (1, 2, 5)]
        return axis | {"type": "log", "tickvals": ticks, "ticktext": [f"{t:,}" for t in ticks]}
    return axis | ({"rangemode": "tozero"} if look.kind in {"bars", "curve", "lines"} else {})
