"""What was read of a store and is kept in memory, for as long as its tables have not changed."""

import ctypes
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fstore.explore.sample_rows import SampleRows
from fstore.store.files import ACTIVATIONS, Partition
from fstore.store.tables import open_table

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from fstore.store import Store
    from fstore.store.catalog import DatasetInfo
    from fstore.store.features import LayerShape

__all__ = ["Contents", "Labels", "Responses"]

T = TypeVar("T")

KEPT_BYTES = 192 << 20
"""Of arrays that are kept; the one used longest ago goes first."""
TRIMMED = 4 << 20
"""Bytes of an array after whose reading freed memory goes back to the system."""
KEPT = 4000
"""Things that are kept, at most."""
AT_ONCE = 2
"""Large things that are made at the same time: each may take hundreds of MB until it is done."""


@dataclass(frozen=True, slots=True)
class Responses:
    """The largest response of every filter of a layer to every stored sample.

    Attributes
    ----------
    ids : array of shape (n_samples,), int64
        Ascending.
    values : array of shape (n_samples, n_channels), float32
    """

    ids: NDArray[np.int64]
    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Labels:
    """Which samples show which classes.

    Attributes
    ----------
    classes : tuple of str
    values : array of shape (n_samples, n_classes), int8
        1 shown, 0 flagged difficult, -1 not shown; rows as the ids that were asked for.
    """

    classes: tuple[str, ...]
    values: NDArray[np.int8]


class Contents:
    """A store, and what was read of it.

    What is kept belongs to the versions of the tables that it was read from: after a commit of any
    process it is read anew. Any thread may ask.
    """

    def __init__(self, store: "Store") -> None:
        self.store = store
        self._lock = threading.Lock()
        self._tables: dict[str, DeltaTable] = {}
        self._kept: OrderedDict[Hashable, tuple[object, int, str]] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._bytes = 0
        self._at_once = threading.BoundedSemaphore(AT_ONCE)
        self._inside = threading.local()

    def version(self, table: str) -> int:
        """Return the version of a table; its log is read again only where it grew."""
        delta = self._tables.get(table)
        if delta is None or self.store.place.entry(
            f"{table}/_delta_log/{delta.version() + 1:020d}.json"
        ):
            delta = self._tables[table] = open_table(self.store.place, table)
        return int(delta.version())

    def kept(
        self, what: Hashable, tables: Sequence[str], make: Callable[[], T], *, large: bool = False
    ) -> T:
        """Return what ``make`` gives, or gave when the tables were as they are now.

        Parameters
        ----------
        what : hashable
            Names it; the same name is the same thing.
        tables : sequence of str
            The tables that it is read from.
        make : callable
            Run by one thread, while others that want the same wait for it.
        large : bool
            It is of a whole layer: only :data:`AT_ONCE` such are made at the same time.
        """
        key = (what, *(self.version(table) for table in tables))
        with self._lock:
            if key in self._kept:
                return cast("T", self._had(key, make))
        if large and not getattr(self._inside, "making", False):
            # what is needed by something else that is being made waits for nothing: no deadlock
            with self._at_once:
                return self._made(key, make)
        return self._made(key, make)

    def _made(self, key: Hashable, make: Callable[[], T]) -> T:
        with self._lock:
            if key in self._kept:
                return cast("T", self._had(key, make))
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._kept:
                    return cast("T", self._had(key, make))
            outer = getattr(self._inside, "making", False)
            self._inside.making = True
            try:
                value = make()
                with self._lock:
                    self._keep(key, value, make.__module__)
                if _size(value) > TRIMMED:
                    _give_back()
            finally:
                self._inside.making = outer
                self._making.pop(key, None)
        return value

    def _had(self, key: Hashable, make: Callable[[], object]) -> object:
        """Return what is kept; a name that another module uses for something else is our bug."""
        value, _, module = self._kept[key]
        if module != make.__module__:
            raise ValueError(f"{key!r} is kept by {module} and by {make.__module__}")
        self._kept.move_to_end(key)
        return value

    def holds(self, what: Hashable, tables: Sequence[str]) -> bool:
        """Whether :meth:`kept` has it, so that asking for it takes no time."""
        key = (what, *(self.version(table) for table in tables))
        with self._lock:
            return key in self._kept

    def _keep(self, key: Hashable, value: object, module: str) -> None:
        size = _size(value)
        self._bytes -= self._kept[key][1] if key in self._kept else 0
        self._kept[key] = value, size, module
        self._bytes += size
        while len(self._kept) > 1 and (self._bytes > KEPT_BYTES or len(self._kept) > KEPT):
            _, (_, gone, _) = self._kept.popitem(last=False)
            self._bytes -= gone

    # What pages share

    @property
    def partitions(self) -> dict[Partition, dict[str, Any]]:
        """What is stored, by partition, in the networks' order of layers; rows of ``status``."""
        tables = (ACTIVATIONS, "layers")
        return self.kept("partitions", tables, lambda: _partitions(self.store))

    def responses(self, partition: Partition) -> Responses:
        """Return the largest response of each filter to each sample of a partition."""
        tables = (ACTIVATIONS, "layers")
        return self.kept(
            ("responses", partition),
            tables,
            lambda: _responses(self.store, partition),
            large=True,
        )

    def shape(self, partition: Partition) -> "LayerShape":
        """Return a layer's channels, height and width."""
        from fstore.store.features import layer_shape

        tables = (ACTIVATIONS, "layers")
        return self.kept(("shape", partition), tables, lambda: layer_shape(self.store, partition))

    def dataset(self, name: str) -> "DatasetInfo":
        """Return what is known of a data set; raises ``UnknownNameError`` where there is none."""
        return self.kept(("dataset", name), ("datasets",), lambda: self.store.dataset(name))

    def samples(self, dataset: str, view: str) -> SampleRows:
        """Return a view's samples by id: image, file, size, box."""
        return self.kept(
            ("samples", dataset, view),
            ("samples",),
            lambda: SampleRows(self.store.samples(dataset, view)),
        )

    def labels(self, partition: Partition) -> Labels:
        """Return the classes of a partition's stored samples, rows as those of its responses."""
        tables = (ACTIVATIONS, "layers", "labels", "samples", "datasets")

        def read() -> Labels:  # of what is stored by then, should samples have come meanwhile
            return _labels(self.store, partition, self.responses(partition).ids)

        return self.kept(("labels", partition), tables, read, large=True)


