"""SVMs on a kernel are scikit-learn's on the dense matrix, with a certificate."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.svm import LinearSVC

from fstore.errors import DataError
from fstore.queries.methods import svm as module
from fstore.queries.methods.interior import low_rank
from fstore.queries.methods.svm import UnfinishedWarning, fit

RANGE = 1e-3  # of the range of scores: what the issue of speed may cost


def problem(
    seed: int, n: int = 80, d: int = 300, m: int = 4
) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Return features as responses are, all above 0 and half of them 0, of norm about 20."""
    rng = np.random.default_rng(seed)
    X = np.maximum(rng.normal(size=(n, d)) + 0.2, 0).astype(np.float32)
    X *= 20 / np.linalg.norm(X, axis=1).mean()
    Y = rng.choice(np.array([1, -1, 0], dtype=np.int8), size=(n, m), p=[0.25, 0.65, 0.1])
    return X, Y


def peer(X: NDArray[np.floating], y: NDArray[np.int8], C: float) -> LinearSVC:
    """Fit the protocol's SVM with scikit-learn to its last digits."""
    model = LinearSVC(
        loss="hinge",
        dual=True,
        C=C,
        class_weight={1: 2},
        intercept_scaling=10,
        tol=1e-10,
        max_iter=10_000_000,
    )
    return model.fit(X[y != 0].astype(np.float64), y[y != 0])


@pytest.mark.parametrize("C", [1e-5, 1e-3, 1e-1])
def test_equals_scikit_learn(seed: int, C: float) -> None:
    """Scores of other samples, weights and intercepts agree; rows of label 0 do not count."""
    X, Y = problem(seed)
    rest, _ = problem(seed + 1)
    models = fit(X @ X.T, Y, C=C)
    found = models.scores(rest @ X.T)
    w = X.T @ models.coefficients
    for column, y in enumerate(Y.T):
        wanted = peer(X, y, C)
        scores = wanted.decision_function(rest.astype(np.float64))
        assert np.abs(found[:, column] - scores).max() < RANGE * np.ptp(scores)
        largest = np.abs(wanted.coef_).max()
        assert np.abs(w[:, column] - wanted.coef_[0]).max() < 1e-2 * largest
        assert models.intercepts[column] == pytest.approx(wanted.intercept_[0], abs=RANGE)
    assert not models.coefficients[Y == 0].any()


def test_several_c_at_once(seed: int) -> None:
    """Models of several C trained together are those trained one by one."""
    X, Y = problem(seed)
    Cs = np.array([1e-5, 1e-3, 1e-2, 1e-1])
    together = fit(X @ X.T, Y, C=Cs)
    for column, C in enumerate(Cs):
        alone = fit(X @ X.T, Y[:, [column]], C=float(C))
        assert together.objective[column] == pytest.approx(alone.objective[0], rel=2e-6)


def test_scale(seed: int) -> None:
    """Scaling inner products here is scaling features beforehand."""
    X, Y = problem(seed)
    half = X / np.float32(2)
    scaled, plain = fit(X @ X.T, Y, scale=0.25), fit(half @ half.T, Y)
    assert scaled.objective == pytest.approx(plain.objective, rel=2e-6)
    assert scaled.scores(X @ X.T) == pytest.approx(plain.scores(half @ half.T), abs=1e-2)


def test_two_points_by_hand() -> None:
    """Features 1 and -1, no bias feature: the margin is w = 1 once C allows it, else w = 3 C."""
    X = np.array([[1.0], [-1.0]], dtype=np.float32)
    Y = np.array([[1], [-1]], dtype=np.int8)
    # bound: alpha <= C w_i; w = alpha_1 + alpha_2; both hinges are 0 from w = 1 on
    for C, w in ((10.0, 1.0), (0.1, 0.3)):
        models = fit(X @ X.T, Y, C=C, bias=1e-6)
        assert (X.T @ models.coefficients)[0, 0] == pytest.approx(w, abs=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    drawn=st.integers(0, 10_000), C=st.sampled_from([1e-4, 1e-2, 1.0]), passes=st.integers(1, 40)
)
def test_gap_is_an_upper_bound(drawn: int, C: float, passes: int) -> None:
    """However early training stops, the objective is above the least by no more than the gap."""
    X, Y = problem(drawn, n=40, d=30, m=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfinishedWarning)
        early = fit(X @ X.T, Y, C=C, max_passes=passes)
        best = fit(X @ X.T, Y, C=C, tolerance=1e-9, max_passes=20_000)
    above = (early.objective - best.objective) / early.objective
    assert (above <= early.gap + 1e-6).all()  # float32 inner products
    assert (above >= -1e-6).all()


