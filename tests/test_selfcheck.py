"""Before the first commit: taps are compared, and samples must not depend on their neighbours."""

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from fstore import workflows
from fstore.errors import DataError, UnknownNameError
from fstore.extractor import tracing
from fstore.extractor.choosing import choose_layers
from fstore.extractor.graph import Moment
from fstore.extractor.networks import Network
from fstore.extractor.preprocess import Preprocess
from fstore.store import Store
from fstore.workflows.extract import run as extraction
from fstore.workflows.extract.recheck import recheck
from fstore.workflows.extract.run import ExtractionOptions


class Statistics(nn.Module):
    """Normalises by the batch, in evaluation mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        """Switch to training."""
        self.norm.train()
        out: Tensor = self.norm(self.conv(x))
        return out


class Functional(nn.Module):
    """Does something to a convolution's output, and gives it to an identity."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.last = nn.Identity()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        """Do it."""
        y = self.conv(x)
        out: Tensor = self.last(self.done(y))
        return out

    def done(self, y: Tensor) -> Tensor:
        """Return the operation's result."""
        if self.kind == "dropout":
            return functional.dropout(y)
        if self.kind == "noise":
            return y + torch.randn_like(y)
        if self.kind == "first":
            return y - y[:1]
        return y - y.mean(0, keepdim=True) if self.kind == "mean" else y


class Numbered(nn.Module):
    """Two modules that differ by their number only, then an addition."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(3, 4, 3, padding=1)
        self.conv_2 = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Run them."""
        y: Tensor = self.conv_1(x)
        total: Tensor = y + self.conv_2(y)
        return total


def own(model: nn.Module, layers: dict[str, str]) -> Network:
    """Wrap a model of 16 x 16 images."""
    return Network("own", model, Preprocess(size=16, resize=16), layers)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Give a module of networks that can be named in a store."""
    made = ModuleType("own_networks")
    for kind in ("dropout", "noise", "first", "mean", "none"):
        setattr(made, kind, lambda kind=kind: own(Functional(kind), {"l": "last"}))
    made.statistics = lambda: own(Statistics(), {"l": "norm"})  # type: ignore[attr-defined]
    made.numbered = lambda: own(Numbered(), {"l": "conv_1"})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_networks", made)
    return made


@pytest.fixture
def store(tmp_path: Path, module: ModuleType) -> Store:
    """Give a store with four images."""
    assert module
    random = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for i in range(4):
        pixels = random.integers(0, 256, size=(20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.png")
    store = Store.create(tmp_path / "store")
    workflows.add_dataset(store, "d", "imagefolder", root=tmp_path / "images")
    return store


def fill(store: Store, network: str, *layers: str, **chosen: object) -> extraction.Summary:
    """Extract layers of a network of the module, with initial weights."""
    name = f"own_networks:{network}"
    if not store.checkpoints(name):
        workflows.init_checkpoint(store, network=name, name="c")
    return extraction.extract(
        store,
        layers=layers or ["l"],
        ckpts=[f"{name}/c"],
        **chosen,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize(
    ("network", "named"),
    [
        ("statistics", r"'norm' \(BatchNorm2d\)\."),
        ("dropout", r"draws random numbers in the code that runs before 'last' \(Identity\)"),
        ("noise", r"draws random numbers in the code that runs before 'last' \(Identity\)"),
        ("first", r"'last' \(Identity\), whose input differs already"),
        ("mean", r"'last' \(Identity\), whose input differs already"),
    ],
)
def test_a_value_that_depends_on_its_neighbours_is_refused(
    store: Store, network: str, named: str, batch_size: int
) -> None:
    """Batch statistics, dropout, noise and differences within a batch are named; nothing stays."""
    with pytest.raises(DataError, match=named):
        fill(store, network, options=ExtractionOptions(batch_size=batch_size))
    assert store.files() == []


def test_the_checks_leave_no_trace() -> None:
    """Neither torch's and NumPy's generators, nor buffers, nor modes are other afterwards."""
    from fstore.extractor import selfcheck
    from fstore.extractor.devices import make_runners

    model = Statistics().eval()
    before = [b.clone() for b in model.buffers()]
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    (runner,) = make_runners(
        own(model, {"l": "norm"}), ["l"], devices=[torch.device("cpu")],
        precision="tf32", compute="float32",
    )  # fmt: skip
    x = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with pytest.raises(DataError, match="depends on the other samples"):
        selfcheck.check_neighbours(runner, x)
    selfcheck.check_taps(runner, x)
    state = torch.random.get_rng_state(), float(np.random.random())  # noqa: NPY002
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    assert torch.equal(state[0], torch.random.get_rng_state())
    assert state[1] == float(np.random.random())  # noqa: NPY002
    assert all(torch.equal(a, b) for a, b in zip(before, model.buffers(), strict=True))
    assert not any(m.training for m in model.modules())


def confuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take conv_1 for conv_2 beside a node and behind stored responses, as fstore once did."""
    right = tracing.trace

    def wrong(model: nn.Module) -> object:
        graph = right(model)
        assert graph is not None
        other = next(n for n in graph.graph.nodes if n.target == "conv_2")
        moved = {"conv_1": Moment(other, {"": other})}
        return type(graph)(graph.graph, graph.nodes, {**graph.returns, **moved}, graph.calls)

    monkeypatch.setattr(tracing, "trace", wrong)


