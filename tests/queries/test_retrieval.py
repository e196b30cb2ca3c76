"""Retrieval with cosines and with Hamming distances, against scikit-learn and SciPy."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.metrics.pairwise import cosine_similarity as peer_cosine

from _studies import StudyWorld, make_study
from fstore.queries.analyses.retrieval import retrieval
from fstore.queries.methods.retrieval import (
    cosine_similarity,
    hamming_similarity,
    relevance,
    retrieval_ap,
)
from fstore.queries.refresh.show import show_report
from fstore.queries.samples.asked import Asked
from fstore.store.precision import ap


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


def query_aps(world: StudyWorld, code: str) -> list[float]:
    """Return the AP of every query that something answers, by a loop over pairs of images."""
    X, Y = world.values["d", "5k", "fc7"][:, :, 0].astype(np.float64), world.Y["d"]
    X = X if code == "cosine" else (X > 0).astype(np.float64)
    base, found = world.rows("d", 0, "train", "val"), []
    for q in world.rows("d", 0, "test"):
        pairs = [(q, i) for i in base]
        if code == "hamming":
            near = [-float(np.sum(X[a] != X[b])) for a, b in pairs]
        else:
            near = [X[a] @ X[b] / np.linalg.norm(X[a]) / np.linalg.norm(X[b]) for a, b in pairs]
        sure = [bool(((Y[a] > 0) & (Y[b] > 0)).any()) for a, b in pairs]
        maybe = [bool(((Y[a] >= 0) & (Y[b] >= 0)).any()) for a, b in pairs]
        answer = [1 if s else 0 if m else -1 for s, m in zip(sure, maybe, strict=True)]
        # cosines of binary codes tie: what float64 tells apart by its last digit is equal
        value = ap(np.round(near, 9), np.array(answer))
        found += [] if value is None else [value]
    return found


def test_report_and_analysis(tmp_path: Path) -> None:
    """All three codes, over a store: means and deviations of a loop over queries and images."""
    world = make_study(tmp_path / "s")
    cells = {row["col"]: row for row in show_report(world.store, world.study, "retrieval").rows}
    rows = {
        row["code"]: row
        for row in retrieval(
            world.store, Asked(layer="fc7", ckpt="5k", dataset="d", split="random", seed=0)
        )
    }
    for code in ("cosine", "cosine_binarized", "hamming"):
        wanted = query_aps(world, code)
        assert rows[code]["mean_ap"] == pytest.approx(np.mean(wanted), abs=1e-9)
        assert rows[code]["queries"] == len(wanted)
        assert cells[code]["value"] == pytest.approx(100 * rows[code]["mean_ap"])
        assert cells[code]["std"] == pytest.approx(100 * np.std(wanted, ddof=1))
        assert cells[code]["n"] == len(wanted)
