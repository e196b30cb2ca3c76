"""What a worker of a cluster does: compute a shard and write its files; it commits nothing."""

import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Generic, TypeVar
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from fstore.errors import EngineError, StorageError
from fstore.workflows.extract.computing import Extraction
from fstore.workflows.extract.plan import Chosen, ExtractionOptions, LayerWork
from fstore.workflows.extract.sources import Source
from fstore.workflows.extract.summary import Summary

if TYPE_CHECKING:
    from fstore.extractor.devices import Runner
    from fstore.store.sink import ShardFiles

__all__ = ["PROBE", "About", "Sealed", "ShardDone", "ShardWorker", "versions"]

T = TypeVar("T")

PROBE = "activations/{}.parquet.tmp"
"""Where a file is put that each worker must see; its ending is one of unfinished files."""


class Sealed(Generic[T]):
    """A value that a worker asks for when it needs it, and not with each shard."""

    def __init__(self, get: Callable[[], T]) -> None:
        self.get = get


@dataclass(frozen=True, slots=True)
class About:
    """Where a worker runs, and with what."""

    node: str
    pid: int
    device: str
    versions: dict[str, str]


@dataclass(frozen=True)
class ShardDone:
    """A shard whose files are written and not committed yet; None where nothing could be read.

    Attributes
    ----------
    shard : ShardFiles or None
    summary : Summary
        Of this shard alone: samples, what could not be read, notes, seconds.
    """

    shard: "ShardFiles | None"
    summary: Summary = field(default_factory=Summary)


@dataclass(frozen=True)
class _Loaded:
    """The job that a worker is at, with what it needs."""

    job: LayerWork
    runners: "list[Runner]"
    source: Source


class ShardWorker:
    """Holds the network of one job; one shard is computed while the one before it is written.

    Parameters
    ----------
    place : str
        Of the store.
    chosen, options
        As the driver's.
    threads : int
        Of the network.
    token : str
        What the file that :data:`PROBE` names holds if this node sees the driver's store.
    """

    def __init__(
        self,
        place: str,
        chosen: Chosen,
        options: ExtractionOptions,
        *,
        threads: int,
        token: str,
    ) -> None:
        import torch

        torch.set_num_threads(threads)
        self._where = (place, chosen, options)
        self._threads = threads
        self._probe, self._token = PROBE.format(token), token
        self._work: Extraction | None = None
        self._loaded: tuple[int, _Loaded] | None = None
        self._computing = threading.Lock()

    def about(self) -> About:
        """Look whether this node sees the store, and say where it is.

        Raises
        ------
        EngineError
            It does not.
        """
        from fstore.extractor.devices import find_devices

        _, _, options = self._where
        place = self._extraction().store.place
        try:
            answer = self._probe.replace(self._token, uuid4().hex)
            place.write(answer, b"")
            place.delete(answer)
        except (OSError, StorageError) as error:
            raise EngineError(f"{_node()} cannot write to the store at {place}: {error}") from error
        device = str(find_devices(options.device)[0])
        return About(socket.gethostname(), os.getpid(), device, versions())

    def shard(self, number: int, job: Sealed[LayerWork], ids: NDArray[np.int64]) -> ShardDone:
        """Compute some samples of a job and write their files.

        Parameters
        ----------
        number : int
            Of the job.
        job : Sealed of LayerWork
        ids : array of int64
            Samples, ascending.

        Raises
        ------
        EngineError
            This node does not see the images.
        DataError, IdentityError, StorageError
            As on one machine.
        """
        from fstore.extractor.extract import Clock
        from fstore.store.encoders import Encoders, encoder_threads
        from fstore.store.sink import write_files

        with self._computing:
            began, clock = perf_counter(), Clock()
            loaded = self._load(number, job)
            work = self._extraction()
            work.summary = Summary()
            work.check(loaded.job, loaded.source, loaded.runners[0])
            (batches,) = work.compute(
                loaded.job,
                loaded.source,
                [ids],
                runners=loaded.runners,
                clock=clock,
                total=len(ids),
            )
            summary = work.summary
            summary.images_s, summary.forward_s = clock.images_s, clock.forward_s
            summary.seconds = perf_counter() - began
        if not batches:
            return ShardDone(None, summary)
        with Encoders(work.options.encoders or encoder_threads(self._threads)) as encoders:
            shard = write_files(work.store.place, batches, loaded.job.identities, encoders=encoders)
        summary.seconds = max(summary.seconds, shard.report.encode_s)
        return ShardDone(_slim(shard), summary)

    def _extraction(self) -> Extraction:
        """Open the store, once it is seen to be the driver's."""
        from fstore.store import Store

        if self._work is None:
            place, chosen, options = self._where
            try:
                store = Store.open(place)
                seen = store.place.read(self._probe) == self._token.encode()
            except (OSError, StorageError) as error:
                raise EngineError(_unseen(place)) from error
            if not seen:
                raise EngineError(_unseen(place))
            self._work = Extraction(store, chosen, options)
        return self._work

    def _load(self, number: int, sealed: Sealed[LayerWork]) -> _Loaded:
        """Return a job with its network on the device; the last one is kept."""
        if self._loaded is not None and self._loaded[0] == number:
            return self._loaded[1]
        before = None if self._loaded is None else self._loaded[1].job.record
        self._loaded = None  # frees the last network before the next is read
        job = sealed.get()
        if before is not None and before == job.record:
            job = replace(job, record=before)  # whose network the planner has still
        _check_images(job)
        work = self._extraction()
        work.store.trusted.add(job.record.network)  # the driver has asked
        loaded = _Loaded(job, work.runners(job), self._source(work, job))
        self._loaded = number, loaded
        return loaded

    def _source(self, work: Extraction, job: LayerWork) -> Source:
        """Return the inputs; decoded by as many threads as the share has cores."""
        decoders = work.options.workers or self._threads
        work.options = replace(work.options, workers=decoders)
        return work.source(job)


def versions() -> dict[str, str]:
    """Return the versions of what responses and their files depend on."""
    from importlib.metadata import version

    return {name: version(name) for name in ("fstore", "torch", "torchvision", "numpy", "pillow")}


def _slim(shard: "ShardFiles") -> "ShardFiles":
    """Leave out the strongest samples: they are in the sidecar by now."""
    files = {p: (replace(f, kept=None), key, i) for p, (f, key, i) in shard.files.items()}
    return replace(shard, files=files)


def _check_images(job: LayerWork) -> None:
    """Refuse to take images for unreadable that only this node does not see."""
    root = str(job.dataset.root)
    if job.start is None and "://" not in root and not Path(root).is_dir():
        raise EngineError(
            f"{_node()} does not see the images of data set '{job.dataset.name}' at {root}; put "
            "them on a file system that all nodes share, at the same path"
        )


def _unseen(place: str) -> str:
    return (
        f"{_node()} does not see the store at {place}; put the store on a file system that all "
        "nodes share, at the same path, or into object storage"
    )


def _node() -> str:
    return f"node {socket.gethostname()}"
