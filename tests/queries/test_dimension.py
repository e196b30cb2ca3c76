"""Intrinsic dimension: by eigenvalues, by neighbours of scikit-learn, and of known shapes."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from fstore.errors import DataError
from fstore.queries.analyses import ask
from fstore.queries.figures.dimension import plot_dimension
from fstore.queries.methods.dimension import participation_ratio, two_nn
from fstore.queries.methods.similarity import Centred, centred

if TYPE_CHECKING:
    from conftest import Known


def read(X: NDArray[np.float64]) -> Centred:
    """Return a feature matrix as a layer."""
    return centred([X], n_features=X.shape[1])


def by_eigenvalues(X: NDArray[np.float64]) -> float:
    """Return the participation ratio of the eigenvalues of the covariance."""
    values = np.linalg.eigvalsh(np.cov(X.T))
    return float(values.sum() ** 2 / (values**2).sum())


def by_neighbours(X: NDArray[np.float64]) -> float:
    """Return TwoNN by the neighbours that scikit-learn finds, with a loop over samples."""
    distances, _ = NearestNeighbors(n_neighbors=3).fit(X).kneighbors(X)
    mu = sorted(d[2] / d[1] for d in distances)
    xs, ys = [], []
    for i, each in enumerate(mu[: int(0.9 * len(mu))], start=1):
        xs.append(np.log(each))
        ys.append(-np.log(1 - i / len(mu)))
    return float(np.linalg.lstsq(np.array(xs)[:, None], np.array(ys), rcond=None)[0][0])


@pytest.mark.parametrize("p", [6, 70])
def test_they_are_those_of_plain_code(p: int, seed: int) -> None:
    """Few features and more than samples: eigenvalues and neighbours say the same."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(50, p)) * rng.random(p) + 30
    assert participation_ratio(read(X)) == pytest.approx(by_eigenvalues(X), rel=1e-9)
    found, distinct = two_nn(read(X))
    assert found == pytest.approx(by_neighbours(X), rel=1e-6)
    assert distinct == 50


def test_by_hand() -> None:
    """Corners of a square fill two dimensions; a second axis of a third of the variance 1.6."""
    square = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    assert participation_ratio(read(square)) == pytest.approx(2)
    assert participation_ratio(read(square * [np.sqrt(3), 1])) == pytest.approx(4**2 / 10)


@pytest.mark.parametrize("d", [1, 2, 5])
def test_a_bent_cube_has_its_own_dimension(d: int, seed: int) -> None:
    """Points of a d-cube, bent into eight dimensions, have about d by TwoNN."""
    rng = np.random.default_rng(seed)
    U = rng.random((1200, d))
    X = np.concatenate([U, np.sin(2 * U), np.zeros((1200, 8))], axis=1)
    found, _ = two_nn(read(X))
    assert found == pytest.approx(d, rel=0.2)  # sampling error about 3 percent, edges the rest


def test_equal_samples_count_once(seed: int) -> None:
    """Samples that are there twice change nothing."""
    X = np.random.default_rng(seed).normal(size=(40, 3))
    once, twice = two_nn(read(X)), two_nn(read(np.concatenate([X, X[:25]])))
    assert twice[0] == pytest.approx(once[0])
    assert (once[1], twice[1]) == (40, 40)


def test_without_a_number() -> None:
    """Equal distances have no ratio; three distinct samples are too few."""
    assert two_nn(read(np.eye(6))) == (None, 6)
    with pytest.raises(DataError, match="only 3 samples differ"):
        two_nn(read(np.eye(3)[[0, 1, 2, 2, 1]]))


@pytest.mark.parametrize("ablation", ["sp_max", "none"])
def test_dimensions_of_a_store(known: "Known", ablation: str) -> None:
    """Each layer of each checkpoint has the numbers of its arrays."""
    asked: dict[str, Any] = {"ckpt": ("005", "5"), "dataset": "d", "ablation": ablation}
    rows = ask(known.store, "dimension", **asked)
    assert [r["layer"] for r in rows] == ["conv1", "fire2/concat", "fc7"] * 2
    for row in rows:
        x = known.values[row["ckpt"].split("/")[1], row["layer"]].astype(np.float64)
        X = x.max(axis=2) if ablation == "sp_max" else x.reshape(len(x), -1)
        assert row["participation_ratio"] == pytest.approx(by_eigenvalues(X), rel=1e-5)
        assert row["two_nn"] == pytest.approx(by_neighbours(X), rel=1e-4)  # float32 on disk
        assert (row["n"], row["distinct"], row["features"]) == (12, 12, X.shape[1])
    assert len(plot_dimension(rows, title="T").to_dict()["hconcat"]) == 2
    fewer = ask(known.store, "dimension", **{**asked, "samples": 5, "layer": ("fc7",)})
    assert [r["n"] for r in fewer] == [5, 5]
