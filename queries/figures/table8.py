"""Table 8 drawn: mean AP of detection by ablation, with intervals."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fstore.queries.cells.needs import BESIDE
from fstore.queries.figures.bars import PAPER_MARK
from fstore.queries.figures.parts import HEIGHT, counted, inline, titled, told
from fstore.queries.figures.plots import Row
from fstore.queries.figures.vega import CATEGORIES
from fstore.words import worded

if TYPE_CHECKING:
    import altair as alt

__all__ = ["plot_table8"]


def plot_table8(rows: Sequence[Row], *, title: str = "") -> "alt.LayerChart":
    """Draw mean AP by ablation with its interval, the paper's numbers as marks.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the report, those of the ends of intervals among them.
    title : str
    """
    import altair as alt

    main = [row for row in rows if BESIDE not in str(row["col"])]
    points = [_point(row, rows) for row in main]
    base = alt.Chart(inline(points)).encode(
        x=alt.X("name:N", sort=None, title="Ablation", axis=alt.Axis(labelAngle=0))
    )
    tip = told(
        ("name:N", "Ablation"),
        ("value:Q", "Mean AP, percent", ".1f"),
        ("low:Q", "From", ".1f"),
        ("high:Q", "To", ".1f"),
        ("n:Q", "Images", ","),
        ("paper:Q", "The paper", ".1f"),
    )
    up = alt.Y("value:Q", title="Mean average precision (percent)", scale=alt.Scale(zero=True))
    layers: list[Any] = [
        base.mark_bar(color=CATEGORIES[0], width={"band": 0.55}).encode(y=up, tooltip=tip)
    ]
    if any(p["low"] is not None for p in points):
        rule = base.transform_filter("isValid(datum.low)")
        layers += [
            rule.mark_rule(strokeWidth=w, color=c).encode(y="low:Q", y2="high:Q")
            for w, c in ((3.4, "white"), (1.6, "black"))
        ]
    if any(p["paper"] is not None for p in points):
        mark = base.transform_filter("isValid(datum.paper)").mark_point(**PAPER_MARK, xOffset=18)
        layers.append(mark.encode(y="paper:Q", tooltip=tip))
    chart = alt.layer(*layers).properties(width=max(260, 110 * len(points)), height=HEIGHT)
    return titled(chart, title, *_notes(points, str(main[0]["row"])))  # type: ignore[no-any-return]


def _point(row: Row, rows: Sequence[Row]) -> dict[str, Any]:
    """Return what is drawn of an ablation: its value, and its interval if there is one."""
    col = str(row["col"])
    sides = {
        str(r["col"]).removeprefix(col + BESIDE): r["value"]
        for r in rows
        if r["row"] == row["row"] and str(r["col"]).startswith(col + BESIDE)
    }
    ends = {side: sides.get(side) for side in ("low", "high")}
    own = {"name": worded(col), "value": float(row["value"] or 0), "n": row["n"]}
    return {**own, "paper": row["paper"], **ends}


def _notes(points: Sequence[Row], layer: str) -> list[str]:
    n = counted([int(p["n"] or 0) for p in points], "test images")
    notes = [f"Layer {layer}; {n}."]
    if any(p["low"] is not None for p in points):
        notes.append("Lines: 95 % interval of a bootstrap over the images.")
    if any(p["paper"] is not None for p in points):
        notes.append("Diamonds: the paper.")
    return notes
