"""How alike two layers' responses to the same samples are: linear CKA, RSA, single filters."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.queries.methods.responses import paired_correlations

if TYPE_CHECKING:
    from fstore.types import FloatArray

__all__ = [
    "Centred",
    "centred",
    "cka",
    "ckas",
    "dissimilarity",
    "filter_change",
    "linear_cka",
    "rank_correlations",
]

PIECE = 1024
"""Features, or rows, that are multiplied at a time in float64."""


@dataclass(frozen=True, slots=True)
class Centred:
    """A layer's centred responses, in whichever form is smaller.

    Attributes
    ----------
    values : array of float64
        Features of shape (n_samples, n_features), each with mean 0 over samples; or, where there
        are more features than samples, their inner products, of shape (n_samples, n_samples).
    is_gram : bool
        Which of the two.
    norm : float
        ||X'X||_F, which is ||XX'||_F.
    """

    values: NDArray[np.float64]
    is_gram: bool
    norm: float


def centred(blocks: "Iterable[FloatArray]", *, n_features: int, name: str = "a layer") -> Centred:
    """Return a layer's responses as :func:`cka` takes them.

    Memory is 8 n_samples min(n_samples, n_features) bytes and one block in float64.

    Parameters
    ----------
    blocks : iterable of arrays of shape (n_samples, ...), float32 or float64
        Some features of all samples each; trailing axes are one. Not modified.
    n_features : int
        Of all blocks together.
    name : str
        Of the layer, for errors.

    Raises
    ------
    DataError
        Fewer than two samples, or no feature differs between samples.
    """
    values, is_gram, start = np.zeros((0, 0)), False, 0
    for block in blocks:
        n = len(block)
        if not start:
            if n < 2:
                raise DataError(f"similarity needs at least 2 samples; {name} has {n}")
            is_gram = n_features > n
            values = np.zeros((n, n if is_gram else n_features))
        for piece in _pieces(block):
            X = piece - piece[0]  # a constant feature gives exactly 0, whatever its mean rounds to
            X -= X.mean(axis=0)
            if is_gram:
                values += X @ X.T
            else:
                values[:, start : start + X.shape[1]] = X
            start += X.shape[1]
    norm = float(np.linalg.norm(values if is_gram else values.T @ values)) if start else 0.0
    if not norm > 0:
        raise DataError(
            f"no feature of {name} differs between the samples; CKA is not defined (0/0). "
            "Take another layer, or other samples"
        )
    return Centred(values, is_gram, norm)


def _pieces(block: "FloatArray") -> Iterable[NDArray[np.float64]]:
    """Yield a block's features in float64, some at a time."""
    flat = block.reshape(len(block), -1)
    for start in range(0, flat.shape[1], PIECE):
        yield flat[:, start : start + PIECE].astype(np.float64)


def cka(a: Centred, b: Centred) -> float:
    """Return the linear CKA of two layers' responses to the same samples.

    Parameters
    ----------
    a, b : Centred
        Rows of the same samples in the same order.

    Returns
    -------
    float
        From 0 (no linear relation) to 1 (the same up to rotation and scale): ||Y'X||_F^2 /
        (||X'X||_F ||Y'Y||_F). It is the biased estimator: with few samples and many features it
        is too large, near 1 for unrelated features where there are far more of them than samples.

    Raises
    ------
    DataError
        The numbers of samples differ.

    References
    ----------
    Kornblith et al. 2019, arXiv:1905.00414, sections 2 and 3: ||Y'X||_F^2 = <XX', YY'>, and CKA
    with linear kernels. Differs: nothing.
    """
    return ckas([a], b)[0]


def ckas(layers: Sequence[Centred], b: Centred) -> list[float]:
    """Return the linear CKA of each of some layers with one; see :func:`cka`.

    The inner products of that one's samples are computed once, for all layers that need them.

    Parameters
    ----------
    layers : sequence of Centred
    b : Centred
        Rows of the same samples in the same order.
    """
    n = len(b.values)
    for a in layers:
        if len(a.values) != n:
            raise DataError(
                f"CKA compares responses to the same samples; got {len(a.values)} and {n}"
            )
    narrow = [not a.is_gram and not b.is_gram for a in layers]
    shared = [
        float(np.linalg.norm(b.values.T @ a.values) ** 2) if both else 0.0
        for a, both in zip(layers, narrow, strict=True)
    ]
    for rows in (slice(i, i + PIECE) for i in range(0, 0 if all(narrow) else n, PIECE)):
        own = _products(b, rows)
        for at, a in enumerate(layers):
            if not narrow[at]:
                shared[at] += float(np.vdot(_products(a, rows), own))
    # exactly alike layers give 1 + 1e-16
    return [
        min(1.0, max(0.0, both / (a.norm * b.norm))) for both, a in zip(shared, layers, strict=True)
    ]


def _products(layer: Centred, rows: slice) -> NDArray[np.float64]:
    """Return some rows of the inner products of samples."""
    if layer.is_gram:
        return layer.values[rows]
    products: NDArray[np.float64] = layer.values[rows] @ layer.values.T
    return products


