"""Linear CKA, RSA and the change of filters: by hand, by a second formula, and by SciPy."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from scipy.stats import ortho_group, pearsonr, spearmanr

from fstore.errors import DataError
from fstore.queries.methods import similarity
from fstore.queries.methods.similarity import (
    centred,
    cka,
    dissimilarity,
    filter_change,
    linear_cka,
    rank_correlations,
)


def hsic_cka(X: NDArray[np.float64], Y: NDArray[np.float64]) -> float:
    """Return linear CKA by HSIC, tr(KHLH): the paper's other formula."""
    H = np.eye(len(X)) - 1 / len(X)
    K, L = H @ X @ X.T @ H, H @ Y @ Y.T @ H
    return float(np.trace(K @ L) / np.sqrt(np.trace(K @ K) * np.trace(L @ L)))


def test_cka_by_hand() -> None:
    """Two features against one of them: 10 / sqrt(10 * 16) of centred integers."""
    X = np.array([[1.0, 0], [0, 1], [-1, -1]])  # columns have mean 0; X'X = [[2, 1], [1, 2]]
    assert linear_cka(X, X[:, :1]) == pytest.approx((2**2 + 1**2) / (np.sqrt(10) * 2))
    assert linear_cka(X + 7, X[:, :1] - 3) == pytest.approx(5 / (2 * np.sqrt(10)))
    assert linear_cka(np.array([[1.0], [-1], [0]]), np.array([[1.0], [1], [-2]])) == 0


@pytest.mark.parametrize(("p", "q"), [(4, 7), (4, 60), (60, 4), (60, 45)])
def test_cka_is_that_of_hsic(p: int, q: int, seed: int) -> None:
    """Feature and Gram forms, and the two mixed, give what tr(KHLH) gives."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(30, p)) + 100  # a mean far from 0 is taken off
    Y = X[:, :2] @ rng.normal(size=(2, q)) + rng.normal(size=(30, q))
    assert linear_cka(X, Y) == pytest.approx(hsic_cka(X, Y), rel=1e-9)
    assert linear_cka(X, Y) == pytest.approx(linear_cka(Y, X), rel=1e-12)


@pytest.mark.parametrize("p", [5, 80])
def test_cka_knows_no_rotation(p: int, seed: int) -> None:
    """A layer and itself, rotated, scaled and shifted, have a CKA of 1."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(40, p))
    turned = 3 * X @ ortho_group.rvs(p, random_state=rng) + rng.normal(size=p)
    assert linear_cka(X, turned) == pytest.approx(1)


def test_blocks_and_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Maps read some channels at a time give what the whole matrix gives."""
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(12, 6, 9)).astype(np.float32)
    few = rng.normal(size=(12, 4))
    whole, flat = linear_cka(maps.reshape(12, -1), few), dissimilarity([maps])[0]
    monkeypatch.setattr(similarity, "PIECE", 5)
    blocks = [maps[:, :4], maps[:, 4:]]
    a, b = centred(blocks, n_features=54), centred([few], n_features=4)
    assert a.is_gram
    assert not b.is_gram
    assert cka(a, b) == pytest.approx(whole, rel=1e-12)
    assert dissimilarity(blocks)[0] == pytest.approx(flat, rel=1e-9)


def test_cka_is_biased(seed: int) -> None:
    """As its docstring warns: far more features than samples look alike though they are not."""
    rng = np.random.default_rng(seed)
    assert linear_cka(rng.normal(size=(20, 4000)), rng.normal(size=(20, 4000))) > 0.9
    assert linear_cka(rng.normal(size=(4000, 5)), rng.normal(size=(4000, 5))) < 0.02


def test_what_cka_refuses() -> None:
    """Constant features, one sample and other samples are refused in words."""
    X = np.arange(6.0).reshape(3, 2)
    with pytest.raises(DataError, match="no feature of conv1 differs"):
        centred([np.ones((3, 2))], n_features=2, name="conv1")
    with pytest.raises(DataError, match="at least 2 samples"):
        linear_cka(X[:1], X[:1])
    with pytest.raises(DataError, match="same samples; got 3 and 2"):
        linear_cka(X, X[:2])


def test_dissimilarity_is_scipys(seed: int) -> None:
    """The triangle is the correlation distance of SciPy, in its order."""
    X = np.random.default_rng(seed).normal(size=(9, 14)) + 50
    triangle, patterned = dissimilarity([X[:, :5], X[:, 5:]])
    assert triangle == pytest.approx(pdist(X, "correlation"), abs=1e-9)
    assert patterned.all()


def test_rank_correlations_are_scipys(seed: int) -> None:
    """Each is Spearman's rho of SciPy, ties among them; a constant matrix has none."""
    rng = np.random.default_rng(seed)
    triangles = [rng.normal(size=36), rng.integers(0, 4, 36).astype(float), np.ones(36)]
    rho = rank_correlations(triangles)
    assert rho[0, 1] == rho[1, 0] == pytest.approx(spearmanr(*triangles[:2]).statistic)
    assert rho[1, 1] == pytest.approx(1)
    assert np.isnan(rho[2]).all()


