"""SVMs on features in a file are scikit-learn's on the dense matrix, with a certificate."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.svm import LinearSVC

from _problems import N, World, make
from fstore.errors import DataError
from fstore.queries.methods import features_file, products, wide
from fstore.queries.methods.classification import accuracy, average_precisions
from fstore.queries.methods.features_file import FeaturesFile
from fstore.queries.methods.svm import UnfinishedWarning
from fstore.queries.methods.wide import fit_wide
from fstore.queries.samples.blocks import Rows
from fstore.queries.samples.problem import SplitRows
from fstore.store.files import Partition

RANGE = 2e-3  # of the range of scores: what a gap of 1e-6 leaves open


def problem(
    seed: int, n: int = 90, d: int = 300, m: int = 4
) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Return features as responses are, all above 0 and half of them 0, and labels."""
    rng = np.random.default_rng(seed)
    X = np.maximum(rng.normal(size=(n, d)) + 0.2, 0).astype(np.float32)
    return X, rng.choice(np.array([1, -1, 0], dtype=np.int8), size=(n, m), p=[0.25, 0.65, 0.1])


def filed(X: NDArray[np.float32], blocks: int = 3) -> FeaturesFile:
    """Put a matrix into a file, in blocks of columns."""
    parts = np.array_split(X, blocks, axis=1)
    return FeaturesFile(parts, n_samples=len(X), n_features=X.shape[1])


def by_ascent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have few features solved as many are, in several blocks of samples."""
    monkeypatch.setattr(wide, "RANK", 0)
    monkeypatch.setattr(wide, "BLOCK", 16)


@pytest.mark.parametrize("way", ["ascent", "steps"])
@pytest.mark.parametrize("C", [1e-4, 1e-3])
def test_equals_scikit_learn(
    seed: int, C: float, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores of other samples, weights, intercepts and objectives agree, by both ways."""
    X, Y = problem(seed)
    if way == "ascent":
        by_ascent(monkeypatch)
    rows = np.random.default_rng(seed).permutation(len(X))[:60]
    rest = np.setdiff1d(np.arange(len(X)), rows)
    features = filed(X)
    models = fit_wide(features, rows, Y[rows], C=C, tolerance=1e-6, max_sweeps=20_000)
    assert models.gap.max() < 1e-6
    factor = 20 / np.linalg.norm(X[rows].astype(np.float64), axis=1).mean()
    found = models.scores(features, rest)
    for column, y in enumerate(Y[rows].T):
        scaled = factor * X.astype(np.float64)
        peer = LinearSVC(
            loss="hinge",
            dual=True,
            C=C,
            class_weight={1: 2},
            intercept_scaling=10,
            tol=1e-10,
            max_iter=10_000_000,
        ).fit(scaled[rows[y != 0]], y[y != 0])
        scores = peer.decision_function(scaled[rest])
        assert np.abs(found[:, column] - scores).max() < RANGE * np.ptp(scores)
        w = models.weights[:, column] / factor
        assert np.abs(w - peer.coef_[0]).max() < 1e-2 * np.abs(peer.coef_).max()
        losses = np.maximum(0, 1 - y * peer.decision_function(scaled[rows]))
        weighted = C * (np.where(y > 0, 2, 1) * (y != 0) * losses).sum()
        w0 = peer.intercept_[0] / 10
        least = 0.5 * (peer.coef_[0] @ peer.coef_[0] + w0**2) + weighted
        assert models.objective[column] == pytest.approx(least, rel=1e-5)


