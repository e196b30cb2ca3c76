"""The Gram matrix of a layer's features, summed over blocks of channels (design, section 5).

Memory is that of n x n inner products and one block; the feature matrix never exists.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.queries.methods.backend import accumulator
from fstore.queries.samples.blocks import Rows, ablated_blocks
from fstore.store.features import layer_shape
from fstore.types import OnProgress

if TYPE_CHECKING:
    from fstore.store import Store
    from fstore.types import FloatArray, IntArray

__all__ = [
    "MEAN_NORM",
    "Gram",
    "feature_norm_factor",
    "gram",
    "gram_of",
    "norm_factor",
    "watched",
    "weights",
]

MEAN_NORM = 20.0
"""What features are scaled to: their mean L2 norm over the training rows (R-CNN)."""

PIECE_BYTES = 1 << 26
"""Features that are multiplied at a time: large enough for BLAS, small beside the kernel."""


@dataclass(frozen=True, slots=True)
class Gram:
    """Inner products of samples.

    Attributes
    ----------
    kernel : array of shape (n_samples, n_samples), float32
        Symmetric, unscaled.
    n_features : int
        Length of the vectors behind it.
    """

    kernel: NDArray[np.float32]
    n_features: int


def gram(
    store: "Store",
    rows: Sequence[Rows],
    *,
    ablation: str = "none",
    seed: int = 0,
    device: str = "auto",
    on_progress: OnProgress | None = None,
) -> Gram:
    """Return the inner products of samples' ablated features, read once from the store.

    Parameters
    ----------
    store : Store
    rows : sequence of Rows
        Samples, in the order of the kernel's rows.
    ablation : str
        See :func:`fstore.queries.samples.ablations.parse_ablation`.
    seed : int
        Of the permutations of sp-shuffle.
    device : str
        ``auto``, ``cpu`` or a device of torch.
    on_progress : callable or None

    Raises
    ------
    UnknownNameError
        No such ablation, or activations are not there.
    DataError
        A response is NaN or infinite (it is named), or inner products are too large.
    """
    blocks = ablated_blocks(store, rows, ablation=ablation, seed=seed)
    total = layer_shape(store, rows[0].partition).channels
    what = f"inner products of {rows[0].partition.layer} {ablation}"
    seen = watched(blocks, total, what, on_progress=on_progress)
    product = gram_of(seen, device=device)
    if not np.isfinite(np.diagonal(product.kernel)).all():
        raise DataError(f"inner products of {rows[0].partition} are too large for float32")
    return product


def gram_of(blocks: Iterable[NDArray[np.float32]], *, device: str = "auto") -> Gram:
    """Return the inner products of features that come in blocks, for arrays without a store.

    Parameters
    ----------
    blocks : iterable of arrays of shape (n_samples, ...), float32
        Some features of all samples each; trailing axes are one.
    device : str
        As for :func:`gram`.

    Raises
    ------
    DataError
        There is no block.
    """
    rest = iter(blocks)
    first = next(rest, None)
    if first is None:
        raise DataError("there are no features to multiply")
    total, n_features = accumulator(len(first), device), 0
    for X in chain([first], rest):
        n_features += int(np.prod(X.shape[1:]))
        for piece in _pieces(X):
            total.add(piece)
    return Gram(total.result(), n_features)


def weights(
    store: "Store",
    rows: Sequence[Rows],
    coefficients: "FloatArray",
    *,
    ablation: str = "none",
    seed: int = 0,
) -> NDArray[np.float32]:
    """Return the weights of linear models from the coefficients of their samples, X^T coefficients.

    Parameters
    ----------
    store : Store
    rows : sequence of Rows
        The samples, in the order of ``coefficients``.
    coefficients : array of shape (n_samples, n_models)
        Times the square of the factor that the kernel was scaled by, if they are to be weights of
        unscaled features; times the factor for scaled ones.
    ablation, seed
        As for :func:`gram`.

    Returns
    -------
    array of shape (n_features, n_models), float32
        Feature of channel c at place p of a map of P places: row ``c * P + p``.
    """
    models = np.ascontiguousarray(coefficients, dtype=np.float32)
    blocks = ablated_blocks(store, rows, ablation=ablation, seed=seed)
    return np.concatenate([_matrix(X).T @ models for _, X in blocks])


def feature_norm_factor(kernel: NDArray[np.float32], train: "IntArray") -> float:
    """Return the factor that brings the mean L2 norm of the training rows to 20.

    Raises
    ------
    DataError
        Every training row is all zeros, or there is none.
    """
    return norm_factor(np.diagonal(kernel)[train].astype(np.float64))


def norm_factor(squares: NDArray[np.float64]) -> float:
    """Return the factor that brings the mean of norms to 20, from their squares.

    Raises
    ------
    DataError
        All are 0, or there is none.
    """
    norms = np.sqrt(squares)
    if len(norms) == 0 or norms.max() == 0:
        raise DataError(
            f"features of all {len(norms)} training samples are 0: there is nothing to learn from"
        )
    return MEAN_NORM / float(norms.mean())


def _pieces(X: NDArray[np.float32]) -> Iterable[NDArray[np.float32]]:
    """Cut a block into matrices of bounded size, (n_samples, n_features), features any order."""
    step = max(1, PIECE_BYTES // (X[:, :1].nbytes or 1))
    for start in range(0, X.shape[1], step):
        yield _matrix(X[:, start : start + step])


def _matrix(X: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a block as a matrix; NumPy's reshape alone would copy it seven times as slowly."""
    return np.ascontiguousarray(X).reshape(len(X), -1)


def watched(
    blocks: Iterable[tuple[NDArray[np.int32], NDArray[np.float32]]],
    total: int,
    what: str,
    *,
    on_progress: OnProgress | None,
) -> Iterable[NDArray[np.float32]]:
    """Yield a layer's blocks without their channels, and tell of them."""
    done = 0
    for channels, X in blocks:
        yield X
        done += len(channels)
        if on_progress is not None:
            on_progress(what, done, total, "channels")
