"""What Tables 5 and 10 and Figure 4 and supplementary Figure 2 share: subsets of filters."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import BESIDE, Cell, Need
from fstore.queries.reports._roles import box_responses

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = [
    "fraction_cells",
    "needed_cells",
]

SHARES = {"50%": 0.5, "90%": 0.9}


def needed_cells(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield the numbers of filters that reach 50 % and 90 % of the complete AP, by class."""
    from fstore.queries.methods.subsets import class_subsets

    for need in needs:
        boxes = box_responses(store, need)
        cells = []
        for name, subsets in class_subsets(boxes).items():
            n, none = len(boxes.split.test), float(sum(subsets.no_direction))
            for label, share in SHARES.items():
                row, found = f"{need.row} {label}", subsets.needed(share)
                if found is not None:
                    cells += [
                        Cell(row, name, float(found[0]), n=n),
                        Cell(row, f"{name}{BESIDE}interpolated", found[1], n=n),
                    ]
                cells.append(Cell(row, f"{name}{BESIDE}no_direction", none, n=len(subsets.sizes)))
        yield need, cells


def fraction_cells(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield the fraction of the complete AP by class and number of filters."""
    from fstore.queries.methods.subsets import class_subsets

    for need in needs:
        boxes = box_responses(store, need)
        n = len(boxes.split.test)
        cells = []
        for name, subsets in class_subsets(boxes).items():
            for k, fraction, value, none in zip(
                subsets.sizes, subsets.fractions, subsets.ap_11, subsets.no_direction, strict=True
            ):
                row = f"{name} {need.row}"
                cells += [
                    Cell(row, str(k), fraction, n=n),
                    Cell(row, f"{k}{BESIDE}ap", 100 * value, n=n),
                    Cell(row, f"{k}{BESIDE}no_direction", float(none), n=n),
                ]
        yield need, cells
