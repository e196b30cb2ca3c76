"""How many filters agree with each class's boxes, and how well."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fstore.queries.figures.plots import Row

if TYPE_CHECKING:
    import altair as alt

__all__ = ["plot_dissection"]


def plot_dissection(rows: Sequence[Row], *, title: str = "") -> "alt.TopLevelMixin":
    """Draw the IoU of each filter in the row of its class, and that of chance.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the analysis ``dissection``.
    title : str
    """
    import altair as alt

    from fstore.queries.figures.parts import inline, titled, told

    drawn = [{k: r[k] for k in ("channel", "class", "iou", "chance")} for r in rows if r["class"]]
    names = list(dict.fromkeys(str(row["class"]) for row in drawn))
    up = alt.Y("class:N", sort=names, title="Class of the boxes")
    base = alt.Chart(inline(drawn)).encode(y=up)
    tip = told(
        ("channel:O", "Filter"),
        ("class:N", "Class"),
        ("iou:Q", "IoU", ".3f"),
        ("chance:Q", "By chance", ".3f"),
    )
    across: dict[str, Any] = {"title": "IoU of response and boxes", "scale": alt.Scale(zero=True)}
    luck = base.mark_tick(color="#8a8f96", thickness=1.5).encode(x=alt.X("chance:Q", **across))
    dots = base.mark_point(filled=True, size=42, opacity=0.7)
    dots = dots.encode(x=alt.X("iou:Q", **across), tooltip=tip)
    best = ", ".join(f"{r['channel']} ({r['class']}, {r['iou']:.2f})" for r in drawn[:3])
    notes = [
        f"n = {rows[0]['n']:,} images. Points: filters. Grey: as much response anywhere.",
        f"Best: filter {best}." if drawn else "",
    ]
    if none := sum(r["class"] is None for r in rows):
        notes.append(f"{none:,} filters meet no box.")
    chart: Any = alt.layer(luck, dots).properties(width=480, height=max(120, 24 * len(names)))
    return titled(chart, title, *notes)  # type: ignore[no-any-return]
