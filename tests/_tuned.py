"""A store whose fine-tuned checkpoints have features of their own, and peers of its SVMs."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score

from _build import put
from _problems import N, World, make, scores_of
from fstore.store import Store
from fstore.store.export import export_features
from fstore.store.files import Partition
from fstore.store.precision import voc_ap
from fstore.types import CheckpointRecord

STUDY = """
name = "small"
network = "net"
layers = ["conv", "fc"]
top_layer = "fc"
seeds = [0, 1, 2]
sweep = ["5", "15"]
pretrained = "15"
tuned = [
    { task = "scenes", mode = "scratch" },
    { task = "scenes", mode = "ft", parent = "15" },
    { task = "scenes", mode = "fc-ft", parent = "15" },
    { task = "scenes", mode = "ft", parent = "5" },
]
[scenes]
dataset = "d"
split = "random"
"""
KINDS = ("d-scratch", "15-d-ft", "15-d-fc-ft", "5-d-ft")
RUNS = ("", "-s1", "-s2")
SOFTMAX = (0.5, 0.625, 0.75)


def make_tuned(path: Path, *, single: bool = True) -> World:
    """Make a store: checkpoints ``5`` and ``15``, and three runs of each kind of ``KINDS``."""
    world = make(path, single=single, ckpts=("5",))
    add_run(world, "15", seed=100, recipe={"held_out_accuracy": 0.25})  # on other data
    for i, kind in enumerate(KINDS):
        for run, (suffix, accuracy) in enumerate(zip(RUNS, SOFTMAX, strict=True)):
            recipe = {"held_out_accuracy": accuracy, "trainval": kind != "d-scratch"}
            add_run(world, kind + suffix, seed=10 * i + run, recipe=recipe)
    return world


def add_run(world: World, name: str, *, seed: int, recipe: dict[str, float]) -> None:
    """Register a checkpoint whose features are those of the others with noise of its own."""
    weights = world.store.path.parent / "w.safetensors"
    weights.write_text(name)
    record = CheckpointRecord("net", name, sha256=f"{seed:064}", recipe=json.dumps(recipe))
    world.store.register_checkpoint(record, weights)
    noise = np.random.default_rng(seed).normal(size=(N, 40, 1))
    values = np.maximum(world.values["fc"] + 4 * noise, 0).astype(np.float32)
    put(world.store, place(name), values)


def place(ckpt: str) -> Partition:
    """Return where a checkpoint's features are."""
    return Partition("net", ckpt, "d", "image", "fc")


def exported(store: Store, ckpt: str, folder: Path) -> NDArray[np.float64]:
    """Return a checkpoint's features as ``fstore export`` writes them."""
    out = export_features(store, place(ckpt), folder / f"{ckpt}.npy", overwrite=True)
    return np.load(out).astype(np.float64)  # type: ignore[no-any-return]


def accuracy_of(world: World, X: NDArray[np.float64], seed: int) -> float:
    """Return class-averaged accuracy in percent by scikit-learn's SVMs on one split."""
    fitted, test = world.rows(seed, "train", "val"), world.rows(seed, "test")
    found = np.stack([scores_of(X, y, fitted, test) for y in world.Y.T]).argmax(axis=0)
    return 100 * float(balanced_accuracy_score(world.Y.argmax(axis=1)[test], found))


def mean_ap_of(world: World, X: NDArray[np.float64], seed: int) -> float:
    """Return mean 11-point AP in percent by scikit-learn's SVMs on one split."""
    fitted, test = world.rows(seed, "train", "val"), world.rows(seed, "test")
    return 100 * float(np.mean([voc_ap(scores_of(X, y, fitted, test), y[test]) for y in world.Y.T]))
