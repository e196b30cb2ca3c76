"""Filters of two checkpoints paired one to one, by the correlation of their responses."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.queries.methods.responses import unit

if TYPE_CHECKING:
    from fstore.types import FloatArray

__all__ = ["match_filters"]


def match_filters(
    X: "FloatArray", Y: "FloatArray"
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Return the pairs of filters, one to one, whose correlations have the largest sum.

    Memory is 8 bytes for each response of both, and for each two filters.

    Parameters
    ----------
    X, Y : arrays of shape (n_samples, n_filters) or (n_samples, n_filters, positions)
        Responses to the same samples at the same places; the numbers of filters may differ.

    Returns
    -------
    of_X, of_Y : arrays of shape (n_pairs,), int
        Filters, those of X ascending. A filter that responds alike to all samples has no partner;
        nor have some, if there are fewer of the others.
    r : array of shape (n_pairs,), float64
        Pearson's r of each pair, -1 to 1.

    Raises
    ------
    DataError
        Samples or places differ in number, or there are fewer than two responses of a filter.

    References
    ----------
    Li et al. 2015, arXiv:1511.07543, section 3 (bipartite matching), by the Hungarian method.
    Differs: nothing.
    """
    from scipy.optimize import linear_sum_assignment

    if X.shape[0] != Y.shape[0] or X.shape[2:] != Y.shape[2:]:
        raise DataError(
            f"filters are matched on the same samples and places; shapes are {X.shape}, {Y.shape}"
        )
    a, b = (np.moveaxis(each, 1, -1).reshape(-1, each.shape[1]) for each in (X, Y))
    if len(a) < 2:
        raise DataError(f"matching filters needs at least 2 responses of each; got {len(a)}")
    varied = [np.flatnonzero((each != each[:1]).any(axis=0)) for each in (a, b)]
    r = unit(a[:, varied[0]]).T @ unit(b[:, varied[1]])
    rows, columns = linear_sum_assignment(r, maximize=True)
    return varied[0][rows], varied[1][columns], np.clip(r[rows, columns], -1.0, 1.0)
