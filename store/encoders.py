"""Threads that encode row groups: of one file, or of several at once."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

__all__ = ["Encoders", "encoder_threads", "in_order"]

T = TypeVar("T")


def encoder_threads(cores: int) -> int:
    """Return how many threads encode beside decoding and the network: half of the cores."""
    return max(1, (cores + 1) // 2)


class Encoders:
    """Threads that encode, for as long as the block lasts.

    NumPy, zstd and compiled loops release Python's lock, so as many cores are used.

    Parameters
    ----------
    threads : int
        At least 1.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="fstore-encode")

    def __enter__(self) -> Self:
        """Begin; threads start when there is work."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    def in_order(self, tasks: Iterable[Callable[[], T]]) -> Iterator[T]:
        """Yield what tasks return, in their order; two more are in hand than there are threads.

        Several threads may ask at once. What a task raises is raised in its place; those behind it
        that have not begun are given up.
        """
        pending: deque[Future[T]] = deque()
        try:
            for task in tasks:
                pending.append(self._pool.submit(task))
                if len(pending) > self.threads + 1:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def in_order(tasks: Iterable[Callable[[], T]], encoders: Encoders | None) -> Iterator[T]:
    """Yield what tasks return, in their order; without threads each runs when it is asked for."""
    if encoders is None:
        return (task() for task in tasks)
    return encoders.in_order(tasks)
