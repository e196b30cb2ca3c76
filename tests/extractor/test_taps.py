"""Taps: what is collected is the layer's output, whatever runs after it."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from fstore.errors import DataError, UnknownNameError
from fstore.extractor.networks import Beside, Network, build_network
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.taps import Taps, every_layer, layer_specs


def toy(
    *,
    stride: int = 1,
    size: int = 12,
    alpha: float = 1e-4,
    pool_first: bool = True,
    after: int = 5,
    layers: Mapping[str, str] | None = None,
) -> Network:
    """Build a small network whose ReLU overwrites the convolution's output."""
    torch.manual_seed(0)
    pool, norm = nn.MaxPool2d(2), nn.LocalResponseNorm(3, alpha=alpha)
    middle = [pool, norm] if pool_first else [norm, pool]
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, after)]
    parts = [nn.Conv2d(3, 4, 3, stride), nn.ReLU(inplace=True), *middle, *tail]
    model = nn.Sequential(*parts).eval()
    declared = {"conv": "0", "relu": "1", "mid": "3", "gap": "4"} if layers is None else layers
    return Network("toy", model, Preprocess(size=size, resize=size), declared)


def definitions(network: Network, layers: list[str] | None = None) -> dict[str, str]:
    """Definitions by layer."""
    return {s.name: s.definition for s in layer_specs(network, layers)}


def test_in_place_relu_does_not_reach_what_is_kept() -> None:
    """A convolution's collected output has the negative values that an in-place ReLU removes."""
    network = toy()
    x = torch.randn(4, 3, 12, 12)
    conv = network.model.get_submodule("0")
    with torch.inference_mode():
        expected = conv(x)
    found = Taps(network).collect(x)
    assert torch.equal(found["conv"], expected)
    assert bool((found["conv"] < 0).any())
    assert torch.equal(found["relu"], expected.clamp(min=0))


@pytest.mark.parametrize(
    ("name", "tap"), [("alexnet", "features.0"), ("resnet18", "bn1"), ("resnet18", "layer1.0.bn1")]
)
def test_torchvision_taps_before_in_place_relu(name: str, tap: str) -> None:
    """Taps before torchvision's in-place ReLUs equal a run in which none is in place."""
    torch.manual_seed(0)
    network = build_network(f"torchvision:{name}")
    x = torch.randn(1, 3, 64, 64)
    found = Taps(network, [tap]).collect(x)[tap]
    for module in network.model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    kept: list[Tensor] = []
    network.model.get_submodule(tap).register_forward_hook(lambda _m, _a, out: kept.append(out))
    with torch.inference_mode():
        network.model(x)
    assert torch.equal(found, kept[0])
    assert bool((found < 0).any())


def test_module_and_node_taps_agree() -> None:
    """The node of a block's last operation gives the same values as the block's module path."""
    torch.manual_seed(0)
    network = build_network("torchvision:resnet18")
    x = torch.randn(2, 3, 64, 64)
    by_module = Taps(network, ["layer1.0", "layer1", "layer2.0.conv1"]).collect(x)
    nodes = ["layer1.0.relu_1", "layer1.1.relu_1", "layer1.0.add", "layer2.0.conv1", "layer1"]
    by_node = Taps(network, nodes).collect(x)
    assert torch.equal(by_node["layer1.0.relu_1"], by_module["layer1.0"])
    assert torch.equal(by_node["layer1.1.relu_1"], by_module["layer1"])
    assert torch.equal(by_node["layer1"], by_module["layer1"])
    assert torch.equal(by_node["layer2.0.conv1"], by_module["layer2.0.conv1"])
    assert torch.equal(by_node["layer1.0.add"].clamp(min=0), by_module["layer1.0"])


def test_forward_pass_stops_after_the_deepest_tap() -> None:
    """Nothing runs after the deepest tap, for modules and for nodes, and no hook stays."""
    network = toy()
    ran: list[str] = []
    network.model.get_submodule("6").register_forward_hook(lambda *_: ran.append("6"))
    x = torch.randn(1, 3, 12, 12)
    seen: list[str] = []
    Taps(network, ["gap", "conv"]).run(x, lambda layer, _: seen.append(layer))
    assert seen == ["conv", "gap"]
    assert ran == []
    assert not network.model.get_submodule("0")._forward_hooks
    network.model(x)
    assert ran == ["6"]


