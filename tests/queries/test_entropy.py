"""Entropy curves, their areas and the grid's bound, against sums over every threshold."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import entropy as scipy_entropy

from _entropy import brute_area, brute_areas, brute_curve
from fstore.errors import DataError
from fstore.queries.methods.entropy import (
    MEASURES,
    all_areas,
    areas,
    classes_of,
    entropies,
    entropy_curve,
    grid_area,
    label_entropy,
    mcaue,
    mean_at,
)

EXACT = 1e-9  # sums of some hundred terms of size 10 that cancel, in float64

levels = st.sampled_from([2, 5, 1000])  # few: many scores tie


def drawn_scores(
    seed: int, n: int, levels: int, classes: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return scores, a third of them at or below 0, on some levels; and labels."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(-levels // 2, levels + 1, size=n).astype(np.float32) / np.float32(7)
    return scores, rng.integers(0, classes, size=n)


def histogram(
    scores: NDArray[np.float32], labels: NDArray[np.int64], grid: int, *, weighted: bool
) -> NDArray[np.float64]:
    """Return the masses of the scores above 0 by threshold and class, one score at a time."""
    found = np.zeros((grid + 1, int(labels.max()) + 1))
    largest = float(scores.max())
    for score, label in zip(scores.tolist(), labels.tolist(), strict=True):
        if score > 0:
            found[math.floor(score * grid / largest), label] += score if weighted else 1
    return found


# entropy of a histogram


def test_label_entropy() -> None:
    """It is log K for K equal classes, SciPy's value for others, 0 for one class and for none."""
    assert label_entropy(np.full(20, 7)) == pytest.approx(math.log(20))
    assert label_entropy(np.array([1, 2, 5])) == pytest.approx(scipy_entropy([1, 2, 5]))
    assert label_entropy(np.array([0, 4])) == 0
    assert label_entropy(np.zeros(3)) == 0


def test_entropies() -> None:
    """Rows are histograms of their own; sums serve as well as counts."""
    rows = np.array([[1.0, 1, 0], [0.1, 0.2, 0.3], [0, 0, 0]])
    wanted = [math.log(2), scipy_entropy([1, 2, 3]), 0]
    assert entropies(rows) == pytest.approx(wanted)


# the curve


def test_curve_by_hand() -> None:
    """Scores 4 (a), 2 (b), 1 (a), 1 (b), 0 (b) and -1 (b): the curve at 1, 1/2 and 1/4."""
    scores = np.array([1.0, 4, 0, 2, 1, -1], dtype=np.float32)
    labels = np.array([0, 0, 1, 1, 1, 1])
    thresholds, entropy, counts = entropy_curve(scores, labels)
    assert thresholds.tolist() == [1, 0.5, 0.25]
    assert entropy == pytest.approx([0, math.log(2), math.log(2)])
    assert counts.tolist() == [1, 2, 4]
    weighted = entropy_curve(scores, labels, weighted=True)[1]
    assert weighted == pytest.approx([0, scipy_entropy([4, 2]), scipy_entropy([5, 3])])


def test_area_by_hand() -> None:
    """The upper half of the axis is pure, the lower half is even between two classes."""
    X = np.array([4.0, 2], dtype=np.float32).reshape(2, 1, 1)
    assert areas(X, np.array([0, 1]))[0] == pytest.approx(math.log(2) / 2)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 40),
    levels=levels,
    classes=st.integers(1, 6),
    weighted=st.booleans(),
)
def test_curve_of_any_scores(seed: int, n: int, levels: int, classes: int, weighted: bool) -> None:
    """Thresholds, entropies and counts are those of a look at all scores for each threshold."""
    scores, labels = drawn_scores(seed, n, levels, classes)
    thresholds, entropy, counts = entropy_curve(scores, labels, weighted=weighted)
    wanted = brute_curve(scores.astype(float), labels, weighted=weighted)
    assert thresholds == pytest.approx([t for t, _, _ in wanted], abs=1e-15)
    assert entropy == pytest.approx([h for _, h, _ in wanted], abs=EXACT)
    assert counts.tolist() == [n for _, _, n in wanted]
    area = areas(scores.reshape(-1, 1, 1), labels, weighted=weighted)[0]
    assert area == pytest.approx(
        brute_area(scores.astype(float), labels, weighted=weighted), abs=EXACT
    )