def test_gap_is_an_upper_bound(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However early training stops, it warns, and the objective is within the gap of the least."""
    by_ascent(monkeypatch)
    X, Y = problem(seed)
    rows = np.arange(len(X))
    best = fit_wide(filed(X), rows, Y, C=1e-2, tolerance=1e-6, max_sweeps=20_000)
    with pytest.warns(UnfinishedWarning, match="4 of 4 SVMs ended at a duality gap of up to"):
        early = fit_wide(filed(X), rows, Y, C=1e-2, max_sweeps=1)
    above = (early.objective - best.objective) / early.objective
    assert (above <= early.gap + 1e-6).all()
    assert (above > 0).all()


def test_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models that do not fit in memory together are trained one after the other, no worse."""
    by_ascent(monkeypatch)
    X, Y = problem(0)
    rows = np.arange(len(X))
    together = fit_wide(filed(X), rows, Y)
    monkeypatch.setattr(wide, "MEMORY", 1)
    alone = fit_wide(filed(X), rows, Y)
    assert alone.objective == pytest.approx(together.objective, rel=2e-4)  # twice the tolerance
    assert alone.weights.shape == together.weights.shape


def test_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows come back to the bit, in any order, from blocks of any width and in several pieces."""
    X = problem(0)[0]
    rows = np.array([5, 6, 7, 3, 89, 0, 1])
    monkeypatch.setattr(features_file, "PIECE_BYTES", 4 * 300 * 2)
    for blocks in (1, 3, 300):
        features = filed(X, blocks)
        assert np.array_equal(features.read(rows), X[rows])
        assert np.array_equal(np.concatenate([x for _, x in features.pieces(rows)]), X[rows])
        wanted = (X.astype(np.float64) ** 2).sum(axis=1)
        assert features.squares == pytest.approx(wanted, rel=1e-12)
    with pytest.raises(ValueError, match="blocks have 300 features, not 301"):
        FeaturesFile([X], n_samples=len(X), n_features=301)


def test_bad_input() -> None:
    """A column without a positive, a bad C and features that are all 0 are named errors."""
    X, Y = problem(0)
    rows = np.arange(len(X))
    with pytest.raises(DataError, match="column 0 of the labels has no positive"):
        fit_wide(filed(X), rows, np.full_like(Y, -1))
    with pytest.raises(DataError, match="C must be above 0"):
        fit_wide(filed(X), rows, Y, C=-1.0)
    with pytest.raises(DataError, match="there is nothing to learn from"):
        fit_wide(filed(0 * X), rows, Y)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return samples of one class each."""
    return make(tmp_path_factory.mktemp("world") / "s", single=True)


def test_size_chooses(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inner products up to a number of samples, the features beyond it; answers are the same."""
    rows = [Rows(Partition("net", "5", "d", "image", "conv"), np.arange(N))]
    monkeypatch.setattr(products, "LARGEST_KERNEL", N)
    kernel = products.products(world.store, rows)
    assert isinstance(kernel, np.ndarray)
    monkeypatch.setattr(products, "LARGEST_KERNEL", N - 1)
    features = products.products(world.store, rows)
    assert isinstance(features, FeaturesFile)
    X = world.values["conv"].reshape(N, -1)
    assert np.array_equal(features.read(np.arange(N)), X)
    assert products.products(world.store, rows, ablation="sp_max").n_features == 4  # type: ignore[union-attr]
    split = SplitRows(*(world.rows(0, part) for part in ("train", "val", "test")))
    ours, theirs = (accuracy(found, world.Y, split) for found in (features, kernel))
    assert ours.class_averaged == theirs.class_averaged
    for mine, peer in zip(
        *(average_precisions(found, world.Y, split) for found in (features, kernel)), strict=True
    ):
        assert mine.ap_11 == pytest.approx(peer.ap_11, abs=1e-3)


CHILD = """
import resource, sys
import numpy as np
from fstore.queries.methods import features_file, wide
from fstore.queries.methods.features_file import FeaturesFile
features_file.PIECE_BYTES = 1 << 22
n, d = int(sys.argv[1]), 2048
def blocks():
    for seed in range(8):
        drawn = np.random.default_rng(seed).normal(size=(n, d // 8))
        yield np.maximum(drawn, 0).astype(np.float32)
features = FeaturesFile(blocks(), n_samples=n, n_features=d)
Y = np.where(np.random.default_rng(9).random((n, 2)) < 0.3, 1, -1).astype(np.int8)
wide.fit_wide(features, np.arange(300), Y[:300], C=1e-4, tolerance=0.5)  # loops are compiled
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
wide.fit_wide(features, np.arange(n), Y, C=1e-4, tolerance=0.5)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory(tmp_path: Path) -> None:
    """Training on 66 MB of features adds less than half of that to a process: no copy is held."""
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    told = subprocess.run(
        [sys.executable, str(script), "8000"], check=True, capture_output=True, text=True
    )
    grown = int(told.stdout) * (1 if sys.platform == "darwin" else 1024)
    assert grown < 8_000 * 2048 * 4 / 2
