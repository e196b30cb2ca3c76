"""Samples in a plane, coloured by class: an embedding to look at and to choose from."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fstore.queries.figures.parts import SHAPES, inline, titled, told
from fstore.queries.figures.plots import Row
from fstore.queries.figures.vega import CATEGORIES

if TYPE_CHECKING:
    import altair as alt

__all__ = ["BRUSH", "scatter"]

BRUSH = "lasso"
"""The interval selection: ``view.addSignalListener("lasso", ...)`` tells its ends."""


def scatter(
    rows: Sequence[Row],
    *,
    title: str = "",
    axes: tuple[str, str] = ("First component", "Second component"),
    of: str = "Class",
    tooltip: Sequence[tuple[str, str]] = (("sample_id:Q", "Sample"),),
    notes: Sequence[str] = (),
) -> "alt.TopLevelMixin":
    """Draw a symbol a sample; samples outside of a rectangle that is drawn with the mouse fade.

    Parameters
    ----------
    rows : sequence of mapping
        Keys ``x``, ``y``, ``class`` (of several, the first; empty for none), and those of the
        tooltip.
    title : str
    axes : pair of str
        What is along x and y.
    of : str
        What colours tell.
    tooltip : sequence of pairs
        Field with its type, and what it is called.
    notes : sequence of str
        Sentences below the title.
    """
    import altair as alt

    names = sorted({str(row["class"]) for row in rows})
    n = len(names)
    size = max(14.0, min(60.0, 30_000 / max(1, len(rows))))
    brush = alt.selection_interval(name=BRUSH, encodings=["x", "y"])
    lit = alt.selection_point(name="named", fields=["class"], bind="legend")
    colours = [CATEGORIES[i % len(CATEGORIES)] for i in range(n)]
    shapes = [SHAPES[(i + i // len(CATEGORIES)) % len(SHAPES)] for i in range(n)]
    legend = alt.Legend(symbolLimit=60, columns=1 + n // 20)
    same: dict[str, Any] = {"title": of, "sort": names, "legend": legend}
    plane: dict[str, Any] = {
        "scale": alt.Scale(zero=False),
        "axis": alt.Axis(labels=False, ticks=False),
    }
    chart = (
        alt.Chart(inline(rows))
        .mark_point(filled=True, size=size)
        .encode(
            x=alt.X("x:Q", title=axes[0], **plane),
            y=alt.Y("y:Q", title=axes[1], **plane),
            color=alt.Color("class:N", scale=alt.Scale(domain=names, range=colours), **same),
            shape=alt.Shape("class:N", scale=alt.Scale(domain=names, range=shapes), **same),
            opacity=alt.condition(brush & lit, alt.value(0.75), alt.value(0.08)),
            tooltip=told(("class:N", of), *tooltip),
        )
        .properties(width=520, height=440)
        .add_params(brush, lit)
    )
    count = f"n = {len(rows):,} samples."
    return titled(chart, title, count, *notes)  # type: ignore[no-any-return]
