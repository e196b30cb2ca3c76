"""Single filters drawn: their average precision, and precision against recall."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fstore.queries.figures.parts import SHAPES, inline, stroke_of, titled, told
from fstore.queries.figures.plots import Row
from fstore.queries.figures.precision_recall import curve_panels
from fstore.queries.figures.vega import CATEGORIES

if TYPE_CHECKING:
    import altair as alt

__all__ = ["plot_filter_curves", "plot_single_filters"]


TIP = (
    ("class:N", "Class"),
    ("channel:Q", "Filter", "d"),
    ("rank:Q", "Rank", "d"),
    ("ap:Q", "AP, percent", ".1f"),
    ("prior:Q", "Prior, percent", ".1f"),
)


def _point(row: Row) -> dict[str, Any]:
    """Return what is drawn of a filter: in percent."""
    shares = {"ap": 100 * float(row["ap_11"]), "prior": 100 * float(row["prior"])}
    own = {"class": str(row["class"]), "rank": int(row["rank"]), "channel": row["channel"]}
    return {**own, **shares}


def plot_single_filters(rows: Sequence[Row], *, title: str = "") -> "alt.LayerChart":
    """Draw the best filters' AP of every class, a line a rank, the prior as a tick.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the analysis.
    title : str
    """
    import altair as alt

    points = [_point(row) for row in rows]
    best = {p["class"]: max(q["ap"] for q in points if q["class"] == p["class"]) for p in points}
    classes = sorted(best, key=lambda name: (-best[name], name))
    ranks = sorted({p["rank"] for p in points})
    base = alt.Chart(inline(points)).encode(
        y=alt.Y(
            "class:N",
            sort=classes,
            title="Class",
            axis=alt.Axis(grid=True, tickBand="extent", ticks=False, labelLimit=220),
        )
    )
    across = alt.X(
        "ap:Q",
        title="11-point average precision (percent)",
        scale=alt.Scale(domain=[0, 100], nice=False),
    )
    prior = base.mark_tick(thickness=2, color="#7f7f7f", height={"band": 0.9})
    dots = base.mark_point(filled=True, size=34, opacity=1).encode(
        x=across, tooltip=told(*TIP), yOffset=alt.YOffset("rank:O", sort=ranks), **_ranks(ranks)
    )
    chart = alt.layer(prior.encode(x="prior:Q"), dots)
    chart = chart.properties(
        width=460, height=alt.Step(max(18, 7 * len(ranks)), **{"for": "position"})
    )
    n = f"n = {rows[0]['n']:,} samples. " if rows else ""
    note = f"{n}Best filters of each class, below each other. Tick: a random filter (the prior)."
    return titled(chart, title, note)  # type: ignore[no-any-return]


def _ranks(ranks: Sequence[int]) -> dict[str, Any]:
    """Return the channels that tell ranks apart, while there are as many symbols."""
    import altair as alt

    if len(ranks) > len(SHAPES):
        return {"color": alt.value(CATEGORIES[0])}
    same: dict[str, Any] = {"title": "Rank", "sort": list(ranks)}
    n = len(ranks)
    return {
        "color": alt.Color(
            "rank:N", scale=alt.Scale(domain=list(ranks), range=list(CATEGORIES[:n])), **same
        ),
        "shape": alt.Shape(
            "rank:N", scale=alt.Scale(domain=list(ranks), range=list(SHAPES[:n])), **same
        ),
    }


def plot_filter_curves(rows: Sequence[Row], *, title: str = "") -> "alt.TopLevelMixin":
    """Draw precision against recall, a panel a class, a line a filter.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the analysis.
    title : str
    """
    best = {row["class"]: 100 * row["ap_11"] for row in rows if row["rank"] == 1}
    ranks = sorted({int(row["rank"]) for row in rows})
    points = [
        {
            "panel": f"{row['class']} ({best[row['class']]:.0f})",
            "line": f"rank {row['rank']}",
            "x": row["recall"],
            "y": row["precision"],
            "prior": row["prior"],
            "ap": 100 * row["ap_11"],
            "filter": row["channel"],
        }
        for row in rows
    ]
    n = f"n = {rows[0]['n']:,} samples." if rows else ""
    return curve_panels(  # type: ignore[no-any-return]
        points,
        title=title,
        of="Class",
        notes=[n, "In brackets: AP of the best filter, percent.", "Dotted: a random filter."],
        lines=[f"rank {rank}" for rank in ranks],
        strokes=[stroke_of(i) for i in range(len(ranks))],
        colours=[CATEGORIES[i % len(CATEGORIES)] for i in range(len(ranks))],
        line_title="Filter",
    )
