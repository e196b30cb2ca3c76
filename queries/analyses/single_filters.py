"""Grandmother cells: how well a single filter tells a class (section 4.1)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError, UnknownNameError
from fstore.queries.analyses._api import analysis
from fstore.queries.figures.single_filters import plot_filter_curves, plot_single_filters
from fstore.queries.methods.single_filters import curve_rows, ranked_filters
from fstore.queries.samples.asked import AskedBoxes

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["AskedRanking", "filter_curves", "single_filters"]

Ranked: TypeAlias = tuple[NDArray[np.float32], NDArray[np.int8], tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class AskedRanking(AskedBoxes):
    """Responses to the samples that filters rank: those of a part, or all of the split.

    Parameters
    ----------
    part : str
        Samples that are ranked: train, val, test, or all of the split.
    """

    part: str = "test"

    def ranked(self, store: "Store") -> Ranked:
        """Return responses and labels of the samples that are ranked, and the classes' names."""
        responses = self.responses(store)
        parts = {
            "train": responses.split.train,
            "val": responses.split.val,
            "test": responses.split.test,
            "all": np.arange(len(responses.X)),
        }
        if self.part not in parts:
            raise UnknownNameError(f"no part '{self.part}'; there are: {', '.join(parts)}")
        if len(parts[self.part]) == 0:
            filled = ", ".join(name for name, rows in parts.items() if len(rows))
            raise UnknownNameError(
                f"part '{self.part}' of the split has no samples; there are: {filled}"
            )
        rows = parts[self.part]
        return responses.X[rows], responses.Y[rows], responses.classes


@analysis(
    "single-filters",
    title="Average precision of single filters",
    source="section 4.1",
    columns=("class", "rank", "channel", "ap_11", "ap_all", "prior", "n"),
    plot=plot_single_filters,
)
def single_filters(
    store: "Store",
    asked: AskedRanking,
    *,
    top: int = 5,
) -> list[dict[str, Any]]:
    """Rank every filter by its average precision as a detector of each class.

    A filter's score of a sample is the largest response of its map.

    Parameters
    ----------
    store : Store
        Where the activations are.
    asked : AskedRanking
        Which responses of which samples.
    top : int
        Filters to list for each class, best first; 0 for all.

    Returns
    -------
    list of dict
        AP from 0 to 1, at 11 recalls (which ranks) and over all points; ``prior``, the share of
        positives, is what a random filter gets over all points. A class without a positive in the
        part has no rows.

    Raises
    ------
    UnknownNameError
        Activations or the split are not there; the message has the command that makes them.
    DataError
        A response is NaN or infinite; the part shows no class; ``top`` is below 0.
    """
    if top < 0:
        raise DataError(f"top must be 0 (all filters) or more, got {top}")
    X, Y, classes = asked.ranked(store)
    return [row for _, row in ranked_filters(X, Y, classes, top=top or None)]


@analysis(
    "filter-curves",
    title="Precision and recall of the best single filters",
    source="section 4.1, Figure 3",
    columns=("class", "rank", "channel", "ap_11", "recall", "precision", "prior", "n"),
    plot=plot_filter_curves,
)
def filter_curves(
    store: "Store",
    asked: AskedRanking,
    *,
    top: int = 5,
) -> list[dict[str, Any]]:
    """Give the precision-recall curves of the best filters of each class.

    Parameters
    ----------
    store : Store
        Where the activations are.
    asked : AskedRanking
        Which responses of which samples.
    top : int
        Filters of each class.

    Returns
    -------
    list of dict
        A row a point: at recalls 0, 0.02, ..., 1 the best precision at that recall or a higher one.

    Raises
    ------
    UnknownNameError
        Activations or the split are not there; the message has the command that makes them.
    DataError
        A response is NaN or infinite; the part shows no class; ``top`` is below 1.
    """
    if top < 1:
        raise DataError(f"top must be at least 1, got {top}")
    X, Y, classes = asked.ranked(store)
    return curve_rows(X, Y, classes, top=top)
