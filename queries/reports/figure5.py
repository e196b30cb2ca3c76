"""Figure 5: whether different classes use the same filters."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import SUMMARY, Cell, Need
from fstore.queries.cells.registry import report
from fstore.queries.figures.figure5 import plot_figure5
from fstore.queries.reports._roles import box_needs, box_responses

if TYPE_CHECKING:
    from fstore.queries.studies.study import Study
    from fstore.store import Store

__all__ = [
    "figure5",
]


def needs(store: "Store", study: "Study") -> list[Need]:
    """Return the series of the pre-trained checkpoint: the paper draws one matrix."""
    return box_needs("mid_layer")(store, study)[:1]


@report(
    "figure5",
    title="Filters that classes have in common",
    on="detection",
    answers="Do different classes use different filters?",
    needs=needs,
    plot=plot_figure5,
    negative="a filter of negative weight speaks for a class where it responds below 0",
)
def figure5(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield the share of the 50 best filters that each two classes have in common, 0 to 1.

    Filters are ranked by |w| of SVMs on all filters, learned on the boxes of train and val. Row
    ``(summary)``: the share by chance, the mean over pairs, and for PASCAL VOC the means over
    related and over other pairs; ``top``: how many filters are compared. Source: the paper's
    Figure 5.
    """
    from fstore.queries.methods.overlap import class_overlap, overlap_summary

    for need in needs:
        boxes = box_responses(store, need)
        classes, shares, top = class_overlap(boxes)
        n = len(boxes.split.fitted)
        cells = [
            Cell(a, b, float(shares[i, j]), n=n)
            for i, a in enumerate(classes)
            for j, b in enumerate(classes)
        ]
        summary = overlap_summary(classes, shares, chance=top / boxes.X.shape[1])
        cells += [Cell(SUMMARY, col, value, n=n) for col, value in summary.items()]
        yield need, [*cells, Cell(SUMMARY, "top", float(top), n=n)]
