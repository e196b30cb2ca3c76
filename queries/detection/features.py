"""Ablated features of boxes, some samples at a time: rows of the matrix that SVMs see."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.queries.methods.gram import MEAN_NORM
from fstore.queries.samples.ablations import parse_ablation
from fstore.queries.samples.labels import readable
from fstore.store.features import layer_shape, read_samples
from fstore.store.permutation import permutation
from fstore.store.remedies import how_to_replace, rectified

if TYPE_CHECKING:
    from fstore.store import Store
    from fstore.store.files import Partition

__all__ = ["BLOCK_BYTES", "feature_rows", "n_features", "norm_sum"]

BLOCK_BYTES = 1 << 29
"""Of features that are held at a time, as read and once more as rows."""


def n_features(store: "Store", partition: "Partition", ablation: str) -> int:
    """Return the length of a feature vector of a layer after an ablation."""
    shape, change = layer_shape(store, partition), parse_ablation(ablation)
    places = 1 if change.what == "sp_max" else shape.positions
    one = change.apply(np.zeros((1, 1, places), dtype=np.float32), _orders(places, 1))
    return shape.channels * int(one.shape[2])


def feature_rows(
    store: "Store",
    partition: "Partition",
    ids: NDArray[np.int64],
    *,
    ablation: str = "none",
    seed: int = 0,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Yield the features of samples, block after block, each file read once.

    Parameters
    ----------
    store : Store
    partition : Partition
    ids : array of int64
        Wanted samples. Those whose image some run could not read are passed over.
    ablation : str
        See :func:`fstore.queries.samples.ablations.parse_ablation`.
    seed : int
        Of the permutations of sp-shuffle.

    Yields
    ------
    ids : array of shape (n_samples,), int64
    X : array of shape (n_samples, n_features), float32
        Channel c at place p of a map of P places is column ``c * P + p``.

    Raises
    ------
    UnknownNameError
        No such ablation; activations are not there, the message has the command that makes them.
    DataError
        A response is NaN or infinite; only bits are stored, and the ablation is not binarize.
    """
    change = parse_ablation(ablation)
    if change.all_samples:
        raise DataError(
            f"ablation {ablation} depends on all samples of a question; regions come a few at a "
            "time: use another"
        )
    stored = readable(store, partition, ids)
    for read, X in read_samples(store, partition, stored, what=change.what, max_bytes=BLOCK_BYTES):
        if not np.isfinite(X.sum()):
            raise DataError(_not_finite(partition, read, X, store=store))
        orders = None
        if change.shuffles:
            orders = np.stack(
                [
                    permutation(X.shape[2], seed=seed, view=partition.view, sample_id=int(i))
                    for i in read
                ]
            )
        yield read, np.ascontiguousarray(change.apply(X, orders)).reshape(len(read), -1)


def norm_sum(X: NDArray[np.float32]) -> float:
    """Return the sum of the rows' L2 norms."""
    return float(np.sqrt(np.einsum("ij,ij->i", X, X, dtype=np.float64)).sum())


def scale_of(total: float, count: int) -> float:
    """Return the factor that brings the mean norm of ``count`` rows to 20.

    Raises
    ------
    DataError
        Every row is all zeros, or there is none.
    """
    if total == 0:
        raise DataError(
            f"features of all {count} boxes of the training images that were looked at are 0: "
            "there is nothing to learn from"
        )
    return MEAN_NORM * count / total


def _orders(places: int, n: int) -> NDArray[np.int32]:
    return np.tile(np.arange(places, dtype=np.int32), (n, 1))


def _not_finite(
    partition: "Partition", ids: NDArray[np.int64], X: NDArray[np.float32], *, store: "Store"
) -> str:
    bad = np.argwhere(~np.isfinite(X).all(axis=2))
    if len(bad) == 0:
        return f"responses of {partition} are too large to be summed in float32"
    sample, channel = bad[0]
    rectify = bool(rectified(store, [partition]))
    again = how_to_replace(store.place, partition, rectify=rectify)
    return (
        f"{partition}: a response is NaN or infinite, that of sample {ids[sample]}, channel "
        f"{channel}; use another checkpoint, or replace them: {again}"
    )
