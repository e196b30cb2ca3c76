"""What is minimised and measured follows from the targets: one class an example, or several."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import expit, log_softmax
from sklearn.metrics import average_precision_score, log_loss
from torch import nn

from fstore.errors import DataError
from fstore.extractor.networks import Network
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.training import ArrayExamples, Recipe, TrainingData, train
from fstore.extractor.training.objective import class_scores, loss_sum, measure, measure_name

SCORES = np.random.default_rng(5).normal(scale=3, size=(6, 4)).astype(np.float32)


def test_one_class_is_softmax_cross_entropy() -> None:
    """The loss of int64 targets is the sum of -log softmax at the class, as SciPy has it."""
    y = np.array([0, 3, 1, 2, 2, 0])
    expected = -log_softmax(SCORES.astype(np.float64), axis=1)[np.arange(6), y].sum()
    found = loss_sum(torch.from_numpy(SCORES), torch.from_numpy(y)).item()
    assert found == pytest.approx(expected, rel=1e-6)  # float32


def test_several_classes_are_sigmoid_cross_entropies() -> None:
    """The loss of int8 targets sums the logistic losses of 1 and -1, as scikit-learn has them."""
    y = np.random.default_rng(1).choice(np.array([-1, 0, 1], np.int8), size=(6, 4))
    counted = y != 0
    chance = expit(SCORES.astype(np.float64))
    expected = log_loss((y > 0)[counted], chance[counted], normalize=False)
    scores = torch.from_numpy(SCORES).requires_grad_()
    found = loss_sum(scores, torch.from_numpy(y))
    assert found.item() == pytest.approx(expected, rel=1e-6)  # float32
    found.backward()  # type: ignore[no-untyped-call]
    assert scores.grad is not None
    gradient = np.where(counted, chance - (y > 0), 0)
    np.testing.assert_allclose(scores.grad.numpy(), gradient, atol=1e-6)  # float32


def test_half_floats_lose_nothing_in_the_loss() -> None:
    """Half-float scores are widened first: the loss is that of the same scores as float32."""
    half = torch.from_numpy(SCORES).half()
    y = torch.tensor([0, 3, 1, 2, 2, 0])
    assert loss_sum(half, y).item() == loss_sum(half.float(), y).item()


class Scores(nn.Module):
    """Gives each image its first row of pixels as scores."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, 4)."""
        return x[:, 0, 0, :4]


def as_images(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Hide scores (n, 4) in images (n, 3, 6, 6), whose 4x4 middle begins with them."""
    images = np.zeros((len(scores), 3, 6, 6), np.float32)
    images[:, 0, 1, 1:5] = scores
    return images


def test_measures_are_scikit_learns() -> None:
    """Accuracy is the share of right classes; mean AP that of scikit-learn over counted labels."""
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(50, 4)).astype(np.float32)
    classes = rng.integers(0, 4, 50)
    examples = ArrayExamples(as_images(scores), classes)
    assert measure_name(classes) == "accuracy"
    right = float((scores.argmax(axis=1) == classes).mean())
    assert measure(Scores(), examples, 4, batch_size=7) == right
    labels = rng.choice(np.array([-1, 0, 1], np.int8), size=(50, 4))
    labels[:, 3] = np.where(labels[:, 3] == 1, 0, labels[:, 3])  # no positive: does not count
    assert measure_name(labels) == "mean AP"
    expected = [
        average_precision_score(labels[kept, c] > 0, scores[kept, c])
        for c in range(3)
        for kept in [labels[:, c] != 0]
    ]
    found = measure(Scores(), ArrayExamples(as_images(scores), labels), 4)
    assert found == pytest.approx(np.mean(expected), rel=1e-12)


def test_outputs_that_are_no_scores_are_refused() -> None:
    """Auxiliary scores are left aside; maps are a named error."""
    scores, maps = torch.zeros(2, 3), torch.zeros(2, 3, 4, 4)
    assert class_scores((scores, torch.ones(2, 3))) is scores
    with pytest.raises(DataError, match="class scores"):
        class_scores(maps)


def several(n: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Make images of two independent properties: bright above, bright below."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(np.array([-1, 1], np.int8), size=(n, 2))
    images = rng.standard_normal((n, 3, 8, 8), np.float32)
    images[:, :, :4] += labels[:, 0, None, None, None]
    images[:, :, 4:] += labels[:, 1, None, None, None]
    return images, labels


def test_several_classes_are_learnt(tmp_path: Path, seed: int) -> None:
    """Multi-label training separates independent properties; snapshots name mean AP."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 2)).eval()
    network = Network("toy", model, Preprocess(size=8, resize=8), {})
    data = TrainingData(ArrayExamples(*several(40, seed)), ArrayExamples(*several(30, seed + 1)))
    (found,) = train(network, data, recipe=Recipe(lr=0.01, batch_size=10), iterations=60,
                     snapshots=[60], seed=seed, state_dir=tmp_path)  # fmt: skip
    assert found.measure == "mean AP"
    assert found.accuracy > 0.95
    assert found.to_recipe()["held_out_mean_ap"] == found.accuracy


def test_what_cannot_be_measured_is_none(tmp_path: Path, seed: int) -> None:
    """Held-out examples without a positive have no mean AP: None, not NaN, in valid JSON."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 2)).eval()
    network = Network("toy", model, Preprocess(size=8, resize=8), {})
    images, labels = several(10, seed)
    data = TrainingData(ArrayExamples(images, labels), ArrayExamples(images, -np.abs(labels)))
    (found,) = train(network, data, recipe=Recipe(lr=0.01, batch_size=5), iterations=2,
                     snapshots=[2], seed=seed, validate_every=1, state_dir=tmp_path)  # fmt: skip
    kept = json.loads(json.dumps(found.to_recipe(), allow_nan=False))
    assert (kept["held_out_mean_ap"], kept["validation"], len(kept["curve"])) == (None, [], 2)
