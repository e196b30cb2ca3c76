"""The paper's classifier on a kernel gives what scikit-learn gives on the dense matrix."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score

from _problems import CLASSES, N, World, make, scores_of
from fstore.errors import DataError
from fstore.queries.methods.classification import (
    C_GRID,
    accuracy,
    average_precisions,
    choose_c,
    mean_ap,
)
from fstore.queries.samples.problem import SplitRows
from fstore.store.precision import ap, voc_ap

AP = 1e-3  # 0.1 point: a margin that two solvers put on different sides moves one rank


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return samples of several classes each."""
    return make(tmp_path_factory.mktemp("world") / "s")


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return samples of one class each."""
    return make(tmp_path_factory.mktemp("single") / "s", single=True)


def dense(world: World, layer: str = "conv") -> NDArray[np.float64]:
    """Return the features, (n_samples, n_features)."""
    return world.values[layer].reshape(N, -1).astype(np.float64)


def kernel(world: World, layer: str = "conv") -> NDArray[np.float32]:
    """Return the inner products."""
    X = dense(world, layer)
    return (X @ X.T).astype(np.float32)


def split(world: World, seed: int = 0) -> SplitRows:
    """Return the rows of a split's parts."""
    return SplitRows(*(world.rows(seed, part) for part in ("train", "val", "test")))


@pytest.mark.parametrize("C", [1e-3, 1e-1])
def test_equals_scikit_learn(world: World, C: float) -> None:
    """AP of each class is that of LinearSVC's scores, difficult rows left out on both sides."""
    parts = split(world)
    for result in average_precisions(kernel(world), world.Y, parts, C=C):
        y = world.Y[:, result.column]
        peer = scores_of(dense(world), y, parts.fitted, parts.test, C)
        assert result.ap_11 == pytest.approx(voc_ap(peer, y[parts.test]), abs=AP)
        assert result.ap_all == pytest.approx(ap(peer, y[parts.test]), abs=AP)
        assert result.positives_test == np.sum(y[parts.test] == 1)
        assert result.positives_train == np.sum(y[parts.fitted] == 1)
        assert result.gap is not None
        assert 0 <= result.gap < 1e-3


def test_mean(world: World) -> None:
    """The mean is over classes that can be tested, and says how many they are."""
    parts = split(world)
    Y = world.Y.copy()
    Y[parts.test, 1] = -1
    results = average_precisions(kernel(world), Y, parts)
    assert results[1].ap_11 is None
    assert results[1].ap_all is None
    at_11, at_all, classes = mean_ap(results)
    assert classes == 2
    known = [r for r in results if r.column != 1]
    assert at_11 == pytest.approx(np.mean([r.ap_11 for r in known if r.ap_11 is not None]))
    assert at_all == pytest.approx(np.mean([r.ap_all for r in known if r.ap_all is not None]))


def test_c_by_val(world: World) -> None:
    """The chosen C is the best on val of SVMs fitted on train, by scikit-learn one at a time."""
    parts = split(world)
    X = dense(world)
    worth = [
        sum(
            voc_ap(scores_of(X, y, parts.train, parts.val, C), y[parts.val]) or 0 for y in world.Y.T
        )
        / len(CLASSES)
        for C in C_GRID
    ]
    chosen = choose_c(kernel(world), world.Y, parts)
    assert worth[C_GRID.index(chosen)] == pytest.approx(max(worth), abs=AP)
    results = average_precisions(kernel(world), world.Y, parts, C=None)
    assert {r.C for r in results} == {chosen}


def test_test_part_is_never_seen(world: World) -> None:
    """Other labels and other features of the test part change neither C nor the SVMs' gaps."""
    parts, K = split(world), kernel(world)
    Y, other = world.Y.copy(), K.copy()
    Y[parts.test] = -Y[parts.test]
    other[np.ix_(parts.test, parts.test)] *= 3
    assert choose_c(K, world.Y, parts) == choose_c(other, Y, parts)
    first, second = (average_precisions(k, y, parts) for k, y in ((K, world.Y), (other, Y)))
    assert [r.gap for r in first] == [r.gap for r in second]


def test_no_val(world: World) -> None:
    """Without a val part C cannot be chosen, and the error says so."""
    parts = split(world)
    without = SplitRows(parts.fitted, np.empty(0, dtype=np.int64), parts.test)
    with pytest.raises(DataError, match="no val part"):
        choose_c(kernel(world), world.Y, without)


def test_nothing_to_learn(world: World) -> None:
    """Labels without any usable class are an error, not a number."""
    with pytest.raises(DataError, match="no class has a positive"):
        average_precisions(kernel(world), np.full_like(world.Y, -1), split(world))


def test_accuracy(single: World) -> None:
    """Class-averaged accuracy is scikit-learn's, of one-against-rest LinearSVCs."""
    parts, X = split(single), dense(single)
    peer = np.stack([scores_of(X, y, parts.fitted, parts.test) for y in single.Y.T]).argmax(axis=0)
    truth = single.Y.argmax(axis=1)[parts.test]
    result = accuracy(kernel(single), single.Y, parts)
    assert result.class_averaged == pytest.approx(balanced_accuracy_score(truth, peer))
    assert result.overall == pytest.approx(np.mean(truth == peer))
    assert result.n_test == len(parts.test)
    assert accuracy(kernel(single), single.Y, parts, C=None).C in C_GRID


def test_accuracy_wants_one_class(world: World, single: World) -> None:
    """Samples of several classes, and classes absent from a part, are named errors."""
    with pytest.raises(DataError, match="show no class or several"):
        accuracy(kernel(world), world.Y, split(world))
    parts = split(single)
    keep = parts.test[single.Y[parts.test, 0] < 0]
    with pytest.raises(DataError, match="1 of 3 classes"):
        accuracy(kernel(single), single.Y, SplitRows(parts.train, parts.val, keep))
