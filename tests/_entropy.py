"""Entropy curves by brute force: the paper's definition, one threshold at a time."""

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from fstore.types import FloatArray, IntArray

__all__ = ["brute_area", "brute_areas", "brute_curve", "entropy_at"]


def entropy_at(
    scores: FloatArray, labels: IntArray, threshold: float, *, weighted: bool = False
) -> float:
    """Return the entropy, in nats, of the labels of the scores that reach a threshold."""
    masses = []
    for label in np.unique(labels).tolist():
        mine = scores[(scores >= threshold) & (labels == label)]
        masses.append(math.fsum(mine.tolist()) if weighted else len(mine))
    total = math.fsum(masses)
    return -math.fsum(m / total * math.log(m / total) for m in masses if m > 0)


def brute_curve(
    scores: FloatArray, labels: IntArray, *, weighted: bool = False
) -> list[tuple[float, float, int]]:
    """Return (threshold / largest score, entropy, scores that reach it) of each score above 0."""
    above = sorted({float(s) for s in scores if s > 0}, reverse=True)
    return [
        (t / above[0], entropy_at(scores, labels, t, weighted=weighted), int((scores >= t).sum()))
        for t in above
    ]


def brute_area(scores: FloatArray, labels: IntArray, *, weighted: bool = False) -> float:
    """Return the area under the curve from 0 to the largest score, divided by that score.

    The entropy is looked up in the middle between two neighbouring scores: it is the same all over.
    A filter that never fires has the entropy of all labels.
    """
    above = sorted({0.0} | {float(s) for s in scores if s > 0})
    if len(above) == 1:
        return entropy_at(np.ones(len(labels)), labels, 0)
    return math.fsum(
        (high - low) / above[-1] * entropy_at(scores, labels, (low + high) / 2, weighted=weighted)
        for low, high in itertools.pairwise(above)
    )


def brute_areas(X: NDArray[np.float32], labels: IntArray, measure: str) -> NDArray[np.float64]:
    """Return the area of every filter; X of shape (n_samples, n_filters, positions)."""
    if measure == "sp_max":
        X = X.max(axis=2, keepdims=True)
    places = np.repeat(labels, X.shape[2])
    return np.array(
        [
            brute_area(X[:, i].ravel().astype(float), places, weighted=measure == "weighted")
            for i in range(X.shape[1])
        ]
    )
