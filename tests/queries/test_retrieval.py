"""Retrieval with cosines and with Hamming distances, against scikit-learn and SciPy."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.metrics.pairwise import cosine_similarity as peer_cosine

from fstore.queries.retrieval import (
    cosine_similarity,
    hamming_similarity,
    relevance,
    retrieval_ap,
)


def features(seed: int) -> NDArray[np.float32]:
    """Return sparse features, one sample all 0."""
    X = np.maximum(np.random.default_rng(seed).normal(size=(12, 40)), 0).astype(np.float32)
    X[3] = 0
    return X


def test_cosine(seed: int) -> None:
    """Cosines are scikit-learn's to float32 rounding; a sample that is all 0 is like nothing."""
    X = features(seed)
    found = cosine_similarity(X @ X.T)
    assert found == pytest.approx(peer_cosine(X), abs=1e-6)
    assert not found[3].any()


def test_hamming(seed: int) -> None:
    """Minus the similarity is SciPy's count of bits that differ, exactly."""
    bits = (features(seed) > 0).astype(np.float32)
    found = -hamming_similarity(bits @ bits.T)
    assert np.array_equal(found, cdist(bits, bits, "hamming") * 40)


def test_relevance() -> None:
    """A shared class answers; one shared only as difficult is left out."""
    queries = np.array([[1, -1], [0, -1]], dtype=np.int8)
    database = np.array([[1, -1], [0, 1], [-1, 1]], dtype=np.int8)
    assert relevance(queries, database).tolist() == [[1, 0, -1], [0, 0, -1]]


def test_by_hand() -> None:
    """AP of a ranking by hand; ties are one block, so their order does not matter."""
    similar = np.array([[4.0, 3, 2, 1], [1, 1, 1, 1], [4, 3, 2, 1], [4, 3, 2, 1]])
    relevant = np.array([[1, -1, 1, -1], [1, -1, -1, -1], [-1, -1, -1, -1], [0, 1, -1, 0]])
    found = retrieval_ap(similar, relevant)
    assert found[:2] == pytest.approx([0.5 + 0.5 * 2 / 3, 0.25])
    assert np.isnan(found[2])
    assert found[3] == 1
