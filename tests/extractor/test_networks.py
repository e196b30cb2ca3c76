"""The networks: the right computation, shapes and initial weights, found by name."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as fn

from fstore.errors import DataError, UnknownNameError
from fstore.extractor.networks import NETWORKS, Network, build_network, network_names
from fstore.extractor.networks._norms import SummedNorm
from fstore.extractor.taps import Taps, layer_specs
from fstore.extractor.weights import load_weights

OWN = """
from torch import nn
from fstore.extractor.networks import Network
from fstore.extractor.preprocess import Preprocess

def toy(classes=3):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                          nn.Linear(4, classes))
    return Network("toy", model, Preprocess(size=8, resize=8), {"conv": "0"})

def bare():
    return nn.Linear(1, 1)
"""


def real_data() -> Path:
    """Return the folder of real images and weights; skip where there is none."""
    folder = os.environ.get("FSTORE_REAL_DATA")
    if not folder:
        pytest.skip("FSTORE_REAL_DATA is not set: no real weights to try")
    return Path(folder)


def reference_caffenet(w: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
    """CaffeNet in plain functions, written from the protocol; LRN from its formula."""

    def conv(x: Tensor, name: str, **options: int) -> Tensor:
        return fn.relu(fn.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], **options))

    def lrn(x: Tensor) -> Tensor:
        square = fn.pad(x * x, (0, 0, 0, 0, 2, 2))
        total = sum(square[:, i : i + x.shape[1]] for i in range(5))
        return x / (1 + 1e-4 / 5 * total) ** 0.75

    out = {}
    x = out["conv1"] = lrn(fn.max_pool2d(conv(x, "conv1", stride=4), 3, 2))
    x = out["conv2"] = lrn(fn.max_pool2d(conv(x, "conv2", padding=2, groups=2), 3, 2))
    x = out["conv3"] = conv(x, "conv3", padding=1)
    x = out["conv4"] = conv(x, "conv4", padding=1, groups=2)
    x = out["conv5"] = fn.max_pool2d(conv(x, "conv5", padding=1, groups=2), 3, 2)
    x = out["fc6"] = fn.relu(fn.linear(x.flatten(1), w["fc6.weight"], w["fc6.bias"]))
    out["fc7"] = fn.relu(fn.linear(x, w["fc7.weight"], w["fc7.bias"]))
    return out


@pytest.fixture(scope="module")
def caffenet() -> Network:
    """CaffeNet with seeded initial weights."""
    torch.manual_seed(0)
    return build_network("caffenet")


def test_caffenet_computes_what_the_protocol_says(caffenet: Network) -> None:
    """Every layer of caffenet equals a plain reference written from the protocol."""
    x = 60 * torch.randn(2, 3, 227, 227)
    with torch.inference_mode():
        expected = reference_caffenet(caffenet.model.state_dict(), x)
    found = Taps(caffenet).collect(x)
    assert list(found) == list(expected)
    for layer, values in expected.items():
        scale = float(values.abs().max())
        # float32: LRN's sum is taken in another order
        torch.testing.assert_close(found[layer], values, rtol=0, atol=1e-5 * scale)


def test_caffenet_has_the_papers_shapes(caffenet: Network) -> None:
    """Caffenet's layers have the paper's maps, 260,448 values in all."""
    specs = layer_specs(caffenet)
    shapes = {s.name: (s.channels, s.height, s.width) for s in specs}
    assert shapes == {
        "conv1": (96, 27, 27),
        "conv2": (256, 13, 13),
        "conv3": (384, 13, 13),
        "conv4": (384, 13, 13),
        "conv5": (256, 6, 6),
        "fc6": (4096, 1, 1),
        "fc7": (4096, 1, 1),
    }
    assert sum(s.values for s in specs) == 260_448
    assert [s.kind for s in specs] == ["conv"] * 5 + ["fc"] * 2
    assert [s.order for s in specs] == list(range(7))


def test_caffenet_starts_as_caffe_does(caffenet: Network) -> None:
    """Initial weights have Caffe's standard deviations, biases are 0 or 1 as in Caffe."""
    state = caffenet.model.state_dict()
    for name in ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"):
        std = 0.005 if name in {"fc6", "fc7"} else 0.01
        weight = state[f"{name}.weight"]
        assert weight.std().item() == pytest.approx(std, rel=5 / weight.numel() ** 0.5)
        bias = 0.0 if name in {"conv1", "conv3", "fc8"} else 1.0
        assert bool((state[f"{name}.bias"] == bias).all())
    assert caffenet.preprocess.size == 227
    assert caffenet.preprocess.order == "BGR"


