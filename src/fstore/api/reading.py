"""Features read from the store: the matrix of a layer, what is taken of it, pooled or not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.names import check_texts
from fstore.queries.samples.ablations import ABLATIONS, parse_ablation
from fstore.queries.samples.blocks import Rows, ablated_blocks
from fstore.store.features import LayerShape, refuse_bits
from fstore.store.files import Partition, StoredFile
from fstore.store.matrix import read_matrix

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["Pool", "Taken", "check_taken", "matrix", "places_left", "pool_places", "refuse_useless"]

Pool: TypeAlias = Literal["mean", "max"]
POOLS = ("mean", "max")


@dataclass(frozen=True, slots=True)
class Taken:
    """What is taken of responses: an ablation, the seed of its permutations, a pool over places."""

    ablation: str | None = None
    pool: Pool | None = None
    shuffle_seed: int = 0


def check_taken(taken: Taken) -> None:
    """Refuse an ablation or a pool that there is not.

    Raises
    ------
    UnknownNameError, DataError
    """
    check_texts(ablation=taken.ablation, pool=taken.pool)
    if taken.ablation is not None:
        parse_ablation(taken.ablation)
    if taken.pool not in (None, *POOLS):
        raise DataError(f"pool={taken.pool!r}; expected 'mean', 'max' or None, for whole maps")


def refuse_useless(files: Sequence[StoredFile], taken: Taken) -> None:
    """Refuse responses stored as bits, unless what is taken of them is the same of bits.

    Parameters
    ----------
    files : sequence of StoredFile
        Of the partition.
    taken : Taken

    Raises
    ------
    DataError
    """
    if taken.ablation is None or not parse_ablation(taken.ablation).of_bits:
        refuse_bits(files)


def places_left(shape: LayerShape, taken: Taken) -> int:
    """Return how many values of a channel are left: 1, or one a place."""
    pooled = taken.ablation is not None and _meta(taken.ablation)["pooled"]
    return 1 if taken.pool is not None or pooled else shape.positions


def matrix(
    store: "Store",
    partition: Partition,
    ids: NDArray[np.int64],
    shape: LayerShape,
    *,
    taken: Taken,
    files: Sequence[StoredFile] = (),
) -> NDArray[np.float32]:
    """Return the matrix of some samples, in their order.

    Parameters
    ----------
    store : Store
    partition : Partition
    ids : array of shape (n_samples,), int64
        In any order, repeated or not.
    shape : LayerShape
        Of the partition's layer.
    taken : Taken
    files : sequence of StoredFile
        Of the partition, where they are listed already.

    Returns
    -------
    array of shape (n_samples, n_channels * n_places), float32
    """
    if len(ids) == 0:
        return np.empty((0, shape.channels * places_left(shape, taken)), dtype=np.float32)
    unique, back = np.unique(ids, return_inverse=True)
    if taken.ablation is None:
        read = partial(read_matrix, store, partition, unique, shape=shape, files=files)
        X = _plain(read, shape, pool=taken.pool)
    else:
        X = _ablated(store, partition, unique, shape, taken=taken)
    ordered = len(unique) == len(ids) and bool((back[1:] > back[:-1]).all())
    return X if ordered else X[back]


def _plain(
    read: Callable[..., NDArray[Any]], shape: LayerShape, *, pool: str | None
) -> NDArray[np.float32]:
    if pool is None or shape.positions == 1:
        return read()
    if pool == "max":
        return read(what="act_max")
    return (read(what="act_sum") / shape.positions).astype(np.float32)


def _ablated(
    store: "Store",
    partition: Partition,
    ids: NDArray[np.int64],
    shape: LayerShape,
    *,
    taken: Taken,
) -> NDArray[np.float32]:
    places = places_left(shape, taken)
    X = np.empty((len(ids), shape.channels * places), dtype=np.float32)
    blocks = ablated_blocks(
        store,
        [Rows(partition, ids)],
        ablation=str(taken.ablation),
        seed=taken.shuffle_seed,
    )
    for channels, block in blocks:
        first = int(channels[0]) * places
        left = pool_places(block, taken.pool).reshape(len(ids), -1)
        X[:, first : first + len(channels) * places] = left
    return X


def pool_places(block: NDArray[np.float32], pool: str | None) -> NDArray[Any]:
    """Return maps, or one value of each; shape (n_samples, n_channels, places)."""
    if pool == "max":
        block = block.max(axis=2, keepdims=True)
    elif pool == "mean":
        block = block.mean(axis=2, keepdims=True, dtype=np.float64)
    return block


def _meta(ablation: str) -> dict[str, object]:
    """Return what an ablation says of itself."""
    return ABLATIONS[ablation.partition("=")[0]].meta