def test_a_layer_that_is_another_module_is_never_stored(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the old fault put back, the check names the layer and nothing is stored."""
    confuse(monkeypatch)
    with pytest.raises(DataError, match="layer 'l' is not what a plain hook on module 'conv_1'"):
        fill(store, "numbered", "l", "add")
    assert store.files() == []
    fill(store, "numbered", "l")
    assert store.files()


def test_verify_finds_a_layer_that_another_module_was_stored_as(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store written with the old fault: the layer is named with the drop and extract for it."""
    with monkeypatch.context() as old:
        confuse(old)
        old.setattr("fstore.extractor.selfcheck.check_taps", lambda *_, **__: [])
        fill(store, "numbered", "l", "conv_2", "add")
    found = {p.layer: problem for p, problem, reason in recheck(store) if not reason}
    assert found["conv_2"] == found["add"] == ""
    assert "sample 0 is not what the network gives" in found["l"]
    assert "fstore drop --network own_networks:numbered --ckpt c --dataset d" in found["l"]
    again = f"--layer l --yes --store {store.path} && fstore extract --layer l"
    assert f"{again} --ckpt own_networks:numbered/c" in found["l"]


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16", "bit"])
def test_verify_finds_nothing_in_what_is_right(store: Store, precision: str) -> None:
    """Right values pass at every stored precision."""
    options = ExtractionOptions(precision=precision)  # type: ignore[arg-type]
    fill(store, "numbered", "l", "add", options=options)
    if precision != "bit":
        fill(store, "numbered", "conv_2", from_stored="l")
    found = {p.layer: (problem, reason) for p, problem, reason in recheck(store)}
    layers = {"l", "add"} if precision == "bit" else {"l", "add", "conv_2"}
    assert found == dict.fromkeys(layers, ("", ""))


def test_verify_finds_a_layer_on_record_with_another_shape(store: Store) -> None:
    """The shape in table layers is held against the network's."""
    fill(store, "numbered")
    with pytest.MonkeyPatch.context() as patch:
        from fstore.store import features

        there = features.layer_shape
        patch.setattr(features, "layer_shape", lambda s, p: replace(there(s, p), channels=7))
        ((_, problem, _),) = recheck(store)
    assert "on record the layer has 7 channels of 16 x 16, in the network 4 of 16 x 16" in problem
    assert "fstore drop" in problem


def test_verify_says_what_it_could_not_compute_again(
    store: Store, module: ModuleType, tmp_path: Path
) -> None:
    """Images that are gone, or a network that is gone, are a reason and no problem."""
    fill(store, "numbered")
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    ((_, problem, reason),) = recheck(store)
    assert problem == ""
    assert "0.png" in reason
    del module.numbered
    ((_, problem, reason),) = recheck(store)
    assert problem == ""
    assert "no function 'numbered'" in reason


def test_names_of_layers_add_up(store: Store) -> None:
    """'all' and further names are both; 'a,b' is two; a typo beside 'all' is refused."""
    network = own(Numbered(), {"l": "conv_1"})
    assert list(choose_layers(network, ["all", "conv_2"]).layers) == ["l", "conv_2"]
    assert list(choose_layers(network, ["conv_2,all", "l"]).layers) == ["conv_2", "l"]
    odd = own(nn.Sequential(), {})
    odd.model.add_module("a,b", nn.Identity())
    assert list(choose_layers(odd, ["a,b"]).layers) == ["a,b"]
    with pytest.raises(UnknownNameError, match="no layer 'typo'"):
        fill(store, "numbered", "all", "typo")
    assert store.files() == []


class Kept(nn.Module):
    """Does what shows seldom, late, in some places only, or after other samples."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.seldom = nn.Dropout(1e-6)
        self.last = nn.Identity()
        self.kind = kind
        self.kept: Tensor | None = None
        self.several: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """Do it."""
        out: Tensor = self.last(self.done(self.conv(x)))
        return out

    def done(self, y: Tensor) -> Tensor:
        """Return what it makes of the convolution's output."""
        if self.kind == "seldom":
            y = self.seldom.train()(y)
        if self.kind == "large":
            return y if len(y) < 16 else y - y.mean(0, keepdim=True)
        if self.kind == "place":
            return torch.cat([y[:13], y[13:] + 1])
        if self.kind == "first call":
            self.kept = y.mean() if self.kept is None else self.kept
            return y - self.kept
        if self.kind == "list":
            self.several.append(y.mean())
            return y - torch.stack(self.several).mean()
        if self.kind == "seeded":
            torch.manual_seed(3)
            return y * torch.rand(4, 1, 1, device="cpu").to(y.device)
        return y


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("seldom", r"draws random numbers in module 'seldom' \(Dropout\)"),
        ("large", r"one of 20 gives values.*'last' \(Identity\)"),
        ("place", r"one of 20 gives values.*'last' \(Identity\)"),
        ("first call", "may be kept from one call to the next"),
        ("list", "may be kept from one call to the next"),
        ("seeded", ""),
        ("none", ""),
    ],
)
def test_what_shows_seldom_or_late_is_found(kind: str, named: str) -> None:
    """Rare dropout, large batches, later places and caches are refused; seeded numbers are not."""
    from fstore.extractor import selfcheck
    from fstore.extractor.devices import make_runners

    torch.manual_seed(0)
    model = Kept(kind).eval()
    (runner,) = make_runners(
        own(model, {"l": "last"}), ["l"], devices=[torch.device("cpu")],
        precision="tf32", compute="float32",
    )  # fmt: skip
    x = torch.rand(3, 3, 16, 16)
    if named:
        with pytest.raises(DataError, match=named):
            selfcheck.check_neighbours(runner, x, size=20)
    else:
        selfcheck.check_neighbours(runner, x, size=20)
    assert model.kept is None
    assert model.several == []
    assert not model.seldom.training
