"""Supplementary Figure 1: class selectivity by weighted and by spatial-max label entropy."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import Cell, Need
from fstore.queries.cells.registry import report
from fstore.queries.figures.selectivity import plot_s_figure1
from fstore.queries.reports._selectivity import FRACTIONS, aues, layer_needs

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["s_figure1"]


@report(
    "s_figure1",
    title="Class selectivity by layer (weighted and spMax label entropy)",
    on="detection",
    answers="Does the change of selectivity depend on how it is measured?",
    needs=layer_needs,
    plot=plot_s_figure1,
    negative="they count for nothing; an entropy is of the scores above 0 alone",
)
def s_figure1(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield MCAuE in nats against the fraction of filters, by measure and layer.

    As :func:`fstore.queries.reports.figure1.figure1`. Source: the paper's supplementary Figure 1.
    """
    from fstore.queries.methods.entropy import mean_at

    for need in needs:
        cells = []
        for measure, areas in aues(store, need.readings, ["weighted", "sp_max"]).items():
            means = zip(FRACTIONS, mean_at(areas, FRACTIONS), strict=True)
            row = f"{measure} {need.row}"
            cells += [Cell(row, f"{share:.2f}", mean, n=k) for share, (mean, k) in means]
        yield need, cells
