"""CaffeNet learns as Caffe taught it: initial weights, and single updates, against plain torch."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from fstore.errors import DataError
from fstore.extractor.networks import Network, build_network
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.training import ArrayExamples, Multiplier, Recipe, TrainingData, train
from fstore.extractor.training.examples import random_seed
from fstore.extractor.training.optimizer import CaffeSGD

STDS = {"fc6": 0.005, "fc7": 0.005}  # protocol: the other layers 0.01
ONES = {"conv2", "conv4", "conv5", "fc6", "fc7"}  # protocol: biases of the other layers are 0


@pytest.fixture(scope="module")
def caffenet() -> Network:
    """Give CaffeNet with five outputs and seeded weights."""
    torch.manual_seed(4)
    return build_network("caffenet", classes=5)


def test_initial_weights_are_the_protocols(caffenet: Network) -> None:
    """Weights are Gaussians of std 0.01 (fc6, fc7 0.005) about 0; biases are all 0 or all 1."""
    for name, values in caffenet.model.named_parameters():
        layer, kind = name.split(".")
        if kind == "bias":
            assert set(values.tolist()) == {1.0 if layer in ONES else 0.0}
            continue
        std, n = STDS.get(layer, 0.01), values.numel()
        assert values.std().item() == pytest.approx(std, rel=4 / (2 * n) ** 0.5)  # 4 sigma
        assert values.mean().item() == pytest.approx(0, abs=4 * std / n**0.5)
        beyond = (values.abs() > 2 * std).float().mean().item()
        assert beyond == pytest.approx(0.0455, abs=4 * (0.0455 / n) ** 0.5)  # of a Gaussian


def test_recipe_is_the_protocols(caffenet: Network) -> None:
    """Batch 256, lr 0.01 x0.1 every 100k, momentum 0.9, decay 5e-4, mirrored; paper snapshots."""
    recipe = Recipe.from_defaults(caffenet.recipe)
    assert (recipe.batch_size, recipe.lr, recipe.momentum) == (256, 0.01, 0.9)
    assert (recipe.weight_decay, recipe.mirror, recipe.amp) == (5e-4, True, "off")
    rates = [recipe.lr_at(i) for i in (1, 95_000, 100_000, 100_001, 205_000, 305_000)]
    assert rates == pytest.approx([1e-2, 1e-2, 1e-2, 1e-3, 1e-4, 1e-5], rel=1e-12)
    for name, _ in caffenet.model.named_parameters():
        factors = recipe.multiplier(name)
        assert (factors.lr, factors.decay) == ((2, 0) if name.endswith("bias") else (1, 1))
    assert caffenet.recipe["iterations"] == 305_000
    thousands = (5, 15, 25, 35, 50, 95, 105, 195, 205, 305)  # the columns of Table 3
    assert caffenet.recipe["snapshots"] == tuple(1000 * k for k in thousands)
    assert (caffenet.preprocess.size, caffenet.preprocess.resize) == (227, 256)


def forward(x: Tensor, w: Mapping[str, Tensor]) -> Tensor:
    """Compute CaffeNet's scores, (B, 3, 227, 227) -> (B, classes), with dropout, functionally."""

    def conv(
        x: Tensor, layer: str, *, stride: int = 1, padding: int = 0, groups: int = 1
    ) -> Tensor:
        weight, bias = w[f"{layer}.weight"], w[f"{layer}.bias"]
        return F.relu(F.conv2d(x, weight, bias, stride, padding, groups=groups))

    def pool(x: Tensor) -> Tensor:
        return F.max_pool2d(x, 3, 2)

    def norm(x: Tensor) -> Tensor:  # test_networks.py compares it with its formula
        return F.local_response_norm(x, 5, alpha=1e-4, beta=0.75, k=1)

    x = norm(pool(conv(x, "conv1", stride=4)))
    x = norm(pool(conv(x, "conv2", padding=2, groups=2)))
    x = conv(x, "conv3", padding=1)
    x = conv(x, "conv4", padding=1, groups=2)
    x = pool(conv(x, "conv5", padding=1, groups=2)).flatten(1)
    for layer in ("fc6", "fc7"):
        x = F.relu(F.linear(x, w[f"{layer}.weight"], w[f"{layer}.bias"]))
        x = F.dropout(x, 0.5)
    return F.linear(x, w["fc8.weight"], w["fc8.bias"])


