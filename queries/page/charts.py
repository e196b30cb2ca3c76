"""Interactive charts: what ``page.js`` hands to Plotly, made from a report's rows and its look.

A chart is a dict that JSON knows: ``traces`` and ``layout`` as Plotly's, but for colours, which
stand in ``light`` and ``dark`` beside each trace, and ``facets``, by which traces are shown and
hidden.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Any, TypeAlias

from fstore.queries.page.looks import Look
from fstore.queries.reports._api import BESIDE

__all__ = ["Chart", "Roles", "chart_of", "plain"]

Rows: TypeAlias = Sequence[Mapping[str, Any]]
Roles: TypeAlias = Mapping[str, str]
"""Checkpoint by role, to say which one ``pretrained`` is."""

Trace: TypeAlias = dict[str, Any]

OURS, PAPER = "this study", "the paper"
DASHES = ("dash", "solid", "dot", "dashdot")
LINE_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "x", "cross")
"""Of lines that a scale of colours alone leaves too close."""

SYMBOLS = ("circle-open", "square", "diamond-open", "triangle-up")
CATEGORIES = (
    ("#1f5fa8", "#7db4f0"),
    ("#b84a00", "#f2a065"),
    ("#0a7350", "#58c9a3"),
    ("#8a4b9e", "#cf9be0"),
)
"""Colours of things without an order, on a light and on a dark page."""

INK = ("#3a3f45", "#c9ced6")
"""Of what is neither: the paper's marks, a random filter."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart and what it says to those who do not see it.

    ``facets`` are dicts of ``name``, ``values`` (each with ``value`` and how it is told apart) and
    ``choose``: whether one is shown at a time.
    """

    traces: list[Trace]
    layout: dict[str, Any]
    alt: str
    facets: list[dict[str, Any]] = field(default_factory=list)

    @property
    def spec(self) -> dict[str, Any]:
        """What the page's script reads."""
        return {"traces": self.traces, "layout": self.layout, "facets": self.facets}


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
    from fstore.queries.page import own_charts

    own: dict[str, Callable[[Rows, Look, Roles], Chart | None]] = {
        "filters": own_charts.filters,
        "precision": own_charts.precision,
        "matrix": own_charts.matrix,
        "maps": own_charts.maps,
    }
    if not rows:
        return None
    found = own.get(look.kind, series)(rows, look, roles)
    return found and Chart(found.traces, found.layout, f"{title}. {found.alt}", found.facets)


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
            _ours(mine, other, look, facets, style, group=str(i)) | {"facets": with_source}
        )
        if any(row["paper"] is not None for row in mine):
            traces.append(_papers(mine, other, look, facets, style, group=str(i)))
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


def split(name: str, look: Look, roles: Roles) -> dict[str, str]:
    """Return the value of each facet in a series' label; the last words are split off first."""
    return look.parts(name, roles)


def styled(labels: Any, look: Look) -> dict[tuple[str, ...], dict[str, Any]]:  # noqa: ANN401
    """Return colours and strokes or symbols by the values of the facets."""
    found = list(labels)
    colour_by = look.colour or next(iter(found[0]))
    shades = colours(list(dict.fromkeys(f[colour_by] for f in found)), ordered=look.ordered)
    marks = list(dict.fromkeys(f[look.mark] for f in found)) if look.mark else []
    styles = {}
    steps = list(shades) if _by_symbol(look) else []
    for facets in found:
        light, dark = shades[facets[colour_by]]
        at = marks.index(facets[look.mark]) if look.mark else -1
        styles[tuple(facets.values())] = {
            "light": light,
            "dark": dark,
            "dash": DASHES[at % len(DASHES)] if at >= 0 else "solid",
            "symbol": SYMBOLS[at % len(SYMBOLS)] if at >= 0 else "circle",
        }
        if steps:
            symbol = LINE_SYMBOLS[steps.index(facets[colour_by]) % len(LINE_SYMBOLS)]
            styles[tuple(facets.values())]["symbol"] = symbol
    return styles


def _by_symbol(look: Look) -> bool:
    """Whether lines are told apart by their symbols too: their colours run along a scale."""
    return look.kind == "lines" and look.ordered and not look.mark


