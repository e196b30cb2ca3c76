"""Supplementary Figure 1: class selectivity by weighted and by spatial-max label entropy."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import Cell, Need, Row, report
from fstore.queries.reports._selectivity import FRACTIONS, aues, draw_selectivity, layer_needs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fstore.store import Store

__all__ = ["plot_s_figure1", "s_figure1"]

TITLES = {"weighted": "(a) weighted label entropy", "sp_max": "(b) spMax label entropy"}


def plot_s_figure1(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw MCAuE against the fraction of filters, a panel a measure, a line a layer.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the report.
    ax : Axes or None
        Where to draw; None makes a figure.

    Returns
    -------
    Axes
    """
    from fstore.queries.figures.plots import panels

    frame, drawn = panels(ax, len(TITLES), n_columns=2, size=(5, 3.75))
    for panel, (measure, title) in zip(drawn, TITLES.items(), strict=True):
        mine = [
            {**row, "row": str(row["row"]).split(" ", 1)[1]}
            for row in rows
            if str(row["row"]).startswith(measure + " ")
        ]
        draw_selectivity(mine, ax=panel)
        panel.set_title(title)
    return frame


@report(
    "s_figure1",
    title="Class selectivity by layer (weighted and spMax label entropy)",
    on="detection",
    answers="Does the change of selectivity depend on how it is measured?",
    needs=layer_needs,
    plot=plot_s_figure1,
)
def s_figure1(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield MCAuE in nats against the fraction of filters, by measure and layer.

    As :func:`fstore.queries.reports.figure1.figure1`. Source: the paper's supplementary Figure 1.
    """
    from fstore.queries.methods.entropy import mean_at

    for need in needs:
        cells = []
        for measure, found in aues(store, need.readings, ["weighted", "sp_max"]).items():
            means = zip(FRACTIONS, mean_at(found, FRACTIONS), strict=True)
            row = f"{measure} {need.row}"
            cells += [Cell(row, f"{share:.2f}", mean, n=k) for share, (mean, k) in means]
        yield need, cells
