"""Weights into a store: read back before they are registered, compared whenever they are loaded."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fstore import workflows
from fstore.errors import DataError, IdentityError, StorageError
from fstore.extractor.networks import build_network
from fstore.extractor.weights import tensors_sha256
from fstore.store import Store
from fstore.store.weights import tensor_sums

NETS = '''
import random
import warnings
import torch
from torch import nn
from fstore.extractor.networks import Network
from fstore.extractor.preprocess import Preprocess

SCALE = 1.0

def _net(model, layer, **options):
    wanted = dict(size=16, resize=16, order="RGB", scale=SCALE, mean=(0.0, 0.0, 0.0))
    return Network("own", model, Preprocess(**{**wanted, **options}), {"l": layer})

class Item(nn.Module):
    def __init__(self):
        super().__init__()
        self.rates = [x.item() for x in torch.linspace(0.5, 1, 3)]
        self.conv = nn.Conv2d(3, 4, 3)
    def forward(self, x):
        return self.conv(x * self.rates[0])

class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.held = {"a": [torch.full((1, 3, 1, 1), 3.0)]}
    def forward(self, x):
        return self.conv(x * self.held["a"][0])

class Closure(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        factor = torch.arange(3.0).view(1, 3, 1, 1)
        self.scaled = lambda x: x * factor
    def forward(self, x):
        return self.conv(self.scaled(x))

class Wrap(nn.Module):
    def __init__(self):
        super().__init__()
        self.module = nn.Conv2d(3, 4, 3)
        self.model = nn.Sequential(nn.Conv2d(4, 4, 1))
    def forward(self, x):
        return self.model(self.module(x))

class OnlyModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(nn.Conv2d(3, 4, 3))
    def forward(self, x):
        return self.model(x)

class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.register_buffer("mask", torch.triu(torch.full((14, 14), float("-inf")), 1))
        self.register_buffer("far", torch.tensor(float("inf")))
        self.register_buffer("grid", torch.linspace(0, 1, 14), persistent=False)
    def forward(self, x):
        return self.conv(x) + self.mask.exp() + self.grid

class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.b.weight = self.a.weight
    def forward(self, x):
        return self.b(self.a(x))

class Half(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3).to(torch.bfloat16)
    def forward(self, x):
        return self.conv(x.to(torch.bfloat16)).float()

class Drawn(nn.Module):
    """A plain random tensor, hidden behind a last layer of zeros."""
    def __init__(self):
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.noise = torch.rand(1, 3, 1, 1)
    def forward(self, x):
        return self.last(self.conv(x * self.noise))

class Shuffled(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.factor = random.random()
    def forward(self, x):
        return self.conv(x * self.factor)

class FromWeights(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.largest = float(self.conv.weight.detach().abs().max())
    def forward(self, x):
        return self.conv(x) / self.largest

class Caught(nn.Module):
    """Reads its initial weights, and catches what reading them may raise."""
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        try:
            self.largest = self.conv.weight.abs().max().item()
        except Exception:
            self.largest = 1.0
    def forward(self, x):
        return self.conv(x) / self.largest

def item(): return _net(Item(), "conv")
def plain(): return _net(Plain(), "conv")
def closure(): return _net(Closure(), "conv")
def wrap(): return _net(Wrap(), "module")
def only_model(): return _net(OnlyModel(), "model.0")
def slashed():
    model = nn.Sequential()
    model.add_module("a/b", nn.Conv2d(3, 4, 3))
    return _net(model, "a/b")
def parallel(): return _net(nn.DataParallel(nn.Sequential(nn.Conv2d(3, 4, 3))), "module.0")
def scripted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls it deprecated
        return _net(torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3))), "0")
def masked(): return _net(Masked(), "conv")
def tied(): return _net(Tied(), "a")
def half(): return _net(Half(), "conv")
def normed(): return _net(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), "0")
def materialised():
    model = nn.Sequential(nn.LazyConv2d(4, 3))
    model(torch.zeros(1, 3, 16, 16))
    return _net(model, "0")
def drawn(): return _net(Drawn(), "conv")
def shuffled(): return _net(Shuffled(), "conv")
def from_weights(): return _net(FromWeights(), "conv")
def caught(): return _net(Caught(), "conv")
class Unfilled(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.scale = nn.Parameter(torch.full((4, 1, 1), float("nan")))
    def forward(self, x):
        return self.conv(x) * self.scale
def unfilled(): return _net(Unfilled(), "conv")
def lazy(): return _net(nn.Sequential(nn.LazyConv2d(4, 3)), "0")
def simple(): return _net(nn.Sequential(nn.Conv2d(3, 4, 3)), "0")
def fails(): return 1 / 0
def leaves(): raise SystemExit(3)
def needs(width): return _net(nn.Conv2d(3, width, 3), "")
def breaks(): return _net(nn.Sequential(nn.Conv2d(5, 4, 3)), "0")
def nothing(): return _net(nn.Sequential(nn.Conv2d(3, 4, 3), Quiet()), "0")
class Quiet(nn.Module):
    def forward(self, x):
        return {"shape": x.shape}
class Extra(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
    def get_extra_state(self):
        return {"steps": 3}
    def set_extra_state(self, state):
        pass
    def forward(self, x):
        return self.conv(x)
def extra(): return _net(Extra(), "conv")
'''


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a module of the user's own networks."""
    path = tmp_path / "fstore_nets.py"
    path.write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "fstore_nets", raising=False)
    return path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give an empty store."""
    return Store.create(tmp_path / "store")


@pytest.mark.parametrize(
    "function",
    ["item", "plain", "closure", "wrap", "only_model", "slashed", "parallel", "scripted",
     "masked", "tied", "half", "normed", "materialised"],
)  # fmt: skip
@pytest.mark.usefixtures("nets")
def test_what_was_registered_loads_as_it_was(function: str, store: Store) -> None:
    """Networks of every construction come back from the store with the outputs that they had."""
    name = f"fstore_nets:{function}"
    said: list[str] = []
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    record = workflows.init_checkpoint(store, network=name, name="r", seed=7, say=said.append)
    loaded = workflows.load_network(store, record)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(7)
    original = build_network(name)
    x = torch.rand(2, 3, 16, 16)
    with torch.inference_mode():
        assert torch.equal(loaded.model(x), original.model(x))
    assert loaded.preprocess == original.preprocess
    (sentence,) = said
    assert "loads back, and one image gives" in sentence
    assert workflows.check_weights(store, record) == []


@pytest.mark.parametrize("network", ["torchvision:mnasnet0_5", "torchvision:regnet_y_400mf"])
def test_networks_with_versions_and_items_load(network: str, store: Store) -> None:
    """Torchvision's families that cannot be built on the meta device go through the store."""
    record = workflows.init_checkpoint(store, network=network, name="r", seed=1)
    state = workflows.load_network(store, record).model.state_dict()
    torch.manual_seed(1)
    expected = build_network(network).model.state_dict()
    assert all(torch.equal(state[n], t) for n, t in expected.items())


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("drawn", "gives other values when it is built again"),
        ("shuffled", "gives other values when it is built again"),
        ("from_weights", "gives other values when it is built again"),
        ("caught", "gives other values when it is built again"),
        ("unfilled", "starts with values that are no numbers in scale"),
        ("lazy", r"LazyConv2d.* takes the shape of weight from its first input"),
        ("fails", r"fstore_nets.py, line \d+, in fails: ZeroDivisionError: division by zero"),
        ("leaves", r"fstore_nets.py, line \d+, in leaves: SystemExit: 3"),
        ("needs", r"missing a required argument: 'width'.*give the others default values"),
        ("breaks", "fails on one image of 16 x 16 pixels: .*channels"),
        ("nothing", "gives no tensor for one image"),
        ("extra", r"_extra_state is no dense tensor \(dict\)"),
    ],
)
@pytest.mark.usefixtures("nets")
def test_what_cannot_come_back_is_refused(function: str, message: str, store: Store) -> None:
    """A network that would come back as another one is refused before it is registered."""
    with pytest.raises(DataError, match=message):
        workflows.init_checkpoint(store, network=f"fstore_nets:{function}", name="r")
    assert store.checkpoints() == []
    assert not list((store.path / "training").glob("*"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(:\n", r"fstore_nets.py, line 1: SyntaxError"),
        ("x = 1\nraise KeyError('k')\n", r"fstore_nets.py, line 2, in <module>: KeyError: 'k'"),
        (
            "\nimport no_such_library\n",
            r"fstore_nets.py, line 2.*named 'no_such_library'",
        ),
        ("def f(): return {}['a']\n", r"fstore_nets.py, line 1, in f: KeyError: 'a'"),
        ("import sys\nsys.exit('bye')\n", r"fstore_nets.py, line 2, in <module>: SystemExit: bye"),
    ],
)
def test_errors_of_own_modules_name_file_and_line(
    text: str, message: str, nets: Path, store: Store
) -> None:
    """A module that fails while it is imported is told with its line, not with a traceback."""
    nets.write_text(text)
    with pytest.raises(DataError, match=message):
        workflows.init_checkpoint(store, network="fstore_nets:f", name="r")


def test_altered_weights_are_not_loaded(store: Store) -> None:
    """A flipped bit, a cut file, other weights and no file are refused with what to do."""
    record = workflows.init_checkpoint(store, network="caffenet-mini", name="r", seed=1)
    path = store.checkpoint_path(record)
    whole = path.read_bytes()
    other = load_file(path)
    other["fc8.bias"] = other["fc8.bias"] + 1e-3

    def flip() -> None:
        damaged = bytearray(whole)
        damaged[-5001] ^= 0x40
        path.write_bytes(damaged)

    changes: list[Callable[[], object]] = [
        flip,
        lambda: path.write_bytes(whole[:-100]),
        lambda: save_file(other, path),
        lambda: path.write_bytes(b""),
        path.unlink,
    ]
    for change in changes:
        change()
        with pytest.raises(StorageError, match=r"mini/r are damaged.*ckpt init .*--seed 1"):
            workflows.load_network(store, record)
        assert len(workflows.check_weights(store, record)) == 1
    again = workflows.init_checkpoint(store, network="caffenet-mini", name="r", seed=1)
    assert again == record
    assert path.read_bytes() == whole


def test_changed_preprocessing_is_not_used(nets: Path, store: Store) -> None:
    """A user's function that states another preprocessing is refused; the part is named."""
    record = workflows.init_checkpoint(store, network="fstore_nets:simple", name="r")
    nets.write_text(NETS.replace("SCALE = 1.0", "SCALE = 0.50"))  # of equal length, Python may
    sys.modules.pop("fstore_nets")  # take the bytecode that it kept within the same second
    with pytest.raises(IdentityError, match=r"fstore_nets:simple/r: scale was 1.0, is 0.5; undo"):
        workflows.load_network(store, record)


def test_changed_code_is_not_used(nets: Path, store: Store) -> None:
    """A user's function that builds another model is refused; the tensor is named."""
    record = workflows.init_checkpoint(store, network="fstore_nets:half", name="r")
    nets.write_text(NETS.replace("nn.Conv2d(3, 4, 3).to(torch.bfloat16)", "nn.Conv2d(3, 4, 3)"))
    sys.modules.pop("fstore_nets")
    with pytest.raises(DataError, match=r"conv.weight is .* bfloat16, expected .*float32"):
        workflows.load_network(store, record)


def test_damaged_mean_image_is_not_used(tmp_path: Path, store: Store) -> None:
    """The mean image is no part of the weights' hash; that of the preprocessing covers it."""
    import numpy as np

    np.save(tmp_path / "mean.npy", np.full((3, 64, 64), 7, np.float32))
    torch.save(build_network("caffenet-mini").model.state_dict(), tmp_path / "w.pt")
    record = workflows.import_checkpoint(
        store, tmp_path / "w.pt", network="caffenet-mini", name="m", mean=tmp_path / "mean.npy"
    )
    path = store.checkpoint_path(record)
    tensors = load_file(path)
    tensors["fstore.mean_image"][0, 0, 0] = 8
    save_file(tensors, path)
    with pytest.raises(IdentityError, match="mean_image was"):
        workflows.load_network(store, record)


@pytest.mark.usefixtures("nets")
@pytest.mark.parametrize("function", ["masked", "tied", "half", "normed", "scripted"])
def test_two_programs_hash_alike(function: str, store: Store) -> None:
    """The hash of the file without torch is that of the tensors that torch reads."""
    record = workflows.init_checkpoint(store, network=f"fstore_nets:{function}", name="r")
    path = store.checkpoint_path(record)
    assert tensor_sums(path).weights == tensors_sha256(load_file(path)) == record.sha256


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 2**63}, "counts from 0 to 9223372036854775807"),
        ({"seed": -1}, "counts from 0"),
        ({"iteration": -1}, "--iteration counts from 0"),
        ({"iteration": 2**63}, "--iteration counts from 0"),
        ({"lr": float("nan")}, "--lr is a finite number from 0, not nan"),
        ({"lr": float("inf")}, "--lr is a finite number"),
        ({"lr": -0.1}, "--lr is a finite number from 0"),
    ],
)
def test_odd_numbers_are_refused(
    options: dict[str, float], message: str, tmp_path: Path, store: Store
) -> None:
    """What is said of the training must be a number that can be."""
    torch.save(build_network("caffenet-mini").model.state_dict(), tmp_path / "w.pt")
    with pytest.raises(DataError, match=message):
        workflows.import_checkpoint(
            store,
            tmp_path / "w.pt",
            network="caffenet-mini",
            name="x",
            **options,  # type: ignore[arg-type]
        )


