"""Fine-tuning: the new classifier, what learns, at which rate."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fstore.errors import DataError
from fstore.extractor.networks import Network
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.training import ArrayExamples, Recipe, TrainingData, train
from fstore.extractor.training.finetuning import (
    Mode,
    classifier_path,
    default_iterations,
    finetuning_recipe,
    fully_connected,
    with_new_classifier,
)
from fstore.workflows import seeded_network


def normed_network(classes: int = 3, seed: int = 0) -> Network:
    """Build a network with batch normalisation among its convolutions and behind them.

    The layer before a normalisation has no bias: its gradient would be 0.
    """
    torch.manual_seed(seed)
    layers: list[nn.Module] = [
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
        nn.Linear(4 * 36, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(8, classes),
    ]  # fmt: skip
    model = nn.Sequential(*layers).eval()
    return Network("normed", model, Preprocess(size=8, resize=8), {}, {"lr": 0.1, "batch_size": 6})


def trained(network: Network, recipe: Recipe, folder: Path, *, seed: int = 0) -> dict[str, Tensor]:
    """Return the weights after a few iterations on noise."""
    rng, size = np.random.default_rng(5), network.preprocess.size
    X = rng.standard_normal((12, 3, size, size), np.float32)
    examples = ArrayExamples(X, np.arange(12) % 3)
    data = TrainingData(examples, examples, "noise")
    (last,) = train(network, data, recipe=recipe, iterations=3, snapshots=[3], seed=seed,
                    state_dir=folder, device="cpu")  # fmt: skip
    return last.weights


def started(parent: Network, mode: Mode, *, seed: int = 0) -> tuple[Network, Recipe]:
    """Return a mini CaffeNet of three classes with a new classifier, and its recipe."""
    network = with_new_classifier(seeded_network(parent.name, 3, 9), parent, seed=seed)
    return network, finetuning_recipe(network, mode, regions=False, batch_size=6)


def test_the_classifier_is_replaced() -> None:
    """The new classifier is N(0, 0.01) with biases 0; all else has the parent's bits."""
    parent = seeded_network("caffenet-mini", 10, 1)
    fresh = seeded_network("caffenet-mini", 400, 2)
    weights = with_new_classifier(fresh, parent, seed=3).model.state_dict()
    for name, tensor in parent.model.state_dict().items():
        if not name.startswith("fc8"):
            assert torch.equal(weights[name], tensor)
    drawn, n = weights["fc8.weight"].double(), 400 * 256
    assert drawn.shape == (400, 256)
    assert abs(drawn.mean().item()) < 5 * 0.01 / n**0.5  # five standard errors
    assert drawn.std().item() == pytest.approx(0.01, rel=5 / (2 * n) ** 0.5)
    kurtosis = ((drawn / 0.01) ** 4).mean().item()
    assert kurtosis == pytest.approx(3, abs=5 * (96 / n) ** 0.5)  # of a Gaussian; its own s.e.
    assert not weights["fc8.bias"].any()


def test_the_classifier_follows_the_seed() -> None:
    """Equal seeds give equal classifiers, whatever the network was built with; others differ."""
    parent = seeded_network("caffenet-mini", 10, 1)

    def drawn(built: int, seed: int) -> Tensor:
        fresh = seeded_network("caffenet-mini", 10, built)
        weights = with_new_classifier(fresh, parent, seed=seed).model.state_dict()
        return torch.as_tensor(weights["fc8.weight"])

    assert torch.equal(drawn(0, 4), drawn(1, 4))
    assert not torch.equal(drawn(0, 4), drawn(0, 5))
    assert not torch.equal(drawn(0, 4), parent.model.state_dict()["fc8.weight"])


def test_the_parents_preprocessing_stays() -> None:
    """A mean image that belongs to the parent belongs to what is trained from it."""
    parent = seeded_network("caffenet-mini", 10, 1)
    mean = np.ones((3, 64, 64), np.float32)
    with_mean = Network(
        parent.name, parent.model, Preprocess(size=64, resize=64, mean_image=mean), parent.layers
    )
    found = with_new_classifier(seeded_network("caffenet-mini", 3, 0), with_mean, seed=0)
    assert found.preprocess.mean_image is mean


def test_ft_changes_every_layer(tmp_path: Path) -> None:
    """In mode ft every weight and bias moves."""
    network, recipe = started(seeded_network("caffenet-mini", 10, 1), "ft")
    after = trained(network, recipe, tmp_path)
    for name, before in network.model.state_dict().items():
        assert not torch.equal(after[name], before), name


def test_fc_ft_keeps_the_convolutions(tmp_path: Path) -> None:
    """In mode fc-ft the convolutions keep their bits; fc6, fc7 and fc8 all move."""
    network, recipe = started(seeded_network("caffenet-mini", 10, 1), "fc-ft")
    after = trained(network, recipe, tmp_path)
    for name, before in network.model.state_dict().items():
        assert torch.equal(after[name], before) == name.startswith("conv"), name


