"""The extraction loop: loaded images in, responses of every asked-for layer out."""

import time
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass

from fstore.extractor.devices import Pending, Runner
from fstore.extractor.loading import BadSample, InputBatch
from fstore.types import ActivationBatch

__all__ = ["Clock", "extract"]


@dataclass
class Clock:
    """Seconds spent waiting for images and in the forward pass."""

    images_s: float = 0.0
    forward_s: float = 0.0


def extract(
    batches: Iterable[InputBatch], runners: Sequence[Runner], *, clock: Clock | None = None
) -> Generator[tuple[ActivationBatch | None, Sequence[BadSample]], None, None]:
    """Yield each batch's responses, in order, and the samples that could not be loaded.

    Batches go to the runners in turn; a GPU computes one while the host copies the one before.

    Parameters
    ----------
    batches : iterable of InputBatch
    runners : one a device
    clock : Clock or None
        Where the time is added up.

    Yields
    ------
    (ActivationBatch or None, samples)
        None if no sample of the batch could be loaded.
    """
    clock = clock or Clock()
    busy: deque[tuple[Pending | None, Sequence[BadSample]]] = deque()
    depth = len(runners) if runners[0].device.type != "cpu" else 0
    started = time.perf_counter()
    for number, batch in enumerate(batches):
        loaded = time.perf_counter()
        clock.images_s += loaded - started
        runner = runners[number % len(runners)]
        pending = runner.submit(batch.sample_ids, batch.images) if len(batch.sample_ids) else None
        busy.append((pending, batch.bad))
        while len(busy) > depth:
            result = _finish(*busy.popleft())
            clock.forward_s += time.perf_counter() - loaded
            yield result
            loaded = time.perf_counter()
        started = time.perf_counter()
    while busy:
        loaded = time.perf_counter()
        result = _finish(*busy.popleft())
        clock.forward_s += time.perf_counter() - loaded
        yield result


def _finish(
    pending: Pending | None, bad: Sequence[BadSample]
) -> tuple[ActivationBatch | None, Sequence[BadSample]]:
    return (pending.result() if pending else None), bad
