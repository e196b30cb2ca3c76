"""Linear probes and what they confuse: by a plain optimiser, by scikit-learn, and by hand."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, confusion_matrix
from threadpoolctl import threadpool_limits

from _problems import World, make, scores_of
from fstore.errors import DataError, UnknownNameError
from fstore.queries.analyses import ask
from fstore.queries.figures.probe import plot_confusion
from fstore.queries.methods.probes import (
    LOGISTIC_GRID,
    SVM_GRID,
    fit_logistic,
    folds_of,
    probe,
)
from fstore.queries.samples.problem import SplitRows
from fstore.store.precision import ap

FC: dict[str, Any] = {"ckpt": ("5",), "dataset": "d", "layer": ("fc",)}
ONE: dict[str, Any] = {"ckpt": "5", "dataset": "d", "layer": "fc"}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Keep the peers' short fits from waiting for threads."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return a store of samples of one class each."""
    return make(tmp_path_factory.mktemp("single") / "s", single=True)


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return a store of samples of several classes, some of them difficult."""
    return make(tmp_path_factory.mktemp("several") / "s")


def centred(X: NDArray[np.float32], rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return features as a probe sees them: less their mean, of a mean norm of 20."""
    Z = X.astype(np.float64) - X[rows].astype(np.float64).mean(axis=0)
    return np.asarray(Z * (20 / np.linalg.norm(Z[rows], axis=1).mean()))


def plain(Z: NDArray[np.float64], y: NDArray[np.int64], C: float) -> NDArray[np.float64]:
    """Return the scores of multinomial logistic regression by SciPy's optimiser."""
    n, p, k = len(Z), Z.shape[1], y.max() + 1

    def loss(w: NDArray[np.float64]) -> float:
        W, b = w[: p * k].reshape(p, k), w[p * k :]
        likely = log_softmax(Z @ W + b, axis=1)[np.arange(n), y]
        return float((W**2).sum() / 2 - C * likely.sum())

    w = minimize(loss, np.zeros((p + 1) * k), method="BFGS").x
    return np.asarray(Z @ w[: p * k].reshape(p, k) + w[p * k :])


@pytest.mark.parametrize("p", [3, 40])
def test_logistic_is_that_of_a_plain_optimiser(p: int, seed: int) -> None:
    """Few features, and more than samples: the scores are those of SciPy's BFGS on the loss."""
    rng = np.random.default_rng(seed)
    y = np.arange(18) % 3
    X = (rng.normal(size=(18, p)) + np.eye(3, p)[y] + 5).astype(np.float32)
    Y = np.where(np.eye(3)[y] > 0, 1, -1).astype(np.int8)
    (model,) = fit_logistic(X, Y, Cs=[0.01], measure="accuracy")
    Z = centred(X, np.arange(18))
    expected = plain(Z[:, :p] if p < 18 else np.linalg.qr(Z.T)[1].T, y, 0.01)
    found = model.scores(X)
    # scores of a softmax are known up to one number a sample; L-BFGS stops at a slope of 1e-4
    difference = (found - found.mean(axis=1, keepdims=True)) - (
        expected - expected.mean(axis=1, keepdims=True)
    )
    assert np.abs(difference).max() < 0.01 * np.ptp(expected)


def test_images_are_not_divided_among_folds(seed: int) -> None:
    """Each row is held back once, boxes of an image together, and classes are spread evenly."""
    rng = np.random.default_rng(seed)
    images = rng.permutation(np.repeat(np.arange(40), 3))
    own = images % 4
    Y = np.where(np.eye(4)[own] > 0, 1, -1).astype(np.int8)
    rows = np.flatnonzero(images < 30)
    folds = folds_of(Y, rows, images=images, folds=5)
    assert (np.sum(folds, axis=0) == 1).all()
    for held in folds:
        assert not set(images[rows[held]]) & set(images[rows[~held]])
        counts = np.bincount(own[rows[held]], minlength=4) / 3
        assert np.ptp(counts) <= 1
    with pytest.raises(DataError, match="got 31 folds and 30 images"):
        folds_of(Y, rows, images=images, folds=31)
    with pytest.raises(DataError, match="2 folds or more"):
        folds_of(Y, rows, images=images, folds=1)


