"""What SVMs on several filters say of a class, and which samples they or a filter misplace."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.explore.filters import ALL, TABLES
from fstore.store.files import Partition
from fstore.store.parts import Part, Split, default_split

if TYPE_CHECKING:
    from fstore.explore.contents import Contents
    from fstore.queries.samples.asked import AskedBoxes
    from fstore.queries.samples.single import Responses

__all__ = [
    "Hard",
    "hardest",
    "needed",
    "overlaps",
    "split_of",
    "split_responses",
    "svm_ranking",
]

SHARES = (0.5, 0.9)
"""Of the AP of all filters: the paper asks how many filters reach them."""


def split_of(contents: "Contents", dataset: str, part: str) -> Split:
    """Return the split that a part is of; of all samples the data set's default."""
    named = None if part == ALL else Part.parse(part).split
    return named or default_split(contents.store, [dataset])


def split_responses(contents: "Contents", partition: Partition, split: Split) -> "Responses":
    """Return one response a filter and sample of the parts of a split, as the analyses read them.

    Raises
    ------
    UnknownNameError
        There is no such split, or it lacks responses.
    """
    what = ("responses of a split", partition, split)
    asked = _asked(partition, split)
    return contents.kept(what, TABLES, lambda: asked.responses(contents.store), large=True)


def _asked(partition: Partition, split: Split) -> "AskedBoxes":
    from fstore.queries.samples.asked import AskedBoxes

    return AskedBoxes(
        network=partition.network,
        ckpt=partition.ckpt,
        dataset=partition.dataset,
        view=partition.view,
        layer=partition.layer,
        split=split.name,
        seed=split.seed,
    )


def needed(contents: "Contents", partition: Partition, split: Split, name: str) -> dict[str, Any]:
    """Return how well nested subsets of filters tell a class, as ``filter-subsets`` does.

    Returns
    -------
    dict
        ``rows``, as of the analysis; ``enough``, a row a share of the complete AP with the listed
        number of filters that reaches it and the interpolated one; ``best``, the first filters of
        the ranking; ``no_direction``, sizes whose best weights are exactly 0; ``learned`` and
        ``tested``, numbers of samples.

    Raises
    ------
    DataError
        The class cannot be learned or tested.
    """
    what = ("filters needed", partition, split, name)
    return contents.kept(
        what, TABLES, lambda: _needed(contents, partition, split, name), large=True
    )


def _needed(contents: "Contents", partition: Partition, split: Split, name: str) -> dict[str, Any]:
    from fstore.queries.methods.filters import factor, subset_aps

    read = split_responses(contents, partition, split)
    c, fitted, test = read.classes.index(name), read.split.fitted, read.split.test
    scale = factor(read.X[fitted])
    subsets = subset_aps(
        read.X[fitted] * scale, read.Y[fitted, c], read.X[test] * scale, y_test=read.Y[test, c]
    )
    if subsets is None:
        raise DataError(_cannot(name, len(fitted), len(test)))
    rows = [
        {"class": name, "filters": k, "ap_11": a, "ap_all": b, "fraction": f, "n": len(test)}
        for k, a, b, f in zip(
            subsets.sizes, subsets.ap_11, subsets.ap_all, subsets.fractions, strict=True
        )
    ]
    enough = [
        {"share": share, "listed": found[0], "interpolated": found[1]}
        for share in SHARES
        if (found := subsets.needed(share)) is not None
    ]
    return {
        "rows": rows,
        "enough": enough,
        "best": subsets.ranking[:12].tolist(),
        "converged": subsets.converged,
        "no_direction": [
            k for k, none in zip(subsets.sizes, subsets.no_direction, strict=True) if none
        ],
        "learned": len(fitted),
        "tested": len(test),
    }


def _cannot(name: str, learned: int, tested: int) -> str:
    return (
        f"class '{name}' has no positive and negative sample to learn from among {learned:,}, or "
        f"no positive one to test on among {tested:,}"
    )


