"""The permutations of sp-shuffle: one a sample, the same on every machine and in every order."""

import hashlib
import json
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["permutation"]

SMALL = 1024  # positions; 32,768 permutations of so many take 134 MB, of 36 take 5 MB


def permutation(positions: int, *, seed: int, view: str, sample_id: int) -> NDArray[np.int32]:
    """Order in which sp-shuffle reads the positions of a sample's maps (section 5.2).

    It depends on the arguments alone, never on shards, batches, or the order of rows; nor on what
    the data set is called: samples are numbered in the order of its images. The random numbers are
    those of Philox 4x64-10, keyed by the sha256 of (seed, view, sample id); the permutation sorts
    them. Unlike ``Generator.permutation`` neither step may
    change with NumPy's version.

    Parameters
    ----------
    positions : int
        Places in a map, height times width.
    seed : int
        Of the study: another seed, other permutations.
    view : str
    sample_id : int

    Returns
    -------
    array of shape (positions,), int32, read-only
        ``shuffled = map[permutation]``; the same for every channel of the sample.
    """
    draw = _small if positions <= SMALL else _large
    return draw(positions, seed, view, sample_id=sample_id)


def _draw(positions: int, seed: int, view: str, *, sample_id: int) -> NDArray[np.int32]:
    text = json.dumps([seed, view, sample_id])
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
    drawn = np.random.Philox(key=key).random_raw(positions)
    order: NDArray[np.int32] = np.argsort(drawn, kind="stable").astype(np.int32)
    order.setflags(write=False)  # it is shared by all who ask
    return order


# Files are read channel by channel: a sample's turn comes again after all the others', and a
# cache of fewer permutations than there are samples would never hold the one that is asked for.
_small = lru_cache(maxsize=1 << 15)(_draw)
_large = lru_cache(maxsize=1 << 12)(_draw)
