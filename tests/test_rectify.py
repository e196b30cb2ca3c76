"""``fstore extract --rectify``: a layer as a ReLU behind it would give it, and its identity."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from _build import put
from _cli import run
from fstore import workflows
from fstore.errors import IdentityError, UnknownNameError
from fstore.extractor.networks import Network
from fstore.extractor.preprocess import Preprocess
from fstore.store import Store
from fstore.store.features import read_features
from fstore.store.files import Partition
from fstore.store.remedies import how_to_make
from fstore.types import Precision
from fstore.workflows.checkpoints import load_network
from fstore.workflows.extract.estimate import estimate
from fstore.workflows.extract.recheck import recheck
from fstore.workflows.extract.run import ExtractionOptions, extract

NETWORK = "own_net:net"
RECTIFY = ExtractionOptions(rectify=True)


class Net(nn.Module):
    """Maps of both signs, some of them NaN, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.nan = nn.Identity()
        self.tail = nn.Conv2d(4, 2, 3)
        self.head = nn.Linear(2, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Run them; ``nan`` is the logarithm of the responses."""
        y = self.conv(x)
        self.nan(y.log())
        out: Tensor = self.head(self.tail(y).mean((2, 3)))
        return out


def net() -> Network:
    """Return it for images of 16 x 16."""
    preprocess = Preprocess(size=16, resize=16, scale=1 / 64, mean=(1.0, 2.0, 2.0))
    return Network("net", Net(), preprocess, {"conv": "conv", "head": "head"})


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Give a store with two data sets of six images, and a checkpoint."""
    module = ModuleType("own_net")
    module.net = net  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_net", module)
    monkeypatch.setenv("FSTORE_TRUST", "1")  # a module without a file cannot be agreed to for good
    random = np.random.default_rng(0)
    store = Store.create(tmp_path / "store")
    for name in ("d", "e"):
        (tmp_path / name).mkdir()
        for i in range(6):
            pixels = random.integers(0, 256, size=(16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
        workflows.add_dataset(store, name, "imagefolder", root=tmp_path / name)
    workflows.init_checkpoint(store, network=NETWORK, name="c")
    return store


def where(layer: str, dataset: str = "d") -> Partition:
    """Return a partition."""
    return Partition(NETWORK, "c", dataset, "image", layer)


def stored(store: Store, layer: str) -> NDArray[np.float32]:
    """Return what is stored of a layer, shape (n_samples, n_channels, positions)."""
    blocks = [X for _, X in read_features(store, where(layer), bits=True)]
    return np.concatenate(blocks, axis=1)


def hooked(store: Store, tmp_path: Path, layer: str) -> NDArray[np.float32]:
    """Return what a plain hook sees of the images, without fstore's reading of them."""
    network = load_network(store, store.find_checkpoint(f"{NETWORK}/c"))
    files = sorted((tmp_path / "d").glob("*.png"))
    pixels = np.stack([np.asarray(Image.open(f), dtype=np.float32) for f in files])
    x = torch.from_numpy(pixels[..., ::-1].copy()).permute(0, 3, 1, 2)  # BGR
    scaled = x / 64 - torch.tensor([1.0, 2.0, 2.0])[:, None, None]
    seen: list[Tensor] = []
    module = network.model.get_submodule(layer)
    module.register_forward_hook(lambda _m, _i, out: seen.append(out.clone()))
    with torch.no_grad():
        network.model(scaled)
    return seen[0].reshape(len(files), seen[0].shape[1], -1).numpy()


@pytest.mark.parametrize("layer", ["conv", "head", "nan"])
def test_what_is_stored_is_the_hook_rectified(store: Store, tmp_path: Path, layer: str) -> None:
    """Stored is max(x, 0) of what a plain hook sees; NaN stays NaN."""
    options = replace(RECTIFY, precision="float32")
    extract(store, layers=[layer], ckpts=["c"], datasets=["d"], options=options)
    x, values = hooked(store, tmp_path, layer), stored(store, layer)
    assert (x < 0).any()
    assert np.isnan(x).any() == (layer == "nan")
    wanted = np.maximum(x, 0)
    assert np.isnan(values).tolist() == np.isnan(wanted).tolist()
    assert values == pytest.approx(wanted, rel=1e-4, abs=1e-5, nan_ok=True)  # other sums
    assert not np.signbit(values[values == 0]).any()


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16", "bit"])
def test_rounding_and_summaries_are_of_what_is_stored(store: Store, precision: Precision) -> None:
    """Rectified is what is stored without it, cut at 0; ``nnz`` and ``npos`` are then equal."""
    plain = ExtractionOptions(precision=precision)
    extract(store, layers=["conv", "head"], ckpts=["c"], datasets=["d"], options=plain)
    before = {layer: stored(store, layer) for layer in ("conv", "head")}
    store.drop(network=NETWORK)
    options = replace(plain, rectify=True)
    extract(store, layers=["conv", "head"], ckpts=["c"], datasets=["d"], options=options)
    for layer, x in before.items():
        assert np.array_equal(stored(store, layer), np.maximum(x, 0))
    query = "SELECT channel, sample_id, layer, nnz, npos, act_sum FROM activations"
    for row in store.sql(query).rows():
        x = np.maximum(before[row["layer"]][row["sample_id"], row["channel"]], 0)
        assert row["nnz"] == row["npos"] == (x > 0).sum()
        assert row["act_sum"] == pytest.approx(x.sum(dtype=np.float64))


def test_identity(store: Store) -> None:
    """Rectified or not is part of the identity; that of layers as they are has no such part."""
    extract(store, layers=["conv"], ckpts=["c"], datasets=["d"])
    (file,) = store.files()
    assert sorted(file.identity.parts) == [
        "compute precision",
        "definition",
        "preprocessing",
        "samples",
        "stored precision",
        "weights",
    ]
    with pytest.raises(
        IdentityError,
        match=r"differs in: rectified \(stored none, now max\(x, 0\)\).*fstore drop .*--layer conv",
    ):
        extract(store, layers=["conv"], ckpts=["c"], datasets=["d"], options=RECTIFY)
    with pytest.raises(IdentityError, match=r"d\.image conv is stored with its negative.*leave"):
        extract(store, layers=["conv"], ckpts=["c"], datasets=["e"], options=RECTIFY)
    store.drop(network=NETWORK)
    extract(store, layers=["conv"], ckpts=["c"], datasets=["d"], options=RECTIFY)
    with pytest.raises(IdentityError, match=r"rectified \(stored max\(x, 0\), now none\)"):
        extract(store, layers=["conv"], ckpts=["c"], datasets=["d"])
    with pytest.raises(IdentityError, match=r"is stored rectified.*give --rectify.*fstore drop"):
        extract(store, layers=["conv"], ckpts=["c"], datasets=["e"])
    summary = extract(store, layers=["conv"], ckpts=["c"], options=RECTIFY)
    assert (summary.present, summary.samples) == (6, 6)


def test_it_is_computed_again_as_it_was(store: Store) -> None:
    """``verify`` rectifies, too; values that were not are found, with commands that rectify."""
    extract(store, layers=["conv", "head"], ckpts=["c"], datasets=["d"], options=RECTIFY)
    assert [(problem, reason) for _, problem, reason in recheck(store)] == [("", ""), ("", "")]
    (file,) = store.files(layer="conv")
    parts = dict(file.identity.parts)
    store.drop(network=NETWORK)
    extract(store, layers=["conv"], ckpts=["c"], datasets=["d"])
    negative = stored(store, "conv")
    store.drop(network=NETWORK)
    extract(store, layers=["head"], ckpts=["c"], datasets=["d"])  # records the layers
    store.drop(network=NETWORK, layer="head")
    put(store, where("conv"), negative, identity=parts)
    ((_, problem, reason),) = recheck(store)
    assert reason == ""
    assert "is not what the network gives" in problem
    assert "--rectify" in problem.rpartition("&&")[2]


def test_commands_rectify_what_is_rectified(store: Store) -> None:
    """What makes the rest of a rectified layer says so; of others nothing is said."""
    extract(store, layers=["conv"], ckpts=["c"], datasets=["d"], options=RECTIFY)
    assert "--rectify" in how_to_make(store, where("conv", "e"))
    assert "--rectify" not in how_to_make(store, where("head", "e"))


def test_nothing_is_derived_from_rectified_responses(store: Store) -> None:
    """Later layers do not follow from what was cut at 0; of others they may be rectified."""
    extract(store, layers=["conv"], ckpts=["c"], datasets=["d"], options=RECTIFY)
    chosen = {"layers": ["tail"], "ckpts": ["c"], "datasets": ["d"], "from_stored": "conv"}
    with pytest.raises(IdentityError, match="stored without its negative responses"):
        extract(store, **chosen)  # type: ignore[arg-type]
    store.drop(network=NETWORK)
    exact = ExtractionOptions(precision="float32")
    extract(store, layers=["conv", "tail"], ckpts=["c"], datasets=["d"], options=exact)
    direct = stored(store, "tail")
    store.drop(network=NETWORK, layer="tail")
    extract(store, **chosen, options=replace(exact, rectify=True))  # type: ignore[arg-type]
    assert direct.min() < 0
    # the same sums of the same numbers, perhaps in another order
    assert stored(store, "tail") == pytest.approx(np.maximum(direct, 0), abs=1e-5)


def test_command_line(store: Store) -> None:
    """--rectify stores, estimates and is on record; --dry-run lists layers and stores nothing."""
    words = ["extract", "--layer", "c*,LINEAR", "--ckpt", "c", "--dataset", "d"]
    listed = run(store, *words, "--dry-run", "--json")
    assert json.loads(listed.stdout) == [
        {"network": NETWORK, "layer": "conv", "map": "4x14x14", "values": 784, "bytes": 3136}
        | {"matched": "c*"},
        {"network": NETWORK, "layer": "head", "map": "5", "values": 5, "bytes": 20}
        | {"matched": "LINEAR"},
    ]
    assert "3156 bytes an image" in listed.stderr
    assert run(store, *words, "--dry-run", "--estimate").exit_code == 2
    assert (store.files(), store.rows("layers").num_rows, store.rows("runs").num_rows) == ([], 0, 0)
    assert run(store, *words, "--rectify", "--estimate").exit_code == 0
    assert run(store, *words, "--rectify").exit_code == 0
    assert all(file.is_rectified for file in store.files())
    (row,) = store.rows("runs").to_pylist()
    asked = json.loads(row["parameters"])
    assert (asked["layers"], asked["rectify"]) == (["c*,LINEAR"], True)
    refused = run(store, *words, "--estimate")
    assert refused.exit_code == 1
    assert "rectified (stored max(x, 0), now none)" in refused.stderr


def test_estimate_and_patterns(store: Store) -> None:
    """An estimate reads patterns as an extraction does, and tells what is left out."""
    told: list[str] = []
    rows = estimate(store, layers=["*"], ckpts=["c"], datasets=["d"], on_note=told.append)
    assert [row["layer"] for row in rows] == ["conv", "head", "nan", "tail", "(all)"]
    assert store.files() == []
    with pytest.raises(UnknownNameError, match=r"no layer matches 'zz\*'"):
        extract(store, layers=["all", "zz*"], ckpts=["c"])
