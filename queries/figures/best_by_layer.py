"""The average precision of the best single filter, by layer and checkpoint."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fstore.queries.figures.lines import Axis, line_chart
from fstore.queries.figures.parts import counted, titled
from fstore.queries.figures.plots import Row

if TYPE_CHECKING:
    import altair as alt

__all__ = ["best_by_layer_chart"]


def best_by_layer_chart(
    rows: Sequence[Row], *, prior: float, title: str = ""
) -> "alt.TopLevelMixin":
    """Draw how well the best filter of each layer tells a class, a line a checkpoint.

    Parameters
    ----------
    rows : sequence of mapping
        ``layer``, ``ckpt``, ``ap_11`` (0 to 1), ``channel`` and ``filters`` (how many the layer
        has), ``positives`` and ``n``; layers in order.
    prior : float
        The share of positives, 0 to 1: about what a filter that guesses gets.
    title : str
    """
    points = [
        {
            "line": str(row["ckpt"]),
            "x": str(row["layer"]),
            "y": 100 * float(row["ap_11"] or 0),
            "channel": row["channel"],
            "filters": row["filters"],
        }
        for row in rows
    ]
    chart = line_chart(
        points,
        x=Axis("Layer", names=list(dict.fromkeys(str(row["layer"]) for row in rows))),
        y=Axis("11-point AP of the best filter (percent)", ends=(0, 100), format=".1f"),
        of="Checkpoint",
        rules=[100 * prior],
        more=[("channel:Q", "Filter", "d"), ("filters:Q", "Best of", ",")],
        size=(400, 260),
    )
    positives = counted([int(row["positives"] or 0) for row in rows], "positives")
    among = counted([int(row["n"] or 0) for row in rows], "samples").removeprefix("n = ")
    notes = (f"{positives} of {among}.", f"Dotted: the prior, {100 * prior:.1f} percent.")
    return titled(chart, title, *notes, width=400)  # type: ignore[no-any-return]
