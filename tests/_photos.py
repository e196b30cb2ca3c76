"""A small store with image files: known responses to pictures whose colours tell where one is."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save_file

from _build import put
from fstore.fields import Field
from fstore.pixels.image_files import digest_bytes
from fstore.store import Store
from fstore.store.field_files import add_fields
from fstore.store.files import Partition
from fstore.store.weights import tensor_sums
from fstore.types import (
    CheckpointRecord,
    DatasetManifest,
    LayerSpec,
    Part,
    SampleRecord,
    Split,
    ViewManifest,
)

__all__ = ["CLASSES", "COLOURS", "Photos", "build_photos"]

SIDE, N = 32, 24
CLASSES = ("ant", "bee", "cat & <b>dog</b>")
COLOURS = ((220, 30, 30), (30, 200, 30), (30, 30, 220), (220, 220, 30))
"""Of an image's quarters, row by row."""
PARTS: tuple[Part, ...] = ("train", "val", "test", "test")
TASKS: dict[str, Literal["single", "multi", "none"]] = {
    "single": "single",
    "several": "multi",
    "plain": "none",
}
LAYERS = {"conv1": (6, 2, 2), "fc": (5, 1, 1)}
PREPROCESSING = {
    "size": SIDE, "resize": SIDE, "resize_mode": "warp", "order": "RGB", "scale": 1.0,
    "mean": [128.0] * 3, "std": [1.0] * 3, "context": 0,
}  # fmt: skip


@dataclass(frozen=True)
class Photos:
    """The store, and its responses: (checkpoint, layer) -> (samples, channels, positions).

    Data set ``single`` shows one class a sample, ``several`` one or two, ``plain`` has none; the
    responses to all three are the same. Of ``conv1``, filter 4 never fires, and filter 5 at place 1
    of samples 0 (1.0) and 5 (2.0) alone.
    """

    store: Store
    root: Path
    values: dict[tuple[str, str], NDArray[np.float32]]

    def address(self, layer: str, ckpt: str = "late", dataset: str = "single") -> dict[str, str]:
        """Return the parameters of a page about a partition."""
        of = {"network": "net", "ckpt": ckpt, "dataset": dataset, "view": "image"}
        return {**of, "layer": layer}

    def largest(self, layer: str, ckpt: str = "late") -> NDArray[np.float32]:
        """Return the largest response of each filter to each sample."""
        return np.asarray(self.values[ckpt, layer].max(axis=2))


def build_photos(folder: Path) -> Photos:
    """Make the store: 24 images, two layers, two checkpoints, a field of a quarter for conv1."""
    root = folder / "images"
    root.mkdir()
    store = Store.create(folder / "store")
    for name, task in TASKS.items():
        samples = tuple(_sample(root, i, name) for i in range(N))
        split = Split("official", 0, tuple(PARTS[i % 4] for i in range(N)))
        classes = () if name == "plain" else CLASSES
        view = ViewManifest("image", samples, (split,))
        store.register_dataset(DatasetManifest(name, task, classes, root, (view,)))
    specs = [
        LayerSpec(name, c, h, w, "fc" if h * w == 1 else "conv", i, f"{name}!")
        for i, (name, (c, h, w)) in enumerate(LAYERS.items())
    ]
    store.add_layers("net", specs)
    field = Field(16, 16, 16, 16, 0, 0, SIDE)
    definitions = {r["layer"]: r["definition"] for r in store.rows("layers").to_pylist()}
    add_fields(store.place, "net", {"conv1": (definitions["conv1"], field)})
    values = {}
    for seed, ckpt in enumerate(("early", "late")):
        _checkpoint(store, folder, ckpt)
        for layer, (channels, height, width) in LAYERS.items():
            x = _responses(10 * seed + len(layer), channels, height * width)
            values[ckpt, layer] = x
            for dataset in TASKS:
                put(store, Partition("net", ckpt, dataset, "image", layer), x)
    return Photos(store, root, values)


def _sample(root: Path, i: int, dataset: str) -> SampleRecord:
    path = root / f"{i:02d}.png"
    if not path.exists():
        quarters = np.array(COLOURS, dtype=np.uint8).reshape(2, 2, 3)
        pixels = np.roll(quarters, i % 2, axis=0).repeat(SIDE // 2, 0).repeat(SIDE // 2, 1)
        pixels[-1, -1] = i  # no two files are alike
        Image.fromarray(pixels).save(path)
    shown = {CLASSES[i % 3]: 1}
    if dataset == "several" and i % 6 == 0:
        shown |= {CLASSES[(i + 1) % 3]: 1}
    if dataset == "several" and i % 5 == 1:
        shown |= {CLASSES[(i + 2) % 3]: 0}
    digest = digest_bytes(path.read_bytes())
    labels = {} if dataset == "plain" else shown
    return SampleRecord(path.stem, path.name, digest, SIDE, SIDE, labels)


def _responses(seed: int, channels: int, positions: int) -> NDArray[np.float32]:
    """Return responses that lean towards a class each; many are 0, and some are alike."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(N, channels, positions))
    for channel in range(channels):
        x[channel % 3 :: 3, channel] += 0.7
    responses: NDArray[np.float32] = np.round(np.maximum(x, 0), 1).astype(np.float32)
    if positions > 1:
        responses[:, 4:6] = 0
        responses[[0, 5], 5] = np.array([1, 2], dtype=np.float32)[:, None] * np.eye(4)[1]
    return responses


def _checkpoint(store: Store, folder: Path, name: str) -> None:
    """Register weights: six filters over three colours, and nothing else."""
    weights = np.zeros((6, 3, 16, 16), dtype=np.float32)
    weights[:, 0, :8] = 1  # the upper half likes red
    weights[5, 0, 0, 0] = 1 if name == "early" else 2
    save_file({"conv1.weight": weights}, folder / "w.safetensors")
    record = CheckpointRecord(
        "net",
        name,
        iteration=1 if name == "early" else 2,
        parent=None if name == "early" else "early",
        preprocessing=json.dumps(PREPROCESSING),
        sha256=tensor_sums(folder / "w.safetensors").weights,
    )
    store.register_checkpoint(record, folder / "w.safetensors")
