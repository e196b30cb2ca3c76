"""SVMs on ablated features read from a store are LinearSVC on the dense matrix, ablated by hand."""

from collections.abc import Callable

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import normalize

from _problems import scores_of
from _studies import CLASSES, N, StudyWorld, make_study
from fstore.queries.analyses.classification import accuracy, classification
from fstore.queries.methods.classification import C_GRID, average_precisions
from fstore.queries.methods.gram import feature_norm_factor, gram
from fstore.queries.methods.svm import SVMs, fit
from fstore.queries.refresh.show import show_report
from fstore.queries.samples.asked import Asked, AskedWithDifficult
from fstore.queries.samples.problem import Problem, SplitRows, problem, split_samples
from fstore.store.permutation import permutation
from fstore.store.precision import ap, voc_ap
from fstore.types import IntArray

RANGE = 1e-3  # of the range of scores: the tolerance
AP = 1e-3  # 0.1 point
SEED = 4  # of the permutations

Maps = NDArray[np.float32]


def sp_shuffle(X: Maps) -> Maps:
    """Read the places of each sample in the order of its permutation."""
    orders = [permutation(X.shape[2], seed=SEED, view="image", sample_id=n) for n in range(N)]
    return np.stack([x[:, order] for x, order in zip(X, orders, strict=True)])


def top_3(X: Maps) -> Maps:
    """Return the mean of the three largest of each map."""
    largest = -np.sort(-X.astype(np.float64), axis=2)[:, :, :3]
    mean: Maps = largest.mean(axis=2, keepdims=True).astype(np.float32)
    return mean