def check_against(
    row: Mapping[str, Any],
    world: World,
    score: Callable[..., NDArray[np.float64]],
    *,
    grid: tuple[float, ...],
) -> None:
    """Compare C and the values in cross-validation and on test with those of a peer's scores.

    Optimisers stop at slightly different places, so that two neighbours may change places: one
    sample of a fold of ten, or of 20 tested.
    """
    test = world.rows(0, "test")
    fitted = np.concatenate([world.rows(0, "train"), world.rows(0, "val")])

    def value(scores: NDArray[np.float64], rows: NDArray[np.intp]) -> float:
        Y = world.Y[rows]
        if row["measure"] == "ap":
            return float(np.mean([ap(scores[:, c], Y[:, c]) for c in range(3)]))
        return float(accuracy_score(Y.argmax(axis=1), scores.argmax(axis=1)))

    folds = folds_of(world.Y, fitted, images=np.arange(len(world.Y)), folds=4)
    means = [
        np.mean([value(score(fitted[~h], fitted[h], C), fitted[h]) for h in folds]) for C in grid
    ]
    assert row["validation"] == pytest.approx(means[grid.index(row["C"])], abs=0.026)
    assert row["validation"] == pytest.approx(max(means), abs=0.026)
    assert row["value"] == pytest.approx(value(score(fitted, test, row["C"]), test), abs=0.051)
    assert row["at_end"] == (row["C"] in (grid[0], grid[-1]))


def test_probe_of_one_class(single: World) -> None:
    """C and accuracy are those of scikit-learn on the dense matrix, fold by fold."""
    X = single.values["fc"][:, :, 0]

    def peer(train: Any, test: Any, C: float) -> Any:  # noqa: ANN401
        Z, y = centred(X, train), single.Y.argmax(axis=1)
        model = LogisticRegression(C=C, max_iter=5000).fit(Z[train], y[train])
        return model.decision_function(Z[test])

    (row,) = ask(single.store, "probe", **FC, folds=4)
    assert (row["measure"], row["n_train"], row["n_test"]) == ("accuracy", 40, 20)
    check_against(row, single, peer, grid=LOGISTIC_GRID)
    truth = single.Y.argmax(axis=1)
    fitted = single.rows(0, "train", "val")
    commonest = np.bincount(truth[fitted]).argmax()
    assert row["prior"] == (truth[single.rows(0, "test")] == commonest).mean()


@pytest.mark.parametrize("classifier", ["logistic", "svm"])
def test_probe_of_several_classes(several: World, classifier: str) -> None:
    """C and mean AP are those of scikit-learn, a class against the rest, no difficult ones."""
    layer = "fc" if classifier == "svm" else "conv"  # of few features the hinge's best is w = 0
    X = several.values[layer].max(axis=2)

    def peer(train: Any, test: Any, C: float) -> Any:  # noqa: ANN401
        if classifier == "svm":
            each = [scores_of(X.astype(np.float64), y, train, test, C) for y in several.Y.T]
            return np.stack(each, axis=1)
        Z, columns = centred(X, train), []
        for y in several.Y.T:
            used = train[y[train] != 0]
            model = LogisticRegression(C=C, max_iter=5000, tol=1e-8).fit(Z[used], y[used])
            columns.append(model.decision_function(Z[test]))
        return np.stack(columns, axis=1)

    asked = {**FC, "layer": (layer,), "classifier": classifier, "folds": 4}
    (row,) = ask(several.store, "probe", **asked)
    assert row["measure"] == "ap"
    check_against(row, several, peer, grid=SVM_GRID if classifier == "svm" else LOGISTIC_GRID)
    Y = several.Y[several.rows(0, "test")]
    assert row["prior"] == pytest.approx(np.mean((Y > 0).sum(axis=0) / (Y != 0).sum(axis=0)))


