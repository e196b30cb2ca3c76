"""Table 3 drawn: mean AP along pre-training, a line a layer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import BESIDE
from fstore.queries.figures.lines import Axis, line_chart
from fstore.queries.figures.parts import counted, titled
from fstore.queries.figures.plots import Row

if TYPE_CHECKING:
    import altair as alt

__all__ = ["plot_table3"]


def plot_table3(rows: Sequence[Row], *, title: str = "") -> "alt.LayerChart":
    """Draw mean AP against the checkpoint, a line a layer; the axis begins at 0.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the report.
    title : str
    """
    main = [row for row in rows if BESIDE not in str(row["col"])]
    points = [
        {
            "line": str(row["row"]),
            "x": str(row["col"]),
            "y": row["value"],
            "n": row["n"],
            **_spread(row),
        }
        for row in main
    ]
    chart = line_chart(
        points,
        x=Axis(
            "Checkpoint along pre-training (iterations)",
            names=list(dict.fromkeys(p["x"] for p in points)),
        ),
        y=Axis("Mean average precision (percent)", format=".1f"),
        of="Layer",
        more=[("std:Q", "Standard deviation", ".2f"), ("n:Q", "Splits", ",")],
    )
    return titled(chart, title, _note(main))  # type: ignore[no-any-return]


def _spread(row: Row) -> dict[str, float | None]:
    value, std = float(row["value"]), row["std"]
    return {"std": std} | ({"low": value - std, "high": value + std} if std else {})


def _note(rows: Sequence[Row]) -> str:
    """Say what a difference must be seen against."""
    counts = [int(row["n"] or 1) for row in rows]
    if max(counts) == 1:
        return "One split, so no spread: small differences may be chance."
    n = counted(counts, "splits")
    return f"Lines up and down: ± 1 standard deviation over splits, {n}."
