"""Figure 4: what small sets of filters of a middle layer are worth."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import Cell, Need
from fstore.queries.cells.registry import report
from fstore.queries.figures.subsets import plot_fractions
from fstore.queries.reports._roles import box_needs
from fstore.queries.reports._subsets import fraction_cells

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["figure4"]


@report(
    "figure4",
    title="Fraction of the complete AP by number of filters of a middle layer",
    on="detection",
    answers="Is a class coded by a few filters of a middle layer, or by many together?",
    needs=box_needs("mid_layer"),
    plot=plot_fractions,
    negative="a filter of negative weight speaks for a class where it responds below 0",
)
def figure4(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield the fraction of the AP of all filters that the best 1, 2, 3, 5, ... reach, by class.

    Row: class and checkpoint; column: number of filters; beside it the AP in percent. Source: the
    paper's Figure 4.
    """
    yield from fraction_cells(store, needs)
