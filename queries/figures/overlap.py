"""The filters that classes have in common, drawn as a matrix."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fstore.queries.figures.matrix import matrix
from fstore.queries.figures.plots import Row

if TYPE_CHECKING:
    import altair as alt

__all__ = ["draw_overlap", "plot_filter_overlap"]


def draw_overlap(
    shares: Mapping[tuple[str, str], float],
    *,
    chance: float,
    top: int,
    title: str,
    n: int = 0,
    of: str = "boxes",
    most: float = 0.0,
) -> "alt.LayerChart":
    """Draw the shares of two classes as a matrix, in percent; a class with itself is left out.

    Parameters
    ----------
    shares : mapping
        By pair of classes, 0 to 1.
    chance : float
        What two random choices share.
    top : int
        Filters of a class that are compared.
    title : str
    n : int
        Samples that filters were ranked on; 0 if that is not known.
    of : str
        What these are.
    most : float
        A share that the colours reach at least, so that matrices beside each other compare.
    """
    rows = [
        {"row": a, "col": b, "value": None if a == b else 100 * share}
        for (a, b), share in shares.items()
    ]
    most = 100 * max([most, *(share for (a, b), share in shares.items() if a != b)])
    notes = [f"By chance {100 * chance:.1f} percent."]
    notes += [f"n = {n:,} {of}."] if n else []
    return matrix(
        rows,
        title=title,
        quantity=f"Percent of the {top} best\nfilters in common",
        of_rows="Class",
        of_columns="Class",
        digits=0,
        ends=(0.0, max(most, 100 * chance, 1e-9)),
        notes=notes,
    )


def plot_filter_overlap(rows: Sequence[Row], *, title: str = "") -> "alt.LayerChart":
    """Draw the shares of common filters as a matrix.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the analysis.
    title : str
    """
    classes = sorted({str(row["class"]) for row in rows})  # rows come by their share
    shares = {(str(row["class"]), str(row["other"])): float(row["share"]) for row in rows}
    whole = {(a, b): shares.get((a, b), 1.0) for a in classes for b in classes}
    own = {key: rows[0][key] for key in ("chance", "top", "n")}
    return draw_overlap(whole, **own, of="samples that filters are ranked on", title=title)