@pytest.mark.slow
def test_steps_of_caffenet_equal_a_plain_reference(caffenet: Network, tmp_path: Path) -> None:
    """Two updates of CaffeNet, across a drop of the rate, equal plain torch to rounding."""
    # a rate at which four noise images do not diverge, and a decay that float32 can tell
    changes = {"batch_size": 4, "step": 1, "lr": 0.002, "weight_decay": 0.5}
    recipe = Recipe.from_defaults(caffenet.recipe, **changes)
    images = 60 * np.random.default_rng(1).standard_normal((8, 3, 256, 256), np.float32)
    train_on = ArrayExamples(images, np.arange(8) % 5)
    data = TrainingData(train_on, ArrayExamples(images[:1], np.zeros(1, np.int64)), "noise")
    w = {n: p.detach().clone() for n, p in caffenet.model.named_parameters()}
    initial = {n: p.clone() for n, p in w.items()}
    v = {n: torch.zeros_like(p) for n, p in w.items()}
    for iteration, rate in ((1, 0.002), (2, 0.0002)):
        X, y = train_on.batch(4, seed=6, iteration=iteration, size=227, mirror=True)
        for p in w.values():
            p.requires_grad_(True)
        torch.manual_seed(random_seed(6, iteration))  # the same dropout
        loss = F.cross_entropy(forward(torch.from_numpy(X), w), torch.from_numpy(y))
        gradients = torch.autograd.grad(loss, list(w.values()))
        for (name, p), gradient in zip(w.items(), gradients, strict=True):
            bias = name.endswith(".bias")
            lr, decay = (2 * rate, 0.0) if bias else (rate, 0.5)
            v[name] = 0.9 * v[name] + lr * (gradient + decay * p.detach())
            w[name] = p.detach() - v[name]
    (found,) = train(caffenet, data, recipe=recipe, iterations=2, snapshots=[2], seed=6,
                     state_dir=tmp_path)  # fmt: skip
    assert found.loss == pytest.approx(loss.item(), rel=1e-5)
    for name, p in w.items():
        ulp = 1.2e-7 * p.abs().max().item()
        moved = (p - initial[name]).abs().max().item()
        assert moved > 20 * ulp
        torch.testing.assert_close(found.weights[name], p, rtol=0, atol=2 * ulp)  # order of sums


def test_the_rate_is_inside_the_velocity() -> None:
    """Across a drop of the rate the velocity runs on: hand-computed, and unlike torch's SGD."""
    caffe, usual = (nn.Parameter(torch.tensor([1.0], dtype=torch.float64)) for _ in range(2))
    ours = CaffeSGD([{"params": [caffe], "lr": 0.1, "weight_decay": 0.5}], momentum=0.9)
    theirs = torch.optim.SGD([usual], lr=0.1, momentum=0.9, weight_decay=0.5)
    seen = []
    for lr in (0.1, 0.1, 0.01):
        for optimizer, parameter in ((ours, caffe), (theirs, usual)):
            optimizer.param_groups[0]["lr"] = lr
            parameter.grad = torch.tensor([1.0], dtype=torch.float64)
            optimizer.step()
        seen.append((caffe.item(), usual.item()))
    # by hand: v = 0.15, w = 0.85; v = 0.135 + 0.1425 = 0.2775, w = 0.5725;
    # v = 0.24975 + 0.01 * 1.28625 = 0.2626125, w = 0.3098875
    assert [s[0] for s in seen] == pytest.approx([0.85, 0.5725, 0.3098875], abs=1e-12)
    assert [s[1] for s in seen[:2]] == pytest.approx([0.85, 0.5725], abs=1e-12)
    assert seen[2][1] == pytest.approx(0.5725 - 0.01 * (0.9 * 2.775 + 1.28625), abs=1e-12)


def normalised_network() -> Network:
    """Build a small network with batch normalisation in its first half."""
    torch.manual_seed(3)
    parts = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)]
    return Network("toy", nn.Sequential(*parts).eval(), Preprocess(size=8, resize=8), {})


def toy_data() -> TrainingData:
    """Make noise images of two classes."""
    X = np.random.default_rng(0).standard_normal((12, 3, 8, 8), np.float32) + 1
    y = np.arange(12) % 2
    return TrainingData(ArrayExamples(X[:8], y[:8]), ArrayExamples(X[8:], y[8:]), "toy")


def test_frozen_layers_keep_their_bits(tmp_path: Path) -> None:
    """Factor 0 on the rate: neither decay, nor momentum, nor running statistics change a bit."""
    network = normalised_network()
    frozen = tuple(Multiplier(f"{i}.*", lr=0.0, decay=1.0) for i in (0, 1))
    recipe = Recipe(lr=0.1, batch_size=4, weight_decay=0.5, multipliers=frozen)
    options = {"iterations": 4, "snapshots": [4], "seed": 0}
    before = {n: t.clone() for n, t in network.model.state_dict().items()}
    (found,) = train(network, toy_data(), recipe=recipe, state_dir=tmp_path / "a", **options)  # type: ignore[arg-type]
    same = {name for name, tensor in found.weights.items() if torch.equal(tensor, before[name])}
    assert same == {name for name in before if not name.startswith("4.")}
    free = replace(recipe, multipliers=())
    (found,) = train(network, toy_data(), recipe=free, state_dir=tmp_path / "b", **options)  # type: ignore[arg-type]
    assert not any(torch.equal(tensor, before[name]) for name, tensor in found.weights.items())


def test_freezing_everything_is_refused(tmp_path: Path) -> None:
    """A recipe that lets nothing learn is a named error."""
    recipe = Recipe(lr=0.1, batch_size=4, multipliers=(Multiplier("*", lr=0.0, decay=0.0),))
    with pytest.raises(DataError, match="freeze every parameter"):
        list(train(normalised_network(), toy_data(), recipe=recipe, iterations=1, snapshots=[],
                   seed=0, state_dir=tmp_path))  # fmt: skip
