"""Figure 2's numbers drawn: how near each first-layer filter is to its last state."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import BESIDE
from fstore.queries.figures.parts import counted, inline, round_ends, titled, told
from fstore.queries.figures.plots import Row
from fstore.queries.figures.vega import CATEGORIES

if TYPE_CHECKING:
    import altair as alt

__all__ = ["plot_cosines"]

PREFIX = f"cosine{BESIDE}"
LEAST_SPAN = 0.05
"""Cosines that are all nearly 1 are not spread over the whole chart."""


def plot_cosines(rows: Sequence[Row], *, title: str = "") -> "alt.LayerChart | None":
    """Draw the cosine of every filter to its last state, a column a checkpoint; none, no chart.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of Figure 2, those of single filters among them.
    title : str
    """
    import altair as alt

    mine = [row for row in rows if str(row["col"]).startswith(PREFIX) and row["value"] is not None]
    if not mine:
        return None
    points = [
        {
            "ckpt": str(row["row"]),
            "filter": str(row["col"]).removeprefix(PREFIX),
            "cosine": row["value"],
        }
        for row in mine
    ]
    ckpts = list(dict.fromkeys(p["ckpt"] for p in points))
    low = min(float(p["cosine"]) for p in points)
    ends = (round_ends([min(low, 1 - LEAST_SPAN), 1.0], zero=False)[0], 1.0)
    base = alt.Chart(inline(points)).encode(
        x=alt.X("ckpt:N", sort=ckpts, title="Checkpoint", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("cosine:Q", title="Cosine to the last state", scale=alt.Scale(domain=list(ends))),
    )
    tip = told(("ckpt:N", "Checkpoint"), ("filter:N", "Filter"), ("cosine:Q", "Cosine", ".4f"))
    ticks = base.mark_tick(thickness=1.6, color=CATEGORIES[0], opacity=0.6, width={"band": 0.5})
    means = base.mark_point(filled=True, shape="diamond", size=90, color="#d55e00", opacity=1)
    mean = means.encode(y=alt.Y("mean(cosine):Q"), tooltip=told(("mean(cosine):Q", "Mean", ".4f")))
    counts = [sum(p["ckpt"] == ckpt for p in points) for ckpt in ckpts]
    n = f"{counted(counts, 'filters')} of the first layer."
    chart = alt.layer(ticks.encode(tooltip=tip), mean).properties(width=520, height=280)
    return titled(chart, title, n, "Ticks: a filter; diamonds: the mean.")  # type: ignore[no-any-return]