def test_mini_is_the_same_chain(caffenet: Network) -> None:
    """caffenet-mini has caffenet's modules in caffenet's order, and its layers."""
    mini = build_network("caffenet-mini")
    kinds = [(name, type(module)) for name, module in mini.model.named_children()]
    assert kinds == [(name, type(module)) for name, module in caffenet.model.named_children()]
    assert mini.layers == caffenet.layers


def test_the_demos_network_differs_in_conv5_first_and_last_weights_and_dropout() -> None:
    """caffenet-digits is caffenet-mini, but for 32 filters, two layers' first weights, dropout."""
    torch.manual_seed(0)
    mini = build_network("caffenet-mini")
    digits = build_network("caffenet-digits")
    first = digits.model.get_parameter("conv1.weight")
    assert first.std().item() == pytest.approx(0.01, rel=5 / first.numel() ** 0.5)
    last = digits.model.get_parameter("fc8.weight")
    assert last.std().item() == pytest.approx(0.05, rel=5 / last.numel() ** 0.5)
    ours = {name: tuple(p.shape) for name, p in digits.model.state_dict().items()}
    others = {name: tuple(p.shape) for name, p in mini.model.state_dict().items()}
    assert {k: (ours[k], others[k]) for k in others if ours[k] != others[k]} == {
        "conv5.weight": ((32, 32, 3, 3), (48, 32, 3, 3)),
        "conv5.bias": ((32,), (48,)),
        "fc6.weight": ((256, 512), (256, 768)),
    }
    for network, share in ((digits, 0.2), (mini, 0.5)):
        dropouts = [m.p for m in network.model.modules() if isinstance(m, torch.nn.Dropout)]
        assert dropouts == [share, share]
    assert (digits.layers, digits.preprocess) == (mini.layers, mini.preprocess)
    assert digits.recipe == {**mini.recipe, "lr": 0.02}


