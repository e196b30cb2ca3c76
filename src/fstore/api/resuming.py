"""Where a run stands in an epoch, and who goes on with what: arithmetic on numbers of batches.

A rank's workers take turns, as torch's ``DataLoader`` asks them: one batch each, those that have
no more left out. So the number of batches that a rank was handed says how many each worker gave.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from fstore.api.shuffling import deal
from fstore.errors import DataError

__all__ = ["Position", "Turn", "batch_counts", "turn", "turns"]


class Turn(NamedTuple):
    """Whose part a worker reads, and how many batches of it are left out."""

    worker: int
    first: int


@dataclass(frozen=True, slots=True)
class Position:
    """Where a run stands: what ``state_dict`` says.

    Attributes
    ----------
    order : str
        Digest of all that the order of samples depends on but the number of workers.
    epoch, batches, workers : int
        ``batches`` of this epoch are done, by one of ``workers`` workers or by all of them.
    worker : int or None
        Of which worker ``batches`` are; None: of all of them together.
    """

    order: str
    epoch: int
    batches: int
    workers: int
    worker: int | None

    @classmethod
    def read(cls, state: Mapping[str, Any], *, order: str) -> "Position":
        """Read a state; refuse one that is of another order.

        Raises
        ------
        DataError
            It is no state of a loader, or of a loader of other samples or options.
        """
        try:
            position = cls(**{name: state[name] for name in cls.__slots__})
        except (KeyError, TypeError) as error:
            raise DataError(
                f"this is no state of a loader (no {error}); expected what state_dict() returned"
            ) from error
        if position.order != order:
            raise DataError(
                "the state is that of a loader with other samples, files, seed, buffer, batch size "
                "or rank, which has another order; make the loader as it was, or begin the epoch "
                "anew: call set_epoch() and load no state"
            )
        return position


def batch_counts(
    sizes: Sequence[int],
    *,
    workers: int,
    rank: int,
    world_size: int,
    batch_size: int,
    seed: int,
    epoch: int,
    shuffle: bool,
    drop_last: bool,
) -> list[int]:
    """Return how many batches each worker of a rank gives in an epoch.

    With ``drop_last`` all ranks get as many: those that could have more leave the rest out.
    """
    n_shares = workers * world_size
    hands = deal(sizes, n_shares, seed=seed, epoch=epoch, shuffle=shuffle)
    samples = [sum(sizes[file] for file in hand) for hand in hands]
    if not drop_last:
        return [-(-samples[w * world_size + rank] // batch_size) for w in range(workers)]
    counts = [
        [samples[w * world_size + r] // batch_size for w in range(workers)]
        for r in range(world_size)
    ]
    return turns(counts[rank], min(map(sum, counts)))[0]


def turns(counts: Sequence[int], done: int) -> tuple[list[int], list[int]]:
    """Say how many batches each worker gave of the first ``done``, and who comes next.

    Parameters
    ----------
    counts : sequence of int
        Batches that each worker has.
    done : int

    Returns
    -------
    given : list of int
    order : list of int
        Workers in the order of their next turns; those that have no more come last.
    """
    given, left, first = [0] * len(counts), done, 0
    while left > 0 and (alive := [w for w, n in enumerate(counts) if n > given[w]]):
        rounds = min(*(counts[w] - given[w] for w in alive), left // len(alive))
        for i, w in enumerate(alive):
            given[w] += rounds or int(i < left)
        first = 0 if rounds else alive[left]
        left = left - rounds * len(alive) if rounds else 0
    cycle = [*range(first, len(counts)), *range(first)]
    more = [w for w in cycle if given[w] < counts[w]]
    return given, more + [w for w in cycle if w not in more]


def turn(position: Position | None, counts: Sequence[int], *, worker: int) -> Turn:
    """Return what a worker has to do, in an epoch that begins or goes on.

    Raises
    ------
    DataError
        The position is one of another number of workers.
    """
    if position is None:
        return Turn(worker, 0)
    if position.workers != len(counts):
        raise DataError(
            f"the state is of {position.workers} workers, now there are {len(counts)}; the order "
            f"of samples depends on it: go on with num_workers={position.workers} "
            "(iterating without a DataLoader, or with num_workers=0, is 1 worker)"
        )
    if position.worker is not None:
        return Turn(position.worker, position.batches)
    given, order = turns(counts, position.batches)
    return Turn(order[worker], given[order[worker]])
