"""Figure 5: whether different classes use the same filters."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import SUMMARY, TUNED, Cell, Need
from fstore.queries.cells.registry import report
from fstore.queries.figures.figure5 import plot_figure5
from fstore.queries.reports._roles import box_needs, box_responses

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = [
    "figure5",
]


@report(
    "figure5",
    title="Filters that classes have in common",
    on="detection",
    answers="Do different classes use different filters?",
    needs=box_needs("mid_layer"),
    plot=plot_figure5,
    negative="a filter of negative weight speaks for a class where it responds below 0",
)
def figure5(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield the share of the 50 best filters that each two classes have in common, 0 to 1.

    Filters are ranked by |w| of SVMs on all filters, learned on the boxes of train and val. Row
    ``(summary)``: the share by chance, the mean over pairs, and for PASCAL VOC the means over
    related and over other pairs; ``top``: how many filters are compared. Rows of the fine-tuned
    checkpoint end in ``, fine-tuned``: the paper draws the pre-trained one alone. Source: the
    paper's Figure 5.
    """
    from fstore.queries.methods.overlap import class_overlap, overlap_summary

    for need in needs:
        boxes = box_responses(store, need)
        classes, shares, top = class_overlap(boxes)
        n, end = len(boxes.split.fitted), TUNED if need.row == "finetuned" else ""
        cells = [
            Cell(a + end, b, float(shares[i, j]), n=n)
            for i, a in enumerate(classes)
            for j, b in enumerate(classes)
        ]
        summary = overlap_summary(classes, shares, chance=top / boxes.X.shape[1])
        summary["top"] = float(top)
        yield need, [*cells, *(Cell(SUMMARY + end, col, v, n=n) for col, v in summary.items())]
