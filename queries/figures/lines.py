"""Lines: the chart that most figures are, with names at the lines' ends, strokes and symbols."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fstore.queries.figures.parts import (
    DIRECT,
    HEIGHT,
    STROKES,
    WIDTH,
    apart,
    chosen,
    drop_down,
    inline,
    label_places,
    round_ends,
    told,
)

if TYPE_CHECKING:
    import altair as alt

__all__ = ["Axis", "Point", "beside", "line_chart", "named_ends", "role_legend", "role_strokes"]

Point = Mapping[str, Any]
"""Keys ``line``, ``x``, ``y``; ``low`` and ``high`` of a spread, ``role`` of a line's stroke, and
what a tooltip says."""

MANY_POINTS = 30
"""A line of more has no symbols."""


COURSES: dict[bool, Any] = {False: "linear", True: "step-after"}
"""How a line goes from point to point."""


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis says.

    Attributes
    ----------
    title : str
        Quantity and unit.
    names : sequence of str
        What stands along it, in order; empty for numbers.
    log : bool
    ends : pair of float, or None
        None for round numbers around the values, 0 among them.
    format : str
        Of its numbers, in tooltips too.
    """

    title: str
    names: Sequence[str] = ()
    log: bool = False
    ends: tuple[float, float] | None = None
    format: str = ".4~g"


