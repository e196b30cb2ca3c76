"""A store for classification: three data sets whose features say something of their classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import LinearSVC

from _build import add_checkpoint, add_layers, put
from fstore.store import Store
from fstore.store.files import Partition
from fstore.types import DatasetManifest, IntArray, Part, SampleRecord, Split, ViewManifest

CLASSES = ("a", "b", "c")
N = 60


@dataclass(frozen=True)
class World:
    """A store, what is in it, and which parts its samples play: seed -> part of each sample."""

    store: Store
    Y: NDArray[np.int8]
    values: dict[str, NDArray[np.float32]]
    parts: dict[int, list[Part]]

    def rows(self, seed: int, *parts: str) -> NDArray[np.intp]:
        """Return the samples of some parts of a split."""
        return np.flatnonzero(np.isin(self.parts[seed], parts))


def make(
    path: Path, *, single: bool = False, ckpts: Sequence[str] = ("5",), name: str = "d"
) -> World:
    """Make a store: layers ``conv`` (4 x 3 x 3) and ``fc`` (40) of a data set, three random splits.

    Labels are of several classes a sample, some of them difficult only, or of a ``single`` one.
    """
    rng = np.random.default_rng(7)
    Y = _labels(rng, single=single)
    parts = {seed: _parts(seed) for seed in range(3)}
    store = Store.create(path)
    add_manifest(store, name, Y, parts)
    add_layers(store, "net", {"conv": (4, 3, 3), "fc": (40, 1, 1)})
    signal = (Y > 0) @ rng.normal(size=(3, 40))
    fc = np.maximum(signal + rng.normal(size=(N, 40)), 0).astype(np.float32)[:, :, None]
    conv = np.maximum(
        signal[:, :4, None] * rng.random(size=(1, 1, 9)) + rng.normal(size=(N, 4, 9)), 0
    ).astype(np.float32)
    values = {"conv": conv, "fc": fc}
    for ckpt in ckpts:
        add_checkpoint(store, "net", ckpt)
        for layer, x in values.items():
            put(store, Partition("net", ckpt, name, "image", layer), x)
    return World(store, Y, values, parts)


def add_manifest(
    store: Store, name: str, Y: NDArray[np.int8], parts: dict[int, list[Part]], *, first: int = 0
) -> None:
    """Register samples with labels, an official split (seed 0) and random ones (all seeds).

    Files are numbered from ``first``: data sets whose numbers meet share images.
    """
    samples = tuple(
        SampleRecord(
            f"i{n}",
            f"{n}.png",
            f"{first + n:032x}",
            8,
            8,
            {c: int(y) for c, y in zip(CLASSES, row, strict=True) if y >= 0},
        )
        for n, row in enumerate(Y)
    )
    splits = [Split("random", seed, tuple(p)) for seed, p in parts.items()]
    splits.insert(0, Split("official", 0, tuple(parts[0])))
    view = ViewManifest("image", samples, tuple(splits))
    task = "single" if (np.sum(Y > 0, axis=1) == 1).all() else "multi"
    store.register_dataset(
        DatasetManifest(name, cast("Any", task), CLASSES, store.path / "x", (view,))
    )


def _labels(rng: np.random.Generator, *, single: bool) -> NDArray[np.int8]:
    if single:
        return (2 * np.eye(3, dtype=np.int8)[rng.permutation(N) % 3] - 1).astype(np.int8)
    return rng.choice(np.array([1, -1, 0], dtype=np.int8), size=(N, 3), p=[0.4, 0.5, 0.1])


def _parts(seed: int) -> list[Part]:
    drawn = np.random.default_rng(seed).permutation(N)
    counts: dict[Part, int] = {"train": 30, "val": 10, "test": 20}
    names = [part for part, n in counts.items() for _ in range(n)]
    return [names[i] for i in drawn]


def scores_of(
    X: NDArray[np.float64],
    y: NDArray[np.int8],
    train: IntArray,
    test: IntArray,
    C: float = 1e-3,
) -> NDArray[np.float64]:
    """Return the scores of the protocol's SVM by scikit-learn on the dense matrix."""
    X = X * (20 / np.linalg.norm(X[train], axis=1).mean())
    used = train[y[train] != 0]
    peer = LinearSVC(
        loss="hinge",
        dual=True,
        C=C,
        class_weight={1: 2},
        intercept_scaling=10,
        tol=1e-10,
        max_iter=1_000_000,
    ).fit(X[used], y[used])
    found: NDArray[np.float64] = peer.decision_function(X[test])
    return found
