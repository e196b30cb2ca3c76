"""The best filters that classes have in common."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fstore.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fstore.queries.samples.single import Responses

__all__ = ["class_overlap", "overlap_summary"]


def class_overlap(
    responses: "Responses", *, top: int | None = None
) -> "tuple[list[str], NDArray[np.float64], int]":
    """Return classes, the share of best filters that each two have in common, and how many.

    Filters are ranked by |w| of an SVM on all of them, learned on train and val. A class whose best
    weights are all exactly 0 has no best filters, and is left out.

    Parameters
    ----------
    responses : Responses
    top : int or None
        Filters of each class; None for 50, or the same share of a layer of fewer than 256.

    Raises
    ------
    DataError
        The layer has fewer filters than ``top``; fewer than two classes can be learned.
    """
    from fstore.queries.methods.filters import filter_weights, overlap, top_filters

    fitted = responses.split.fitted
    weights = filter_weights(responses.X[fitted], responses.Y[fitted])
    learned = np.flatnonzero(~np.isnan(weights).any(axis=1) & weights.any(axis=1))
    if len(learned) < 2:
        raise DataError(
            f"{len(learned)} of {len(weights)} classes have both labels to learn from and an SVM "
            f"whose weights are not 0, among {len(fitted)} samples; overlap needs 2"
        )
    top = top_filters(weights.shape[1]) if top is None else top
    return [responses.classes[c] for c in learned], overlap(weights[learned], top=top), top


def overlap_summary(
    classes: Sequence[str], shares: "NDArray[np.float64]", *, chance: float
) -> dict[str, float]:
    """Return the mean share over pairs of different classes, and that by chance.

    For classes of PASCAL VOC also the mean over pairs within its groups of related classes
    (animals, vehicles, indoor things) and over the other pairs.
    """
    from fstore.queries.methods.filters import VOC_GROUPS

    pairs = [(i, j) for i in range(len(classes)) for j in range(i)]
    summary = {"chance": chance, "mean": float(np.mean([shares[p] for p in pairs]))}
    group = {name: g for g, names in VOC_GROUPS.items() for name in names}
    if set(classes) <= set(group):
        same = [group[classes[i]] == group[classes[j]] for i, j in pairs]
        for name, wanted in (("related", True), ("unrelated", False)):
            values = [shares[p] for p, s in zip(pairs, same, strict=True) if s is wanted]
            if values:
                summary[name] = float(np.mean(values))
    return summary