def test_samples_without_a_pattern() -> None:
    """A sample to which all features respond alike has no dissimilarity to any other."""
    X = np.array([[1.0, 2], [3, 3], [0, 0], [5, 1]])
    triangle, patterned = dissimilarity([X[:, :1], X[:, 1:]])
    assert patterned.tolist() == [True, False, False, True]
    assert triangle == pytest.approx([np.nan, np.nan, 2, np.nan, np.nan, np.nan], nan_ok=True)


def test_what_rsa_refuses() -> None:
    """Too few samples and a single feature are refused in words."""
    X = np.array([[1.0, 2], [3, 3], [0, 0], [5, 1]])
    with pytest.raises(DataError, match="at least 3 samples"):
        dissimilarity([X[:2]])
    with pytest.raises(DataError, match="has 1, and needs 2"):
        dissimilarity([X[:, :1]])


@pytest.mark.parametrize("shape", [(20, 6), (20, 6, 4)])
def test_filter_change_is_scipys(shape: tuple[int, ...], seed: int) -> None:
    """1 less SciPy's Pearson r of each filter; a filter that is constant in either has none."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=shape).astype(np.float32)
    Y = (X + rng.normal(size=shape)).astype(np.float32)
    Y[:, 1], X[:, 2], Y[:, 3], Y[:, 4] = 0, 7, -X[:, 3], 2 * X[:, 4] + 1
    change, dead_x, dead_y = filter_change(X, Y)
    for i in (0, 3, 4, 5):
        assert change[i] == pytest.approx(
            1 - pearsonr(X[:, i].ravel(), Y[:, i].ravel())[0], abs=1e-6
        )
    assert change[3] == pytest.approx(2, abs=1e-6)
    assert change[4] == pytest.approx(0, abs=1e-6)
    assert np.isnan(change).tolist() == [False, True, True, False, False, False]
    assert (np.flatnonzero(dead_x).tolist(), np.flatnonzero(dead_y).tolist()) == ([2], [1])


def test_what_filter_change_refuses() -> None:
    """Other shapes, and a single response, are refused."""
    with pytest.raises(DataError, match="shapes are"):
        filter_change(np.zeros((3, 2)), np.zeros((3, 3)))
    with pytest.raises(DataError, match="at least 2 responses"):
        filter_change(np.zeros((1, 2)), np.zeros((1, 2)))


def test_a_large_mean_costs_no_digits_of_rsa() -> None:
    """Patterns around 1,000 that differ by a thousandth correlate as NumPy says, shift removed."""
    X = (1000 + np.random.default_rng(0).normal(size=(5, 40)) * 1e-3).astype(np.float32)
    whole = np.asarray(np.corrcoef(X.astype(np.float64) - 1000))
    expected = 1 - whole[np.triu_indices(5, 1)]
    triangle, patterned = dissimilarity([X[:, :7], X[:, 7:]])
    assert patterned.all()
    np.testing.assert_allclose(triangle, expected, atol=1e-9)


@pytest.mark.parametrize("n", [3, 7, 1001])
def test_a_constant_float64_feature_has_no_cka(n: int) -> None:
    """A constant whose mean rounds to another number is refused, not compared as noise."""
    with pytest.raises(DataError, match="no feature"):
        linear_cka(np.full((n, 2), 0.1), np.random.default_rng(0).normal(size=(n, 3)))


def test_products_of_a_narrow_layer_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One narrow layer against several wide and narrow ones: NumPy's values, products once."""
    rng = np.random.default_rng(4)
    layers = [rng.normal(size=(9, p)) for p in (3, 20, 30, 5)]
    made: list[bool] = []
    products = similarity._products

    def counted(layer: similarity.Centred, rows: slice) -> NDArray[np.float64]:
        made.append(layer.is_gram)
        return products(layer, rows)

    monkeypatch.setattr(similarity, "_products", counted)
    held = [similarity.centred([X], n_features=X.shape[1]) for X in layers]
    found = similarity.ckas(held, held[0])
    assert made.count(False) == 1  # the narrow one's; those of wide layers are held
    for X, value in zip(layers, found, strict=True):
        a, b = (m - m.mean(axis=0) for m in (X, layers[0]))
        norms = np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)
        assert value == pytest.approx(np.linalg.norm(b.T @ a) ** 2 / norms, rel=1e-12)
