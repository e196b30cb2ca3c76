"""What SVMs learn from: inner products of up to 10,000 samples, the features themselves of more."""

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fstore.queries.methods.features_file import FeaturesFile
from fstore.queries.methods.gram import feature_norm_factor, gram, watched
from fstore.queries.methods.no_direction import EXACT, constant_objective, constant_score
from fstore.queries.methods.svm import POSITIVE_WEIGHT, SVMs, fit
from fstore.queries.methods.wide import WideSVMs, fit_wide
from fstore.queries.samples.blocks import Rows, ablated_blocks
from fstore.store.features import layer_shape
from fstore.types import OnProgress

if TYPE_CHECKING:
    from fstore.store import Store
    from fstore.types import IntArray

__all__ = ["LARGEST_KERNEL", "Products", "products", "scores_of"]

LARGEST_KERNEL = 10_000
"""Samples whose inner products are held: 400 MB."""

LOWER, MOST = 1e-4, 1e-5
"""How much weights have to lower the best constant's objective to be a direction: this share of it
for each unit of C, at most a hundred-thousandth. What float32 leaves of inner products, relative to
the objective, grows with C like that; it tells no less.
"""

Products: TypeAlias = NDArray[np.float32] | FeaturesFile


def products(
    store: "Store",
    rows: Sequence[Rows],
    *,
    ablation: str = "none",
    seed: int = 0,
    device: str = "auto",
    on_progress: OnProgress | None = None,
) -> Products:
    """Return what SVMs learn from, read once from the store.

    Parameters
    ----------
    store : Store
    rows : sequence of Rows
    ablation, seed, device, on_progress
        As for :func:`fstore.queries.methods.gram.gram`.

    Returns
    -------
    array of shape (n_samples, n_samples), float32, or FeaturesFile
        Inner products; of more than 10,000 samples the features, in a file of the folder for
        temporary files that is gone with the object: 4 bytes a feature and sample.

    Raises
    ------
    UnknownNameError
        No such ablation, or activations are not there.
    DataError
        A response is NaN or infinite (it is named), or inner products are too large.
    """
    n_samples, at = sum(len(r.ids) for r in rows), rows[0].partition
    if n_samples <= LARGEST_KERNEL:
        return gram(
            store, rows, ablation=ablation, seed=seed, device=device, on_progress=on_progress
        ).kernel
    channels = layer_shape(store, at).channels
    blocks = ablated_blocks(store, rows, ablation=ablation, seed=seed)
    what = f"features of {at.layer} {ablation}"
    seen = iter(watched(blocks, channels, what, on_progress=on_progress))
    first = next(seen)
    n_features = channels * int(np.prod(first.shape[2:]))
    return FeaturesFile(chain([first], seen), n_samples=n_samples, n_features=n_features)


def scores_of(
    inputs: Products,
    Y: NDArray[np.int8],
    train: "IntArray",
    *,
    test: "IntArray",
    C: float | NDArray[np.float64],
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_]]:
    """Train SVMs on some rows and score others, features scaled to a mean norm of 20.

    An SVM whose weights do not lower the objective below that of the best constant has no
    direction: what a solver returns for weights of exactly 0 ranks by chance. It gives that
    constant for every sample.

    Parameters
    ----------
    inputs : array of shape (n_samples, n_samples), float32, or FeaturesFile
    Y : array of shape (n_samples, n_models), int8
        1, -1, or 0: left out.
    train, test : arrays of int
        Rows.
    C : float or array of shape (n_models,)

    Returns
    -------
    scores : array of shape (n_test, n_models), float32
    gap : array of shape (n_models,), float64
        Duality gaps relative to the objective.
    no_direction : array of shape (n_models,), bool
    """
    models: SVMs | WideSVMs
    if isinstance(inputs, FeaturesFile):
        models = fit_wide(inputs, train, Y[train], C=C)
        scores = models.scores(inputs, test)
    else:
        scale = feature_norm_factor(inputs, train) ** 2
        models = fit(inputs[np.ix_(train, train)], Y[train], C=C, scale=scale)
        scores = models.scores(inputs[np.ix_(test, train)])
    least, constant = _constants(Y[train], C)
    lower = np.clip(LOWER * np.asarray(C), EXACT, MOST)
    none = models.objective >= (1 - lower) * least
    scores[:, none] = constant[none]
    bound = models.objective * (1 - models.gap)  # that no weights can lower the objective below
    return scores, np.where(none, np.maximum(1 - bound / least, 0), models.gap), none


def _constants(
    Y: NDArray[np.int8], C: float | NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the objective of the best constant of each model, and that constant."""
    y, limits = Y.astype(np.float64), np.broadcast_to(C, Y.shape[1])
    upper = np.where(Y > 0, POSITIVE_WEIGHT, 1.0) * (Y != 0) * limits
    pairs = [
        (constant_objective(*pair), constant_score(*pair))
        for pair in zip(y.T, upper.T, strict=True)
    ]
    least, constant = np.array(pairs).reshape(-1, 2).T
    return least, constant
