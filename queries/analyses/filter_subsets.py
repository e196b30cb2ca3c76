"""Distributed codes: how many filters a class takes (section 4.2)."""

from typing import TYPE_CHECKING, Any

from fstore.queries.analyses._api import analysis
from fstore.queries.figures.subsets import plot_filter_subsets
from fstore.queries.methods.subsets import class_subsets
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
    columns=("class", "filters", "ap_11", "ap_all", "fraction", "last_channel", "converged"),
    plot=plot_filter_subsets,
)
def filter_subsets(
    store: "Store",
    *,
    layer: str,
    ckpt: str,
    dataset: str,
    view: str = "gt",
    network: str | None = None,
    split: str = "official",
    seed: int = 0,
    difficult: bool = False,
    on_progress: OnProgress | None = None,
) -> list[dict[str, Any]]:
    """Rank filters by their weight in an SVM and give the AP of the first 1, 2, 3, 5, ... of them.

    Parameters
    ----------
    store : Store
        Where the activations are.
    layer : str
        Layer whose filters are studied.
    ckpt : str
        Checkpoint, as NAME or NETWORK/NAME.
    dataset : str
        Data set.
    view : str
        gt (ground-truth boxes), image (whole images) or proposal.
    network : str or None
        Network, where several have a checkpoint of this name.
    split : str
        official or random.
    seed : int
        Which of the random splits.
    difficult : bool
        Keep boxes that are flagged difficult.
    on_progress : callable or None
        Told of long work.

    Returns
    -------
    list of dict
        A row a class and size: AP on test, 0 to 1, its fraction of the AP of all filters, the
        channel that the size added last, and whether the SVMs converged. A class that cannot be
        learned or tested has no rows.

    Raises
    ------
    UnknownNameError
        Activations or the split are not there; the message has the command that makes them.
    DataError
        A response is NaN or infinite; no filter responds; no class can be learned and tested.
    """
    from fstore.queries.samples.single import find_responses

    found = find_responses(
        store,
        layer=layer,
        ckpt=ckpt,
        dataset=dataset,
        view=view,
        network=network,
        split=split,
        seed=seed,
        difficult=difficult,
    )
    return [
        {
            "class": name,
            "filters": k,
            "ap_11": subsets.ap_11[i],
            "ap_all": subsets.ap_all[i],
            "fraction": subsets.fractions[i],
            "last_channel": int(subsets.ranking[k - 1]),
            "converged": subsets.converged,
        }
        for name, subsets in class_subsets(found, on_progress=on_progress).items()
        for i, k in enumerate(subsets.sizes)
    ]
