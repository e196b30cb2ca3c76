"""Figure 3 drawn: precision against recall of the best filters, a panel a class."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fstore.queries.figures.parts import STROKES, counted
from fstore.queries.figures.plots import Row
from fstore.queries.figures.precision_recall import curve_panels
from fstore.queries.figures.vega import CATEGORIES
from fstore.words import worded

if TYPE_CHECKING:
    import altair as alt

__all__ = ["plot_figure3"]


def plot_figure3(rows: Sequence[Row], *, title: str = "") -> "alt.TopLevelMixin":
    """Draw precision against recall of the five best filters, a panel a class.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the report.
    title : str
    """
    curves: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in rows:
        name, role, rank = str(row["row"]).rsplit(" ", 2)
        curves.setdefault((name, role, rank), {})[str(row["col"])] = float(row["value"] or 0)
    best = {name: max(v["ap"] for k, v in curves.items() if k[0] == name) for name, _, _ in curves}
    points = [
        {
            "panel": f"{name} ({best[name]:.0f})",
            "line": _line(role, rank),
            "x": float(x),
            "y": y,
            "prior": values["prior"],
            "ap": values["ap"],
            "filter": int(values["channel"]),
        }
        for (name, role, rank), values in curves.items()
        for x, y in values.items()
        if x[0].isdigit()
    ]
    keys = list(dict.fromkeys((role, rank) for _, role, rank in curves))
    roles = list(dict.fromkeys(role for role, _ in keys))
    n = counted([int(row["n"]) for row in rows if row["n"]] or [0], "boxes")
    return curve_panels(  # type: ignore[no-any-return]
        points,
        title=title,
        of="Class",
        notes=[
            f"{n}.",
            "In brackets: the best AP, percent.",
            "Dotted: a random filter (share of the class).",
        ],
        lines=[_line(*key) for key in keys],
        strokes=[
            STROKES[1] if len(roles) > 1 and role == roles[0] else STROKES[0] for role, _ in keys
        ],
        colours=[_colour(rank) for _, rank in keys],
        line_title="Checkpoint, rank of the filter",
    )


def _line(role: str, rank: str) -> str:
    return f"{worded(role)}, {rank}"


def _colour(rank: str) -> Any:  # noqa: ANN401
    return CATEGORIES[(int(rank) - 1) % len(CATEGORIES)]
