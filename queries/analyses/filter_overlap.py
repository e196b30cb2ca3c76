"""Whether different classes use the same filters (section 4.2)."""

from typing import TYPE_CHECKING, Any

from fstore.queries.analyses._api import analysis
from fstore.queries.figures.overlap import plot_filter_overlap
from fstore.queries.methods.overlap import class_overlap
from fstore.queries.samples.asked import AskedBoxes

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = [
    "filter_overlap",
]


@analysis(
    "filter-overlap",
    title="Filters that classes have in common",
    source="section 4.2, Figure 5",
    columns=("class", "other", "share", "chance", "top", "n"),
    plot=plot_filter_overlap,
    negative="a filter of negative weight speaks for a class where it responds below 0",
)
def filter_overlap(
    store: "Store",
    asked: AskedBoxes,
    *,
    top: int | None = None,
) -> list[dict[str, Any]]:
    """Give the share of best filters that each two classes have in common, most first.

    Parameters
    ----------
    store : Store
        Where the activations are.
    asked : AskedBoxes
        Which responses of which samples.
    top : int or None
        Best filters of each class, by |w| of an SVM on all; default 50, or the same share (50 of
        256) of a smaller layer.

    Returns
    -------
    list of dict
        A row an ordered pair of classes; ``chance`` is the share that random sets have in
        common, ``n`` the samples that filters were ranked on.

    Raises
    ------
    UnknownNameError
        Activations or the split are not there; the message has the command that makes them.
    DataError
        The layer has fewer filters than ``top``; a response is NaN or infinite; fewer than two
        classes can be learned.
    """
    responses = asked.responses(store)
    classes, shares, top = class_overlap(responses, top=top)
    chance = top / responses.X.shape[1]
    same = {"chance": chance, "top": top, "n": len(responses.split.fitted)}
    rows = [
        {"class": a, "other": b, "share": float(shares[i, j]), **same}
        for i, a in enumerate(classes)
        for j, b in enumerate(classes)
        if i != j
    ]
    return sorted(rows, key=lambda row: -float(str(row["share"])))