@pytest.mark.parametrize("C", [1e-5, 1e-1])
@pytest.mark.parametrize("kind", ["duplicates", "zeros", "constant", "low rank"])
def test_odd_kernels(kind: str, C: float) -> None:
    """Samples that repeat, are all 0, or all alike converge to a small gap as well."""
    X, Y = problem(0)
    if kind == "duplicates":
        X[40:] = X[:40]
    elif kind == "zeros":
        X[::3] = 0
    elif kind == "constant":
        X[:] = X[0]
    else:
        X = X[:, :2] * 10
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfinishedWarning)
        models = fit(X @ X.T, Y, C=C)
    # samples that repeat with both labels can trade multipliers for ever: the gap says how close;
    # how far one gets depends on the order in which a machine's BLAS sums (2.4e-5 was seen)
    assert models.gap.max() < (5e-5 if kind in {"duplicates", "constant"} else 2e-6)
    assert np.isfinite(models.coefficients).all()


@pytest.mark.parametrize("C", [1e-3, 1e-1])
def test_fewer_features_than_samples(seed: int, C: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel of low rank converges where passes do not, to scikit-learn's objective."""
    monkeypatch.setattr(module, "PATIENCE", 4)
    X, Y = problem(seed, n=150, d=12)
    models = fit(X @ X.T, Y, C=C, max_passes=4)
    assert models.gap.max() < 1e-6
    for column, y in enumerate(Y.T):
        wanted = peer(X, y, C)
        w = np.append(wanted.coef_[0], wanted.intercept_[0] / 10)
        losses = np.maximum(0, 1 - y * wanted.decision_function(X.astype(np.float64)))
        least = w @ w / 2 + C * (np.where(y > 0, 2, 1) * (y != 0) * losses).sum()
        assert models.objective[column] == pytest.approx(least, rel=1e-4)  # of float32 products


def test_unfinished_is_told() -> None:
    """SVMs that end above the tolerance are counted in a warning, with the largest gap."""
    X, Y = problem(0)
    with pytest.warns(
        UnfinishedWarning, match=r"of 4 SVMs ended at a duality gap of up to .*1e-06"
    ):
        models = fit(X @ X.T, Y, C=1e-1, max_passes=1)
    assert models.gap.max() > 1e-6


def test_low_rank_factor() -> None:
    """The factor of a kernel has as many columns as there are features, or is refused."""
    X = problem(0, d=17)[0]
    L = low_rank(X @ X.T, at_most=17)
    assert L is not None
    assert L.shape == (80, 17)
    assert np.abs(L @ L.T - X @ X.T).max() < 1e-5 * 400
    assert low_rank(X @ X.T, at_most=16) is None


def test_equal_features_get_equal_scores() -> None:
    """Binary samples that are the same get the same score, wherever they stand."""
    X, Y = problem(0, d=700)
    bits = (X > 0).astype(np.float32)
    again = np.random.default_rng(0).permutation(np.tile(np.arange(30), 4))
    K = bits[again] @ bits.T
    scores = fit(bits @ bits.T, Y, scale=0.37).scores(K)
    for i in range(30):
        assert len(np.unique(scores[again == i], axis=0)) == 1


def test_bad_labels() -> None:
    """A column without a positive, a negative, or a bad C or kernel is a named error."""
    X, Y = problem(0)
    for value, column in ((1, 1), (-1, 2)):
        only = Y.copy()
        only[:, column] = value
        with pytest.raises(DataError, match=f"column {column} of the labels has no positive or no"):
            fit(X @ X.T, only)
    with pytest.raises(DataError, match="C must be above 0 and finite"):
        fit(X @ X.T, Y, C=0.0)
    with pytest.raises(DataError, match="not finite"):
        fit(np.full((80, 80), np.nan, dtype=np.float32), Y)


def test_progress() -> None:
    """Progress counts models that are done, up to all of them."""
    X, Y = problem(0)
    seen: list[tuple[int, int]] = []
    fit(X @ X.T, Y, on_progress=lambda _w, done, total, _n: seen.append((done, total)))
    assert seen[-1] == (4, 4)
