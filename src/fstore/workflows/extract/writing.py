"""Threads behind an extraction: they encode shards, and commit them in order."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

from fstore.machine import cores
from fstore.types import ActivationBatch

if TYPE_CHECKING:
    from fstore.store.files import Identity, Partition
    from fstore.store.place import Place
    from fstore.store.sink import ShardReport

__all__ = ["Writers", "used_cores"]

MOST = 16
"""Cores that are counted on."""


def used_cores() -> int:
    """Return the cores that an extraction uses, at most :data:`MOST`."""
    return min(MOST, cores())


class Writers:
    """Threads that write shards, and those that encode for them, as long as the block lasts.

    Parameters
    ----------
    encoders : int
        Threads that encode while the network runs; behind the last shard all cores do.
    shards : int
        That are written at once.
    """

    def __init__(self, encoders: int, *, shards: int = 1) -> None:
        from fstore.store.encoders import Encoders

        self._encoders = Encoders(encoders)
        self._last = Encoders(max(encoders, used_cores()))
        self._pool = ThreadPoolExecutor(shards, thread_name_prefix="fstore-write")
        self._open = ExitStack()
        for part in (self._encoders, self._last, self._pool):  # closed from the last on
            self._open.enter_context(part)

    def __enter__(self) -> Self:
        """Begin; threads start when there is work."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for what is being written, and end the threads."""
        self._open.close()

    def write(
        self,
        place: "Place",
        batches: Sequence[ActivationBatch],
        identities: "Mapping[Partition, Identity]",
        *,
        before: "Future[ShardReport] | None",
        last: bool,
    ) -> "Future[ShardReport]":
        """Begin to write a shard, and return at once.

        Parameters
        ----------
        place, batches, identities
            As for :func:`fstore.store.sink.write_shard`.
        before : Future or None
            The shard that is to be committed first.
        last : bool
            Whether nothing else is left to be done.
        """
        from fstore.store.sink import write_shard

        return self._pool.submit(
            write_shard,
            place,
            batches,
            identities,
            encoders=self._last if last else self._encoders,
            turn=None if before is None else before.result,
        )
