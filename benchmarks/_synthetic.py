"""Activations that nobody computed: the shapes of CaffeNet's layers, the paper's densities."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

import fstore
from fstore.store import Store
from fstore.store.files import Identity, Partition
from fstore.store.sink import write_shard
from fstore.types import (
    ActivationBatch,
    DatasetManifest,
    LayerResponses,
    LayerSpec,
    SampleRecord,
    Split,
    View,
    ViewManifest,
)

__all__ = [
    "CLASSES",
    "DENSITIES",
    "SHAPES",
    "batches",
    "labelled_batches",
    "labelled_store",
    "multi_labels",
    "responses",
    "single_labels",
]

CLASSES = tuple(f"class{i:02d}" for i in range(20))
PRIORS = np.array([0.4, *np.linspace(0.12, 0.04, 19)])
"""Shares of images that show a class: one as common as VOC's person, the others as rare as most."""

SIGNAL = 0.13
"""What a class adds to a filter where it is seen (standard deviation over filters)."""

SHARED, RANK = 0.8, 256
"""Share of a place's variance that lies in directions common to all places and filters, and how
many: the j-th has 1/j of it, as the spectrum of real responses falls."""

SPREAD = 1.2
"""Standard deviation of what makes one filter fire more often than another. All three in standard
deviations of a place."""

SHARD = 384
"""Samples a file: what extraction makes of CaffeNet (384 MiB of raw float32, all layers)."""

SHAPES = {
    "conv1": (96, 27, 27),
    "conv2": (256, 13, 13),
    "conv3": (384, 13, 13),
    "conv4": (384, 13, 13),
    "conv5": (256, 6, 6),
    "fc6": (4096, 1, 1),
    "fc7": (4096, 1, 1),
}
DENSITIES = {  # Table 6 of the paper
    "conv1": 0.875,
    "conv2": 0.445,
    "conv3": 0.318,
    "conv4": 0.320,
    "conv5": 0.277,
    "fc6": 0.161,
    "fc7": 0.216,
}


def responses(
    random: np.random.Generator, n_samples: int, shape: tuple[int, int, int], density: float
) -> LayerResponses:
    """Draw rectified Gaussians, each independent of its neighbours, rounded to TF32.

    Independent values are the hardest to compress: real maps are smoother, and whole maps of
    them are zero.
    """
    threshold = np.float32(NormalDist().inv_cdf(1 - density))
    x = random.standard_normal((n_samples, shape[0], shape[1] * shape[2]), dtype=np.float32)
    return _summarised(_rounded(np.maximum(x - threshold, 0) * np.float32(20)))


