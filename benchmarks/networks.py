"""Stored layers of networks by name against plain forward hooks on the libraries' own models.

    python benchmarks/networks.py --images DIR [--only GLOB] [--write]

For every network: files or names as a user gives them, random weights, ``fstore extract --layer
all`` of a few images in float32. Then, without fstore's code: the library builds its model, which
gets the stored weights; a plain hook on every declared layer clones its output when it is there;
:mod:`_network_cases` says how to read it, from the library's documentation. Every stored value is
compared, in its place. The preprocessing is compared with the library's own transform of the first
image.

Columns: layers, the layout of the widest difference's layer, side of the input, largest difference
of a value relative to its layer's largest, largest difference of an input's pixel in grey levels.
``--write`` puts them into ``docs/networks.csv``, from which the table of ``docs/networks.md`` is
made.
"""

import argparse
import csv
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import torch
from _network_cases import CASES, Case, Parts, reading
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from fstore import workflows
from fstore.extractor.images import load_sample
from fstore.extractor.networks import build_network
from fstore.store import Store
from fstore.workflows.extract import run as extraction
from fstore.workflows.extract.run import ExtractionOptions

TABLE = Path(__file__).parent.parent / "docs" / "networks.csv"
COLUMNS = ("family", "network", "layers", "layouts", "input", "difference", "pixels", "date")


@dataclass(frozen=True)
class Compared:
    """What came out of a network's comparison.

    Attributes
    ----------
    layers : int
    layouts : str
        What the layers were read from.
    size : int
        Side of the input.
    difference : float
        Largest over all layers, relative to the layer's largest value.
    pixels : float or None
        Largest difference of an input, grey levels; None where the library has no transform to
        such an input.
    """

    layers: int
    layouts: str
    size: int
    difference: float
    pixels: float | None


def main() -> None:
    """Compare, and print a line for each network."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--count", type=int, default=3)
    parser.add_argument("--only", default="*")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    images = sorted([*given.images.glob("*.jpg"), *given.images.glob("*.png")])[: given.count]
    rows = []
    for case in CASES:
        if fnmatchcase(case.name, given.only):
            rows.append(_row(case, compare(case, images)))
            print(*rows[-1].values(), sep=" | ", flush=True)
    if given.write and given.only != "*":
        parser.error("--write needs all networks: leave --only out")
    if given.write:
        _write(rows)


def _row(case: Case, result: Compared) -> dict[str, str]:
    return {
        "family": case.family,
        "network": case.name.replace("{folder}/", ""),
        "layers": str(result.layers),
        "layouts": result.layouts,
        "input": str(result.size),
        "difference": f"{result.difference:.0e}" if result.difference else "0",
        "pixels": "" if result.pixels is None else f"{result.pixels:.1f}",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def _write(rows: Sequence[Mapping[str, str]]) -> None:
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(TABLE)


def compare(case: Case, images: Sequence[Path]) -> Compared:
    """Extract a network's layers with fstore, and compare them with the library's model."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        name = case.name.format(folder=place)
        if case.make is not None:
            case.make(Path(name.partition(":")[2]))
        store = _extracted(place, name, images)
        model, transform = case.build(Path(name.partition(":")[2]))
        record = store.find_checkpoint("random", name)
        _load(model, load_file(store.checkpoint_path(record)))
        network = build_network(name)
        x = np.stack(
            [load_sample(i.parent, i.name, None, preprocess=network.preprocess) for i in images]
        )
        plain = hooked(model.eval(), torch.from_numpy(x), list(network.layers))
        pixels = None
        if transform is not None:
            theirs = np.asarray(transform(Image.open(images[0]).convert("RGB")))
            std = np.asarray(network.preprocess.std).reshape(3, 1, 1)
            pixels = float(np.abs((theirs - x[0]) * std * 255).max())
        read = {n: _read(case, model, n, plain) for n in network.layers}
        differences = [_difference(store, name, layer, read[layer]) for layer in network.layers]
        layouts = sorted({_layout(case, n, plain) for n in network.layers})
        return Compared(len(differences), ", ".join(layouts), x.shape[-1], max(differences), pixels)


def _extracted(place: Path, name: str, images: Sequence[Path]) -> Store:
    """Return a store with the responses of all declared layers to the images."""
    (place / "images").mkdir()
    for image in images:
        shutil.copy(image, place / "images" / image.name)
    store = Store.create(place / "store")
    workflows.add_dataset(store, "few", "imagefolder", root=place / "images")
    workflows.init_checkpoint(store, network=name, name="random", seed=0)
    options = ExtractionOptions(device="cpu", precision="float32")
    extraction.extract(store, layers=["all"], ckpts=[f"{name}/random"], options=options)
    return store


