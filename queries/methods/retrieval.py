"""How well codes retrieve images of the same class: real-valued features against binary codes."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore.store.precision import ap

if TYPE_CHECKING:
    from fstore.types import FloatArray, IntArray

__all__ = ["cosine_similarity", "hamming_similarity", "relevance", "retrieval_ap"]


def cosine_similarity(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the cosines between samples from their inner products; 0 for one that is all 0."""
    norms = np.sqrt(np.diagonal(kernel).astype(np.float64))
    inverse = np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0).astype(np.float32)
    similar: NDArray[np.float32] = kernel * inverse[:, None] * inverse
    return similar


def hamming_similarity(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return minus the Hamming distance between binary codes from their inner products.

    The inner product counts the bits that both have; exact in float32 up to 2^24 bits.
    """
    ones = np.diagonal(kernel)
    similar: NDArray[np.float32] = 2 * kernel - ones[:, None] - ones
    return similar


def relevance(queries: NDArray[np.int8], database: NDArray[np.int8]) -> NDArray[np.int8]:
    """Say which samples answer a query: those that show one of its classes.

    Parameters
    ----------
    queries : array of shape (n_queries, n_classes), int8
        1 present, 0 present as difficult only, -1 absent.
    database : array of shape (n_database, n_classes), int8

    Returns
    -------
    array of shape (n_queries, n_database), int8
        1 shares a class; 0 shares one only if difficult objects count: left out; -1 shares none.
    """
    sure = _shares(queries > 0, database > 0)
    maybe = _shares(queries >= 0, database >= 0)
    return np.where(sure, 1, np.where(maybe, 0, -1)).astype(np.int8)


def retrieval_ap(similarity: "FloatArray", relevant: "IntArray") -> NDArray[np.float64]:
    """Return each query's average precision over the whole ranking (all points), from 0 to 1.

    Equally similar samples, which binary codes have many of, enter as one block.

    Parameters
    ----------
    similarity : array of shape (n_queries, n_database)
    relevant : array of shape (n_queries, n_database)
        1, -1, or 0: left out.

    Returns
    -------
    array of shape (n_queries,), float64
        NaN for a query that nothing answers.
    """
    values = [ap(s, r) for s, r in zip(similarity, relevant, strict=True)]
    return np.array([np.nan if value is None else value for value in values])


def _shares(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> NDArray[np.bool_]:
    common: NDArray[np.bool_] = a.astype(np.float32) @ b.astype(np.float32).T > 0
    return common
