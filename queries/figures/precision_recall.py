"""Precision against recall of one or several classes, with average precision and prior."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fstore.queries.figures.parts import counted, drop_down, inline, titled, told
from fstore.queries.figures.plots import Row

if TYPE_CHECKING:
    import altair as alt

__all__ = ["curve_panels", "precision_recall"]

WHERE = "precision and recall are shares, 0 to 1"


def precision_recall(rows: Sequence[Row], *, title: str = "") -> "alt.TopLevelMixin":
    """Draw precision against recall, a panel a class, the prior as a dotted line.

    Parameters
    ----------
    rows : sequence of mapping
        Points: keys ``class``, ``recall``, ``precision``, ``ap`` and ``prior`` (0 to 1), ``n``
        (samples). More curves of a class are told apart by ``curve``, in words.
    title : str
    """
    points = [
        {
            "panel": f"{row['class']}: AP {100 * float(row['ap']):.1f} %",
            "line": str(row.get("curve", row["class"])),
            "x": row["recall"],
            "y": row["precision"],
            "prior": row.get("prior"),
            "ap": 100 * float(row["ap"]),
        }
        for row in rows
    ]
    counts = [int(row["n"]) for row in rows if row.get("n")]
    notes = [f"{counted(counts, 'samples')}." if counts else ""]
    if any(row.get("prior") is not None for row in rows):
        notes.append("Dotted: a classifier that guesses (share of the class).")
    return curve_panels(points, title=title, of="Class", notes=notes)  # type: ignore[no-any-return]


def curve_panels(
    points: Sequence[Row],
    *,
    title: str,
    of: str,
    notes: Sequence[str],
    lines: Sequence[str] = (),
    strokes: Sequence[Sequence[int]] = (),
    colours: Sequence[str] = (),
    line_title: str = "",
) -> Any:  # noqa: ANN401 - a chart alone, or one of many panels
    """Draw curves of precision against recall, a panel each; a page can choose one of them.

    Parameters
    ----------
    points : sequence of mapping
        Keys ``panel``, ``line``, ``x`` (recall), ``y`` (precision), ``prior`` or None, ``ap``
        (percent).
    title, of : str
        Over all; what a panel is.
    notes : sequence of str
    lines : sequence of str
        The lines of a panel in their order, if they are told apart by ``strokes`` and
        ``colours``, with a legend; none if a panel has one line.
    strokes, colours : sequences
        One each a line.
    line_title : str
        Of the legend.
    """
    import altair as alt

    panels = list(dict.fromkeys(str(p["panel"]) for p in points))
    many = len(panels) > 1
    size = (150, 130) if len(panels) > 2 else (260, 220) if many else (460, 300)
    share = alt.Scale(domain=[0, 1], nice=False)
    ticks = alt.Axis(values=[0, 0.5, 1] if many else [0, 0.2, 0.4, 0.6, 0.8, 1], format="~g")
    across = alt.X("x:Q", title="Recall", scale=share, axis=ticks)
    up = alt.Y("y:Q", title="Precision", scale=share, axis=ticks)
    base = alt.Chart().encode(x=across)
    own, tip = _lines(lines, strokes, colours, title=line_title), _tip(points, of, line_title)
    drawn = base.mark_line(strokeWidth=1.6).encode(y=up, detail="line:N", **own)
    dots = base.mark_point(size=24, opacity=0, filled=True).encode(y=up, tooltip=tip)
    layers: list[Any] = [drawn, dots]
    if any(p.get("prior") is not None for p in points):
        rule = alt.Chart().mark_rule(strokeDash=[2, 2], color="#8a8f96")
        layers.insert(0, rule.encode(y="mean(prior):Q"))
    inner = alt.layer(*layers).properties(width=size[0], height=size[1])
    columns = min(5 if size[0] < 200 else 2, len(panels))
    width = max(300, columns * (size[0] + 30))
    if not many:
        alone = inner.properties(data=inline(points))
        return titled(alone, title, f"{panels[0]}.", *notes, width=width)
    header = alt.Header(title=None, labelFontSize=11, labelLimit=size[0] + 20)
    facet = alt.Facet("panel:N", sort=panels, header=header)
    chart: Any = inner.facet(facet, data=inline(points), columns=columns, spacing=18)
    chart = chart.add_params(drop_down(panels, title=of))
    chart = chart.transform_filter("pick == null || datum.panel == pick")
    return titled(chart, title, *notes, width=width)


def _tip(points: Sequence[Row], of: str, line_title: str) -> list[Any]:
    return told(
        ("panel:N", of),
        *([("line:N", line_title)] if line_title else []),
        ("x:Q", "Recall", ".3f"),
        ("y:Q", "Precision", ".3f"),
        ("ap:Q", "AP, percent", ".1f"),
        *([("filter:Q", "Filter", "d")] if any("filter" in p for p in points) else []),
    )


def _lines(
    lines: Sequence[str],
    strokes: Sequence[Sequence[int]],
    colours: Sequence[str],
    *,
    title: str,
) -> dict[str, Any]:
    """Return the channels that tell the lines of a panel apart."""
    import altair as alt

    if not lines:
        return {"color": alt.value("#0072b2")}
    legend = alt.Legend(orient="top", symbolType="stroke", symbolStrokeWidth=2, columns=4)
    same: dict[str, Any] = {"sort": list(lines), "title": title, "legend": legend}
    return {
        "color": alt.Color(
            "line:N", scale=alt.Scale(domain=list(lines), range=list(colours)), **same
        ),
        "strokeDash": alt.StrokeDash(
            "line:N", scale=alt.Scale(domain=list(lines), range=[list(s) for s in strokes]), **same
        ),
    }
