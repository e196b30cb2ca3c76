"""Filters taken from a probe: against scores of replaced features, and scikit-learn."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from _problems import World, make
from fstore.errors import DataError
from fstore.queries.analyses import ask
from fstore.queries.methods.importance import class_values, scores_without
from fstore.queries.methods.probes import fit_logistic
from fstore.store.precision import ap

ONE: dict[str, Any] = {"ckpt": "5", "dataset": "d", "layer": "conv"}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Keep the peers' short fits from waiting for threads."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return a store of samples of several classes, some of them difficult."""
    return make(tmp_path_factory.mktemp("several") / "s")


def test_scores_are_those_of_replaced_features(seed: int) -> None:
    """Taking a filter off is the same as scoring features in which it is replaced."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(30, 4, 3)).astype(np.float32)
    Y = np.where(np.eye(3)[np.arange(30) % 3] > 0, 1, -1).astype(np.int8)
    fill = rng.normal(size=(4, 3))
    (model,) = fit_logistic(X.reshape(30, -1), Y, Cs=[0.1], measure="accuracy")
    for channel, scores in enumerate(scores_without(model, X, fill)):
        other = X.astype(np.float64)
        other[:, channel] = fill[channel]
        np.testing.assert_allclose(scores, model.scores(other.reshape(30, -1)), atol=1e-9)


def test_values_of_classes() -> None:
    """Two of three are right of one class, one of one of another; a third was not tested."""
    Y = np.array([[1, -1, -1], [1, -1, -1], [1, -1, -1], [-1, 1, -1]], dtype=np.int8)
    scores = np.array([[2.0, 1, 0], [2, 1, 0], [0, 1, 0], [0, 1, 0]])
    assert class_values(scores, Y, "accuracy") == pytest.approx([2 / 3, 1, np.nan], nan_ok=True)
    expected = [ap(scores[:, 0], Y[:, 0]), ap(scores[:, 1], Y[:, 1]), np.nan]
    assert class_values(scores, Y, "ap") == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("fill", ["zero", "mean"])
def test_filters_of_a_store(several: World, fill: str) -> None:
    """Drops are those of scikit-learn's classifiers on features in which a filter is replaced."""
    rows = ask(several.store, "ablate-filters", **ONE, fill=fill)
    (asked,) = ask(several.store, "probe", **{**ONE, "ckpt": ("5",), "layer": ("conv",)})
    fitted, test = (several.rows(0, *parts) for parts in (("train", "val"), ("test",)))
    X, Y = several.values["conv"].max(axis=2).astype(np.float64), several.Y
    scale = 20 / np.linalg.norm(X[fitted] - X[fitted].mean(axis=0), axis=1).mean()
    models = []
    for y in Y.T:
        used = fitted[y[fitted] != 0]
        Z = X[used] * scale  # an offset of the features is one of the scores: it is not penalised
        models.append(LogisticRegression(C=asked["C"], max_iter=5000, tol=1e-8).fit(Z, y[used]))

    def value(features: Any) -> float:  # noqa: ANN401
        each = [m.decision_function(features[test] * scale) for m in models]
        return float(np.mean([ap(s, y) for s, y in zip(each, Y[test].T, strict=True)]))

    assert [row["rank"] for row in rows] == [1, 2, 3, 4]
    assert {row["whole"] for row in rows} == {asked["value"]}
    assert [row["drop"] for row in rows] == sorted((row["drop"] for row in rows), reverse=True)
    for row in rows:
        other = X.copy()
        c = row["channel"]
        other[:, c] = X[fitted, c].mean() if fill == "mean" else 0
        assert row["value"] == pytest.approx(value(other), abs=0.02)  # two neighbours may change
        assert row["drop"] == pytest.approx(row["whole"] - row["value"])
        assert row["worst_drop"] >= row["drop"] - 1e-9
        assert (row["measure"], row["n"]) == ("ap", 20)


def test_what_is_refused(several: World) -> None:
    """An unknown filling is refused with those that there are."""
    with pytest.raises(DataError, match="no filling 'noise'; there are: zero, mean"):
        ask(several.store, "ablate-filters", **ONE, fill="noise")