@pytest.mark.parametrize("measure", MEASURES)
def test_areas_of_a_layer(seed: int, measure: str) -> None:
    """All places count, with their sample's label; spMax takes one score a sample."""
    rng = np.random.default_rng(seed)
    X = np.maximum(rng.normal(size=(14, 5, 6)), 0).astype(np.float32)
    X[:, 2] = 0
    X[:, 3] = np.round(X[:, 3])
    labels = rng.integers(0, 3, size=14)
    found = all_areas(iter([X]), labels, MEASURES)
    assert found[measure] == pytest.approx(brute_areas(X, labels, measure), abs=EXACT)  # type: ignore[index]
    assert set(found) == set(MEASURES)


def test_places_are_scores_of_their_own() -> None:
    """Label entropy sees every place of a map, spMax only the largest."""
    X = np.array([[[2.0, 1, 1, 1]], [[2, 0, 0, 0]]], dtype=np.float32)
    found = all_areas(iter([X]), np.array([0, 1]), MEASURES)
    assert found["sp_max"][0] == pytest.approx(math.log(2))
    assert found["label"][0] == pytest.approx((math.log(2) + scipy_entropy([4, 1])) / 2)
    assert found["weighted"][0] == pytest.approx((math.log(2) + scipy_entropy([5, 2])) / 2)


# invariants


@pytest.mark.parametrize("measure", MEASURES)
def test_a_filter_of_one_class(measure: str) -> None:
    """A filter that fires for one class only has area 0, however strongly it fires."""
    labels = np.array([0, 1, 2, 1, 0, 2])
    X = np.zeros((6, 2, 3), dtype=np.float32)
    X[labels == 1, 0] = 1  # the label itself
    X[labels == 1, 1] = np.array([[3, 0, 1], [0.5, 2, 0]])
    found = all_areas(iter([X]), labels, MEASURES)[measure]  # type: ignore[index]
    assert found == pytest.approx([0, 0], abs=EXACT)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("value", [3.0, 0.0, -1.0])
def test_a_constant_filter(measure: str, value: float) -> None:
    """A constant filter, also one that never fires, has the entropy of the labels."""
    labels = np.array([0, 1, 1, 1, 2, 2])
    X = np.full((6, 1, 4), value, dtype=np.float32)
    found = all_areas(iter([X]), labels, MEASURES)[measure]  # type: ignore[index]
    assert found == pytest.approx([scipy_entropy([1, 3, 2])], abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), places=st.sampled_from([1, 4]))
def test_order_blocks_and_scale(seed: int, places: int) -> None:
    """Other orders of samples and of classes, other blocks and another unit change nothing."""
    rng = np.random.default_rng(seed)
    X = rng.integers(-2, 6, size=(20, 6, places)).astype(np.float32)
    labels = rng.integers(0, 4, size=20)
    order = rng.permutation(20)
    first = all_areas(iter([X]), labels, MEASURES)
    for other in (
        all_areas(iter([X[order]]), labels[order], MEASURES),
        all_areas(iter([X[:, :1], X[:, 1:4], X[:, 4:]]), labels, MEASURES),
        all_areas(iter([X]), 3 - labels, MEASURES),
        all_areas(iter([8 * X]), labels, MEASURES),
    ):
        for measure in MEASURES:
            assert other[measure] == pytest.approx(first[measure], abs=EXACT)


def test_without_maps_label_is_sp_max(seed: int) -> None:
    """Where a map is one value, label entropy and spMax label entropy are the same numbers."""
    rng = np.random.default_rng(seed)
    X = np.maximum(rng.normal(size=(30, 8, 1)), 0).astype(np.float32)
    found = all_areas(iter([X]), rng.integers(0, 4, size=30), MEASURES)
    assert np.array_equal(found["label"], found["sp_max"])
    assert not np.array_equal(found["label"], found["weighted"])


