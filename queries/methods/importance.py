"""How much single filters matter to a linear probe, without fitting it again."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore.queries.methods.probes import Measure
from fstore.store.precision import ap

if TYPE_CHECKING:
    from fstore.queries.methods.probes import Linear
    from fstore.types import FloatArray

__all__ = ["class_values", "scores_without"]


def scores_without(
    model: "Linear", X: "FloatArray", fill: "FloatArray"
) -> Iterator[NDArray[np.float64]]:
    """Yield the scores of a probe with one filter's features replaced, filter by filter.

    Scores are sums over features, so those of a filter are taken off and others put on: nothing
    is fitted again.

    Parameters
    ----------
    model : Linear
        Of n_filters * positions features.
    X : array of shape (n_samples, n_filters, positions), float32 or float64
    fill : array of shape (n_filters, positions), float32 or float64
        What stands in for the features of a filter.

    Yields
    ------
    array of shape (n_samples, n_classes), float64
    """
    n_filters, positions = X.shape[1:]
    weights = model.weights.reshape(n_filters, positions, -1)
    whole = model.scores(X.reshape(len(X), -1))
    for channel in range(n_filters):
        yield whole - (X[:, channel] - fill[channel].astype(np.float64)) @ weights[channel]


def class_values(
    scores: NDArray[np.float64], Y: NDArray[np.int8], measure: Measure
) -> NDArray[np.float64]:
    """Return how well each class is told.

    Parameters
    ----------
    scores : array of shape (n_samples, n_classes), float64
        -inf for a class that was not learned.
    Y : array of shape (n_samples, n_classes), int8
        1, -1, or 0: left out for that class.
    measure : {"accuracy", "ap"}

    Returns
    -------
    array of shape (n_classes,), float64
        The share of a class's samples that are right, or its all-points AP; 0 to 1. NaN for a class
        without a sample, and for the AP of one that was not learned.
    """
    found = np.full(Y.shape[1], np.nan)
    chosen = scores.argmax(axis=1)
    for c in range(Y.shape[1]):
        shown = Y[:, c] > 0
        if not shown.any():
            continue
        if measure == "accuracy":
            found[c] = (chosen[shown] == c).mean()
        elif not np.isneginf(scores[:, c]).all():
            found[c] = ap(scores[:, c], Y[:, c])
    return found
