"""Layers by name, pattern, class of module and ``all``."""

import time
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fstore.errors import DataError, UnknownNameError
from fstore.extractor.choosing import choose_layers
from fstore.extractor.layer_tree import layer_tree, listed_layers
from fstore.extractor.networks import Network, build_network
from fstore.extractor.preprocess import Preprocess


class Two(nn.Module):
    """Returns two tensors."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the input and its double."""
        return x, 2 * x


class Block(nn.Module):
    """A convolution with a functional ReLU, a perceptron, and one deeper of the same name."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.mlp = nn.Sequential(nn.Conv2d(4, 4, 1), nn.GELU())
        self.x = nn.ModuleDict({"mlp": nn.Identity()})
        self.two = Two()

    def forward(self, x: Tensor) -> Tensor:
        """Run them."""
        a, b = self.two(functional.relu(self.conv(x)))
        out: Tensor = self.x["mlp"](a + self.mlp(b))
        return out


class Net(nn.Module):
    """Two blocks; one ReLU that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.blocks = nn.Sequential(Block(), Block())
        self.relu = nn.ReLU()
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Run them."""
        y: Tensor = self.relu(self.blocks(self.stem(x)))
        out: Tensor = self.act(self.act(y) - 1)
        return out


def net(layers: dict[str, str] | None = None) -> Network:
    """Return it for images of 12 x 12."""
    layers = layers or {"stem": "stem", "out": "act"}
    return Network("net", Net(), Preprocess(size=12, resize=12), layers)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["blocks.*.mlp"], ["blocks.0.mlp", "blocks.1.mlp"]),
        (["blocks.?.x.*"], ["blocks.0.x.mlp", "blocks.1.x.mlp"]),
        (
            ["blocks.**.mlp"],
            ["blocks.0.mlp", "blocks.0.x.mlp", "blocks.1.mlp", "blocks.1.x.mlp"],
        ),
        (["**.stem"], ["stem"]),
        (["blocks.[!0]"], ["blocks.1"]),
        (["blocks.[0,1].conv"], ["blocks.0.conv", "blocks.1.conv"]),
        (["block"], ["blocks.0", "blocks.1"]),
        (["GELU"], ["blocks.0.mlp.1", "blocks.1.mlp.1"]),
        (["all"], ["stem", "out"]),
        (["blocks.1,all", "blocks.*"], ["blocks.1", "stem", "out", "blocks.0"]),
        (["blocks.*.relu"], ["blocks.0.relu", "blocks.1.relu"]),
        (["blocks.*.two.1"], ["blocks.0.two.1", "blocks.1.two.1"]),
        (["relu"], ["relu"]),
        (["ReLU"], ["relu", "out"]),
        (["*"], ["stem", "out", "blocks", "relu"]),
    ],
)
def test_what_words_mean(words: Sequence[str], meant: list[str]) -> None:
    """``*`` stops at dots and ``**`` does not; a name wins over a class; ``*`` is not ``all``.

    Modules come before nodes (``blocks.0.relu`` is a function's), nodes before parts of outputs,
    and a module that is a declared layer has that layer's name.
    """
    assert list(choose_layers(net(), words).layers) == meant


def test_upper_and_lower_case_differ_in_patterns_only() -> None:
    """``Blocks.*`` matches nothing; the class ``Block`` may be written as one likes."""
    with pytest.raises(UnknownNameError, match=r"no layer matches 'Blocks\.\*'.*near it: blocks"):
        choose_layers(net(), ["Blocks.*"])
    assert len(choose_layers(net(), ["BLOCK"]).layers) == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["typo"], "no layer 'typo'.*no module is of that class.*it has: stem, out"),
        (["all", "typo"], "no layer 'typo'"),
        (["all,typo"], "no layer 'typo'"),
        (["bloks.*.mlp"], r"no layer matches 'bloks\.\*\.mlp'.*blocks\.0\.mlp.*layers net --all"),
    ],
)
def test_what_means_nothing_is_refused(words: Sequence[str], told: str) -> None:
    """A word that means nothing is an error with near names, beside ``all`` as well."""
    with pytest.raises(UnknownNameError, match=told):
        choose_layers(net(), words)


def test_a_name_that_is_a_class_is_noted() -> None:
    """``relu`` is the layer, not the other module of class ReLU, and a note says so."""
    (text,) = choose_layers(net(), ["relu"]).notes
    assert "'relu' is a layer, and the class of act" in text
    assert "RELU" in text


def test_what_cannot_be_stored_is_left_out_with_a_note() -> None:
    """A pattern leaves out outputs of two tensors, with the reason; if all are, it is refused."""
    choice = choose_layers(net(), ["blocks.0.*"])
    assert list(choice.layers) == ["blocks.0.conv", "blocks.0.mlp"]
    text = next(text for text in choice.notes if "left out" in text)
    assert "blocks.0.x" in text
    assert "blocks.0.two" in text
    with pytest.raises(DataError, match=r"blocks\.0\.two, blocks\.1\.two; none .*2 tensors"):
        choose_layers(net(), ["blocks.*.two"])


def test_operations_that_look_alike_are_noted() -> None:
    """Of a pattern that modules match, the nodes that match are named, and not meant."""
    choice = choose_layers(net(), ["blocks.0.**"])
    assert any("blocks.0.relu" in text for text in choice.notes)
    assert "blocks.0.relu" not in choice.layers
    (text,) = choose_layers(net(), ["ReLU"]).notes
    assert text.endswith("act_1")  # the second call of the module


def test_a_module_whose_name_is_another_layer_is_left_out() -> None:
    """By class, a module is never stored under a declared name that means another place."""
    choice = choose_layers(net({"stem": "blocks", "out": "act"}), ["Conv2d"])
    assert "stem" not in choice.layers
    assert any("leaves out stem" in text for text in choice.notes)


def test_a_large_network_is_searched_quickly() -> None:
    """A pattern over the 151 modules of ViT-B takes far less than a second, without a run."""
    network = build_network("torchvision:vit_b_16")
    began = time.perf_counter()
    choice = choose_layers(network, ["encoder.layers.*.mlp"])
    assert len(choice.layers) == 12
    assert time.perf_counter() - began < 5  # it takes 0.15 s; the machine may be busy


def test_the_tree_is_that_of_the_code() -> None:
    """Rows are the modules in order, with torch's classes and the shapes that a hook sees."""
    network = net()
    seen: dict[str, tuple[int, ...]] = {}

    def hook(name: str) -> Callable[[nn.Module, object, object], None]:
        def note(_module: nn.Module, _args: object, out: object) -> None:
            seen.setdefault(name, tuple(getattr(out, "shape", ())))

        return note

    for name, module in network.model.named_modules():
        module.register_forward_hook(hook(name))
    with torch.no_grad():
        network.model(torch.zeros(1, 3, 12, 12))
    rows = layer_tree(network)
    modules = list(network.model.named_modules())
    assert [row.module for row in rows] == [type(m).__name__ for _, m in modules]
    assert [row.depth for row in rows[1:]] == [name.count(".") + 1 for name, _ in modules[1:]]
    for row, (name, _) in list(zip(rows, modules, strict=True))[1:]:
        shape = seen.get(name, ())
        spec = row.spec
        assert shape == (() if spec is None else (1, spec.channels, spec.height, spec.width))
    assert {row.label: list(row.layers) for row in rows if row.layers} == {
        "stem": ["stem"],
        "act": ["out"],
    }
    assert [row.depth for row in layer_tree(network, depth=1)] == [0, 1, 1, 1, 1]


def test_the_whole_tree_has_nodes_and_parts() -> None:
    """With everything, functions and parts of outputs stand below their modules."""
    labels = {(row.depth, row.label) for row in layer_tree(net(), everything=True)}
    assert {(3, "relu"), (4, "1"), (1, "act_1")} <= labels


def test_the_tree_shows_a_module_and_not_the_layer_of_its_name() -> None:
    """CaffeNet's module conv1 has 55 x 55 places; its layer conv1 is taken at norm1, 27 x 27."""
    network = build_network("caffenet")
    rows = {row.label: row for row in layer_tree(network)}
    assert rows["conv1"].spec is not None
    assert rows["conv1"].spec.map_size == "96x55x55"
    assert list(rows["norm1"].layers) == ["conv1"]
    (spec, kind, own), *_ = listed_layers(network)
    assert (spec.map_size, kind, own) == ("96x27x27", "LocalResponseNorm", True)


class Tokens(nn.Module):
    """Patches of an image behind a class token."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 4, 4, 4)
        self.cls = nn.Parameter(torch.ones(1, 1, 4))
        self.blocks = nn.Sequential(nn.LayerNorm(4), nn.LayerNorm(4))

    def forward(self, x: Tensor) -> Tensor:
        """Run them."""
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        out: Tensor = self.blocks(torch.cat([self.cls.expand(len(x), -1, -1), tokens], 1))
        return out


@pytest.mark.parametrize(
    ("word", "layers"),
    [
        ("blocks.1/cls", ["blocks.1/cls"]),
        ("first/cls", ["first/cls"]),
        ("blocks.1,first/cls", ["blocks.1", "first/cls"]),
        ("blocks.*/cls", ["blocks.0/cls", "blocks.1/cls"]),
    ],
)
def test_class_tokens_are_chosen_by_name(word: str, layers: list[str]) -> None:
    """``NAME/cls`` is chosen by name and by pattern, of modules and of declared layers."""
    preprocess = Preprocess(size=16, resize=16)
    network = Network("tokens", Tokens(), preprocess, {"first": "blocks.0"})
    assert list(choose_layers(network, [word]).layers) == layers
