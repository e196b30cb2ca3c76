"""Supplementary Figure 2: what small sets of filters of the top layer are worth."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import Cell, Need
from fstore.queries.cells.registry import report
from fstore.queries.figures.subsets import plot_fractions
from fstore.queries.reports._roles import box_needs
from fstore.queries.reports._subsets import fraction_cells

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["s_figure2"]


@report(
    "s_figure2",
    title="Fraction of the complete AP by number of filters of the top layer",
    on="detection",
    answers="Is a class coded by a few filters of the top layer, or by many together?",
    needs=box_needs("top_layer"),
    plot=plot_fractions,
    negative="a filter of negative weight speaks for a class where it responds below 0",
)
def s_figure2(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield the fraction of the AP of all filters that the best 1, 2, 3, 5, ... reach, by class.

    Row: class and checkpoint; column: number of filters; beside it the AP in percent. Source: the
    paper's supplementary Figure 2.
    """
    yield from fraction_cells(store, needs)
