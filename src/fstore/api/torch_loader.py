"""The loader itself: batches of stored responses as a data set of torch.

torch is imported at once: the class is derived from one of torch's, and must be found under its
name where a worker unpickles it. :func:`fstore.api.loader.loader` imports this module when called.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info

from fstore.api.resuming import Position, Turn, batch_counts, turn
from fstore.api.shuffling import plan
from fstore.api.streaming import stream
from fstore.seeds import check_seed

if TYPE_CHECKING:
    from fstore.api.contents import Contents, Options

__all__ = ["Loader"]

MOST_THREADS = 4  # that decode a file, where no workers do


class Loader(IterableDataset[dict[str, torch.Tensor]]):
    """Batches of a layer's stored responses, in an order that a seed fixes.

    ``store.loader(...)`` returns it. Iterate over it, or give it to torch's ``DataLoader`` with
    ``batch_size=None``, since batches are made already. It holds no open file and can be pickled.

    Attributes
    ----------
    classes : tuple of str
        Of ``y``.
    n_samples : int
        In an epoch, over all workers and ranks.
    sample_shape : tuple of int
        Of one sample of ``X``: (C, H, W), or (C,).
    options : Options
    """

    def __init__(self, contents: "Contents", options: "Options") -> None:
        super().__init__()
        self.contents = contents
        self.options = options
        self.classes = contents.classes
        self.n_samples = len(contents.ids)
        self.sample_shape = contents.sample_shape
        self._buffer = contents.buffer(options)
        self._order = contents.digest(options)
        # in shared memory: workers that stay between epochs see it, too
        self._epoch = torch.zeros((), dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]
        self._start: Position | None = None
        self._done = 0

    def __repr__(self) -> str:
        o, shape = self.options, " x ".join(map(str, self.sample_shape))
        return (
            f"<Loader of {self.contents.partition}: {self.n_samples} samples of {shape}, "
            f"batch_size={o.batch_size}, shuffle={o.shuffle}, seed={o.seed}, "
            f"buffer={self._buffer}, epoch={self.epoch}>"
        )

    @property
    def epoch(self) -> int:
        """The epoch that is being read, or that will be."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch: each has an order of its own. Until it is called, it is epoch 0.

        Parameters
        ----------
        epoch : int
            At least 0.
        """
        self._epoch.fill_(check_seed(epoch, "an epoch"))

    def batches(self, workers: int = 1) -> int:
        """Return how many batches this rank gets in the epoch.

        Parameters
        ----------
        workers : int
            ``num_workers`` of the DataLoader; 1 where there is none.
        """
        return sum(self._counts(max(1, workers)))

    # Going on after a stop

    def state_dict(self, *, batches: int | None = None, workers: int = 1) -> dict[str, Any]:
        """Return where this loader stands, for :meth:`load_state_dict`; JSON can hold it.

        Inside a worker it is where that worker stands, as torchdata's ``StatefulDataLoader`` asks.
        The loader in the main process does not see what workers of a plain ``DataLoader`` did:
        say it.

        Parameters
        ----------
        batches : int or None
            Batches of the epoch that were got from a DataLoader; None: that this loader gave.
        workers : int
            With ``batches``: the DataLoader's ``num_workers`` (0 counts as 1).
        """
        info = get_worker_info()
        if batches is not None:
            position = Position(self._order, self.epoch, batches, max(1, workers), None)
        elif info is None:
            position = Position(self._order, self.epoch, self._done, 1, None)
        else:
            worker = self._turn(info.id, info.num_workers).worker
            position = Position(self._order, self.epoch, self._done, info.num_workers, worker)
        return {name: getattr(position, name) for name in Position.__slots__}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on after the last batch of a state: the next iteration begins with the one after it.

        A state belongs to its epoch: when that is read to its end, or :meth:`set_epoch` chooses
        another, iterations begin at the first batch again.

        Raises
        ------
        DataError
            It is that of a loader whose order is another.
        """
        self._start = Position.read(state, order=self._order)
        self._done = self._start.batches
        self.set_epoch(self._start.epoch)

    # Reading

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        o, world = self.options, self.options.world_size
        counts, mine = self._counts(workers), self._turn(worker, workers)
        planned = plan(
            self.contents.source.sizes,
            share=mine.worker * world + o.rank,
            n_shares=workers * world,
            seed=o.seed,
            epoch=self.epoch,
            buffer=self._buffer,
            shuffle=o.shuffle,
        )
        threads = 1 if info is not None else min(MOST_THREADS, os.cpu_count() or 1)
        source = replace(self.contents.source, threads=threads)
        batches = stream(source, planned, batch_size=o.batch_size, first=mine.first)
        wanted = range(mine.first + 1, counts[mine.worker] + 1)
        for self._done, (places, X) in zip(wanted, batches, strict=False):
            yield self._tensors(places, X)
        self._start, self._done = None, counts[mine.worker]

    def _tensors(
        self, places: NDArray[np.int64], X: NDArray[np.float32]
    ) -> dict[str, torch.Tensor]:
        batch = {"X": torch.from_numpy(X.reshape(len(X), *self.sample_shape))}
        if self.contents.y is not None:
            batch["y"] = torch.from_numpy(self.contents.y[places])
        return {**batch, "ids": torch.from_numpy(self.contents.ids[places])}

    def _counts(self, workers: int) -> list[int]:
        o = self.options
        return batch_counts(
            self.contents.source.sizes,
            workers=workers,
            rank=o.rank,
            world_size=o.world_size,
            batch_size=o.batch_size,
            seed=o.seed,
            epoch=self.epoch,
            shuffle=o.shuffle,
            drop_last=o.drop_last,
        )

    def _turn(self, worker: int, workers: int) -> Turn:
        start = self._start
        if start is not None and start.epoch != self.epoch:
            start = None
        return turn(start, self._counts(workers), worker=worker)
