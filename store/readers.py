"""One file of activations, read forwards: its values put in their place in a block."""

import os
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from pyarrow import parquet as pq

from fstore.errors import DataError
from fstore.store.commits import storage
from fstore.store.files import StoredFile, make_again
from fstore.store.pages import Pages, read_pages
from fstore.store.schema import CHANNEL, MAP, SAMPLE_ID

__all__ = ["THREADS", "ForeignReader", "Reader", "reader_of"]

THREADS = min(8, os.cpu_count() or 1)  # that decode; each holds what it reads of a row group

FOREIGN_VALUES = 1 << 22  # of a file whose order of rows is not known: 16 MiB of float32 at once


@dataclass
class Reader:
    """One file, read forwards: which of its rows go where in a block."""

    file: StoredFile
    rows: NDArray[np.intp]  # of its samples, those wanted
    to: NDArray[np.intp]  # and their place in the block
    column: str = ""
    lows: list[int] = field(default_factory=list)  # first channel of each row group
    step: int = 1
    _metadata: "pq.FileMetaData | None" = None
    _parquet: pq.ParquetFile | None = None
    _pages: tuple[tuple[str, int], Pages | None] | None = None
    _group: tuple[tuple[str, int], NDArray[Any], NDArray[np.uint8] | None] | None = None

    def open(self, column: str, positions: int) -> None:  # noqa: ARG002 - a foreign file's needs it
        """Read the footer: which channels each row group holds."""
        self.column = column
        self._parquet = self.file.parquet()
        self._metadata = metadata = self._parquet.metadata
        place = self._parquet.schema_arrow.get_field_index(CHANNEL)
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        self.lows = [group.column(place).statistics.min for group in groups]
        self.step = groups[0].num_rows // self.file.n_samples

    def again(self) -> "Reader":
        """Return another one of the same file, for another thread; its footer is not read again."""
        return replace(self, _parquet=None)

    def fill(self, out: NDArray[Any], channels: NDArray[np.int32]) -> None:
        """Write this file's samples of some channels into a block.

        Parameters
        ----------
        out : array of shape (n_channels, n_samples, positions)
            Laid out in any way, but the places of a map lie side by side.
        channels : array of int32
            Ascending.
        """
        of_group = self.group_of(channels)
        for i in np.unique(of_group):
            at = np.flatnonzero(of_group == i)
            block, own = out[int(at[0]) : int(at[-1]) + 1], channels[at] - self.lows[i]
            if not self._put_pages(block, own, int(i)):
                values, present = self._read(int(i))
                wanted, rows = _as_slice(own), _as_slice(self.rows)
                part = values[wanted][:, rows]  # (channels, samples, positions)
                bits = None if present is None else present[wanted][:, rows]
                _put(block, _as_slice(self.to), values=part, bits=bits)

    def group_of(self, channels: NDArray[np.int32]) -> NDArray[np.intp]:
        """Return in which row group each channel is."""
        return np.searchsorted(self.lows, channels, side="right") - 1

    def _put_pages(self, block: NDArray[Any], own: NDArray[np.int32], i: int) -> bool:
        """Write some channels of a row group into a block; False if the pages are not ours."""
        pages = self._pages_of(i)
        if pages is None or block.shape[2] != (pages.length or 1):
            return False
        assert self._metadata is not None  # noqa: S101 - open() comes first
        n_channels = self._metadata.row_group(i).num_rows // self.file.n_samples
        out, (channel, sample) = _flat_view(block)
        begins = np.arange(len(own))[:, None] * channel + self.to * sample
        if begins.shape == (n_channels, self.file.n_samples):
            return pages.put(out, begins.reshape(-1))
        to = np.full((n_channels, self.file.n_samples), -1, dtype=np.int64)
        to[own[:, None], self.rows] = begins
        return pages.put(out, to.reshape(-1))

    def _pages_of(self, i: int) -> Pages | None:
        """Return the pages of a row group, None if they are not ours; the last ones are kept."""
        if self._pages is None or self._pages[0] != (self.column, i):
            assert self._metadata is not None  # noqa: S101 - open() comes first
            group = self._metadata.row_group(i)
            chunk = self._chunk(group)
            length = chunk.num_values // group.num_rows if self.column == MAP else None
            with storage(f"cannot read {self.file.uri}"), self.file.place.open(self.file.key) as f:
                self._pages = (self.column, i), read_pages(f, chunk, length=length)
        return self._pages[1]

    def _chunk(self, group: "pq.RowGroupMetaData") -> "pq.ColumnChunkMetaData":
        """Return a row group's part of the column."""
        return next(
            chunk
            for chunk in (group.column(k) for k in range(group.num_columns))
            if chunk.path_in_schema.split(".", 1)[0] == self.column
        )

    def _read(self, i: int) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
        """Return a row group as pyarrow reads it, and which values are there; the last one is kept.

        Both of shape (channels, samples, positions).
        """
        if self._group is None or self._group[0] != (self.column, i):
            if self._parquet is None:
                self._parquet = self.file.parquet()
            with storage(f"cannot read {self.file.uri}"):
                table = self._parquet.read_row_group(i, columns=[self.column], use_threads=False)
            values, bits = _values_and_bits(table.column(0))
            shape = table.num_rows // self.file.n_samples, self.file.n_samples, -1
            values, bits = values.reshape(shape), None if bits is None else bits.reshape(shape)
            self._group = (self.column, i), values, bits
        return self._group[1:]


