"""Figure 5 drawn: the shares of common filters as a matrix."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import SUMMARY, TUNED
from fstore.queries.figures.overlap import draw_overlap
from fstore.queries.figures.parts import WIDTH, counted, titled
from fstore.queries.figures.plots import Row

if TYPE_CHECKING:
    import altair as alt

__all__ = ["plot_figure5"]


def plot_figure5(rows: Sequence[Row], *, title: str = "") -> "alt.TopLevelMixin":
    """Draw the shares of common filters in percent: a matrix a checkpoint.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the report.
    title : str
    """
    import altair as alt

    tuned = [row for row in rows if str(row["row"]).endswith(TUNED)]
    first = [row for row in rows if row not in tuned]
    if not (first and tuned):
        return _matrix(first or tuned, title=title)
    pairs = [row for row in rows if not str(row["row"]).startswith(SUMMARY)]
    apart = [row for row in pairs if str(row["row"]).removesuffix(TUNED) != row["col"]]
    most = max((float(row["value"] or 0) for row in apart), default=0.0)
    panels = [
        _matrix([{**row, "n": None} for row in mine], title=what, most=most)
        for mine, what in ((first, "Before fine-tuning"), (tuned, "After fine-tuning"))
    ]
    for panel in panels:
        panel.usermeta = alt.Undefined  # a chart's alone, not a panel's
    both = alt.hconcat(*panels).resolve_scale(color="independent")
    counts = [int(row["n"]) for row in rows if row["n"]]
    n = f"{counted(counts, 'boxes')}." if counts else ""
    return titled(both, title, n, width=2 * WIDTH)  # type: ignore[no-any-return]


def _matrix(rows: Sequence[Row], *, title: str, most: float = 0.0) -> "alt.LayerChart":
    """Draw the matrix of one checkpoint, its colours up to a share at least."""
    values = {
        (str(row["row"]).removesuffix(TUNED), str(row["col"])): float(row["value"] or 0)
        for row in rows
    }
    shares = {pair: share for pair, share in values.items() if pair[0] != SUMMARY}
    counts = [int(row["n"]) for row in rows if row["n"]]
    top, chance = int(values[SUMMARY, "top"]), values[SUMMARY, "chance"]
    n = max(counts, default=0)
    return draw_overlap(shares, chance=chance, top=top, title=title, n=n, most=most)