def linear_cka(X: "FloatArray", Y: "FloatArray") -> float:
    """Return the linear CKA of two feature matrices; see :func:`cka`.

    Parameters
    ----------
    X, Y : arrays of shape (n_samples, n_features), float32 or float64
        Rows of the same samples in the same order; the numbers of features may differ.

    Examples
    --------
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    >>> round(linear_cka(X, -3 * X[:, ::-1]), 6), round(linear_cka(X, X[:, :1]), 6)
    (1.0, 0.790569)
    """
    return cka(*(centred([each], n_features=each.shape[1]) for each in (X, Y)))


def dissimilarity(
    blocks: "Iterable[FloatArray]", *, name: str = "a layer"
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the upper triangle of a layer's representational dissimilarity matrix.

    Parameters
    ----------
    blocks : iterable of arrays of shape (n_samples, ...), float32 or float64
        Some features of all samples each; trailing axes are one. Not modified.
    name : str
        Of the layer, for errors.

    Returns
    -------
    triangle : array of shape (n_samples (n_samples - 1) / 2,), float64
        1 - Pearson's r between the responses to two samples, over features; row by row. NaN beside
        a sample to which all features respond alike: r is not defined.
    patterned : array of shape (n_samples,), bool
        Whether a sample's responses differ between features.

    Raises
    ------
    DataError
        Fewer than three samples, or fewer than two features.

    References
    ----------
    Kriegeskorte et al. 2008, doi:10.3389/neuro.06.004.2008: the dissimilarity is 1 minus the
    correlation of activity patterns. Differs: nothing.
    """
    products, sums, n_features = np.zeros((0, 0)), np.zeros(0), 0
    least, most, own_first = np.zeros(0), np.zeros(0), np.zeros((0, 1))
    for piece in (piece for block in blocks for piece in _pieces(block)):
        if not n_features:
            products, sums = np.zeros((len(piece), len(piece))), np.zeros(len(piece))
            own_first = piece[:, :1].copy()
            least, most = np.zeros(len(piece)), np.zeros(len(piece))
        shifted = piece - own_first  # same r; a large mean costs digits
        products += shifted @ shifted.T
        sums += shifted.sum(axis=1)
        n_features += shifted.shape[1]
        least = np.minimum(least, shifted.min(axis=1))
        most = np.maximum(most, shifted.max(axis=1))
    if len(sums) < 3:
        raise DataError(f"RSA needs at least 3 samples; {name} has {len(sums)}")
    if n_features < 2:
        raise DataError(f"RSA correlates over features; {name} has {n_features}, and needs 2")
    covariance = products - np.outer(sums, sums) / n_features
    own = np.diagonal(covariance).copy()
    # a pattern that is lost in the rounding of its mean is none
    patterned = (most > least) & (own > 1e-12 * np.diagonal(products))
    own[~patterned] = np.nan
    rows, columns = np.triu_indices(len(own), 1)
    return 1 - covariance[rows, columns] / np.sqrt(own[rows] * own[columns]), patterned


def rank_correlations(triangles: "list[NDArray[np.float64]]") -> NDArray[np.float64]:
    """Return Spearman's rank correlations of dissimilarity matrices, each with each.

    Parameters
    ----------
    triangles : list of arrays of shape (n_pairs,), float64
        From :func:`dissimilarity`, of the same samples. Equal values share the mean of their ranks.

    Returns
    -------
    array of shape (len(triangles), len(triangles)), float64
        From -1 to 1. NaN beside a matrix whose dissimilarities are all equal.
    """
    from scipy.stats import rankdata

    ranks = np.stack([rankdata(values) for values in triangles])
    ranks -= ranks.mean(axis=1, keepdims=True)
    length = np.linalg.norm(ranks, axis=1)
    length[length == 0] = np.nan
    ranks /= length[:, None]
    rho: NDArray[np.float64] = np.clip(ranks @ ranks.T, -1.0, 1.0)
    return rho


def filter_change(
    X: "FloatArray", Y: "FloatArray"
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return how much every filter changed between two checkpoints.

    Parameters
    ----------
    X, Y : arrays of shape (n_samples, n_filters) or (n_samples, n_filters, positions)
        Responses of the same filters to the same samples in two checkpoints.

    Returns
    -------
    change : array of shape (n_filters,), float64
        1 - Pearson's r between a filter's responses in the two: 0 unchanged up to scale and
        offset, 1 unrelated, 2 turned round. NaN where either is constant.
    constant_X, constant_Y : arrays of shape (n_filters,), bool
        Whether the filter responds alike to all samples, as one that never fires does.

    Raises
    ------
    DataError
        The shapes differ, or there are fewer than two responses of each filter.
    """
    if X.shape != Y.shape:
        raise DataError(f"filters are compared one by one; shapes are {X.shape} and {Y.shape}")
    a, b = (np.moveaxis(each, 1, -1).reshape(-1, each.shape[1]) for each in (X, Y))
    if len(a) < 2:
        raise DataError(f"a filter's change needs at least 2 responses; got {len(a)}")
    constant = [each.max(axis=0) == each.min(axis=0) for each in (a, b)]
    return 1 - paired_correlations(a, b), constant[0], constant[1]
