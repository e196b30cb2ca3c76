"""Where the inputs of an extraction come from: images on disk, or responses of a stored layer."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fstore.workflows.extract.plan import LayerWork

if TYPE_CHECKING:
    import pyarrow as pa

    from fstore.extractor.loading import InputBatch, InputSample
    from fstore.extractor.preprocess import Preprocess
    from fstore.store import Store
    from fstore.workflows.extract.plan import Start

__all__ = ["ImageSource", "Source", "StoredSource", "input_samples"]


class Source(Protocol):
    """Where the inputs of a job's samples come from."""

    def batches(
        self, shards: Iterable[NDArray[np.int64]], size: int
    ) -> "Generator[InputBatch, None, None]":
        """Yield the inputs of shards of samples, ``size`` at a time; no batch lies in two shards.

        Parameters
        ----------
        shards : arrays of shape (n_i,), int64
            Asked for one after another, as far ahead as inputs are loaded.
        size : int
            Samples of a batch; the last one of a shard may have fewer.
        """
        ...


class ImageSource:
    """Images and boxes, decoded and preprocessed ahead in threads."""

    def __init__(
        self,
        store: "Store",
        job: LayerWork,
        preprocess: "Preprocess",
        *,
        workers: int,
        warp_later: bool = False,
    ) -> None:
        columns = ["sample_id", "uri", "digest", "box"]
        self._rows = store.samples(job.dataset.name, job.view, columns)
        self._root = job.dataset.root
        self._room = job.room
        self._preprocess = preprocess
        self._workers = workers
        self._warp_later = warp_later

    def batches(
        self, shards: Iterable[NDArray[np.int64]], size: int
    ) -> "Generator[InputBatch, None, None]":
        """Yield the inputs of shards of samples, ``size`` at a time, as far ahead as fits."""
        from fstore.extractor.loading import load_batches

        return load_batches(
            self._root,
            (
                chunk
                for samples in shards
                for chunk in _chunks(input_samples(self._rows.take(samples)), size)
            ),
            self._preprocess,
            workers=self._workers,
            warp_later=self._warp_later,
            ahead=self._room.ahead(size),
        )


class StoredSource:
    """Responses of a stored layer; those of one shard are read at a time."""

    def __init__(self, store: "Store", start: "Start") -> None:
        self._store = store
        self._partition = start.partition

    def batches(
        self, shards: Iterable[NDArray[np.int64]], size: int
    ) -> "Generator[InputBatch, None, None]":
        """Yield the stored responses of shards of samples, ``size`` at a time."""
        from fstore.extractor.loading import InputBatch
        from fstore.store.features import read_features

        for samples in shards:
            blocks = [X for _, X in read_features(self._store, self._partition, samples=samples)]
            X = np.concatenate(blocks, axis=1)  # (samples, channels, positions)
            for first in range(0, len(samples), size):
                yield InputBatch(samples[first : first + size], X[first : first + size])


def input_samples(rows: "pa.Table") -> "list[InputSample]":
    """Return what is needed to load samples; of columns sample_id, uri, digest and box."""
    from fstore.extractor.loading import InputSample

    columns = ("sample_id", "uri", "digest", "box")
    return [
        InputSample(i, uri, digest, tuple(box.values()) if box else None)
        for i, uri, digest, box in zip(*(rows[c].to_pylist() for c in columns), strict=True)
    ]


def _chunks(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