def _rounded(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round to TF32, in place."""
    bits = x.view(np.uint32)
    bits += 0xFFF + ((bits >> 13) & 1)
    bits &= 0xFFFFE000
    return x


def _summarised(x: NDArray[np.float32]) -> LayerResponses:
    if x.shape[2] == 1:
        return LayerResponses(act_max=x[:, :, 0])
    return LayerResponses(
        act_max=x.max(-1),
        act_sum=x.sum(-1, dtype=np.float64),
        nnz=(x != 0).sum(-1, dtype=np.int32),
        npos=(x > 0).sum(-1, dtype=np.int32),
        argmax=x.argmax(-1).astype(np.int32),
        maps=x,
    )


def batches(n_samples: int, *, size: int = 32, seed: int = 0) -> Iterator[ActivationBatch]:
    """Yield batches of all seven layers."""
    random = np.random.default_rng(seed)
    for start in range(0, n_samples, size):
        ids = np.arange(start, min(start + size, n_samples), dtype=np.int64)
        yield ActivationBatch(
            ids,
            {
                layer: responses(random, len(ids), shape, DENSITIES[layer])
                for layer, shape in SHAPES.items()
            },
        )


def multi_labels(n_samples: int, *, seed: int = 0) -> NDArray[np.int8]:
    """Draw what images show: 1 or -1, shape (n_samples, 20); each at least one class."""
    random = np.random.default_rng(seed)
    Y = np.where(random.random((n_samples, len(CLASSES))) < PRIORS, 1, -1).astype(np.int8)
    empty = np.flatnonzero((Y < 0).all(axis=1))
    Y[empty, random.integers(0, len(CLASSES), len(empty))] = 1
    return Y


def single_labels(n_samples: int, *, seed: int = 0) -> NDArray[np.int8]:
    """Draw the one class of each box: 1 or -1, shape (n_samples, 20)."""
    random = np.random.default_rng(seed)
    drawn = random.choice(len(CLASSES), size=n_samples, p=PRIORS / PRIORS.sum())
    return (2 * np.eye(len(CLASSES), dtype=np.int8)[drawn] - 1).astype(np.int8)


def labelled_batches(
    Y: NDArray[np.int8], layer: str, *, size: int = 64, seed: int = 0
) -> Iterator[ActivationBatch]:
    """Yield batches of one layer's responses that say something, not all, of the samples' classes.

    Before rectification a response is the sum of what each of the sample's classes adds to the
    filter (at three places of ten), of variation that places and filters share, and of noise of
    its own. Filters differ in how often they fire; the mean density is about the paper's.
    """
    channels, height, width = SHAPES[layer]
    places, random = height * width, np.random.default_rng(seed)
    share = SHARED / np.arange(1, RANK + 1) / (1 / np.arange(1, RANK + 1)).sum()
    mixing = random.standard_normal((RANK, channels * places), dtype=np.float32)
    mixing *= np.sqrt(share).astype(np.float32)[:, None]
    tuning = random.standard_normal((Y.shape[1], channels), dtype=np.float32) * np.float32(SIGNAL)
    offset = SPREAD * random.standard_normal(channels)
    offset -= NormalDist(sigma=float(np.hypot(1, SPREAD))).inv_cdf(1 - DENSITIES[layer])
    for start in range(0, len(Y), size):
        shown = (Y[start : start + size] > 0).astype(np.float32)
        n = len(shown)
        x = (random.standard_normal((n, RANK), dtype=np.float32) @ mixing).reshape(
            n, channels, places
        )
        noise = random.standard_normal(x.shape, dtype=np.float32)
        x += np.float32(np.sqrt(1 - SHARED)) * noise
        seen = random.random((n, 1, places)) < 0.3
        x += (shown @ tuning)[:, :, None] * seen + offset.astype(np.float32)[:, None]
        x = _rounded(np.maximum(x, 0) * np.float32(20))
        yield ActivationBatch(np.arange(start, start + n), {layer: _summarised(x)})


def labelled_store(
    path: Path | str,
    layer: str,
    Y: NDArray[np.int8],
    splits: Sequence[Split],
    *,
    view: View,
    shard: int = SHARD,
) -> Partition:
    """Write a store of one layer's responses to labelled samples, a shard at a time.

    The images, which nobody looks at, are said to lie in this folder.
    """
    store: Store = fstore.create(path)
    store.add_layers("caffenet", [LayerSpec(layer, *SHAPES[layer], "conv", 0, "synthetic")])
    samples = tuple(
        SampleRecord(
            str(i), f"{i}.jpg", "", 500, 375, {CLASSES[c]: 1 for c in np.flatnonzero(y > 0)}
        )
        for i, y in enumerate(Y)
    )
    task = "single" if ((Y > 0).sum(axis=1) == 1).all() else "multi"
    manifest = ViewManifest(view, samples, tuple(splits))
    store.register_dataset(
        DatasetManifest("drawn", task, CLASSES, Path(__file__).parent, (manifest,))
    )
    place = Partition("caffenet", "synthetic", "drawn", view, layer)
    made = labelled_batches(Y, layer, size=64)
    while batches := list(islice(made, -(-shard // 64))):
        write_shard(store.place, batches, {place: Identity({"weights": "none: drawn at random"})})
    return place