def test_the_demos_normalisation_is_torchs() -> None:
    """Responses and gradients of SummedNorm are those of LocalResponseNorm, up to rounding."""
    torch.manual_seed(0)
    for size, channels in ((5, 16), (5, 3), (4, 7)):
        values = torch.randn(2, channels, 5, 6)
        arguments = (size, 0.3, 0.75, 1.5)
        results = []
        for module in (SummedNorm(*arguments), torch.nn.LocalResponseNorm(*arguments)):
            x = values.clone().requires_grad_()
            out = module(x)
            (out**3).sum().backward()
            results.append((out.detach(), x.grad))
        for ours, theirs in zip(*results, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_squeezenet_has_caffes_shapes() -> None:
    """SqueezeNet's maps are those of Caffe's rounding up."""
    shapes = {s.name: (s.channels, s.height) for s in layer_specs(build_network("squeezenet-v1.0"))}
    # by hand: 227 -> (227 - 7) / 2 + 1 = 111 -> 55 -> 27 -> 13, and 13 + 2 for the last padding
    assert shapes == {
        "pool1": (96, 55),
        "fire2": (128, 55),
        "fire3": (128, 55),
        "fire4": (256, 55),
        "pool4": (256, 27),
        "fire5": (256, 27),
        "fire6": (384, 27),
        "fire7": (384, 27),
        "fire8": (512, 27),
        "pool8": (512, 13),
        "fire9": (512, 13),
        "conv_final": (1000, 15),
    }


def test_squeezenet_classifies_real_photos() -> None:
    """With its real weights SqueezeNet names what is in photographs that were looked at."""
    from fstore.extractor.images import load_sample
    from fstore.extractor.preprocess import Preprocess

    data = real_data()
    network = build_network("squeezenet-v1.0")
    network.model.load_state_dict(
        load_weights(data / "weights/squeezenet_v1.0_imagenet.npz", network)
    )
    root = data / "voc/VOCdevkit/VOC2007/JPEGImages"
    expected = {"000811.jpg": 628, "006410.jpg": 517, "008903.jpg": 920}  # liner, crane, light

    def best(p: Preprocess) -> list[list[int]]:
        x = np.stack([load_sample(root, uri, None, preprocess=p) for uri in expected])
        with torch.inference_mode():
            classes: list[list[int]] = network.model(torch.from_numpy(x)).topk(3).indices.tolist()
        return classes

    (smoothed,) = network.formerly
    assert [classes[0] for classes in best(smoothed)] == list(expected.values())
    # resized as by Caffe, a cab comes before the traffic light of the third
    sharp = best(network.preprocess)
    assert [classes[0] for classes in sharp[:2]] == [628, 517]
    assert 920 in sharp[2]


@pytest.mark.parametrize("name", [entry.name for entry in NETWORKS])
def test_every_network_says_what_it_is(name: str) -> None:
    """A registered network has a summary, a recipe, runs on one image, and works out of place."""
    network = build_network(name, classes=7)
    assert NETWORKS[name].summary
    assert {"lr", "batch_size", "momentum", "weight_decay", "step", "gamma"} <= set(network.recipe)
    assert not any(getattr(m, "inplace", False) for m in network.model.modules())
    assert not network.model.training
    size = network.preprocess.size
    assert network.model(torch.zeros(1, 3, size, size)).shape == (1, 7)


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "mobilenet_v3_small"])
def test_torchvision_networks_keep_their_preprocessing(name: str) -> None:
    """A torchvision network comes with RGB, ImageNet's mean and declared layers that run."""
    network = build_network(f"torchvision:{name}", classes=5)
    assert network.preprocess.order == "RGB"
    assert network.preprocess.mean == pytest.approx((0.485, 0.456, 0.406))
    assert network.preprocess.scale == pytest.approx(1 / 255)
    specs = layer_specs(network)
    assert [s.order for s in specs] == list(range(len(specs)))
    assert len(specs) >= 6


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["vit_b_32", "swin_t", "convnext_tiny", "densenet121", "googlenet"]
)
def test_torchvision_families_declare_layers(name: str) -> None:
    """Each family of torchvision's networks has declared layers that are usable."""
    assert len(layer_specs(build_network(f"torchvision:{name}"))) >= 7


def test_names_are_listed() -> None:
    """The listing has the registered networks, and those of torchvision that take single images."""
    names = network_names()
    assert sorted(names[:4]) == [
        "caffenet",
        "caffenet-digits",
        "caffenet-mini",
        "squeezenet-v1.0",
    ]
    assert "torchvision:resnet50" in names
    assert {"torchvision:fcn_resnet50", "torchvision:fasterrcnn_resnet50_fpn"} <= set(names)
    assert not {"torchvision:s3d", "torchvision:raft_large"} & set(names)
    assert not any("quantized" in name for name in names)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Name a function of a module of the user's own."""
    (tmp_path / "own_networks.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_networks", raising=False)
    return lambda function: f"own_networks:{function}"


def test_own_network_is_known_by_its_path(own: Callable[[str], str]) -> None:
    """A user's network has the path it was asked for by as its name, and takes classes."""
    network = build_network(own("toy"), classes=6)
    assert network.name == "own_networks:toy"
    assert not network.model.training
    assert network.model(torch.zeros(1, 3, 8, 8)).shape == (1, 6)


def test_own_function_must_return_a_network(own: Callable[[str], str]) -> None:
    """A function that returns a bare module is told what to return instead."""
    with pytest.raises(DataError, match=r"returned Linear; return a Network \(from"):
        build_network(own("bare"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cafenet", "no network 'cafenet'; there are: caffenet, caffenet-digits, caffenet-mini"),
        ("torchvision:resnet19", "near it: resnet18"),
        ("no_such_module_here:f", "cannot import 'no_such_module_here'"),
        ("json:nothing", "no function 'nothing' in json"),
    ],
)
def test_unknown_names_say_what_there_is(name: str, message: str) -> None:
    """An unknown network's error lists what could have been meant."""
    with pytest.raises(UnknownNameError, match=message):
        build_network(name)
