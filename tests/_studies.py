"""A store that has all that the paper's reports ask for: images, scenes, boxes, two checkpoints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from _build import add_checkpoint, add_layers, put
from fstore.queries.studies.study import Study, parse_study
from fstore.store import Store
from fstore.store.files import Partition
from fstore.types import DatasetManifest, Part, SampleRecord, Split, View, ViewManifest

CLASSES = ("cat", "dog", "bus", "car")
SHAPES = {"conv5": (32, 2, 2), "fc7": (40, 1, 1)}
CKPTS = ("5k", "15k")
N = 48
DIFFICULT = (3, 10, 17)
"""Boxes of ``g`` that are flagged difficult: one in each part."""

SILENT = 7
"""A filter of either layer that never fires."""

STUDY = """
name = "small"
network = "net"
layers = ["conv5", "fc7"]
mid_layer = "conv5"
top_layer = "fc7"
seeds = [0, 1, 2]
sweep = ["5k", "15k"]
pretrained = "5k"
finetuned = "15k"
[pretrain]
dataset = "s"
[classification]
dataset = "d"
split = "random"
[detection]
dataset = "g"
[scenes]
dataset = "s"
split = "random"
"""


@dataclass(frozen=True)
class StudyWorld:
    """A store and what is in it: images ``d``, scenes ``s``, boxes ``g``.

    ``Y`` is what samples show (1, -1, or 0: as difficult only), by data set; ``values`` the
    responses, by data set, checkpoint and layer; ``parts`` the part of each sample, by data set and
    seed.
    """

    store: Store
    Y: Mapping[str, NDArray[np.int8]]
    values: Mapping[tuple[str, str, str], NDArray[np.float32]]
    parts: Mapping[str, Mapping[int, Sequence[Part]]]

    @property
    def study(self) -> Study:
        """The study of :data:`STUDY`."""
        return parse_study(STUDY)

    def rows(self, dataset: str, seed: int, *parts: str) -> NDArray[np.intp]:
        """Return the samples of some parts of a split, difficult boxes left out."""
        found = np.flatnonzero(np.isin(self.parts[dataset][seed], parts))
        return np.setdiff1d(found, DIFFICULT) if dataset == "g" else found

    def boxes(self, part: str = "test") -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """Return the boxes of a part, and the class of each."""
        rows = self.rows("g", 0, part)
        return rows, self.Y["g"][rows].argmax(axis=1)


def make_study(
    path: Path,
    *,
    classes: Sequence[str] = CLASSES,
    tensors: Mapping[str, Mapping[str, NDArray[np.float32]]] | None = None,
) -> StudyWorld:
    """Make a store of 48 samples a data set, which say something of their four classes.

    Checkpoints hold ``tensors`` of their name, if given.
    """
    rng = np.random.default_rng(11)
    store = Store.create(path)
    add_layers(store, "net", SHAPES)
    for ckpt in CKPTS:
        add_checkpoint(store, "net", ckpt, tensors=None if tensors is None else tensors[ckpt])
    single = (2 * np.eye(4, dtype=np.int8)[rng.permutation(N) % 4] - 1).astype(np.int8)
    several = rng.choice(np.array([1, -1, 0], dtype=np.int8), size=(N, 4), p=[0.35, 0.55, 0.1])
    boxes = single[::-1].copy()
    boxes[list(DIFFICULT)] = np.minimum(boxes[list(DIFFICULT)], 0)
    Y = {"d": several, "s": single, "g": boxes}
    parts = {name: {seed: _parts(seed) for seed in range(1 if name == "g" else 3)} for name in Y}
    values = {}
    for name, labels in Y.items():
        view: View = "gt" if name == "g" else "image"
        add_samples(store, name, labels, parts[name], view=view, classes=classes)
        for ckpt in CKPTS:
            for layer in SHAPES:
                x = _responses(rng, labels, layer, 1 if ckpt == "5k" else 2)
                put(store, Partition("net", ckpt, name, view, layer), x)
                values[name, ckpt, layer] = x
    return StudyWorld(store, Y, values, parts)


def add_samples(
    store: Store,
    name: str,
    Y: NDArray[np.int8],
    parts: Mapping[int, Sequence[Part | None]],
    *,
    view: View = "image",
    classes: Sequence[str] = CLASSES,
) -> None:
    """Register samples with labels; an official split (that of seed 0), random ones if several.

    In view ``gt`` a sample without a sure class is flagged difficult.
    """
    where: dict[str, Any] = {"box": (1.0, 1.0, 4.0, 4.0)} if view == "gt" else {}
    samples = tuple(
        SampleRecord(
            f"i{n}",
            f"{n}.png",
            f"{n:032x}",
            8,
            8,
            {c: int(y) for c, y in zip(classes, row, strict=True) if y >= 0},
            difficult=view == "gt" and not (row > 0).any(),
            **where,
        )
        for n, row in enumerate(Y)
    )
    splits = [Split("official", 0, tuple(parts[0]))]
    splits += [Split("random", k, tuple(p)) for k, p in parts.items() if len(parts) > 1]
    single = view == "image" and bool((np.sum(Y > 0, axis=1) == 1).all())
    task: Literal["single", "multi"] = "single" if single else "multi"
    manifest = ViewManifest(view, samples, tuple(splits))
    store.register_dataset(
        DatasetManifest(name, task, tuple(classes), store.path / "x", (manifest,))
    )


def _parts(seed: int) -> list[Part]:
    """Return 20 train, 8 val, 20 test; boxes 3, 10 and 17 of seed 0 in one part each."""
    counts: dict[Part, int] = {"train": 20, "val": 8, "test": 20}
    names = [part for part, n in counts.items() for _ in range(n)]
    drawn = [names[i] for i in np.random.default_rng(seed).permutation(N)]
    if seed == 0:
        for at, part in zip(DIFFICULT, counts, strict=True):
            other = next(i for i, p in enumerate(drawn) if p == part and i not in DIFFICULT)
            if drawn[at] != part:
                drawn[at], drawn[other] = drawn[other], drawn[at]
    return drawn


def _responses(
    rng: np.random.Generator, Y: NDArray[np.int8], layer: str, strength: float
) -> NDArray[np.float32]:
    """Return responses, half of them 0; those of ``strength`` say more of the classes."""
    channels, height, width = SHAPES[layer]
    signal = strength * (Y > 0) @ rng.normal(size=(Y.shape[1], channels))
    x = signal[:, :, None] + 1.5 * rng.normal(size=(len(Y), channels, height * width))
    found: NDArray[np.float32] = np.maximum(x, 0).astype(np.float32)
    found[:, SILENT] = 0
    return found
