"""Small stores for tests: known responses, written the way an extraction writes them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from fstore.store import Store
from fstore.store.adding import commit, new_path, seal
from fstore.store.encode import write_layer
from fstore.store.files import IDENTITY_KEY, Identity, Partition
from fstore.store.local import LocalPlace
from fstore.store.weights import tensor_sums
from fstore.types import (
    CheckpointRecord,
    DatasetManifest,
    LayerResponses,
    LayerSpec,
    Part,
    SampleRecord,
    Split,
    ViewManifest,
)

PARTS: tuple[Part, ...] = ("train", "train", "val", "test", "test", "test")

STUDY = """
name = "small"
network = "net"
layers = ["conv1", "fc"]
pretrained = "5"
[classification]
dataset = "d"
"""
"""Of the store that :func:`build` makes."""


def responses(values: NDArray[np.float32]) -> LayerResponses:
    """Summarise responses of shape (n_samples, n_channels, positions), as the sink expects."""
    if values.shape[2] == 1:
        return LayerResponses(act_max=values[:, :, 0])
    return LayerResponses(
        act_max=values.max(axis=2),
        act_sum=values.sum(axis=2, dtype=np.float64),
        nnz=(values != 0).sum(axis=2).astype(np.int32),
        npos=(values > 0).sum(axis=2).astype(np.int32),
        argmax=values.argmax(axis=2).astype(np.int32),
        maps=values,
    )


def put(
    store: Store,
    partition: Partition,
    values: NDArray[np.float32],
    *,
    sample_ids: Sequence[int] | None = None,
    identity: Mapping[str, str] | None = None,
    checksum: int | None = None,
) -> Path:
    """Commit one file of responses of shape (n_samples, n_channels, positions); return it.

    ``checksum`` stands in for the right one. In object storage the file's path is its key.
    """
    ids = np.asarray(range(len(values)) if sample_ids is None else sample_ids, dtype=np.int64)
    parts = Identity(dict(identity or {"weights": partition.ckpt, "samples": "s"}))
    path = new_path(store.place, partition)
    footer = {IDENTITY_KEY: json.dumps(dict(parts.parts))}
    written = write_layer(path, [ids], [responses(values)], metadata=footer)
    written = written if checksum is None else replace(written, checksum=checksum)
    key = seal(store.place, partition, written, n_samples=len(ids), identity=parts)
    assert commit(store.place, {partition: (written, key, parts)})
    return store.path / key if isinstance(store.place, LocalPlace) else Path(key)


def folder_of_store(store: Store) -> Path:
    """Return the store's folder, or one of this machine for a store in object storage."""
    if isinstance(store.place, LocalPlace):
        return store.path
    folder = store.place.workspace("tests")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def relu(seed: int, *shape: int) -> NDArray[np.float32]:
    """Return normal numbers cut off at 0: half of them are exact zeros."""
    drawn = np.random.default_rng(seed).normal(size=shape)
    return np.maximum(drawn, 0).astype(np.float32)


def add_dataset(
    store: Store, name: str = "d", parts: Sequence[Part | None] = PARTS, *, seed: int = 0
) -> None:
    """Register images of two classes, ``a`` and ``b`` in turn, with an official split."""
    samples = tuple(
        SampleRecord(f"i{n}", f"{n}.png", f"{n:032x}", 8, 8, {"ab"[n % 2]: 1})
        for n in range(len(parts))
    )
    view = ViewManifest("image", samples, (Split("official", seed, tuple(parts)),))
    root = folder_of_store(store) / "x"
    store.register_dataset(DatasetManifest(name, "single", ("a", "b"), root, (view,)))


def add_layers(
    store: Store, network: str, shapes: Mapping[str, tuple[int, int, int]], mark: str = "!"
) -> None:
    """Record layers: name -> (channels, height, width); ``mark`` is part of the definitions."""
    specs = [
        LayerSpec(name, c, h, w, "fc" if h * w == 1 else "conv", order, f"{name}{mark}")
        for order, (name, (c, h, w)) in enumerate(shapes.items())
    ]
    store.add_layers(network, specs)


def add_checkpoint(
    store: Store,
    network: str,
    name: str,
    iteration: int | None = None,
    *,
    tensors: Mapping[str, NDArray[np.float32]] | None = None,
) -> Path:
    """Register a checkpoint of some tensors, or of one that holds its names; return the file."""
    weights = folder_of_store(store).parent / "w.safetensors"
    names = np.frombuffer(f"{network} {name}".encode(), dtype=np.uint8)
    save_file({"w": names} if tensors is None else dict(tensors), weights)
    sha256 = tensor_sums(weights).weights
    record = CheckpointRecord(network, name, iteration=iteration, sha256=sha256)
    return store.checkpoint_path(store.register_checkpoint(record, weights))


@dataclass(frozen=True)
class Built:
    """A store and the responses that are in it: layer -> (n_samples, n_channels, positions)."""

    store: Store
    values: dict[str, NDArray[np.float32]]

    def partition(self, layer: str, ckpt: str = "5") -> Partition:
        """Return where the responses of a layer are."""
        return Partition("net", ckpt, "d", "image", layer)


def build(path: str | Path, ckpts: Sequence[str] = ("5",)) -> Built:
    """Make a store: six images, layers ``conv1`` (3 x 2 x 2, dense) and ``fc`` (4, sparse)."""
    store = Store.create(path)
    add_dataset(store)
    add_layers(store, "net", {"conv1": (3, 2, 2), "fc": (4, 1, 1)})
    values = {"conv1": relu(1, 6, 3, 4) + np.float32(0.1), "fc": relu(2, 6, 4, 1)}
    values["conv1"][:, 1, :2] = 0
    built = Built(store, values)
    for ckpt in ckpts:
        add_checkpoint(store, "net", ckpt)
        for layer, x in values.items():
            put(store, built.partition(layer, ckpt), x)
    return built