def test_test_part_does_not_choose(seed: int) -> None:
    """With other labels in test, C and the value in cross-validation are the same."""
    rng = np.random.default_rng(seed)
    Y = np.where(np.eye(3)[np.arange(60) % 3] > 0, 1, -1).astype(np.int8)
    X = (rng.normal(size=(60, 4)) + Y[:, :1]).astype(np.float32)
    split = SplitRows(np.arange(30), np.arange(30, 40), np.arange(40, 60))
    other = Y.copy()
    other[40:] = np.roll(Y[40:], 1, axis=1)

    def scorer(train: Any, test: Any, Cs: Any) -> Any:  # noqa: ANN401
        models = fit_logistic(X[train], Y[train], Cs=Cs, measure="accuracy")
        return [model.scores(X[test]) for model in models]

    images = np.arange(60)
    a, b = (
        probe(scorer, labels, split, images=images, grid=LOGISTIC_GRID, measure="accuracy")
        for labels in (Y, other)
    )
    assert (a.C, a.validation) == (b.C, b.validation)
    assert a.value != b.value


def test_layers_by_checkpoints(tmp_path: Path) -> None:
    """Without a layer all that are stored of each checkpoint are asked, in order."""
    world = make(tmp_path / "s", single=True, ckpts=("5", "6"))
    rows = ask(world.store, "probe", ckpt=("6", "5"), dataset="d", folds=2)
    assert [(row["ckpt"], row["layer"]) for row in rows] == [
        ("net/6", "conv"),
        ("net/6", "fc"),
        ("net/5", "conv"),
        ("net/5", "fc"),
    ]


def test_confusion(single: World) -> None:
    """Cells are those of scikit-learn's confusion matrix; pairs are ranked by their counts."""
    rows = ask(single.store, "confusion", **ONE)
    (asked,) = ask(single.store, "probe", **FC)
    fitted, test = single.rows(0, "train", "val"), single.rows(0, "test")
    X, y = single.values["fc"][:, :, 0], single.Y.argmax(axis=1)
    Z = centred(X, fitted)
    model = LogisticRegression(C=asked["C"], max_iter=5000).fit(Z[fitted], y[fitted])
    expected = confusion_matrix(y[test], model.predict(Z[test]), labels=[0, 1, 2])
    found = np.zeros((3, 3), dtype=int)
    for row in rows:
        found["abc".index(row["class"]), "abc".index(row["predicted"])] = row["n"]
    assert found.sum() == 20
    assert np.abs(found - expected).sum() <= 2  # one sample on a boundary
    assert np.trace(found) / 20 == pytest.approx(asked["value"])
    pairs = [row["n"] for row in rows if row["rank"] is not None]
    assert pairs == sorted(pairs, reverse=True)
    assert len(pairs) == 6
    title = str(plot_confusion(rows, title="T").to_dict()["title"])
    assert ("Most confused" in title) == (max(pairs) > 0)


def test_what_is_refused(single: World, several: World) -> None:
    """Samples of several classes, unknown words, and a split that is not there."""
    with pytest.raises(DataError, match="show no class or several"):
        ask(several.store, "confusion", **ONE)
    with pytest.raises(DataError, match="show no class or several"):
        ask(several.store, "probe", **FC, measure="accuracy")
    with pytest.raises(DataError, match="no classifier 'forest'; there are: logistic, svm"):
        ask(single.store, "probe", **FC, classifier="forest")
    with pytest.raises(DataError, match="no measure 'f1'; there are: accuracy, ap"):
        ask(single.store, "probe", **FC, measure="f1")
    with pytest.raises(UnknownNameError, match="random:7"):
        ask(single.store, "probe", **FC, split="random", seed=7)
