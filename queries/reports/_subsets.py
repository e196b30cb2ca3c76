"""What Tables 5 and 10 and Figure 4 and supplementary Figure 2 share: subsets of filters."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import BESIDE, Cell, Need, Row
from fstore.queries.reports._roles import box_responses

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fstore.store import Store

__all__ = ["fraction_cells", "needed_cells", "plot_fractions", "plot_needed"]

SHARES = {"50%": 0.5, "90%": 0.9}


def needed_cells(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield the numbers of filters that reach 50 % and 90 % of the complete AP, by class."""
    from fstore.queries.analyses.filter_subsets import class_subsets
    from fstore.queries.methods.filters import filters_needed

    for need in needs:
        found = box_responses(store, need)
        cells = []
        for name, subsets in class_subsets(found).items():
            for label, share in SHARES.items():
                listed, between = filters_needed(subsets.sizes, subsets.fractions, share)
                row, n = f"{need.row} {label}", len(found.split.test)
                cells += [
                    Cell(row, name, float(listed), n=n),
                    Cell(row, f"{name}{BESIDE}interpolated", between, n=n),
                ]
        yield need, cells


def fraction_cells(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield the fraction of the complete AP by class and number of filters."""
    from fstore.queries.analyses.filter_subsets import class_subsets

    for need in needs:
        found = box_responses(store, need)
        n = len(found.split.test)
        cells = []
        for name, subsets in class_subsets(found).items():
            for k, fraction, value in zip(
                subsets.sizes, subsets.fractions, subsets.ap_11, strict=True
            ):
                row = f"{name} {need.row}"
                cells += [
                    Cell(row, str(k), fraction, n=n),
                    Cell(row, f"{k}{BESIDE}ap", 100 * value, n=n),
                ]
        yield need, cells


def plot_fractions(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw the fraction of the complete AP against the number of filters, a panel a class.

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
    from fstore.queries.analyses.filter_subsets import draw_fractions

    lines: dict[tuple[str, str], tuple[list[int], list[float]]] = {}
    for row in rows:
        if BESIDE not in str(row["col"]):
            name, role = str(row["row"]).rsplit(" ", 1)
            sizes, fractions = lines.setdefault((name, role), ([], []))
            sizes.append(int(str(row["col"])))
            fractions.append(float(row["value"] or 0))
    return draw_fractions(lines, ax=ax)


def plot_needed(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw the number of filters by class: circles 50 %, squares 90 %; filled is fine-tuned.

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
    from fstore.queries.figures.plots import new_axes

    ax = new_axes(ax)
    main = [row for row in rows if BESIDE not in str(row["col"])]
    classes = list(dict.fromkeys(str(row["col"]) for row in main))
    for label in dict.fromkeys(str(row["row"]) for row in main):
        mine = [row for row in main if row["row"] == label]
        role, share = label.split(" ")
        face = "black" if role == "finetuned" else "white"
        mark = "o" if share == "50%" else "s"
        x = [classes.index(str(row["col"])) for row in mine]
        y = [float(row["value"] or 0) for row in mine]
        ax.plot(x, y, mark, color="black", markerfacecolor=face, label=label)
    ax.set_yscale("log")
    ax.set_xticks(range(len(classes)), classes, rotation=90, fontsize="small")
    ax.set_ylabel("Filters needed (log scale)")
    n = max(int(row["n"] or 0) for row in main)
    ax.set_xlabel(f"Class (n = {n} test boxes)")
    ax.legend(title="Share of the complete AP", loc="center left", bbox_to_anchor=(1, 0.5))
    return ax
