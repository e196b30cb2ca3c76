"""The intrinsic dimension of layers by depth."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fstore.queries.figures.lines import Axis, beside, line_chart
from fstore.queries.figures.parts import counted, titled
from fstore.queries.figures.plots import Row

if TYPE_CHECKING:
    import altair as alt

__all__ = ["plot_dimension"]

PANELS = {
    "participation_ratio": "Participation ratio (dimensions)",
    "two_nn": "TwoNN (dimensions)",
}


def plot_dimension(rows: Sequence[Row], *, title: str = "") -> "alt.TopLevelMixin":
    """Draw both dimensions by layer, a line a checkpoint.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the analysis ``dimension``.
    title : str
    """
    lines = list(dict.fromkeys(str(row["ckpt"]) for row in rows))
    layers = list(dict.fromkeys(str(row["layer"]) for row in rows))
    panels = [
        line_chart(
            [
                {"line": str(r["ckpt"]), "x": str(r["layer"]), "y": r[key], "of": r["features"]}
                for r in rows
            ],
            x=Axis("Layer, by depth", names=layers),
            y=Axis(quantity, format=".1f"),
            of="Checkpoint",
            lines=lines,
            more=[("of:Q", "Features", ",")],
            alone=False,
            size=(330, 260),
        )
        for key, quantity in PANELS.items()
    ]
    n = counted([int(row["n"]) for row in rows], "samples")
    chart = beside(panels, lines, of="Checkpoint")
    return titled(chart, title, f"{n}. Of few samples both come out too small.", width=700)  # type: ignore[no-any-return]