@pytest.mark.parametrize("seed", [2**63, 2**64, 10**30, -1, True, 1.5, "1"])
def test_one_rule_for_seeds(seed: object, store: Store) -> None:
    """Seeds that generators or tables cannot hold are refused wherever they are given."""
    from fstore.queries.studies.study import parse_study

    calls: list[Callable[[], object]] = [
        lambda: workflows.init_checkpoint(store, network="caffenet-mini", name="x", seed=seed),  # type: ignore[arg-type]
        lambda: workflows.add_dataset(store, "d", "digits", seeds=[seed]),  # type: ignore[list-item]
        lambda: workflows.add_dataset(store, "d", "digit-scenes", images=60, seed=seed),
    ]
    for call in calls:
        with pytest.raises(DataError, match=r"63 bits|whole number"):
            call()
    if isinstance(seed, int) and not isinstance(seed, bool):
        toml = (
            'name = "s"\nnetwork = "n"\nlayers = ["fc7"]\n[make.pretrain]\ndataset = "d"\n'
            f"iterations = 1\nsnapshots = [1]\nseed = {seed}\n"
        )
        with pytest.raises(DataError, match=r"from 0 to 2\*\*63 - 1"):
            parse_study(toml)


def test_a_networks_own_mean_image_is_kept(nets: Path, tmp_path: Path, store: Store) -> None:
    """Importing weights keeps the mean image that the network's function states."""
    nets.write_text(
        NETS + "\nimport numpy as np\ndef own_mean():\n"
        "    return _net(nn.Sequential(nn.Conv2d(3, 4, 3)), '0',"
        " mean_image=np.full((3, 16, 16), 2, np.float32))\n"
    )
    network = build_network("fstore_nets:own_mean")
    torch.save(network.model.state_dict(), tmp_path / "w.pt")
    record = workflows.import_checkpoint(
        store, tmp_path / "w.pt", network="fstore_nets:own_mean", name="m"
    )
    assert record.preprocessing_hash == network.preprocess.hash
    assert workflows.load_network(store, record).preprocess.hash == network.preprocess.hash
