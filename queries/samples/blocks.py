"""A layer's ablated responses to samples of one or several data sets, some channels at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.queries.samples.ablations import parse_ablation
from fstore.store.features import layer_shape, read_features
from fstore.store.files import Partition
from fstore.store.permutation import permutation
from fstore.store.remedies import how_to_replace, rectified

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["Block", "Rows", "ablated_blocks", "whole_layer"]

Block: TypeAlias = tuple[NDArray[np.int32], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Rows:
    """Samples of one stored partition, ascending: rows of a feature matrix."""

    partition: Partition
    ids: NDArray[np.int64]


def ablated_blocks(
    store: "Store",
    rows: Sequence[Rows],
    *,
    ablation: str = "none",
    seed: int = 0,
    channels: Sequence[int] | None = None,
) -> Iterator[Block]:
    """Yield a layer's ablated responses, some channels at a time, for all samples at once.

    Parameters
    ----------
    store : Store
    rows : sequence of Rows
        Partitions of the same layer, in the order of the matrix's rows.
    ablation : str
        See :func:`fstore.queries.samples.ablations.parse_ablation`.
    seed : int
        Of the permutations of sp-shuffle.
    channels : sequence of int or None
        Wanted channels; None for all. Blocks come in ascending order.

    Yields
    ------
    channels : array of shape (n_channels,), int32
    X : array of shape (n_samples, n_channels, positions), float32
        Rows of ``rows[0]``, then those of ``rows[1]``, ...; the caller may change it.

    Raises
    ------
    UnknownNameError
        No such ablation or channel, or activations are not there.
    DataError
        The partitions' layers differ in shape; a response is NaN or infinite (it is named); the
        responses are stored as bits, and the ablation is another than binarize.
    """
    change = parse_ablation(ablation)
    shapes = {layer_shape(store, r.partition) for r in rows}
    if len(shapes) != 1:
        raise DataError("layers of different shapes cannot be stacked: " + _names(rows))
    (shape,) = shapes
    orders = _permutations(rows, shape.positions, seed) if change.shuffles else None
    streams = [
        read_features(
            store,
            r.partition,
            channels=channels,
            samples=r.ids,
            what=change.what,
            bits=change.of_bits,
        )
        for r in rows
    ]
    for block, X in _stacked(streams):
        # before the change: binarized, a NaN would be an ordinary 0
        if not np.isfinite(X.sum()):
            raise DataError(_not_finite(rows, block, X, store=store))
        yield block, change.apply(X, orders)


def whole_layer(
    store: "Store", rows: Sequence[Rows], *, ablation: str = "none"
) -> NDArray[np.float32]:
    """Return a layer's ablated responses, all of them in memory.

    Parameters
    ----------
    store, rows, ablation
        As of :func:`ablated_blocks`, which raises the same errors.

    Returns
    -------
    array of shape (n_samples, n_channels, positions), float32
    """
    blocks = [X for _, X in ablated_blocks(store, rows, ablation=ablation)]
    return np.concatenate(blocks, axis=1)


def _not_finite(
    rows: Sequence[Rows],
    channels: NDArray[np.int32],
    X: NDArray[np.float32],
    *,
    store: "Store",
) -> str:
    bad = np.argwhere(~np.isfinite(X).all(axis=2))
    if len(bad) == 0:
        return f"responses of {_names(rows)} are too large to be summed in float32"
    sample, channel = bad[0]
    which = np.searchsorted(np.cumsum([len(r.ids) for r in rows]), sample, side="right")
    ids = np.concatenate([r.ids for r in rows])
    partition = rows[which].partition
    rectify = bool(rectified(store, [partition]))
    again = how_to_replace(store.place, partition, rectify=rectify)
    return (
        f"{rows[which].partition}: responses of {len(np.unique(bad[:, 0]))} samples are NaN or "
        f"infinite, the first of them sample {ids[sample]}, channel {channels[channel]}; use "
        f"another checkpoint, or replace them: {again}"
    )


def _names(rows: Sequence[Rows]) -> str:
    return ", ".join(str(r.partition) for r in rows)


def _permutations(rows: Sequence[Rows], positions: int, seed: int) -> NDArray[np.int32]:
    """Return every sample's permutation, shape (n_samples, positions)."""
    return np.stack(
        [
            permutation(
                positions,
                seed=seed,
                dataset=r.partition.dataset,
                view=r.partition.view,
                sample_id=int(sample),
            )
            for r in rows
            for sample in r.ids
        ]
    )


def _stacked(streams: Sequence[Iterator[Block]]) -> Iterator[Block]:
    """Stack blocks of partitions, whose blocks of channels may differ in size."""
    if len(streams) == 1:
        yield from streams[0]
        return
    held: list[Block | None] = [None] * len(streams)
    while True:
        held = [next(s, None) if h is None else h for s, h in zip(streams, held, strict=True)]
        blocks = [block for block in held if block is not None]
        if len(blocks) < len(streams):
            return
        n = min(len(channels) for channels, _ in blocks)
        yield blocks[0][0][:n], np.concatenate([X[:, :n] for _, X in blocks])
        held = [(c[n:], X[:, n:]) if len(c) > n else None for c, X in blocks]