@dataclass
class ForeignReader(Reader):
    """A file that another program wrote: rows in any order, perhaps some missing."""

    def open(self, column: str, positions: int) -> None:
        """Choose how many channels are read at once; the order of the rows is not known."""
        self.column = column
        self.step = max(1, FOREIGN_VALUES // max(1, self.file.n_samples * positions))

    def fill(self, out: NDArray[Any], channels: NDArray[np.int32]) -> None:
        """Write this file's samples of some channels into a block.

        Raises
        ------
        DataError
            Rows are missing, or their maps have another size.
        """
        n_channels, _, positions = out.shape
        with storage(f"cannot read {self.file.uri}"):
            rows = pq.read_table(
                self.file.uri,
                filesystem=self.file.place.filesystem,
                columns=[SAMPLE_ID, CHANNEL, self.column],
                filters=[(CHANNEL, "in", channels.tolist())],
                partitioning=None,
            ).sort_by([(CHANNEL, "ascending"), (SAMPLE_ID, "ascending")])
        ids = self.file.sample_ids
        whole = np.array_equal(rows[SAMPLE_ID].to_numpy(), np.tile(ids, n_channels))
        values = _flat(rows[self.column])
        if not whole or values.size != n_channels * len(ids) * positions:
            raise DataError(
                f"{self.file.partition}: another program wrote {self.file.name}, in which "
                "not every sample has a whole map in every channel, so it is no matrix; SQL reads "
                f"what is left. {make_again(self.file)}"
            )
        block = values.reshape(n_channels, len(ids), positions)
        out[:, _as_slice(self.to)] = block[:, self.rows]


def reader_of(file: StoredFile, rows: NDArray[np.intp], to: NDArray[np.intp]) -> Reader:
    """Return what reads a file, by who wrote it."""
    return (ForeignReader if file.is_foreign else Reader)(file, rows, to)


def _put(
    out: NDArray[Any],
    samples: NDArray[np.intp] | slice,
    *,
    values: NDArray[Any],
    bits: NDArray[np.uint8] | None,
) -> None:
    """Write values into a block, 0 where they are NULL."""
    if bits is None:
        out[:, samples] = values
        return
    # as whole numbers, since what stands where a value is NULL may be a NaN
    whole = np.dtype(f"u{values.itemsize}")
    out[:, samples] = (values.view(whole) * bits).view(values.dtype)


def _flat_view(block: NDArray[Any]) -> tuple[NDArray[np.uint32], tuple[int, int]]:
    """Return a block's memory from its first value to its last, and how far apart in it maps are.

    The block is of shape (channels, samples, positions), float32, the places of a map side by side.
    Distances are those of channels and of samples, in values.
    """
    channel, sample, place = (step // block.itemsize for step in block.strides)
    n_channels, n_samples, length = block.shape
    fits = block.dtype == np.float32 and min(channel, sample) >= 0 and (place == 1 or length == 1)
    assert fits  # noqa: S101 - read_pages() reads float32 only, and blocks are made here
    n = (n_channels - 1) * channel + (n_samples - 1) * sample + length
    return as_strided(block, (n,), (block.itemsize,)).view(np.uint32), (channel, sample)


def _flat(values: pa.ChunkedArray) -> NDArray[Any]:
    """Return the values of a column, or of its lists, NULL as 0."""
    plain, bits = _values_and_bits(values)
    if bits is None:
        return plain
    return (plain.view(f"u{plain.itemsize}") * bits).view(plain.dtype)


def _values_and_bits(values: pa.ChunkedArray) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
    """Return the values of a column, or of its lists, and 1 where they are there, 0 where NULL.

    Where all are there, None in place of the ones.
    """
    array = values.combine_chunks()
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        array = array.flatten()
    if not array.null_count:
        return array.to_numpy(), None
    # seven times as fast as fill_null
    valid, data = array.buffers()
    end = array.offset + len(array)
    bits = np.unpackbits(np.frombuffer(valid, np.uint8), count=end, bitorder="little")
    plain = np.frombuffer(data, array.type.to_pandas_dtype(), count=end)
    return plain[array.offset :], bits[array.offset :]


def _as_slice(places: NDArray[np.intp]) -> NDArray[np.intp] | slice:
    """Return ascending places as a slice where they have no holes: NumPy copies it faster."""
    first, last = int(places[0]), int(places[-1])
    return slice(first, last + 1) if last - first + 1 == len(places) else places
