"""SVMs whose best weights are exactly 0: found, scored as one block, counted."""

import numpy as np
import pytest
from numpy.typing import NDArray

from _optimality import C, steepest
from fstore.errors import DataError
from fstore.queries.methods.filters import filter_weights, subset_aps
from fstore.queries.methods.interior import multipliers
from fstore.queries.methods.no_direction import constant_objective, has_no_direction
from fstore.queries.methods.overlap import class_overlap
from fstore.queries.samples.problem import SplitRows
from fstore.queries.samples.single import Responses

FALLS = 1e-6
"""What a linear program with a tolerance of 1e-7 tells from no fall."""


def limits(y: NDArray[np.int8]) -> NDArray[np.float64]:
    """Return the weights of the losses."""
    return np.where(y > 0, 2 * C, C)


def none(X: NDArray[np.floating], y: NDArray[np.int8]) -> bool | None:
    """Ask the code under test."""
    return has_no_direction(X.astype(np.float64), y.astype(np.float64), limits(y))


def drawn(draw: int) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Return responses of 1 to 8 filters and a rare or a frequent class, told a little or not."""
    rng = np.random.default_rng(draw)
    n, k = 150, 1 + draw % 8
    y = np.where(rng.random(n) < (0.08, 0.1, 0.85)[draw % 3], 1, -1).astype(np.int8)
    y[:2] = 1, -1
    X = np.maximum(rng.standard_normal((n, k)), 0) + rng.uniform(0, 1.2) * (y > 0)[:, None]
    return X * (1 if draw % 2 else 10), y


def test_by_hand() -> None:
    """One positive at a, ten negatives at 0 and ten at 1: weights are 0 for a from 1 to 5.

    The bias asks the negatives' multipliers to sum to 2 C + 0.01 = 12 C, so 2 C a may be from 2 C
    to 10 C.
    """
    y = np.array([1] + [-1] * 20, dtype=np.int8)
    for a, wanted in ((0.99, False), (1, True), (3, True), (5, True), (5.001, False)):
        x = np.array([a, *[0.0] * 10, *[1.0] * 10])[:, None]
        assert none(x, y) is wanted


def test_by_hand_where_labels_balance() -> None:
    """All losses are above 0: weights are the sum of all pulls, which may be 0."""
    y = np.array([1, -1, -1, -1], dtype=np.int8)
    assert none(np.array([[3.0], [1], [2], [3]]), y) is True
    assert none(np.array([[3.1], [1], [2], [3]]), y) is False


def test_linear_program_agrees() -> None:
    """On 96 drawn problems, on both sides of the boundary, a linear program says the same."""
    answers = []
    for draw in range(96):
        X, y = drawn(draw)
        answers.append(none(X, y))
        assert answers[-1] is (steepest(X, y) > -FALLS), draw
    assert 20 < sum(map(bool, answers)) < 76


def test_silent_filter_changes_nothing() -> None:
    """Beside a filter that never responds both ways say what they say without it."""
    for draw in range(8):
        X, y = drawn(draw)
        silent = np.column_stack([X, np.zeros(len(X))]).astype(np.float32)
        assert none(silent, y) is none(X, y) is (steepest(silent, y) > -FALLS), draw


def test_best_solution_agrees() -> None:
    """The optimum by an interior-point method is below the constant's where there is a direction.

    It ends at a gap of 1e-12 of the objective, so weights of 0 come out at most as sqrt(2e-12).
    """
    for draw in range(24):
        X, y = drawn(draw)
        X *= 20 / np.linalg.norm(X, axis=1).mean()
        L, u = np.column_stack([X, np.full(len(X), 10.0)]), limits(y)
        w = L.T @ multipliers(L, y.astype(np.float64), u, tolerance=1e-12)
        objective = 0.5 * w @ w + u @ np.maximum(0, 1 - y * (L @ w))
        falls = bool(objective < (1 - 1e-9) * constant_objective(y.astype(np.float64), u))
        assert none(X, y) is not falls
        assert (np.abs(w[:-1]).max() < 1e-5) is not falls


def test_at_the_boundary() -> None:
    """A positive that is moved to the edge of what negatives reach, and by a millionth beyond."""
    rng = np.random.default_rng(0)
    for k in (1, 3, 6):
        x, y = rng.random((120, k)), np.array([1] + [-1] * 120, dtype=np.int8)
        towards = rng.standard_normal(k)
        far = np.sort(x @ towards)[-12]  # multipliers sum to 12 C: the twelve farthest at C
        edge = x[x @ towards >= far].sum(axis=0) / 2
        middle = 12 * x.mean(axis=0) / 2
        for way, wanted in ((1 - 1e-6, True), (1, True), (1 + 1e-6, False)):
            one = middle + way * (edge - middle)
            assert none(np.vstack([one, x]), y) is wanted


def weak(seed: int) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Return 300 samples; filter 0 tells class 0, which is frequent; nothing tells rare class 1."""
    rng = np.random.default_rng(seed)
    Y = np.full((300, 2), -1, dtype=np.int8)
    Y[::3, 0] = 1
    Y[::20, 1] = 1
    X = np.maximum(rng.standard_normal((300, 4)), 0).astype(np.float32)
    X[:, 0] += 20 * (Y[:, 0] > 0)
    return X * np.float32(20 / np.linalg.norm(X, axis=1).mean()), Y


def test_scored_as_one_block(seed: int) -> None:
    """Each subset of a class without a direction has the prior as its AP; no number of filters."""
    X, Y = weak(seed)
    rare = subset_aps(X[:200], Y[:200, 1], X[200:], y_test=Y[200:, 1])
    assert rare is not None
    assert rare.no_direction == (True,) * len(rare.sizes)
    assert rare.ap_11 == pytest.approx([np.mean(Y[200:, 1] > 0)] * len(rare.sizes))
    assert rare.ap_all == pytest.approx(rare.ap_11)
    assert rare.converged
    assert rare.needed(0.5) is None
    told = subset_aps(X[:200], Y[:200, 0], X[200:], y_test=Y[200:, 0])
    assert told is not None
    assert told.no_direction == (False,) * len(told.sizes)
    assert told.ap_11[0] == 1
    assert told.needed(0.5) == (1, 1.0)


def test_sizes_without_direction_are_no_answer() -> None:
    """A share that the prior reaches already takes the first size that has a direction."""
    X, Y = weak(0)
    told = subset_aps(X[:200], Y[:200, 0], X[200:], y_test=Y[200:, 0])
    assert told is not None
    n = len(told.sizes) - 2
    late = type(told)(
        told.ranking, told.sizes, told.ap_11, told.ap_all, True, (True, True, *[False] * n)
    )
    assert late.needed(0.5) == (told.sizes[2], float(told.sizes[2]))


def test_no_overlap_of_filters_without_order() -> None:
    """A class without a direction has weights of 0, and no best filters to compare."""
    X, Y = weak(0)
    weights = filter_weights(X, Y)
    assert weights[0].any()
    assert not weights[1].any()
    rows = np.arange(len(X))
    responses = Responses(X, Y, ("told", "rare"), SplitRows(rows, rows[:0], rows))
    with pytest.raises(DataError, match="1 of 2 classes have both labels"):
        class_overlap(responses)
