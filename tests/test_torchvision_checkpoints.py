"""Every network of torchvision goes through the store: written, loaded back, extracted."""

import numpy as np
import pytest
import torch
from PIL import Image

from _families import by_family
from fstore import workflows
from fstore.extractor.images import load_sample
from fstore.extractor.networks import Network, build_network, network_names
from fstore.extractor.weights import with_weights
from fstore.extractor.weights.undrawn import build_undrawn
from fstore.store import Store
from fstore.workflows.extract import run as extraction
from fstore.workflows.extract.run import ExtractionOptions

NAMES = [name for name in network_names() if name.startswith("torchvision:")]
LARGEST = 250_000_000
"""Parameters: a file of 1 GB. Of larger networks the weights are not written (four of 80, 8 GB):
they are rebuilt as loading does it, given weights, and must hold them."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One image of noise in a data set."""
    folder = tmp_path_factory.mktemp("every")
    (folder / "images").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "images" / "noise.png")
    store = Store.create(folder / "store")
    workflows.add_dataset(store, "one", "imagefolder", root=folder / "images")
    return store


def first_layer(network: Network, x: torch.Tensor) -> torch.Tensor:
    """Return the first declared layer of one input by a plain hook, stopping there."""
    path = next(iter(network.layers.values()))
    kept: list[torch.Tensor] = []

    class ReachedError(Exception):
        pass

    def hook(_module: object, _args: object, output: torch.Tensor) -> None:
        kept.append(output.detach().clone())
        raise ReachedError

    handle = network.model.get_submodule(path).register_forward_hook(hook)
    with torch.inference_mode(), pytest.raises(ReachedError):
        network.model(x)
    handle.remove()
    return kept[0]


@pytest.mark.parametrize("name", by_family(NAMES))
def test_every_network_of_torchvision_goes_through_the_store(name: str, store: Store) -> None:
    """Initial weights are written, loaded back, and give the first layer that a plain hook sees."""
    shapes = build_undrawn(lambda: build_network(name))
    if sum(p.numel() for p in shapes.model.parameters()) > LARGEST:
        check_in_memory(shapes)
        return
    workflows.init_checkpoint(store, network=name, name="random", seed=3)
    layer = next(iter(shapes.layers))
    options = ExtractionOptions(device="cpu", precision="float32")
    extraction.extract(store, layers=[layer], ckpts=[f"{name}/random"], options=options)
    torch.manual_seed(3)
    pixels = load_sample(store.dataset("one").root, "noise.png", None, preprocess=shapes.preprocess)
    expected = first_layer(build_network(name), torch.from_numpy(pixels)[None])[0]
    (row,) = store.sql(
        "SELECT max(act_max) AS largest, sum(act_sum) AS total FROM activations WHERE network = ?",
        [name],
    ).rows()
    assert row["largest"] == pytest.approx(float(expected.max()), rel=1e-4)
    size = float(expected.abs().sum(dtype=torch.float64))  # float32 sums in another order
    assert row["total"] == pytest.approx(float(expected.sum(dtype=torch.float64)), abs=1e-5 * size)
    store.drop(network=name)
    store.drop(network=name, checkpoint=True)


def check_in_memory(network: Network) -> None:
    """Give a network other weights as loading does, and look at them in it."""
    state = network.model.state_dict()
    weights = {n: torch.full_like(t, i % 7) for i, (n, t) in enumerate(state.items())}
    loaded = with_weights(network, weights, source="memory").model.state_dict()
    assert all(torch.equal(loaded[n], t) for n, t in weights.items())