def test_definition_ignores_weights_and_what_comes_after() -> None:
    """Definitions depend neither on the weights, nor on the layers asked for or downstream."""
    whole = definitions(toy())
    other = toy(after=9)
    for parameter in other.model.parameters():
        parameter.data.mul_(2)
    assert definitions(other) == whole
    assert definitions(toy(), ["mid"]) == {"mid": whole["mid"]}
    assert definitions(toy(layers={"renamed": "3"}))["renamed"] == whole["mid"]


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        (toy(stride=2), set()),
        (toy(size=16), set()),
        (toy(alpha=2e-4), {"conv", "relu"}),
        (toy(pool_first=False), {"conv", "relu"}),
    ],
    ids=["stride", "input size", "LRN constant", "order of pooling"],
)
def test_definition_changes_with_what_comes_before(changed: Network, same: set[str]) -> None:
    """A change upstream changes the definitions from there on, and none before."""
    old, new = definitions(toy()), definitions(changed)
    assert {layer for layer in old if old[layer] == new[layer]} == same


def test_definition_is_the_same_in_another_process() -> None:
    """Definitions are equal in a process with another hash seed."""
    code = (
        "from fstore.extractor.networks import build_network\n"
        "from fstore.extractor.taps import layer_specs\n"
        "print(*(s.definition for s in layer_specs(build_network('caffenet-mini'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7"},
    )
    here = [s.definition for s in layer_specs(build_network("caffenet-mini"))]
    assert done.stdout.split() == here


def test_undeclared_taps_come_after_declared_ones() -> None:
    """An undeclared tap's order is 1000 and more, rises with depth, and is always the same."""
    network = toy()
    specs = {s.name: s for s in layer_specs(network, ["gap", "6", "2", "conv"])}
    assert list(specs) == ["conv", "gap", "2", "6"]
    assert specs["gap"].order == 3
    assert specs["2"].order == 1003  # convolution, ReLU, pooling
    assert layer_specs(network, ["2"])[0] == specs["2"]


class Tokens(nn.Module):
    """Gives 5 tokens of 6 numbers, then the same as channels-last maps and as a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 4, 4)
        self.last = nn.LayerNorm(6)
        self.tokens = nn.Flatten(1, 2)
        self.pair = nn.GRU(6, 7, batch_first=True)
        self.odd = nn.Flatten(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Run the parts one after the other."""
        maps = self.last(self.conv(x).permute(0, 2, 3, 1))  # (N, H, W, 6)
        self.odd(maps)
        out: Tensor = self.pair(self.tokens(maps))[0]
        return out


def test_tokens_and_channels_last_maps_become_channels_first() -> None:
    """(N, tokens, dim) and (N, H, W, C) outputs are handed out with their channels second."""
    model = Tokens().eval()
    network = Network("tokens", model, Preprocess(size=16, resize=16), {"tokens": "tokens"})
    taps = Taps(network, ["conv", "last", "tokens", "pair"])
    shapes = {s.name: (s.channels, s.height, s.width, s.kind) for s in taps.specs}
    assert shapes["conv"] == shapes["last"] == (6, 4, 4, "conv")
    assert shapes["tokens"] == (6, 4, 4, "conv")
    assert shapes["pair"] == (7, 4, 4, "conv")
    x = torch.randn(2, 3, 16, 16)
    found = taps.collect(x)
    with torch.inference_mode():
        expected = model.last(model.conv(x).permute(0, 2, 3, 1))
    assert torch.equal(found["last"], expected.permute(0, 3, 1, 2))
    assert torch.equal(found["tokens"], expected.permute(0, 3, 1, 2))
    assert found["last"].is_contiguous()


def test_outputs_that_are_no_responses_are_refused() -> None:
    """An output that does not keep the samples apart cannot be a layer; --all leaves it out."""
    network = Network("tokens", Tokens().eval(), Preprocess(size=16, resize=16), {"conv": "conv"})
    with pytest.raises(DataError, match=r"layer 'odd' gives \(4, 4, 6\) for one sample"):
        layer_specs(network, ["odd"])
    names = [s.name for s in every_layer(network)]
    assert "odd" not in names
    assert {"conv", "last", "tokens", "pair"} <= set(names)


