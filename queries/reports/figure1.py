"""Figure 1: how class selective the filters of each layer are, before and after fine-tuning."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import BESIDE, Cell, Need
from fstore.queries.cells.registry import report
from fstore.queries.figures.selectivity import plot_figure1
from fstore.queries.reports._selectivity import FRACTIONS, aues, fires, layer_needs

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = [
    "figure1",
]


@report(
    "figure1",
    title="Class selectivity by layer (label entropy)",
    on="detection",
    answers="Do filters become more class selective with depth, and with fine-tuning?",
    needs=layer_needs,
    plot=plot_figure1,
    negative="they count for nothing; an entropy is of the scores above 0 alone",
)
def figure1(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield MCAuE in nats against the fraction of the most selective filters, by layer.

    Label entropy on ground-truth boxes of the test part, exact over all distinct scores; ``n`` is
    the number of filters in the mean. Lower is more selective. Beside the whole layer: how many of
    its filters never fire (``1.00:silent``); the AuE of these is the entropy of the labels. Source:
    the paper's Figure 1.
    """
    from fstore.queries.methods.entropy import mean_at

    for need in needs:
        areas = aues(store, need.readings, ["label"])["label"]
        means = zip(FRACTIONS, mean_at(areas, FRACTIONS), strict=True)
        cells = [Cell(need.row, f"{share:.2f}", mean, n=k) for share, (mean, k) in means]
        silent = float((~fires(store, need.readings)).sum())
        yield need, [*cells, Cell(need.row, f"1.00{BESIDE}silent", silent, n=len(areas))]