def _give_back() -> None:
    """Return memory that was freed to the system: reading an array takes several times its size."""
    pa.default_memory_pool().release_unused()
    with suppress(AttributeError, OSError):  # glibc has it
        ctypes.CDLL(None).malloc_trim(0)


def _size(value: object) -> int:
    """Return the bytes of a thing's arrays; other things are small."""
    if isinstance(value, (np.ndarray, pa.Table, SampleRows)):
        return int(value.nbytes)
    if isinstance(value, (bytes, bytearray, str)):
        return len(value)
    if isinstance(value, (list, tuple)):
        return 200 + sum(map(_size, value[:64])) * max(1, len(value) // 64)
    if isinstance(value, dict):
        some = list(islice(value.values(), 64))
        return 400 * len(value) + _size(some) * max(1, len(value) // 64)
    names = getattr(type(value), "__slots__", ())
    return 200 + sum(_size(getattr(value, name, None)) for name in names)


def _partitions(store: "Store") -> dict[Partition, dict[str, Any]]:
    columns = ("network", "ckpt", "dataset", "view", "layer")
    return {Partition(**{c: row[c] for c in columns}): row for row in store.status()}


def _responses(store: "Store", partition: Partition) -> Responses:
    from fstore.queries.samples.blocks import Rows, ablated_blocks
    from fstore.store.features import layer_shape, stored_samples

    ids = stored_samples(store, partition)
    n_channels = layer_shape(store, partition).channels
    values = np.empty((len(ids), n_channels), dtype=np.float32)
    for block, X in ablated_blocks(store, [Rows(partition, ids)], ablation="sp_max"):
        values[:, block] = X[:, :, 0]
    return Responses(ids, values)


def _labels(store: "Store", partition: Partition, ids: NDArray[np.int64]) -> Labels:
    classes = tuple(store.dataset(partition.dataset).classes)
    values = np.full((len(ids), len(classes)), -1, dtype=np.int8)
    table = store.labels(partition.dataset, partition.view)
    samples = table["sample_id"].to_numpy()
    at = np.searchsorted(ids, samples)
    at[at == len(ids)] = 0
    stored = ids[at] == samples
    column = {name: i for i, name in enumerate(classes)}
    columns = np.array([column[name] for name in table["class"].to_pylist()], dtype=np.intp)
    values[at[stored], columns[stored]] = table["label"].to_numpy()[stored]
    return Labels(classes, values)
