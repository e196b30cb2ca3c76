"""Objects that proposals find, drawn: recall by their number, and by the overlap asked for."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fstore.queries.figures.lines import Axis, line_chart
from fstore.queries.figures.parts import titled

if TYPE_CHECKING:
    import altair as alt

__all__ = ["ALL", "draw_recall"]

ALL = "(all)"
"""The class that stands for all of them."""

RECALL = Axis("Recall (share of objects)", ends=(0, 1), format=".3f")


def draw_recall(rows: Sequence[Mapping[str, Any]], *, title: str = "") -> "alt.TopLevelMixin":
    """Draw recall against the number of proposals, and against the overlap asked for.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the analysis.
    title : str
    """
    import altair as alt

    rows = [row for row in rows if row["class"] == ALL]
    counts = sorted({row["proposals"] for row in rows})
    by_number = [
        _point(row, row["proposals"], f"IoU {row['iou']}")
        for threshold in (0.5, 0.7, 0.9)
        for row in rows
        if row["iou"] == threshold
    ]
    named = {
        c: f"{c:,}" if c < counts[-1] else "all"
        for c in [c for c in (100, 300, 1000) if c < counts[-1]] + counts[-1:]
    }
    by_overlap = [
        _point(row, row["iou"], word)
        for count, word in named.items()
        for row in rows
        if row["proposals"] == count
    ]
    by_count = Axis("Proposals an image (log scale)", log=True)
    left = _panel(by_number, x=by_count, of="Overlap asked for")
    right = _panel(by_overlap, x=Axis("Overlap asked for (IoU)"), of="Proposals an image")
    n = f"n = {rows[0]['objects']:,} objects in {rows[0]['images']:,} images."
    spread = "Bands: 95 % bootstrap over images."
    return titled(alt.hconcat(left, right), title, n, spread, width=740)  # type: ignore[no-any-return]


def _panel(points: Sequence[Mapping[str, Any]], *, x: Axis, of: str) -> "alt.LayerChart":
    look: dict[str, Any] = {"spread": "band", "size": (340, 290), "choose": False}
    return line_chart(points, x=x, y=RECALL, of=of, **look)


def _point(row: Mapping[str, Any], x: float, line: str) -> dict[str, Any]:
    return {"line": line, "x": x, "y": row["recall"], "low": row["low"], "high": row["high"]}