def colours(values: Sequence[str], *, ordered: bool) -> dict[str, tuple[str, str]]:
    """Return two colours a value: of a scale, if they are ordered or many, else distinct ones."""
    if not ordered and len(values) <= len(CATEGORIES):
        return dict(zip(values, CATEGORIES, strict=False))
    import matplotlib as mpl
    from matplotlib.colors import to_hex

    depth, n = mpl.colormaps["viridis"], max(1, len(values) - 1)
    return {
        value: (to_hex(depth(0.72 * i / n)), to_hex(depth(0.38 + 0.62 * i / n)))
        for i, value in enumerate(values)
    }


def facet_list(
    labels: Any,  # noqa: ANN401 - an iterable of dicts, read twice
    styles: Mapping[tuple[str, ...], Mapping[str, Any]],
    look: Look,
) -> list[dict[str, Any]]:
    """Return the facets that have several values, and how these are told apart."""
    found = list(labels)
    facets = []
    for name in found[0]:
        values: dict[str, dict[str, Any]] = {}
        for own in found:
            style = styles[tuple(own.values())]
            how: dict[str, Any] = {}
            if name == (look.colour or next(iter(own))):
                how |= {"light": style["light"], "dark": style["dark"]}
                how |= {"symbol": style["symbol"]} if _by_symbol(look) else {}
            if name == look.mark:
                how |= {"symbol" if look.kind == "points" else "dash": style[_told_by(look)]}
            values.setdefault(own[name], {"value": own[name], **how})
        if len(values) > 1:
            choose = name == look.choose
            entry = {"name": name, "values": list(values.values()), "choose": choose}
            facets.append(entry | ({"every": look.every} if choose else {}))
    return facets


def _told_by(look: Look) -> str:
    return "symbol" if look.kind == "points" else "dash"


def _ours(
    rows: Rows, other: str, look: Look, facets: Mapping[str, str], style: Mapping[str, Any],
    *, group: str,
) -> Trace:  # fmt: skip
    """Return the trace of our own numbers."""
    x = [row[other] for row in rows] if look.kind != "curve" else [float(r[other]) for r in rows]
    name = plain(", ".join(facets.values()))
    trace: Trace = {
        "x": [plain(look.text(other, v)) if isinstance(v, str) else v for v in x],
        "y": [row["value"] for row in rows],
        "name": name,
        "hovertext": [_hover(name, row, other, look) for row in rows],
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
        own = look.kind == "points" or _by_symbol(look)
        trace["marker"] = {"symbol": style["symbol"] if own else "circle"}
        trace["marker"]["size"] = 9 if own else 6
    return trace


def _error(row: Mapping[str, Any], look: Look) -> float:
    """Return what an error bar shows: the deviation, or a population mean's standard error."""
    std = float(row["std"] or 0)
    return std / sqrt(row["n"]) if look.of_mean and row["n"] else std


def _papers(
    rows: Rows, other: str, look: Look, facets: Mapping[str, str], style: Mapping[str, Any],
    *, group: str,
) -> Trace:  # fmt: skip
    """Return the paper's numbers as marks beside ours."""
    there = [row for row in rows if row["paper"] is not None]
    name = plain(", ".join(facets.values()))
    bars = look.kind == "bars"
    light, dark = INK if bars else (style["light"], style["dark"])
    trace: Trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [plain(look.text(other, str(row[other]))) for row in there],
        "y": [row["paper"] for row in there],
        "name": f"{name}, {PAPER}",
        "hovertext": [
            f"{name}, {plain(look.text(other, str(row[other])))}<br>{PAPER}: {row['paper']:g}"
            for row in there
        ],
        "hoverinfo": "text",
        "light": light,
        "dark": dark,
        "marker": {"symbol": "diamond-open", "size": 10, "line": {"width": 2}},
        "facets": {**facets, "Numbers": PAPER},
    }
    return trace | ({"offsetgroup": group, "ring": True} if bars else {})


def _hover(name: str, row: Mapping[str, Any], other: str, look: Look) -> str:
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


def plain(text: str) -> str:
    """Return text that Plotly shows as it is: no tag of its own, no placeholder.

    Examples
    --------
    >>> plain("<b>%{x}")
    '&lt;b&gt;%&#123;x}'
    """
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("%{", "%&#123;")):
        text = text.replace(sign, entity)
    return text
