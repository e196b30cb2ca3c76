"""What files offer of their strongest samples, and the best of it all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["NOWHERE", "Candidates", "behind", "best_of", "no_candidates"]

NOWHERE = np.uint32(0xFFFFFFFF)
"""Order key of what is no sample: behind every response."""


@dataclass(frozen=True)
class Candidates:
    """What a file offers for the answer; arrays of shape (n_channels, n)."""

    ids: NDArray[np.int64]
    keys: NDArray[np.uint32]  # NOWHERE where there is no candidate
    values: NDArray[np.float32]
    places: NDArray[np.int32]
    unproven: NDArray[np.bool_]  # (n_channels,): what was left out may come behind the last
    last_id: NDArray[np.int64]  # (n_channels,): what is left out ranks behind this
    last_key: NDArray[np.uint32]


def no_candidates(n_channels: int) -> Candidates:
    """Return what a file without a sidecar offers: all of it must be looked at."""
    none, first = np.zeros((n_channels, 0), np.int64), np.full(n_channels, -1, np.int64)
    return Candidates(
        none,
        none.astype(np.uint32),
        none.astype(np.float32),
        none.astype(np.int32),
        np.ones(n_channels, dtype=bool),
        first,
        np.zeros(n_channels, np.uint32),
    )


def best_of(offers: Sequence[Candidates], k: int) -> Candidates:
    """Return the first k of all that files offer, padded with what is no sample."""
    ids = np.concatenate([o.ids for o in offers], axis=1)
    keys = np.concatenate([o.keys for o in offers], axis=1)
    values = np.concatenate([o.values for o in offers], axis=1)
    places = np.concatenate([o.places for o in offers], axis=1)
    if (short := k - ids.shape[1]) > 0:
        pad = ((0, 0), (0, short))
        keys = np.pad(keys, pad, constant_values=NOWHERE)
        ids, values, places = (np.pad(a, pad) for a in (ids, values, places))
    order = np.lexsort((ids, keys), axis=1)[:, :k]
    ids, keys, values, places = (
        np.take_along_axis(a, order, axis=1) for a in (ids, keys, values, places)
    )
    proven = np.zeros(len(ids), dtype=bool)
    return Candidates(ids, keys, values, places, proven, ids[:, -1], keys[:, -1])


def behind(best: Candidates, offer: Candidates) -> NDArray[np.bool_]:
    """Say of which channels the last of the best ranks behind the last that a file offers."""
    later: NDArray[np.bool_] = best.last_key > offer.last_key
    later |= (best.last_key == offer.last_key) & (best.last_id > offer.last_id)
    return later
