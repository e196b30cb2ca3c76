"""Linear probes by depth, and what they confuse."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fstore.queries.figures.lines import Axis, line_chart
from fstore.queries.figures.matrix import matrix
from fstore.queries.figures.parts import counted, titled
from fstore.queries.figures.plots import Row

if TYPE_CHECKING:
    import altair as alt

__all__ = ["plot_ablated_filters", "plot_confusion", "plot_probe"]

QUANTITIES = {
    "accuracy": "Accuracy on test (percent)",
    "ap": "Mean all-points AP on test (percent)",
}


def plot_probe(rows: Sequence[Row], *, title: str = "") -> "alt.TopLevelMixin":
    """Draw how well each layer is read, a line a checkpoint, and what knowing nothing gives.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the analysis ``probe``.
    title : str
    """
    points = [
        {
            "line": str(row["ckpt"]), "x": str(row["layer"]), "y": 100 * float(row["value"]),
            "C": row["C"], "validation": 100 * float(row["validation"]),
        }
        for row in rows
    ]  # fmt: skip
    prior = max(float(row["prior"]) for row in rows)
    chart = line_chart(
        points,
        x=Axis("Layer, by depth", names=list(dict.fromkeys(str(row["layer"]) for row in rows))),
        y=Axis(QUANTITIES[str(rows[0]["measure"])], ends=(0, 100), format=".1f"),
        of="Checkpoint",
        rules=[100 * prior],
        more=[("C:Q", "C", ".0e"), ("validation:Q", "In cross-validation (percent)", ".1f")],
    )
    counts = counted([int(row["n_test"]) for row in rows], "test samples")
    notes = [
        f"{counts}; dotted: knowing nothing, {100 * prior:.1f} percent.",
        "One split, so no spread.",
    ]
    if ends := sum(bool(row["at_end"]) for row in rows):
        notes.append(f"C is at an end of what was tried for {ends} of {len(rows)} probes.")
    return titled(chart, title, *notes)  # type: ignore[no-any-return]


def plot_confusion(rows: Sequence[Row], *, title: str = "") -> "alt.LayerChart":
    """Draw the share of each class that is taken for each other, as a matrix in percent.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the analysis ``confusion``.
    title : str
    """
    names = [str(row["class"]) for row in rows if row["class"] == row["predicted"]]
    ordered = sorted(
        rows, key=lambda r: (names.index(str(r["class"])), names.index(str(r["predicted"])))
    )
    cells = [
        {
            "row": row["class"],
            "col": row["predicted"],
            "value": None if row["share"] is None else 100 * float(row["share"]),
            "n": row["of"],
        }
        for row in ordered
    ]
    pairs = [row for row in rows if row["rank"] is not None and row["n"]][:3]
    most = ", ".join(f"{row['class']} as {row['predicted']} ({row['n']})" for row in pairs)
    return matrix(
        cells,
        title=title,
        quantity="Share of the\nclass (percent)",
        of_rows="Class",
        of_columns="Predicted class",
        digits=0,
        ends=(0.0, 100.0),
        notes=[f"Most confused: {most}."] if most else [],
    )


def plot_ablated_filters(rows: Sequence[Row], *, title: str = "") -> "alt.TopLevelMixin":
    """Draw what a probe loses without each filter, by rank; those that matter most are named.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the analysis ``ablate-filters``.
    title : str
    """
    import altair as alt

    from fstore.queries.figures.parts import inline, told

    drawn = [
        {
            "rank": row["rank"], "channel": row["channel"], "drop": 100 * float(row["drop"]),
            "worst": row["worst_class"],
        }
        for row in rows
    ]  # fmt: skip
    what = "accuracy" if rows[0]["measure"] == "accuracy" else "mean AP"
    base = alt.Chart(inline(drawn)).encode(
        x=alt.X("rank:Q", title="Rank of the filter", scale=alt.Scale(zero=False, nice=False)),
        y=alt.Y("drop:Q", title=f"Drop in {what} without it (percentage points)"),
        tooltip=told(
            ("channel:O", "Filter"),
            ("rank:Q", "Rank"),
            ("drop:Q", "Drop (percentage points)", ".2f"),
            ("worst:N", "Class that loses most"),
        ),
    )
    line = base.mark_line(point=alt.OverlayMarkDef(size=24, filled=True), strokeWidth=1.5)
    most = ", ".join(str(row["channel"]) for row in drawn[:5])
    notes = [
        f"n = {rows[0]['n']:,} test samples; all filters: {100 * rows[0]['whole']:.1f} percent.",
        f"Largest drops: filters {most}. The probe is not fitted again.",
    ]
    return titled(line.properties(width=520, height=260), title, *notes)  # type: ignore[no-any-return]
