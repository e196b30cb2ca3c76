"""How many dimensions a layer's responses fill: participation ratio, and TwoNN."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError

if TYPE_CHECKING:
    from fstore.queries.methods.similarity import Centred

__all__ = ["participation_ratio", "two_nn"]

SAME = 1e-12
"""A squared distance below this share of the squared lengths is rounding: the samples are one."""

KEPT = 0.9
"""The share of ratios of distances that the line is fitted to, smallest first (Facco et al.)."""

FEWEST = 4


def participation_ratio(layer: "Centred") -> float:
    """Return the participation ratio of the principal components of a layer's responses.

    Parameters
    ----------
    layer : Centred
        Of n_samples and n_features.

    Returns
    -------
    float
        Dimensions: (sum of variances)^2 / sum of squared variances over components; 1 to
        min(n_samples - 1, n_features).

    References
    ----------
    Gao et al. 2017, doi:10.1101/214262. Differs: nothing. The sums are the trace and the Frobenius
    norm of the inner products, so that no component is computed.
    """
    trace = np.trace(layer.values) if layer.is_gram else np.sum(layer.values**2)
    return float((trace / layer.norm) ** 2)


def two_nn(layer: "Centred") -> tuple[float | None, int]:
    """Return the intrinsic dimension by the distances to two nearest samples.

    Parameters
    ----------
    layer : Centred
        Of n_samples and n_features. Memory is 16 n_samples^2 bytes.

    Returns
    -------
    float or None
        Dimensions. None where the two nearest samples are equally far for all that are looked at.
    int
        Samples that differ from each other: of several that are equal one counts.

    Raises
    ------
    DataError
        Fewer than four samples differ.

    References
    ----------
    Facco et al. 2017, doi:10.1038/s41598-017-11873-y: mu is the ratio of the distances to the
    second and to the first neighbour, F its empirical distribution, and the dimension the slope of
    -log(1 - F) over log(mu), through the origin, of the nine tenths with smallest mu. Differs:
    nothing.
    """
    products = layer.values if layer.is_gram else layer.values @ layer.values.T
    kept = _distinct(products)
    if len(kept) < FEWEST:
        raise DataError(
            f"only {len(kept)} samples differ in their features; TwoNN needs {FEWEST}. Take other "
            "samples, or --ablation none"
        )
    squared = _squared(products[np.ix_(kept, kept)])
    np.fill_diagonal(squared, np.inf)
    nearest = np.sqrt(np.partition(squared, 1, axis=1)[:, :2])
    x = np.sort(np.log(nearest[:, 1] / nearest[:, 0]))
    n = len(x)
    used = int(n * KEPT)
    y = -np.log1p(-np.arange(1, used + 1) / n)
    x = x[:used]
    length = float(x @ x)
    return (float(x @ y) / length if length > 0 else None), n


def _squared(products: NDArray[np.float64]) -> NDArray[np.float64]:
    own = np.diagonal(products)
    return np.maximum(own[:, None] + own[None, :] - 2 * products, 0)


def _distinct(products: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return samples that are like none before them."""
    own = np.diagonal(products)
    same = _squared(products) <= SAME * (own[:, None] + own[None, :])
    return np.flatnonzero(~np.tril(same, -1).any(axis=1))
