"""How alike the responses of filters are: within a layer, and between two checkpoints."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fstore.types import FloatArray

__all__ = ["correlations_with", "paired_correlations", "unit"]

STEP = 256
"""Filters whose responses are held as float64 at a time."""


def paired_correlations(X: "FloatArray", others: "FloatArray") -> NDArray[np.float64]:
    """Return the correlation of each filter's responses with those of the filter of its index.

    Parameters
    ----------
    X, others : arrays of shape (n_samples, n_filters)
        Finite; rows are the same samples.

    Returns
    -------
    array of shape (n_filters,), float64
        Pearson's, -1 to 1; NaN where a filter responds equally to all samples.
    """
    blocks = [slice(at, at + STEP) for at in range(0, X.shape[1], STEP)]
    parts = [(unit(X[:, b]) * unit(others[:, b])).sum(axis=0) for b in blocks]
    return np.asarray(np.clip(np.concatenate(parts), -1, 1))


def correlations_with(X: "FloatArray", channel: int) -> NDArray[np.float64]:
    """Return the correlation of every filter's responses with those of one of them.

    Parameters
    ----------
    X : array of shape (n_samples, n_filters)
        Finite.
    channel : int

    Returns
    -------
    array of shape (n_filters,), float64
        As of :func:`paired_correlations`.
    """
    own = unit(X[:, [channel]])[:, 0]
    parts = [own @ unit(X[:, at : at + STEP]) for at in range(0, X.shape[1], STEP)]
    return np.asarray(np.clip(np.concatenate(parts), -1, 1))


def unit(X: "FloatArray") -> NDArray[np.float64]:
    """Return columns less their mean, of length 1; NaN where all values are equal.

    Parameters
    ----------
    X : array of shape (n_samples, n_filters), float32 or float64

    Returns
    -------
    array of shape (n_samples, n_filters), float64
    """
    constant = (X[:1] == X).all(axis=0)
    centred = X.astype(np.float64)
    centred -= centred.mean(axis=0)
    lengths = np.sqrt((centred * centred).sum(axis=0))
    lengths[constant] = np.nan
    return np.asarray(centred / lengths)
