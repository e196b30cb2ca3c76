"""What a loader reads: the files of a partition as they are when it is made, samples and labels."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from fstore.api.reading import Taken, check_taken
from fstore.api.streaming import Source
from fstore.errors import DataError
from fstore.seeds import check_seed
from fstore.store.features import layer_shape, refuse_bits
from fstore.store.files import Partition

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["Contents", "Options", "contents"]

BUFFER_BYTES = 1 << 28  # of responses as float32: what the buffer takes by default


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a loader goes through its samples; see :func:`fstore.api.loader.loader`.

    Raises
    ------
    DataError
        One of them is out of range.
    """

    batch_size: int
    shuffle: bool
    seed: int
    buffer: int | None
    drop_last: bool
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        check_seed(self.seed)
        for name in ("batch_size", "buffer"):
            value = getattr(self, name)
            if value is None and name == "buffer":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise DataError(f"{name}={value!r}; expected a whole number of at least 1")
        if not 0 <= self.rank < self.world_size:
            raise DataError(f"rank={self.rank} of world_size={self.world_size}; ranks count from 0")


@dataclass(frozen=True, slots=True)
class Contents:
    """What a loader reads.

    Attributes
    ----------
    partition : Partition
    source : Source
    ids : array of shape (n_samples,), int64
        Samples, in the order of the source's files.
    y : array of shape (n_samples,), int64, or (n_samples, n_classes), int8, or None
        Their classes as numbers, or as 1, 0 and -1.
    classes : tuple of str
    """

    partition: Partition
    source: Source
    ids: NDArray[np.int64]
    y: NDArray[Any] | None
    classes: tuple[str, ...]

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of a sample's responses: (C, H, W), or (C,) where a channel gives one value."""
        shape = self.source.shape
        if self.source.positions == 1:
            return (shape.channels,)
        return shape.channels, shape.height, shape.width

    def buffer(self, options: Options) -> int:
        """Return how many samples the buffer holds: those asked for, or what takes 256 MiB."""
        values = math.prod(self.sample_shape)
        return options.buffer or max(1, BUFFER_BYTES // (4 * values))

    def digest(self, options: Options) -> str:
        """Return a hash of all that the order of samples depends on but the number of workers."""
        given = {**asdict(options), "buffer": self.buffer(options)}
        source = self.source
        files = [file.name for file in source.files], [r.tolist() for r in source.rows]
        text = json.dumps([given, asdict(self.partition), source.pool, files])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def contents(
    store: "Store",
    partition: Partition,
    ids: NDArray[np.int64],
    *,
    pool: Literal["mean", "max"] | None,
    labels: bool,
    difficult: bool,
    bits: bool,
) -> Contents:
    """Note which files hold some samples, and what these show.

    Parameters
    ----------
    store : Store
    partition : Partition
    ids : array of int64
        Wanted samples, ascending; all are stored.
    pool : {"mean", "max"} or None
    labels, difficult, bits : bool
        Of :func:`fstore.api.loader.loader`.

    Raises
    ------
    DataError
        No such pool; the data set has no labels, or a sample has several and should have one;
        the layer is stored as bits, and they will not do.
    """
    check_taken(Taken(pool=pool))
    files = sorted(store.files(**partition.values), key=lambda file: file.first_sample)
    if not bits:
        refuse_bits(files)
    held = [file.sample_ids for file in files]
    rows = [np.flatnonzero(np.isin(own, ids)) for own in held]
    used = [i for i, own in enumerate(rows) if len(own)]
    ordered = np.concatenate([held[i][rows[i]] for i in used] or [np.empty(0, dtype=np.int64)])
    sizes = [len(rows[i]) for i in used]
    source = Source(
        shape=layer_shape(store, partition),
        pool=pool,
        files=[files[i] for i in used],
        rows=[rows[i] for i in used],
        starts=np.cumsum([0, *sizes[:-1]], dtype=np.int64),
    )
    info = store.dataset(partition.dataset)
    y = _labels(store, partition, ordered, difficult=difficult) if labels else None
    return Contents(partition, source, ordered, y, tuple(info.classes))


def _labels(
    store: "Store", partition: Partition, ids: NDArray[np.int64], *, difficult: bool
) -> NDArray[Any]:
    """Return classes as numbers, or where an image may show several, as 1, 0 and -1."""
    from fstore.queries.samples.labels import label_matrix

    info = store.dataset(partition.dataset)
    if not info.classes:
        raise DataError(
            f"data set '{info.name}' has no labels; to read responses without them: labels=False"
        )
    order = np.argsort(ids, kind="stable")
    Y = np.empty((len(ids), len(info.classes)), dtype=np.int8)
    Y[order] = label_matrix(
        store,
        info.name,
        partition.view,
        ids=ids[order],
        classes=info.classes,
        difficult=difficult,
    )
    if info.task == "multi" and partition.view == "image":
        return Y
    return _numbers(Y, ids, partition)


def _numbers(
    Y: NDArray[np.int8], ids: NDArray[np.int64], partition: Partition
) -> NDArray[np.int64]:
    """Return the class of each sample, where each has one."""
    shown = Y > 0
    odd: Sequence[int] = np.flatnonzero(shown.sum(axis=1) != 1).tolist()
    if odd:
        raise DataError(
            f"{len(odd)} samples of '{partition.dataset}', view {partition.view}, have no class or "
            f"several, the first of them sample {ids[odd[0]]}; to read responses without labels: "
            "labels=False"
        )
    numbers: NDArray[np.int64] = shown.argmax(axis=1).astype(np.int64)
    return numbers