def overlaps(contents: "Contents", partition: Partition, split: Split) -> dict[str, Any]:
    """Return what classes share of their best filters, as ``filter-overlap`` does: for all classes.

    Returns
    -------
    dict
        ``classes``, ``shares`` (square), ``top`` (filters that are compared), ``chance``,
        ``learned`` (samples).
    """

    def make() -> dict[str, Any]:
        from fstore.queries.methods.overlap import class_overlap

        read = split_responses(contents, partition, split)
        classes, shares, top = class_overlap(read)
        chance, learned = top / read.X.shape[1], len(read.split.fitted)
        both = {"classes": classes, "shares": shares, "top": top}
        return {**both, "chance": chance, "learned": learned}

    return contents.kept(("overlap of classes", partition, split), TABLES, make, large=True)


# What is hard


@dataclass(frozen=True, slots=True)
class Hard:
    """Samples that a score places wrongly.

    Attributes
    ----------
    missed : list of dict
        Positives with the lowest scores, the lowest first: ``sample``, ``score``, ``rank``.
    mistaken : list of dict
        Negatives with the highest scores, the highest first.
    n : int
        Samples that count, among which ``rank`` is; 1 is the highest score.
    lowest : int
        Positives that share the lowest score of one.
    """

    missed: list[dict[str, Any]]
    mistaken: list[dict[str, Any]]
    n: int
    lowest: int


def hardest(
    ids: NDArray[np.int64], scores: NDArray[np.floating[Any]], y: NDArray[np.int8], *, most: int
) -> Hard:
    """Return the samples that a score places farthest from where they belong.

    Parameters
    ----------
    ids : array of shape (n_samples,), int64
        Ascending; of equal scores the smaller id comes first.
    scores : array of shape (n_samples,)
    y : array of shape (n_samples,), int8
        1, -1, or 0: left out.
    most : int
        Of each kind.
    """
    ids, scores, y = ids[y != 0], scores[y != 0], y[y != 0]
    up = np.argsort(scores, kind="stable")
    down = np.argsort(-scores, kind="stable")

    def told(order: NDArray[np.intp]) -> list[dict[str, Any]]:
        return [
            {
                "sample": int(ids[i]),
                "score": float(scores[i]),
                "rank": 1 + int((scores > scores[i]).sum()),
            }
            for i in order[:most]
        ]

    own = scores[y > 0]
    lowest = int((own == own.min()).sum()) if len(own) else 0
    return Hard(told(up[y[up] > 0]), told(down[y[down] < 0]), len(ids), lowest)


def svm_ranking(
    contents: "Contents", partition: Partition, split: Split, name: str
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int8]]:
    """Return test samples, what an SVM on all filters makes of them, and their labels.

    The SVM is that of the last subset of :func:`needed`; the score is its decision value without
    the constant, which changes no order.

    Raises
    ------
    DataError
        The class cannot be learned.
    """
    what = ("ranking by an SVM", partition, split, name)
    return contents.kept(
        what, TABLES, lambda: _svm_ranking(contents, partition, split, name), large=True
    )


def _svm_ranking(
    contents: "Contents", partition: Partition, split: Split, name: str
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int8]]:
    from fstore.queries.methods.filters import filter_weights

    read = split_responses(contents, partition, split)
    c, fitted, test = read.classes.index(name), read.split.fitted, read.split.test
    (weights,) = filter_weights(read.X[fitted], read.Y[fitted][:, [c]])
    if np.isnan(weights).any():
        raise DataError(_cannot(name, len(fitted), len(test)))
    return _split_ids(contents, partition, split)[test], read.X[test] @ weights, read.Y[test, c]


def _split_ids(contents: "Contents", partition: Partition, split: Split) -> NDArray[np.int64]:
    """Return the samples of a split, ascending: rows of :func:`split_responses`."""
    (rows,) = _asked(partition, split).problem(contents.store).rows
    return rows.ids
