"""In which order samples come: index arithmetic alone, so that a run can go on where it stopped.

An epoch is planned before the first file is read. Files are dealt to shares (a share is what one
worker of one rank reads), each share reads its files one after the other, and a buffer of samples
mixes what they hold. All of it follows from the seed, the epoch and the sizes of the files.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Plan", "deal", "mixed", "plan"]

DEALING, MIXING = 1, 2
"""What random numbers are drawn for: streams of one seed that do not meet."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one share reads and yields in an epoch.

    Attributes
    ----------
    file, row : arrays of shape (n_samples,)
        Of each sample, in the order in which they are read: its file, and its place among the
        wanted samples of that file.
    order : array of shape (n_samples,)
        Places in ``file`` and ``row``, in the order in which samples are yielded.
    buffer : int
        When the i-th is yielded, no more than the first ``i + buffer`` need have been read.
    """

    file: NDArray[np.int64]
    row: NDArray[np.int64]
    order: NDArray[np.int64]
    buffer: int


def plan(
    sizes: Sequence[int],
    *,
    share: int,
    n_shares: int,
    seed: int,
    epoch: int,
    buffer: int,
    shuffle: bool,
) -> Plan:
    """Plan what one of several shares reads and yields.

    Parameters
    ----------
    sizes : sequence of int
        Wanted samples of each file.
    share, n_shares : int
    seed, epoch : int
        At least 0.
    buffer : int
        Samples that are held to choose from, at least 1.
    shuffle : bool
        False: files in the order given, samples in the order of their files.
    """
    mine = deal(sizes, n_shares, seed=seed, epoch=epoch, shuffle=shuffle)[share]
    random = np.random.default_rng([MIXING, seed, epoch, share, n_shares])
    places = [random.permutation(sizes[f]) if shuffle else np.arange(sizes[f]) for f in mine]
    none = np.empty(0, dtype=np.int64)
    row = np.concatenate([none, *places])
    file = np.repeat(np.array(mine, dtype=np.int64), [sizes[f] for f in mine])
    order = mixed(len(row), buffer, random) if shuffle else np.arange(len(row))
    return Plan(file, row, order, min(buffer, len(row)) if shuffle else 0)


def deal(
    sizes: Sequence[int], n_shares: int, *, seed: int, epoch: int, shuffle: bool
) -> list[list[int]]:
    """Deal files to shares, each to the one that has the fewest samples so far."""
    order = np.arange(len(sizes))
    if shuffle:
        order = np.random.default_rng([DEALING, seed, epoch]).permutation(len(sizes))
    hands: list[list[int]] = [[] for _ in range(n_shares)]
    held = [0] * n_shares
    for file in order.tolist():
        least = held.index(min(held))
        hands[least].append(file)
        held[least] += sizes[file]
    return hands


def mixed(n: int, buffer: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Return the order in which a shuffle buffer yields what comes as 0, 1, ..., n - 1.

    The buffer is filled first. Then a place in it is drawn, what lies there is yielded, and the
    next one that comes is put there. What is left at the end is yielded in random order. So the
    i-th to be yielded is among the first ``i + buffer`` that came.
    """
    buffer = min(buffer, n)
    drawn = random.integers(buffer, size=n - buffer) if buffer else np.empty(0, dtype=np.int64)
    # At time e what lies in place p is what was put there when p was drawn last, or came as p.
    times = np.argsort(drawn, kind="stable")
    place = drawn[times]
    again = np.r_[False, place[1:] == place[:-1]] if len(place) else np.empty(0, dtype=bool)
    before = np.r_[0, times[:-1]] if len(times) else times
    order = np.empty(n, dtype=np.int64)
    order[times] = np.where(again, buffer + before, place)
    left = np.arange(buffer)
    left[place] = buffer + times  # of equal places the last one stays: times ascend in each
    order[n - buffer :] = random.permutation(left)
    return order
