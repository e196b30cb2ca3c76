"""Numbers in draws of test samples are those of lists that were really drawn."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from fstore.queries.detection.voc_eval import Boxes, Scored, by_chance, evaluate
from fstore.queries.methods.classification import average_precisions, drawn_mean_ap
from fstore.queries.methods.draws import (
    DRAWS,
    Ranking,
    drawn_accuracies,
    drawn_aps,
    drawn_means,
    draws,
    draws_of,
)
from fstore.queries.samples.problem import Places, SplitRows, _placed
from fstore.store.precision import ap, voc_ap


@pytest.mark.parametrize("levels", [1, 4, 1000])
@pytest.mark.parametrize("positives", [1, 2, 9])
def test_drawn_aps(levels: int, positives: int) -> None:
    """Weights give exactly the AP of the list that has each row as often as it was drawn."""
    rng = np.random.default_rng(levels + positives)
    n = 40
    scores = rng.integers(levels, size=n).astype(np.float32)  # few levels: many ties
    labels = np.full(n, -1, dtype=np.int8)
    labels[:positives] = 1
    labels[-3:] = 0  # left out
    times = draws(n, replicates=60)
    found = drawn_aps(Ranking(scores, labels, np.arange(n)), times @ (labels > 0), times)
    nothing = 0
    for drawn, often in zip(found.T, times, strict=True):
        score, label = np.repeat(scores, often), np.repeat(labels, often)
        plain = (voc_ap(score, label), ap(score, label))
        if plain[0] is None:
            assert np.isnan(drawn).all()
            nothing += 1
        else:
            assert drawn == pytest.approx(plain, abs=1e-14)
    assert (nothing > 0) is (positives < 9)


def test_drawn_accuracies() -> None:
    """So are accuracies: the mean over the classes that were drawn, as scikit-learn has it."""
    rng = np.random.default_rng(0)
    truth, answer = rng.integers(4, size=(2, 25))
    times = draws(25, replicates=30)
    found = drawn_accuracies(answer == truth, truth, times)
    for drawn, often in zip(found, times, strict=True):
        pair = np.repeat(truth, often), np.repeat(answer, often)
        with np.errstate(all="ignore"):
            wanted = np.mean([np.mean(pair[1][pair[0] == c] == c) for c in np.unique(pair[0])])
        assert drawn == pytest.approx(wanted, abs=1e-14)
    ones = np.ones((1, 25), dtype=np.int64)
    plain = balanced_accuracy_score(truth, answer)
    assert drawn_accuracies(answer == truth, truth, ones) == pytest.approx([plain])
    values = rng.random(25)
    means = [np.repeat(values, often).mean() for often in times]
    assert drawn_means(values, times) == pytest.approx(means)


def test_draws_are_the_same_for_all() -> None:
    """However many are asked for, and whatever a layer lacks, a sample is drawn as often."""
    few, many = draws(30, replicates=10), draws(30, replicates=1000)
    assert (few == many[:10]).all()
    assert (many.sum(axis=1) == 30).all()
    rows, at = np.arange(3), np.array([0, 7, 29])
    assert (draws_of(SplitRows(rows, rows, rows, tests=Places(at, 30))) == draws(30)[:, at]).all()
    assert draws_of(SplitRows(rows, rows, rows)).shape == (DRAWS, 3)


def test_places_among_all_that_is_tested_on() -> None:
    """Of several data sets they count on, and a sample that a layer lacks keeps its place."""
    placed = _placed([(np.array([1, 3, 5]), np.array([1, 5])), (np.array([2, 4]), np.array([4]))])
    assert (placed.at.tolist(), placed.among) == ([0, 2, 4], 5)
    assert _placed([]).among == 0


def test_classes_of_a_cell_share_their_draws() -> None:
    """A cell's draws are means over classes of the AP of lists that were drawn once for all."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(60, 5)).astype(np.float32)
    Y = np.where(X[:, :3] + rng.normal(size=(60, 3)) > 0, 1, -1).astype(np.int8)
    split = SplitRows(np.arange(30), np.arange(0), np.arange(30, 60))
    kernel = X @ X.T
    results = average_precisions(kernel, Y, split, C=1.0, draw=True)
    again = SplitRows(split.train, split.val, np.repeat(split.test, draws(30)[0]))
    plain = average_precisions(kernel, Y, again, C=1.0)
    wanted = np.mean([r.ap_11 for r in plain])
    assert drawn_mean_ap(results)[0] == pytest.approx(wanted, abs=1e-14)


def test_by_chance() -> None:
    """Random orders keep what is right: nothing of nothing, all of all, a share between."""
    boxes = np.tile(np.array([[0.0, 0, 9, 9]]), (50, 1))
    objects = Boxes(np.arange(25), boxes[:25], np.zeros(25, dtype=bool))
    found = Scored(np.arange(50), boxes, np.arange(50, 0, -1).astype(float))
    evaluation = evaluate(["a"], [objects], [found], n_images=50)
    assert evaluation.map_11 == 1.0
    orders = by_chance(evaluation, orders=200)
    labels = np.where(np.arange(50) < 25, 1, -1)
    rng = np.random.default_rng(5)
    wanted = [voc_ap(rng.random(50), labels) or 0 for _ in range(200)]
    assert np.mean(orders) == pytest.approx(np.mean(wanted), abs=0.03)
    assert max(orders) < 1
    only = Scored(np.arange(25), boxes[:25], np.ones(25))
    assert set(by_chance(evaluate(["a"], [objects], [only], n_images=25))) == {1.0}
    assert (
        by_chance(
            evaluate(
                ["a"],
                [Boxes(objects.image[:0], boxes[:0], objects.difficult[:0])],
                [only],
                n_images=25,
            )
        )
        == []
    )