def test_fc_ft_keeps_statistics_of_frozen_layers(tmp_path: Path) -> None:
    """Batch normalisation among frozen convolutions keeps its statistics; the other learns its."""
    parent = normed_network(classes=5)
    network = with_new_classifier(normed_network(classes=3, seed=1), parent, seed=0)
    assert fully_connected(network) == ["4", "5", "8"]
    after = trained(network, finetuning_recipe(network, "fc-ft", regions=False), tmp_path)
    for name, before in network.model.state_dict().items():
        assert torch.equal(after[name], before) == (name[0] in "01"), name


def test_scratch_differs_by_seed() -> None:
    """From scratch, another seed gives other initial weights in every layer; the same the same."""
    a, b, c = (seeded_network("caffenet-mini", 3, seed).model.state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not any(torch.equal(a[name], c[name]) for name in a if name.endswith("weight"))


def test_the_papers_numbers() -> None:
    """CaffeNet: lr 0.001, x0.1 every 20k; 40k iterations on images, 70k on 128 regions a batch."""
    network = seeded_network("caffenet", 21, 0)
    images = finetuning_recipe(network, "ft", regions=False)
    regions = finetuning_recipe(network, "ft", regions=True)
    for recipe in (images, regions):
        assert [recipe.lr_at(i) for i in (1, 20_000, 20_001, 40_001)] == pytest.approx(
            [1e-3, 1e-3, 1e-4, 1e-5]
        )
        assert (recipe.momentum, recipe.weight_decay, recipe.mirror) == (0.9, 5e-4, True)
        factors = {n: recipe.multiplier(n) for n in ("fc8.weight", "fc8.bias", "fc7.weight",
                                                     "fc7.bias", "conv1.weight")}  # fmt: skip
        assert [(m.lr, m.decay) for m in factors.values()] == [
            (10, 1), (20, 0), (1, 1), (2, 0), (1, 1),
        ]  # fmt: skip
    assert regions.batch_size == 128
    assert default_iterations(network, "ft", regions=False) == 40_000
    assert default_iterations(network, "fc-ft", regions=True) == 70_000
    scratch = finetuning_recipe(network, "scratch", regions=True)
    assert (scratch.lr, scratch.multiplier("fc8.weight").lr) == (0.01, 1)


def test_fc_ft_has_the_rates_of_ft() -> None:
    """In mode fc-ft what learns has the factors of mode ft, and what does not has 0."""
    network = seeded_network("caffenet-mini", 4, 0)
    ft, fc_ft = (finetuning_recipe(network, m, regions=False) for m in ("ft", "fc-ft"))
    for name, _ in network.model.named_parameters():
        here, there = fc_ft.multiplier(name), ft.multiplier(name)
        if name.startswith("conv"):
            assert (here.lr, here.decay) == (0, 0)
        else:
            assert (here.lr, here.decay) == (there.lr, there.decay)


def test_changes_win() -> None:
    """What is given wins over the network's own numbers; None keeps them."""
    network = seeded_network("caffenet", 4, 0)
    recipe = finetuning_recipe(network, "ft", regions=True, lr=0.5, batch_size=None, step=7)
    assert (recipe.lr, recipe.batch_size, recipe.step) == (0.5, 128, 7)


@pytest.mark.parametrize(
    ("name", "classifier", "connected"),
    [
        ("caffenet", "fc8", ["fc6", "fc7", "fc8"]),
        ("torchvision:alexnet", "classifier.6", ["classifier.1", "classifier.4", "classifier.6"]),
        ("torchvision:mobilenet_v3_small", "classifier.3", ["classifier.0", "classifier.3"]),
        ("squeezenet-v1.0", "conv_final", None),
        ("torchvision:resnet18", "fc", None),
    ],
)
def test_classifiers_are_found(name: str, classifier: str, connected: list[str] | None) -> None:
    """The last linear layer or 1x1 convolution is the classifier; fc-ft needs more than it."""
    with torch.device("meta"):
        network = seeded_network(name, None, 0)
    assert classifier_path(network) == classifier
    if connected is None:
        with pytest.raises(DataError, match="no fully connected layer below its classifier"):
            fully_connected(network)
    else:
        assert fully_connected(network) == connected


def without_classifier() -> Network:
    """Build a network of one 3x3 convolution."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Network("plain", model.eval(), Preprocess(size=8, resize=8), {})


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: classifier_path(without_classifier()), "has no classifier to replace"),
        (
            lambda: default_iterations(normed_network(), "ft", regions=False),
            "does not say how long it is fine-tuned; give --iterations",
        ),
        (
            lambda: finetuning_recipe(without_classifier(), "scratch", regions=False),
            "give --lr and --batch-size",
        ),
    ],
)
def test_what_is_missing_is_named(ask: Callable[[], object], message: str) -> None:
    """A network without a classifier, a length or a recipe is a named error."""
    with pytest.raises(DataError, match=message):
        ask()
