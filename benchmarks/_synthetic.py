"""Activations that nobody computed: the shapes of CaffeNet's layers, the paper's densities."""

from collections.abc import Iterator
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from fstore.types import ActivationBatch, LayerResponses

__all__ = ["DENSITIES", "SHAPES", "batches", "responses"]

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
    x = np.maximum(x - threshold, 0) * np.float32(20)
    bits = x.view(np.uint32)
    bits += 0xFFF + ((bits >> 13) & 1)
    bits &= 0xFFFFE000
    return _summarised(x)


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
