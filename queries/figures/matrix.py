"""A labelled heat map, square or not, with numbers where there is room for them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fstore.queries.figures.parts import counted, inline, titled, told
from fstore.queries.figures.plots import Row

if TYPE_CHECKING:
    import altair as alt

__all__ = ["matrix"]

LEAST, MOST = 18, 46
"""Pixels of a cell's side."""

NUMBERED = 25
"""A side of more cells has no numbers."""


def matrix(
    rows: Sequence[Row],
    *,
    title: str = "",
    quantity: str = "Similarity",
    of_rows: str = "",
    of_columns: str = "",
    digits: int = 2,
    ends: tuple[float, float] | None = None,
    notes: Sequence[str] = (),
) -> "alt.LayerChart":
    """Draw values by row and column as cells, dark where they are large.

    Parameters
    ----------
    rows : sequence of mapping
        Keys ``row``, ``col``, ``value`` (None where there is none), and ``n`` if it is known.
    title : str
    quantity : str
        What is measured, with its unit; 0 to 1 for CKA, percent for shares of filters, ...
    of_rows, of_columns : str
        What a row and a column are.
    digits : int
        Decimals of the numbers in the cells.
    ends : pair of float, or None
        Of the colours; None for the values' own, and from 0 if none is below.
    notes : sequence of str
        Sentences below the title.
    """
    import altair as alt

    names, others = ([*dict.fromkeys(str(r[key]) for r in rows)] for key in ("row", "col"))
    side = max(LEAST, min(MOST, 560 // max(len(names), len(others))))
    counts = [int(r["n"]) for r in rows if r.get("n") is not None]
    values = [float(r["value"]) for r in rows if r["value"] is not None]
    low, high = ends or (min(0.0, *values, 0.0), max([*values, 1e-9]))
    base = _base(rows, names, others, titles=(of_rows, of_columns))
    color = alt.Color(
        "value:Q",
        title=quantity.split("\n"),
        scale=alt.Scale(domain=[low, high], range=["#eef3f8", "#5b93c4", "#08306b"]),
        legend=alt.Legend(gradientLength=min(200, side * len(names)), format=f".{digits}f"),
    )
    tip = told(
        ("row:N", of_rows or "Row"),
        ("col:N", of_columns or "Column"),
        ("value:Q", quantity.replace("\n", " "), f".{digits + 1}f"),
        *([("n:Q", "n", ",")] if counts else []),
    )
    cells = base.mark_rect(stroke="#9aa3ad", strokeWidth=0.3).encode(color=color, tooltip=tip)
    layers: list[Any] = [cells]
    if max(len(names), len(others)) <= NUMBERED and side >= LEAST:
        numbers = _numbers(base, (low, high), digits, size=min(12, side // 2 - 1))
        layers.append(numbers.encode(tooltip=tip))  # they lie over the cells
    size = {"width": side * len(others), "height": side * len(names)}
    chart = alt.layer(*layers).properties(**size, usermeta={"cells": [len(others), len(names)]})
    n = [f"{counted(counts, 'samples')}."] if counts else []
    return titled(chart, title, *notes, *n, width=max(size["width"] + 120, 300))  # type: ignore[no-any-return]


def _base(
    rows: Sequence[Row], names: Sequence[str], others: Sequence[str], *, titles: tuple[str, str]
) -> "alt.Chart":
    """Return the places of cells: rows and columns in their order."""
    import altair as alt

    bare: dict[str, Any] = {"ticks": False, "domain": False}
    data = inline([{**r, "row": str(r["row"]), "col": str(r["col"])} for r in rows])
    below = alt.Axis(orient="bottom", labelAngle=-45, **bare)
    return (
        alt.Chart(data)
        .encode(
            x=alt.X("col:O", sort=list(others), title=titles[1] or None, axis=below),
            y=alt.Y("row:O", sort=list(names), title=titles[0] or None, axis=alt.Axis(**bare)),
        )
        .transform_filter("isValid(datum.value)")
    )


def _numbers(base: Any, ends: tuple[float, float], digits: int, *, size: int) -> Any:  # noqa: ANN401
    """Return the numbers in the cells, white on dark ones."""
    import altair as alt

    middle = ends[0] + 0.64 * (ends[1] - ends[0])  # there black and white have 4.5 to 1 alike
    ink = alt.condition(f"datum.value > {middle!r}", alt.value("white"), alt.value("black"))
    return base.mark_text(fontSize=size).encode(
        text=alt.Text("value:Q", format=f".{digits}f"), color=ink
    )
