"""Subsets of filters drawn: the fraction of the complete AP, and how many filters are needed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fstore.queries.cells.needs import BESIDE
from fstore.queries.figures.lines import role_legend, role_strokes
from fstore.queries.figures.parts import (
    SHAPES,
    counted,
    drop_down,
    inline,
    round_ends,
    titled,
    told,
)
from fstore.queries.figures.plots import Row
from fstore.queries.figures.vega import CATEGORIES
from fstore.words import worded

if TYPE_CHECKING:
    import altair as alt

__all__ = ["plot_filter_subsets", "plot_fractions", "plot_needed"]

ALL = "all filters"
TICKS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000]


NEEDED = (
    ("class:N", "Class"),
    ("role:N", "Checkpoint"),
    ("share:N", "Share of complete AP"),
    ("filters:Q", "Filters", "d"),
    ("n:Q", "Test boxes", ","),
)
"""What the tooltip of a number of filters says."""


def plot_fractions(rows: Sequence[Row], *, title: str = "") -> "alt.TopLevelMixin":
    """Draw the fraction of the complete AP against the number of filters, a panel a class.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the report.
    title : str
    """
    points = []
    for row in rows:
        if BESIDE not in str(row["col"]):
            name, role = str(row["row"]).rsplit(" ", 1)
            points.append(
                {"panel": name, "role": worded(role), "x": int(str(row["col"])), "y": row["value"]}
            )
    counts = [int(row["n"]) for row in rows if row["n"]]
    n = f"{counted(counts, 'test boxes')}." if counts else ""
    return _panels(points, title=title, notes=[n])  # type: ignore[no-any-return]


def plot_filter_subsets(rows: Sequence[Row], *, title: str = "") -> "alt.TopLevelMixin":
    """Draw the fraction of the complete AP against the number of filters, a panel a class.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the analysis.
    title : str
    """
    points = [
        {"panel": str(row["class"]), "role": ALL, "x": row["filters"], "y": row["fraction"]}
        for row in rows
    ]
    n = counted([int(row["n"]) for row in rows] or [0], "samples tested on")
    return _panels(points, title=title, notes=[f"{n}."])  # type: ignore[no-any-return]


def _panels(points: Sequence[Row], *, title: str, notes: Sequence[str]) -> Any:  # noqa: ANN401
    """Draw a panel a class, a line a checkpoint: the first dashed, the second solid."""
    classes = list(dict.fromkeys(str(p["panel"]) for p in points))
    roles = list(dict.fromkeys(str(p["role"]) for p in points))
    columns = min(5, len(classes))
    chart = _facets(points, classes, roles)
    if len(classes) > 1:
        chart = chart.add_params(drop_down(classes, title="Class"))
        chart = chart.transform_filter("pick == null || datum.panel == pick")
    return titled(chart, title, *notes, "Dotted: 50 % and 90 % of it.", width=columns * 170)


def _facets(points: Sequence[Row], classes: Sequence[str], roles: Sequence[str]) -> Any:  # noqa: ANN401
    """Return a panel a class, each of a width."""
    import altair as alt

    base = alt.Chart().encode(x=_filters(max(int(p["x"]) for p in points)))
    ends = round_ends([1.0, *(float(p["y"]) for p in points if p["y"] is not None)])
    up = alt.Y(
        "y:Q",
        title="Fraction of complete AP",
        axis=alt.Axis(values=[0, 0.5, 1]),
        scale=alt.Scale(domain=list(ends), nice=False),
    )
    strokes = role_strokes({role: role for role in roles})
    scale = alt.Scale(domain=list(roles), range=list(CATEGORIES[: len(roles)]))
    color = alt.Color("role:N", title=None, sort=roles, legend=role_legend(roles), scale=scale)
    tip = told(
        ("panel:N", "Class"),
        ("role:N", "Checkpoint"),
        ("x:Q", "Filters", "d"),
        ("y:Q", "Fraction of complete AP", ".2f"),
    )
    line = base.mark_line(strokeWidth=1.6, clip=True).encode(y=up, color=color, strokeDash=strokes)
    dots = base.mark_point(size=30, opacity=0, filled=True).encode(y=up, tooltip=tip)
    rule = alt.Chart().mark_rule(strokeDash=[2, 2], color="#8a8f96")
    rules = [rule.encode(y=alt.datum(at)) for at in (0.5, 0.9)]
    inner = alt.layer(*rules, line, dots).properties(width=150, height=120)
    header = alt.Header(title=None, labelFontSize=11, labelLimit=160)
    facet = alt.Facet("panel:N", sort=list(classes), header=header)
    return inner.facet(facet, data=inline(points), columns=min(5, len(classes)), spacing=16)


def _filters(most: int) -> "alt.X":
    """Return the channel of numbers of filters, of which the first ten tell most."""
    import altair as alt

    axis = alt.Axis(values=[t for t in (1, 10, 100, 1000) if t <= most], format="~g")
    scale = alt.Scale(type="log", nice=False)
    return alt.X("x:Q", title="Filters (log scale)", scale=scale, axis=axis)


def plot_needed(rows: Sequence[Row], *, title: str = "") -> "alt.LayerChart":
    """Draw how many filters each class needs for 50 % and 90 % of its complete AP.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the report.
    title : str
    """
    import altair as alt

    main = [row for row in rows if BESIDE not in str(row["col"]) and row["value"] is not None]
    points = [_needed(row) for row in main]
    classes, roles, shares = (
        list(dict.fromkeys(str(p[key]) for p in points)) for key in ("class", "role", "share")
    )
    most = max((float(p["filters"]) for p in points), default=1.0)
    grid = alt.Axis(grid=True, tickBand="extent", ticks=False, labelLimit=220)
    base = alt.Chart(inline(points)).encode(
        y=alt.Y("class:N", sort=classes, title="Class", axis=grid),
        yOffset=alt.YOffset("role:N", sort=roles),
        x=alt.X(
            "filters:Q",
            title="Filters needed (log scale)",
            scale=alt.Scale(type="log", domain=[0.8, 1.3 * most], nice=False),
            axis=alt.Axis(values=[t for t in TICKS if t <= 2 * most], format="~g"),
        ),
    )
    signs = [f"{role}, {share}" for role in roles for share in shares]
    colours = [CATEGORIES[i] for i in range(len(roles)) for _ in shares]
    same: dict[str, Any] = {"title": "Checkpoint, share of AP", "sort": signs}
    color = alt.Color("mark:N", scale=alt.Scale(domain=signs, range=colours), **same)
    shapes = list(SHAPES[: len(signs)])
    shape = alt.Shape("mark:N", scale=alt.Scale(domain=signs, range=shapes), **same)
    joined = base.mark_line(strokeWidth=1.2, color="#8a8f96").encode(detail=["class:N", "role:N"])
    marks = base.mark_point(filled=True, size=60, opacity=1)
    chart = alt.layer(joined, marks.encode(color=color, shape=shape, tooltip=told(*NEEDED)))
    counts = [int(row["n"]) for row in main if row["n"]]
    n = f"{counted(counts, 'test boxes')}." if counts else ""
    what = "From the filters for 50 % of the complete AP to those for 90 %."
    chart = chart.properties(width=440, height=alt.Step(14))
    return titled(chart, title, what, n)  # type: ignore[no-any-return]


def _needed(row: Row) -> dict[str, Any]:
    role, share = str(row["row"]).split(" ")
    own = {"class": str(row["col"]), "role": worded(role), "share": share.replace("%", " %")}
    return {**own, "mark": f"{own['role']}, {own['share']}", "filters": row["value"], "n": row["n"]}