def test_vectors_have_no_map() -> None:
    """(N, C) and (N, C, 1, 1) outputs are one number a channel."""
    taps = Taps(toy(), ["gap", "6"])
    assert [(s.channels, s.positions, s.kind) for s in taps.specs] == [(4, 1, "fc"), (5, 1, "fc")]
    assert taps.collect(torch.zeros(2, 3, 12, 12))["gap"].shape == (2, 4)


def test_unknown_layer_lists_the_declared_ones() -> None:
    """An unknown layer's error lists the layers that there are."""
    with pytest.raises(UnknownNameError, match="no layer 'conv9' in network 'toy'; it has: conv, "):
        layer_specs(toy(), ["conv9"])


def test_wrong_input_size_is_a_named_error() -> None:
    """A network that cannot take its stated input size says so."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(10, 2)).eval()
    network = Network("wrong", model, Preprocess(size=4, resize=4), {"fc": "1"})
    with pytest.raises(DataError, match="network 'wrong' fails on one image of 4x4 pixels"):
        layer_specs(network)


def test_a_layer_beside_the_network_changes_none_of_its_own() -> None:
    """pool9 is the pooling of fire9; asked for or not, the other layers stay what they are."""
    network = build_network("squeezenet-v1.0")
    alone = replace(network, beside={})
    assert definitions(network) == definitions(alone)
    assert definitions(network, ["fire9", "pool9"])["fire9"] == definitions(alone)["fire9"]
    assert "pool9" not in {spec.name for spec in layer_specs(network)}
    (spec,) = layer_specs(network, ["pool9"])
    assert (spec.channels, spec.height, spec.width, spec.kind) == (512, 6, 6, "conv")
    assert spec.definition not in definitions(network).values()
    x = torch.randn(2, 3, 227, 227)
    found = Taps(network, ["fire9", "pool9", "conv_final"]).collect(x)
    assert torch.equal(found["pool9"], largest_of_3x3(found["fire9"]))
    assert torch.equal(found["fire9"], Taps(network, ["fire9"]).collect(x)["fire9"])
    assert torch.equal(found["pool9"], Taps(network, ["pool9"]).collect(x)["pool9"])


def largest_of_3x3(x: Tensor) -> Tensor:
    """Return the largest of places 2i ... 2i + 2 in both directions, by shifted slices."""
    side = (x.shape[2] - 1) // 2
    ends = [slice(k, k + 2 * side - 1, 2) for k in range(3)]
    return torch.stack([x[:, :, rows, columns] for rows in ends for columns in ends]).amax(0)


def test_another_operation_beside_is_another_layer() -> None:
    """The operation is part of a layer's definition; a declared name comes before one beside."""
    found = [
        definitions(replace(toy(), beside={"p": Beside("3", nn.MaxPool2d(size))}), ["p"])["p"]
        for size in (2, 2, 3)
    ]
    assert found[0] == found[1] != found[2]
    hidden = replace(toy(), beside={"mid": Beside("0", nn.MaxPool2d(2))})
    assert definitions(hidden) == definitions(toy())
    missing = replace(toy(), beside={"p": Beside("nowhere", nn.MaxPool2d(2))})
    with pytest.raises(UnknownNameError, match="no layer 'p'"):
        layer_specs(missing, ["p"])


def test_tied_parameters() -> None:
    """Two modules that share their parameters are two layers, each as a plain hook sees it."""
    model = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 3)).eval()
    model[2].weight, model[2].bias = model[0].weight, model[0].bias
    network = Network("tied", model, Preprocess(size=16, resize=16), {"a": "0", "b": "2"})
    x = torch.randn(2, 3, 16, 16)
    first = model[0](x)
    expected = {"a": first, "b": model[2](first.relu())}
    found = Taps(network).collect(x)
    assert {name: torch.equal(found[name], expected[name]) for name in expected} == {
        "a": True,
        "b": True,
    }
