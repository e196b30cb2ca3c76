"""Table 10: how many filters of the top layer it takes to tell a class."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import Cell, Need
from fstore.queries.cells.registry import report
from fstore.queries.figures.subsets import plot_needed
from fstore.queries.reports._roles import box_needs
from fstore.queries.reports._subsets import needed_cells

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["table10"]


@report(
    "table10",
    title="Filters needed for 50 % and 90 % of the complete AP, top layer",
    on="detection",
    answers="How many filters of the top layer does it take to tell a class?",
    paper="table10.csv",
    needs=box_needs("top_layer"),
    plot=plot_needed,
    negative="a filter of negative weight speaks for a class where it responds below 0",
)
def table10(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield the smallest listed number of filters that reaches a share of the complete AP.

    Ground-truth boxes; SVMs learned on train and val, 11-point AP on test; sizes 1, 2, 3, 5, 10,
    ... 256 and all. Beside it the number interpolated between sizes, and how many sizes have an SVM
    whose best weights are exactly 0 (``no_direction``, of n): these are passed over, and if that of
    all filters is one, the class has no number. Nor has a class that cannot be learned or tested.
    Source: the paper's Table 10.
    """
    yield from needed_cells(store, needs)
