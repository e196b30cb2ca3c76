"""One way to a tap: a layer is what a plain forward hook sees, whatever is asked for beside it."""

import operator
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision import models

from _families import by_family
from fstore.errors import DataError, UnknownNameError
from fstore.extractor.networks import Network, build_network
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.taps import Taps, every_layer, layer_specs

PREPARED = Preprocess(size=16, resize=16)


def net(model: nn.Module, layers: Mapping[str, str], **more: object) -> Network:
    """Wrap a model of 16 x 16 images."""
    return Network("own", model.eval(), PREPARED, layers, **more)  # type: ignore[arg-type]


def hooked(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return every module's first tensor output, cloned when a plain forward hook sees it."""
    seen: dict[str, Tensor] = {}

    def hook(path: str) -> Callable[..., None]:
        def note(_module: nn.Module, _args: object, out: object) -> None:
            if isinstance(out, tuple):
                out = out[0]
            if isinstance(out, Tensor) and path not in seen:
                seen[path] = out.clone()

        return note

    handles = [m.register_forward_hook(hook(p)) for p, m in model.named_modules() if p]
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    return seen


def in_hook_order(response: Tensor, plain: Tensor) -> Tensor:
    """Bring a layer's response (N, C, H, W) into the order of dimensions of the plain output."""
    if plain.dim() == 2:
        return response
    if plain.dim() == 3:
        return response.flatten(2).transpose(1, 2)
    if response.dim() == 2:
        return response.reshape(plain.shape)
    return response if response.shape == plain.shape else response.permute(0, 2, 3, 1)


class Numbered(nn.Module):
    """Modules named c_1 and c_2, c_1 called twice, one inside a nested chain, an in-place add."""

    def __init__(self) -> None:
        super().__init__()
        self.c_1 = nn.Conv2d(3, 3, 3, padding=1)
        self.c_2 = nn.Conv2d(3, 5, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.chain = nn.Sequential(nn.Sequential(nn.Conv2d(5, 5, 1), nn.ReLU(inplace=True)))

    def forward(self, x: Tensor) -> Tensor:
        """Run them."""
        y = self.c_2(self.c_1(self.c_1(x)))
        self.relu(y)
        z: Tensor = self.chain(y)
        z += y
        return z.mean((2, 3))


class Late(nn.Module):
    """A block that changes its result in place, and throws the results of that away."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Change y three times after it exists."""
        y: Tensor = self.conv(x)
        self.act(y)
        y.mul_(3)
        functional.threshold(y, 0.5, 0.25, inplace=True)
        return y


class Holder(nn.Module):
    """Holds a block, and goes on from it."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Add in place to the block's output."""
        y = self.block(x)
        out: Tensor = self.last(y) + 1
        y.add_(100)
        mean: Tensor = out.mean((2, 3)) + y.mean()
        return mean


@pytest.mark.parametrize(
    ("model", "nodes"),
    [
        (Numbered(), ["mean", "c_1_1"]),
        (Holder(Late()), ["mean", "add"]),
        (Holder(nn.Sequential(Late(), nn.Identity())), ["mean"]),
        (nn.Sequential(Holder(Late()), nn.Unflatten(1, (2, 1, 1))), ["0.mean"]),
    ],
)
def test_a_module_is_its_first_output_alone_and_beside_nodes(
    model: nn.Module, nodes: list[str]
) -> None:
    """Every module equals a plain hook, alone and in the traced graph, with one definition."""
    torch.manual_seed(0)
    network = net(model, {})
    x = torch.randn(3, 3, 16, 16)
    plain = hooked(model, x)
    names = [s.name for s in every_layer(network) if s.name in plain]
    assert len(names) >= len(plain) - 2
    beside = Taps(network, [*names, *nodes])
    together = beside.collect(x)
    for name in names:
        alone = Taps(network, [name])
        found = alone.collect(x)[name]
        assert torch.equal(in_hook_order(found, plain[name]), plain[name]), name
        assert torch.equal(together[name], found), name
        assert alone.specs[0] in beside.specs


def test_further_calls_of_a_numbered_module_have_names_of_their_own() -> None:
    """c_1_1 is the second call of c_1; no node is called c, which torchvision makes of c_1."""
    model = Numbered()
    network = net(model, {})
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        first = model.c_1(x)
        second = model.c_1(first)
    found = Taps(network, ["c_1", "c_1_1"]).collect(x)
    assert torch.allclose(found["c_1"], first)
    assert torch.allclose(found["c_1_1"], second)
    with pytest.raises(UnknownNameError, match="no layer 'c' in network 'own'"):
        layer_specs(network, ["c"])


def test_a_module_path_comes_before_a_node_of_that_name() -> None:
    """A module that is called like an operation before it is that module, not the operation."""

    class Add(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add = nn.Conv2d(3, 4, 1)
            self.mul_1 = nn.Conv2d(4, 6, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = operator.add(x, 1)
            y = self.add(x) * 2 * 3
            out: Tensor = self.mul_1(y)
            return out * 5

    network = net(Add(), {})
    x = torch.randn(2, 3, 16, 16)
    plain = hooked(network.model, x)
    found = Taps(network, ["add", "mul_1", "mul"]).collect(x)
    assert torch.equal(found["add"], plain["add"])
    assert torch.equal(found["mul_1"], plain["mul_1"])
    assert torch.allclose(found["mul"], plain["add"] * 2)


def test_what_follows_from_stored_responses_is_what_follows_in_the_network() -> None:
    """In-place steps with a result thrown away happen too when a run goes on from a layer."""
    torch.manual_seed(0)
    network = net(Holder(Late()), {})
    x = torch.randn(2, 3, 16, 16)
    plain = hooked(network.model, x)
    conv = plain["block.conv"].flatten(2)
    derived = Taps(network, ["block", "last"], start="block.conv").collect(conv)
    assert torch.allclose(derived["block"], plain["block"])
    assert torch.allclose(derived["last"], plain["last"])
    later = Taps(network, ["last"], start="block").collect(plain["block"].flatten(2))
    assert torch.allclose(later["last"], plain["last"], atol=1e-5)
    with pytest.raises(DataError, match=r"does not follow from 'block\.act' alone"):
        Taps(network, ["last"], start="block.act")


class Several(nn.Module):
    """Gives one of several kinds of output."""

    def __init__(self, wrap: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.wrap = wrap

    def forward(self, x: Tensor) -> object:
        """Wrap the convolution's output."""
        return self.wrap(self.conv(x))


@pytest.mark.parametrize(
    ("wrap", "ways"),
    [
        (lambda y: [y, y + 1], ["0", "1"]),
        (lambda y: (y, (y + 1, y.mean())), ["0", "1.0", "1.1"]),
        (lambda y: {"hidden": y, "pooled": y.mean((2, 3))}, ["hidden", "pooled"]),
    ],
    ids=["list", "nested", "dict"],
)
def test_of_several_tensors_none_is_chosen_silently(
    wrap: Callable[[Tensor], object], ways: list[str]
) -> None:
    """An output of several tensors is refused with the names of its parts, which can be asked."""
    network = net(nn.Sequential(Several(wrap)), {})
    listed = ", ".join(f"0.{way}" for way in ways)
    with pytest.raises(DataError, match=f"returns {len(ways)} tensors; say which .*: {listed}"):
        layer_specs(network, ["0"])
    x = torch.randn(2, 3, 16, 16)
    first = Taps(network, [f"0.{ways[0]}"]).collect(x)[f"0.{ways[0]}"]
    assert torch.equal(first, hooked(network.model[0], x)["conv"])  # type: ignore[index]
    with pytest.raises(UnknownNameError, match=f"there are: {listed}"):
        layer_specs(network, ["0.other"])


@pytest.mark.parametrize("wrap", [lambda y: (y,), lambda y: {"only": y}, lambda y: [None, y]])
def test_the_only_tensor_of_an_output_is_the_layer(wrap: Callable[[Tensor], object]) -> None:
    """One tensor in a tuple, dict or list needs no part."""
    network = net(nn.Sequential(Several(wrap)), {"enc": "0"})
    (spec,) = layer_specs(network)
    assert (spec.channels, spec.height) == (4, 14)


@pytest.mark.parametrize("name", by_family(models.list_models(module=models)))
def test_every_declared_layer_of_torchvision_equals_a_plain_hook(name: str) -> None:
    """All declared layers of all of torchvision's networks, alone and beside a node."""
    torch.manual_seed(0)
    network = build_network(f"torchvision:{name}")
    size = network.preprocess.size
    free = not name.startswith(("vit_", "swin", "maxvit", "inception"))
    x = torch.randn(1, 3, 64 if free else size, 64 if free else size)
    plain = hooked(network.model, x)
    taps = Taps(network)
    alone = taps.collect(x)
    node = taps.wiring.nodes[-1]
    beside: dict[str, Tensor] = {}
    taps.wiring.forward(
        x,
        [*network.layers.values(), node],
        lambda tap, out: beside.update({tap: next(iter(out.parts.values())).clone()}),
    )
    assert network.layers
    for layer, tap in network.layers.items():
        # torch's attention takes another path where its parts have hooks: the last bits differ
        slack = 1e-5 * float(plain[tap].abs().max())
        own = in_hook_order(alone[layer], plain[tap])
        class_tokens = plain[tap].dim() == 3 and plain[tap].shape[1] != own.shape[1]
        if class_tokens:  # they are a layer of their own
            first = Taps(network, [f"{layer}/cls"]).collect(x)[f"{layer}/cls"]
            own = torch.cat([first.unsqueeze(1), own], dim=1)
        assert torch.allclose(own, plain[tap], rtol=0, atol=slack), layer
        assert torch.allclose(beside[tap], plain[tap], rtol=0, atol=slack), layer