# the grid


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 80),
    levels=levels,
    classes=st.sampled_from([1, 2, 3, 30]),
    grid=st.sampled_from([1, 2, 7, 50]),
    weighted=st.booleans(),
)
def test_grid_bound(
    *, seed: int, n: int, levels: int, classes: int, grid: int, weighted: bool
) -> None:
    """The grid's area is within its bound of the exact one: ties, one class, one sample and all."""
    scores, labels = drawn_scores(seed, n, levels, classes)
    scores[0] = max(scores[0], np.float32(0.1))  # a filter that never fires has no histogram
    area, bound = grid_area(histogram(scores, labels, grid, weighted=weighted))
    exact = brute_area(scores.astype(float), labels, weighted=weighted)
    assert abs(area - exact) <= bound + EXACT
    assert 0 <= bound <= math.log(classes) + EXACT
    assert 0 <= area <= math.log(classes) + EXACT


@pytest.mark.parametrize("weighted", [False, True])
def test_grid_bound_of_skewed_scores(seed: int, weighted: bool) -> None:
    """So it is for scores as filters give them: most small, a few large, of one class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, size=300)
    scores = (rng.exponential(size=300) ** 2 * (1 + 3 * (labels == 2))).astype(np.float32)
    exact, bounds = brute_area(scores.astype(float), labels, weighted=weighted), []
    for grid in (1, 4, 16, 64, 4096):
        area, bound = grid_area(histogram(scores, labels, grid, weighted=weighted))
        assert abs(area - exact) <= bound + EXACT
        bounds.append(bound)
    # the trapezoid of one interval says nothing; 4,096 leave 300 of them with a score
    assert bounds[0] > 0.5
    assert bounds[-1] < 0.06


def test_grid_by_hand() -> None:
    """Two scores on the ends of two intervals: the mean of the three entropies' trapezoids."""
    histogram = np.array([[0.0, 0], [0, 1], [1, 0]])  # score 2 of class 0, score 1 of class 1
    area, bound = grid_area(histogram)
    assert area == pytest.approx((math.log(2) + (math.log(2) + 0) / 2) / 2)
    # nothing is lost below 1/2, half of the mass above: d = 1/2 = 1 - 1/K gives log 2
    assert bound == pytest.approx((0 + math.log(2)) / 2)


# means of the most selective filters


def test_mcaue_by_hand() -> None:
    """Sorted, summed up, divided by how many; the last is the mean of all."""
    assert mcaue(np.array([3.0, 1, 2])).tolist() == [1, 1.5, 2]


def test_mean_at_by_hand() -> None:
    """A share of the filters is rounded up: a tenth of 256 is 26, of 4,096 it is 410."""
    counts = [
        [k for _, k in mean_at(np.ones(n), (0.1, 0.25, 0.5, 1.0))] for n in (256, 4096, 10, 1)
    ]
    assert counts == [[26, 64, 128, 256], [410, 1024, 2048, 4096], [1, 3, 5, 10], [1, 1, 1, 1]]
    assert mean_at(np.array([4.0, 1, 3, 2]), (0.5,)) == [(1.5, 2)]


# what cannot be measured


def test_classes_of() -> None:
    """One class a sample; several, none, or the same for all are named errors."""
    Y = np.array([[1, -1, -1], [-1, -1, 1], [-1, 1, -1]], dtype=np.int8)
    assert classes_of(Y).tolist() == [0, 2, 1]
    for row in ([1, 1, -1], [-1, -1, -1], [0, -1, -1]):
        bad = np.vstack([Y, np.array([row], dtype=np.int8)])
        with pytest.raises(DataError, match="1 of 4 samples show no class or several"):
            classes_of(bad)
    with pytest.raises(DataError, match=r"all 2 samples are of one class; .* needs at least 2"):
        classes_of(Y[[0, 0]])