def _load(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give a model the stored weights: every one, and no other."""
    told = model.load_state_dict(weights, strict=False)
    missing = [name for name in told.missing_keys if not name.endswith("num_batches_tracked")]
    assert not missing, f"missing: {missing}"
    assert not told.unexpected_keys, f"unexpected: {told.unexpected_keys}"


def hooked(model: nn.Module, x: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """Return clones, made when it was there, of what the module below each layer's name gave."""
    kept: dict[str, Tensor] = {}
    places = {layer: _place(model, layer) for layer in layers if not layer.endswith("/cls")}

    def hook(layer: str, parts: Sequence[str]) -> object:
        def keep(_module: nn.Module, _args: object, output: object) -> None:
            if layer not in kept:
                kept[layer] = _part(output, parts).clone()

        return keep

    handles = [
        model.get_submodule(path).register_forward_hook(hook(layer, parts))
        for layer, (path, parts) in places.items()
    ]
    with torch.inference_mode():
        model(x)
    for handle in handles:
        handle.remove()
    return kept


def _place(model: nn.Module, layer: str) -> tuple[str, list[str]]:
    """Return the module of a layer, the longest path in its name, and the part of its output."""
    modules = dict(model.named_modules())
    words = layer.split(".")
    for n in range(len(words), 0, -1):
        if (path := ".".join(words[:n])) in modules:
            return path, words[n:]
    raise AssertionError(f"{layer} is below no module")


def _part(output: object, parts: Sequence[str]) -> Tensor:
    """Return a tensor from what a module gave: itself, or the only one, or that at a place."""
    for part in parts:
        if isinstance(output, (tuple, list)):
            output = output[int(part)]
        else:
            output = output[part] if isinstance(output, Mapping) else getattr(output, part)
    while isinstance(output, (tuple, list)):  # beside the tensor may stand its height and width
        tensors = [value for value in output if isinstance(value, Tensor)]
        (output,) = tensors or output
    if isinstance(output, Mapping):  # transformers' outputs are mappings: one tensor in it
        (output,) = [value for value in output.values() if isinstance(value, Tensor)]
    assert isinstance(output, Tensor), type(output)
    return output


def _read(case: Case, model: nn.Module, layer: str, plain: Mapping[str, Tensor]) -> Tensor:
    base, mark, _ = layer.partition("/cls")
    parts: Parts = reading(case, base)(model, base, plain[base])
    return parts[mark]


def _layout(case: Case, layer: str, plain: Mapping[str, Tensor]) -> str:
    """Say in a word how a layer was read."""
    base = layer.removesuffix("/cls")
    name = reading(case, base).__name__
    dims = plain[base].ndim
    words = {
        "pooled": "NC",
        "nchw": "NCHW" if dims > 2 else "NC",
        "nhwc": "NHWC",
        "hiera": "windows",
    }
    return words.get(name, "NLC")


def _difference(store: Store, network: str, layer: str, expected: Tensor) -> float:
    """Return the largest difference of a stored layer, relative to its largest value."""
    if expected.ndim == 2:
        expected = expected[:, :, None, None]
    stored = np.stack(list(_stored(store, network, layer, expected.shape)))
    plain = expected.numpy()
    assert stored.shape == plain.shape, f"{layer}: {stored.shape}, expected {plain.shape}"
    return float(np.abs(stored - plain).max() / max(np.abs(plain).max(), 1e-30))


def _stored(
    store: Store, network: str, layer: str, shape: Sequence[int]
) -> Iterator[NDArray[np.float32]]:
    """Yield what is stored of a layer, sample by sample, (C, H, W)."""
    (row,) = store.sql(
        "SELECT channels, height, width FROM layers WHERE network = ? AND layer = ?",
        [network, layer],
    ).rows()
    for sample in range(shape[0]):
        maps = store.sql(
            "SELECT map FROM activations WHERE network = ? AND layer = ? AND sample_id = ? "
            "ORDER BY channel",
            [network, layer, sample],
        ).arrow()["map"]
        values = maps.combine_chunks().flatten().to_numpy()
        yield values.reshape(row["channels"], row["height"], row["width"])


if __name__ == "__main__":
    main()