DENSE: dict[str, Callable[[Maps], Maps]] = {
    "none": lambda X: X,
    "binarize": lambda X: np.where(X > 0, 1, 0).astype(np.float32),
    "sp_shuffle": sp_shuffle,
    "sp_max": lambda X: X.max(axis=2, keepdims=True),
    "binarize=0.5": lambda X: np.where(X > 0.5, 1, 0).astype(np.float32),
    "threshold=0.5": lambda X: np.where(X > 0.5, X, 0).astype(np.float32),
    "top_k=3": top_3,
    "sp_mean": lambda X: X.mean(axis=2, keepdims=True),
    "l2_columns": lambda X: normalize(X.reshape(len(X), -1), axis=0).reshape(X.shape),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> StudyWorld:
    """Return images ``d`` of several classes, some difficult only; scenes ``s`` of one each."""
    return make_study(tmp_path_factory.mktemp("world") / "s")


def read(world: StudyWorld, layer: str, ablation: str) -> tuple[NDArray[np.float32], Problem]:
    """Return the kernel of an ablated layer and the problem of its official split."""
    samples = split_samples(world.store, "d", "image", split="official", seed=0)
    found = problem(world.store, samples, network="net", ckpt="5k", layer=layer)
    return gram(world.store, found.rows, ablation=ablation, seed=SEED).kernel, found


def dense(world: StudyWorld, layer: str, ablation: str, dataset: str = "d") -> NDArray[np.float64]:
    """Return the ablated features, (n_samples, n_features)."""
    return DENSE[ablation](world.values[dataset, "5k", layer]).reshape(N, -1).astype(np.float64)


def parts_of(world: StudyWorld, dataset: str, seed: int = 0) -> SplitRows:
    """Return the rows of a split's parts."""
    return SplitRows(*(world.rows(dataset, seed, part) for part in ("train", "val", "test")))


def trained(
    kernel: NDArray[np.float32],
    found: Problem,
    Y: NDArray[np.int8],
    C: float | NDArray[np.float64] = 1e-3,
) -> SVMs:
    """Fit SVMs on train and val, features scaled to a mean norm of 20 over them."""
    rows = found.splits[0].fitted
    scale = feature_norm_factor(kernel, rows) ** 2
    return fit(kernel[np.ix_(rows, rows)], Y[rows], C=C, scale=scale)


@pytest.mark.parametrize("ablation", DENSE)
@pytest.mark.parametrize("layer", ["conv5", "fc7"])
def test_scores_and_ap(world: StudyWorld, layer: str, ablation: str) -> None:
    """Scores are scikit-learn's to 1e-3 of their range and AP to 0.1 point, for each ablation."""
    kernel, found = read(world, layer, ablation)
    assert np.array_equal(found.Y, world.Y["d"])
    parts, X = parts_of(world, "d"), dense(world, layer, ablation)
    models = trained(kernel, found, found.Y)
    scores = models.scores(kernel[np.ix_(parts.test, parts.fitted)])
    results = average_precisions(kernel, found.Y, parts)
    for column, y in enumerate(world.Y["d"].T):
        peer = scores_of(X, y, parts.fitted, parts.test)
        assert np.abs(scores[:, column] - peer).max() < RANGE * np.ptp(peer)
        truth = y[parts.test]
        assert results[column].ap_11 == pytest.approx(voc_ap(peer, truth), abs=AP)
        assert results[column].ap_all == pytest.approx(ap(peer, truth), abs=AP)


def test_several_c_at_once(world: StudyWorld) -> None:
    """Models of all classes and several C trained together are LinearSVCs of one C each."""
    Cs = (1e-4, 1e-3, 1e-2, 1e-1)
    kernel, found = read(world, "conv5", "none")
    parts, X = parts_of(world, "d"), dense(world, "conv5", "none")
    many, models = np.tile(found.Y, len(Cs)), np.repeat(Cs, len(CLASSES))
    together = trained(kernel, found, many, C=models)
    scores = together.scores(kernel[np.ix_(parts.test, parts.fitted)])
    for i, C in enumerate(models):
        peer = scores_of(X, many[:, i], parts.fitted, parts.test, float(C))
        assert np.abs(scores[:, i] - peer).max() < RANGE * np.ptp(peer)
    assert together.gap.max() < 1e-5


def test_label_0_is_left_out(world: StudyWorld) -> None:
    """A sample that shows a class as difficult only has no part in its SVM, whatever it is."""
    kernel, found = read(world, "conv5", "none")
    rows = found.splits[0].fitted
    models = trained(kernel, found, found.Y)
    out = rows[found.Y[rows, 0] == 0]
    assert len(out) > 0
    assert not models.coefficients[found.Y[rows] == 0].any()
    other = kernel.copy()
    other[out] *= 3
    other[:, out] *= 3
    scale = feature_norm_factor(kernel, rows) ** 2
    again = fit(other[np.ix_(rows, rows)], found.Y[rows][:, [0]], scale=scale)
    assert again.objective[0] == pytest.approx(models.objective[0], rel=1e-5)


def chosen_by_hand(worth: list[float]) -> float:
    """Return the smallest C whose worth on val is the best."""
    return next(C for C, value in zip(C_GRID, worth, strict=True) if value >= max(worth) - 1e-9)


def mean_aps(
    X: NDArray[np.float64], Y: NDArray[np.int8], train: IntArray, test: IntArray, C: float
) -> tuple[float, float]:
    """Return mean 11-point and all-points AP of LinearSVCs, one a class."""
    pairs = [(scores_of(X, y, train, test, C), y[test]) for y in Y.T]
    both = [(voc_ap(s, y), ap(s, y)) for s, y in pairs if (y > 0).any()]
    first, second = np.mean(np.array(both, dtype=float), axis=0)
    return float(first), float(second)


@pytest.mark.parametrize("ablation", ["none", "binarize", "sp_shuffle"])
def test_c_by_val(world: StudyWorld, ablation: str) -> None:
    """C is that of a loop over LinearSVCs fitted on train; the final ones see train and val."""
    rows = classification(
        world.store,
        AskedWithDifficult(layer="conv5", ckpt="5k", dataset="d"),
        ablation=ablation,
        shuffle_seed=SEED,
        choose_c=True,
    )
    X, parts = dense(world, "conv5", ablation), parts_of(world, "d")
    worth = [mean_aps(X, world.Y["d"], parts.train, parts.val, C)[0] for C in C_GRID]
    C = chosen_by_hand(worth)
    assert len(set(worth)) > 1
    assert {row["C"] for row in rows} == {C}
    wanted = mean_aps(X, world.Y["d"], parts.fitted, parts.test, C)
    assert (rows[-1]["ap_11"], rows[-1]["ap_all"]) == pytest.approx(wanted, abs=AP)


def test_c_by_accuracy(world: StudyWorld) -> None:
    """For accuracy, C is chosen by class-averaged accuracy on val, the smaller of equals."""
    rows = accuracy(
        world.store,
        Asked(layer="conv5", ckpt="5k", dataset="s"),
        ablation=("none", "binarize"),
        choose_c=True,
    )
    Y, parts = world.Y["s"], parts_of(world, "s")
    truth = Y.argmax(axis=1)

    def averaged(X: NDArray[np.float64], train: IntArray, test: IntArray, C: float) -> float:
        scores = np.stack([scores_of(X, y, train, test, C) for y in Y.T])
        return float(balanced_accuracy_score(truth[test], scores.argmax(axis=0)))

    for row in rows:
        X = dense(world, "conv5", row["ablation"], "s")
        worth = [averaged(X, parts.train, parts.val, C) for C in C_GRID]
        assert row["C"] == chosen_by_hand(worth)
        wanted = averaged(X, parts.fitted, parts.test, row["C"])
        assert row["class_averaged"] == pytest.approx(wanted)


def test_table7_with_chosen_c(world: StudyWorld) -> None:
    """Beside the paper's column: AP with the C of each split's val part, and these C's mean."""
    shown = show_report(world.store, replace(world.study, layers=("fc7",)), "table7")
    cells = {(row["row"], row["col"]): row for row in shown.rows}
    X, Y, runs = dense(world, "fc7", "none"), world.Y["d"], []
    for seed in range(3):
        parts = parts_of(world, "d", seed)
        worth = [mean_aps(X, Y, parts.train, parts.val, C)[0] for C in C_GRID]
        C = chosen_by_hand(worth)
        at_11, at_all = mean_aps(X, Y, parts.fitted, parts.test, C)
        runs.append((C, 100 * at_11, 100 * at_all))
    for column, name in enumerate(("C", "chosen_c", "chosen_c_all_points")):
        cell, values = cells["fc7", f"none:{name}"], [run[column] for run in runs]
        close = 100 * AP if column else 1e-12
        assert cell["value"] == pytest.approx(np.mean(values), abs=close)
        assert cell["std"] == pytest.approx(np.std(values, ddof=1), abs=close)


def test_table3(world: StudyWorld) -> None:
    """Each checkpoint's cell is of its own features: mean and deviation over three splits."""
    shown = show_report(world.store, world.study, "table3")
    cells = {(row["row"], row["col"]): row for row in shown.rows}
    for layer in ("conv5", "fc7"):
        for ckpt in ("5k", "15k"):
            X = world.values["d", ckpt, layer].reshape(N, -1).astype(np.float64)
            runs = []
            for seed in range(3):
                parts = parts_of(world, "d", seed)
                runs.append(mean_aps(X, world.Y["d"], parts.fitted, parts.test, 1e-3))
            for column, name in enumerate(("", ":all_points")):
                values = [100 * run[column] for run in runs]
                cell = cells[layer, ckpt + name]
                assert cell["value"] == pytest.approx(np.mean(values), abs=100 * AP)
                assert cell["std"] == pytest.approx(np.std(values, ddof=1), abs=100 * AP)
    assert cells["fc7", "5k"]["value"] != cells["fc7", "15k"]["value"]