def line_chart(
    points: Sequence[Point],
    *,
    x: Axis,
    y: Axis,
    of: str,
    lines: Sequence[str] = (),
    step: bool = False,
    rules: Sequence[float] = (),
    more: Sequence[tuple[str, str] | tuple[str, str, str]] = (),
    spread: str = "rule",
    roles: Mapping[str, str] | None = None,
    choose: bool = True,
    alone: bool = True,
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> "alt.LayerChart":
    """Return a chart of lines; each is told apart by colour, symbol, and its name at its end.

    Parameters
    ----------
    points : sequence of mapping
        See :data:`Point`; in the order of each line.
    x, y : Axis
    of : str
        What a line is: title of the legend, of the drop-down, and in tooltips.
    lines : sequence of str
        Their order; that of the points by default.
    step : bool
        A height holds up to the next point.
    rules : sequence of float
        Heights of dotted lines across.
    more : sequence of tuples
        Further fields of tooltips: field and type, what it is called, and a format.
    spread : {"rule", "band"}
        How ``low`` and ``high`` are drawn, where points have them.
    roles : mapping or None
        Words by ``role``: then strokes tell roles apart, and symbols do not tell lines.
    choose : bool
        Whether a page has a drop-down that lights up one line.
    alone : bool
        False for a panel of several: :func:`beside` gives them one drop-down together.
    size : pair of int
        Width and height, in pixels.
    """
    import altair as alt

    lines = list(lines or dict.fromkeys(str(p["line"]) for p in points))
    ends = y.ends or round_ends([v for p in points for v in _heights(p)])
    data = inline(named_ends(points, lines, x=x, y=y, ends=ends, height=size[1]))
    direct, seen = len(lines) <= DIRECT, _most_points(points, lines) <= MANY_POINTS
    how = apart(lines, title=of, legend=not direct, symbols=seen)
    how |= {"strokeDash": role_strokes(roles)} if roles else {}
    opacity = chosen("line") if choose and (len(lines) > 1 or not alone) else alt.value(1)
    base = alt.Chart(data).encode(x=_across(x))
    layers: list[Any] = [_rule(at) for at in rules]
    if any(p.get("low") is not None for p in points):
        layers.append(_spread(base, how["color"], opacity, kind=spread))
    same = {"y": alt.Y("y:Q", title=y.title, scale=_up(y, ends)), "color": how["color"]}
    line = base.mark_line(strokeWidth=1.8, clip=True, interpolate=COURSES[step]).encode(**same)
    detail = ["line:N", "role:N"]
    layers.append(line.encode(strokeDash=how["strokeDash"], opacity=opacity, detail=detail))
    symbol = {} if roles or not seen else {"shape": how["shape"]}
    tip = told(("line:N", of), *_role_tip(roles), *_places(x, y), *more)
    layers.append(_dots(base, opacity, seen=seen).encode(**same, **symbol, tooltip=tip))
    if direct:
        layers += _names(base, how["color"], symbol, opacity=opacity, height=_up(y, ends))
    chart: Any = alt.layer(*layers).properties(width=size[0], height=size[1])
    return chart.add_params(drop_down(lines, title=of)) if choose and alone and lines[1:] else chart  # type: ignore[no-any-return]


def beside(panels: Sequence[Any], lines: Sequence[str], *, of: str) -> "alt.HConcatChart":
    """Return panels side by side, with one drop-down for the lines of all of them.

    Parameters
    ----------
    panels : sequence of charts
        Of :func:`line_chart`, not ``alone``.
    lines : sequence of str
    of : str
        What a line is.
    """
    import altair as alt

    return alt.hconcat(*panels).add_params(drop_down(lines, title=of))


def _most_points(points: Sequence[Point], lines: Sequence[str]) -> int:
    """Return how many points the longest line has."""
    return max(sum(bool(p["line"] == name) for p in points) for name in lines)


def _dots(base: Any, opacity: Any, *, seen: bool) -> Any:  # noqa: ANN401
    """Return points; those of long lines only hold the tooltip."""
    if seen:
        return base.mark_point(filled=True, size=46).encode(opacity=opacity)
    return base.mark_point(filled=True, size=30, opacity=0)


def _places(x: Axis, y: Axis) -> list[tuple[str, str] | tuple[str, str, str]]:
    """Return what a tooltip says of a point's place."""
    return [("x:O" if x.names else "x:Q", x.title), ("y:Q", y.title, y.format)]


def _heights(point: Point) -> list[float]:
    return [float(v) for v in (point["y"], point.get("low"), point.get("high")) if v is not None]


def _across(x: Axis) -> "alt.X":
    """Return the channel of what is along x: names in order, or numbers."""
    import altair as alt

    if x.names:
        turned: dict[str, Any] = {"labelAngle": -45} if len(x.names) > 8 else {"labelAngle": 0}
        return alt.X(
            "x:O",
            sort=list(x.names),
            title=x.title,
            axis=alt.Axis(**turned),
            scale=alt.Scale(type="point", padding=0.3),
        )
    kind: dict[str, Any] = {"type": "log"} if x.log else {"zero": False, "nice": False}
    if x.ends:
        kind["domain"] = list(x.ends)
    return alt.X("x:Q", title=x.title, scale=alt.Scale(**kind), axis=alt.Axis(format="~s"))


def _up(y: Axis, ends: tuple[float, float]) -> "alt.Scale":
    import altair as alt

    return alt.Scale(domain=list(ends), nice=False, type="log" if y.log else "linear")


def _rule(at: float) -> "alt.Chart":
    import altair as alt

    rule = alt.Chart(inline([{"at": at}])).mark_rule(strokeDash=[2, 2], color="#8a8f96")
    return rule.encode(y="at:Q")  # type: ignore[no-any-return]


def _spread(base: Any, color: Any, opacity: Any, *, kind: str) -> Any:  # noqa: ANN401
    """Return bands, or a rule a point, from ``low`` to ``high``."""
    if kind == "band":
        mark = base.mark_area(opacity=0.18)
        return mark.encode(y="low:Q", y2="high:Q", color=color, detail="line:N")
    return base.mark_rule(strokeWidth=1.2).encode(
        y="low:Q", y2="high:Q", color=color, opacity=opacity
    )


def _names(
    base: Any,  # noqa: ANN401
    color: Any,  # noqa: ANN401
    symbol: Mapping[str, Any],
    *,
    opacity: Any,  # noqa: ANN401
    height: "alt.Scale",
) -> list[Any]:
    """Return names beside the ends of lines, each behind its line's symbol, or a stroke."""
    import altair as alt

    base = base.transform_filter("isValid(datum.label)")
    same: dict[str, Any] = {"y": alt.Y("label_y:Q", scale=height), "opacity": opacity}
    sign: dict[str, Any] = (
        {"filled": True, "size": 40} if symbol else {"shape": "stroke", "size": 90}
    )
    signs = base.mark_point(xOffset=13, strokeWidth=2.5, **sign)
    text = base.mark_text(align="left", dx=22, fontSize=11)
    return [signs.encode(**same, **symbol, color=color), text.encode(text="label:N", **same)]


def _role_tip(roles: Mapping[str, str] | None) -> list[tuple[str, str]]:
    return [("role:N", "Checkpoint")] if roles else []


def role_legend(roles: Sequence[str]) -> "alt.Legend | None":
    """Return the legend of roles, above the chart; none of one role alone."""
    import altair as alt

    return alt.Legend(orient="top", symbolType="stroke") if len(roles) > 1 else None


def role_strokes(roles: Mapping[str, str]) -> "alt.StrokeDash":
    """Return the channel that tells roles apart: the first dashed, the second solid."""
    import altair as alt

    words = list(roles.values())
    steps = [STROKES[1], STROKES[0], STROKES[2]][: len(words)] if len(words) > 1 else [STROKES[0]]
    return alt.StrokeDash(
        "role:N",
        title=None,
        sort=words,
        legend=role_legend(words),
        scale=alt.Scale(domain=words, range=steps),
    )


def named_ends(
    points: Sequence[Point],
    lines: Sequence[str],
    *,
    x: Axis,
    y: Axis,
    ends: tuple[float, float],
    height: float,
) -> list[dict[str, Any]]:
    """Return points, the last of each line with its name and the height at which that stands.

    Parameters
    ----------
    points : sequence of mapping
    lines : sequence of str
    x, y : Axis
    ends : pair of float
        Of the axis of heights.
    height : float
        Of the chart, in pixels.
    """
    last: dict[str, int] = {}
    for i, point in enumerate(points):
        name, before = str(point["line"]), last.get(str(point["line"]))
        if point["y"] is None:
            continue
        if before is None or _place(point, x) >= _place(points[before], x):
            last[name] = i
    to, back = (math.log, math.exp) if y.log else (float, float)
    heights = {name: to(points[last[name]]["y"]) for name in lines if name in last}
    if len(lines) > DIRECT:
        return [{"role": "", **p} for p in points]
    places = label_places(heights, low=to(ends[0]), high=to(ends[1]), height=height)
    shown = {last[name]: {"label": name, "label_y": back(places[name])} for name in heights}
    return [{"role": "", **p, **shown.get(i, {})} for i, p in enumerate(points)]


def _place(point: Point, x: Axis) -> float:
    """Return where a point stands along x."""
    return float(list(x.names).index(point["x"])) if x.names else float(point["x"])
