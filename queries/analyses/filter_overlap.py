"""Whether different classes use the same filters (section 4.2)."""

from typing import TYPE_CHECKING, Any

from fstore.queries.analyses._api import analysis
from fstore.queries.figures.overlap import plot_filter_overlap
from fstore.queries.methods.overlap import class_overlap

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = [
    "filter_overlap",
]


@analysis(
    "filter-overlap",
    title="Filters that classes have in common",
    source="section 4.2, Figure 5",
    columns=("class", "other", "share", "chance", "top"),
    plot=plot_filter_overlap,
)
def filter_overlap(
    store: "Store",
    *,
    layer: str,
    ckpt: str,
    dataset: str,
    view: str = "gt",
    network: str | None = None,
    split: str = "official",
    seed: int = 0,
    top: int | None = None,
    difficult: bool = False,
) -> list[dict[str, Any]]:
    """Give the share of best filters that each two classes have in common, most first.

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
    top : int or None
        Best filters of each class, by |w| of an SVM on all; default 50, or the same share (50 of
        256) of a smaller layer.
    difficult : bool
        Keep boxes that are flagged difficult.

    Returns
    -------
    list of dict
        A row an ordered pair of classes; ``chance`` is the share that random sets have in common.

    Raises
    ------
    UnknownNameError
        Activations or the split are not there; the message has the command that makes them.
    DataError
        The layer has fewer filters than ``top``; a response is NaN or infinite; fewer than two
        classes can be learned.
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
    classes, shares, top = class_overlap(found, top=top)
    chance = top / found.X.shape[1]
    rows = [
        {"class": a, "other": b, "share": float(shares[i, j]), "chance": chance, "top": top}
        for i, a in enumerate(classes)
        for j, b in enumerate(classes)
        if i != j
    ]
    return sorted(rows, key=lambda row: -float(str(row["share"])))
