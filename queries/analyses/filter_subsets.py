"""Distributed codes: how many filters a class takes (section 4.2)."""

from typing import TYPE_CHECKING, Any

from fstore.queries.analyses._api import analysis
from fstore.queries.figures.subsets import plot_filter_subsets
from fstore.queries.methods.subsets import class_subsets
from fstore.queries.samples.asked import AskedBoxes
from fstore.types import OnProgress

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = [
    "filter_subsets",
]


@analysis(
    "filter-subsets",
    title="Average precision of nested subsets of filters",
    source="section 4.2, Figure 4 and Tables 5 and 10",
    columns=(
        *("class", "filters", "ap_11", "ap_all", "fraction", "last_channel"),
        *("no_direction", "converged", "n"),
    ),
    plot=plot_filter_subsets,
    negative="a filter of negative weight speaks for a class where it responds below 0",
)
def filter_subsets(
    store: "Store",
    asked: AskedBoxes,
    *,
    on_progress: OnProgress | None = None,
) -> list[dict[str, Any]]:
    """Rank filters by their weight in an SVM and give the AP of the first 1, 2, 3, 5, ... of them.

    Parameters
    ----------
    store : Store
        Where the activations are.
    asked : AskedBoxes
        Which responses of which samples.
    on_progress : callable or None
        Told of long work.

    Returns
    -------
    list of dict
        A row a class and size: AP on test, 0 to 1, its fraction of the AP of all filters, the
        channel that the size added last, whether the SVMs converged, and the samples tested on.
        ``no_direction``: the best weights of that size are exactly 0; its scores are all equal, and
        its AP is the share of positives. A class that cannot be learned or tested has no rows.

    Raises
    ------
    UnknownNameError
        Activations or the split are not there; the message has the command that makes them.
    DataError
        A response is NaN or infinite; no filter responds; no class can be learned and tested.
    """
    responses = asked.responses(store)
    return [
        {
            "class": name,
            "filters": k,
            "ap_11": subsets.ap_11[i],
            "ap_all": subsets.ap_all[i],
            "fraction": subsets.fractions[i],
            "last_channel": int(subsets.ranking[k - 1]),
            "no_direction": subsets.no_direction[i],
            "converged": subsets.converged,
            "n": len(responses.split.test),
        }
        for name, subsets in class_subsets(responses, on_progress=on_progress).items()
        for i, k in enumerate(subsets.sizes)
    ]
