"""Figure 3: whether there are grandmother cells."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import Cell, Need
from fstore.queries.cells.registry import report
from fstore.queries.figures.figure3 import plot_figure3
from fstore.queries.reports._roles import box_needs, box_responses

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = [
    "figure3",
]

TOP = 5


@report(
    "figure3",
    title="Precision and recall of the best single filters",
    on="detection",
    answers="Are there filters that tell a class on their own (grandmother cells)?",
    needs=box_needs("mid_layer"),
    plot=plot_figure3,
)
def figure3(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield the precision-recall curves of the five best filters of each class.

    Row: class, checkpoint, rank; column: recall, and ``channel``, ``ap`` (percent, 11-point) and
    ``prior`` (precision of a random filter). Precision at a recall is the best at that recall or a
    higher one. Boxes of the test part. Source: the paper's Figure 3.
    """
    from fstore.queries.methods.single_filters import curve_rows

    for need in needs:
        boxes = box_responses(store, need)
        test = boxes.split.test
        cells: dict[tuple[str, str], Cell] = {}
        for point in curve_rows(boxes.X[test], boxes.Y[test], boxes.classes, top=TOP):
            row, n = f"{point['class']} {need.row} {point['rank']}", int(point["n"])
            for col, value in (
                ("channel", point["channel"]),
                ("ap", 100 * point["ap_11"]),
                ("prior", point["prior"]),
                (f"{point['recall']:.2f}", point["precision"]),
            ):
                cells[row, col] = Cell(row, col, float(value), n=n)
        yield need, list(cells.values())
