"""One file of activations, read forwards: its values put in their place in a block."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet as pq

from fstore.errors import DataError
from fstore.store.commits import storage
from fstore.store.files import StoredFile, make_again
from fstore.store.pages import read_floats, read_lists
from fstore.store.schema import CHANNEL, MAP, SAMPLE_ID

__all__ = ["FEW", "ForeignReader", "Reader", "reader_of"]

FEW = 3  # times as many samples as are wanted, at least, for their maps to be picked out
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
    _parquet: pq.ParquetFile | None = None
    _group: tuple[int, NDArray[Any], NDArray[np.uint8] | None] | None = None

    def open(self, column: str, positions: int) -> None:  # noqa: ARG002 - a foreign file's needs it
        """Read the footer: which channels each row group holds."""
        self.column = column
        self._parquet = self.file.parquet()
        metadata = self._parquet.metadata
        place = self._parquet.schema_arrow.get_field_index(CHANNEL)
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        self.lows = [group.column(place).statistics.min for group in groups]
        self.step = groups[0].num_rows // self.file.n_samples

    def fill(self, out: NDArray[Any], channels: NDArray[np.int32]) -> None:
        """Write this file's samples of some channels into a block."""
        of_group = self.group_of(channels)
        rows, to = _as_slice(self.rows), _as_slice(self.to)
        for i in np.unique(of_group):
            if self._is_few and self._fill_few(
                out, channels, at=np.flatnonzero(of_group == i), i=int(i)
            ):
                continue
            values, present = self._read(int(i))
            at = np.flatnonzero(of_group == i)
            wanted = _as_slice(channels[at] - self.lows[i])
            part = values[wanted][:, rows]  # (channels, samples, positions)
            bits = None if present is None else present[wanted][:, rows]
            _put(out, slice(int(at[0]), int(at[-1]) + 1), to, values=part, bits=bits)

    def group_of(self, channels: NDArray[np.int32]) -> NDArray[np.intp]:
        """Return in which row group each channel is."""
        return np.searchsorted(self.lows, channels, side="right") - 1

    @property
    def _is_few(self) -> bool:
        """Whether so few maps are wanted that they are picked out, not decoded with all others."""
        return self.column == MAP and FEW * len(self.rows) <= self.file.n_samples

    def _fill_few(
        self, out: NDArray[Any], channels: NDArray[np.int32], *, at: NDArray[np.intp], i: int
    ) -> bool:
        """Write the wanted maps of a row group into a block; False if the pages are not ours."""
        assert self._parquet is not None  # noqa: S101 - open() comes first
        own = channels[at] - self.lows[i]
        wanted = (own[:, None] * self.file.n_samples + self.rows[None]).reshape(-1)
        group = self._parquet.metadata.row_group(i)
        chunk = self._chunk(group)
        with storage(f"cannot read {self.file.uri}"), self.file.place.open(self.file.key) as file:
            values = read_lists(file, chunk, wanted, length=chunk.num_values // group.num_rows)
        if values is None:
            return False
        part = values.reshape(len(own), len(self.rows), -1)
        out[int(at[0]) : int(at[-1]) + 1, _as_slice(self.to)] = part
        return True

    def _chunk(self, group: "pq.RowGroupMetaData") -> "pq.ColumnChunkMetaData":
        """Return a row group's part of the column."""
        return next(
            chunk
            for chunk in (group.column(k) for k in range(group.num_columns))
            if chunk.path_in_schema.split(".", 1)[0] == self.column
        )

    def _read(self, i: int) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
        """Return a row group and which values are there; the last one is kept.

        Both of shape (channels, samples, positions).
        """
        if self._group is None or self._group[0] != i:
            assert self._parquet is not None  # noqa: S101 - open() comes first
            values, bits = self._decoded(self._parquet, i)
            n_channels = self._parquet.metadata.row_group(i).num_rows // self.file.n_samples
            shape = (n_channels, self.file.n_samples, -1)
            self._group = i, values.reshape(shape), None if bits is None else bits.reshape(shape)
        return self._group[1:]

    def _decoded(
        self, parquet: pq.ParquetFile, i: int
    ) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
        """Return a row group's values, NULL as 0; where pyarrow read them, which are there."""
        group = parquet.metadata.row_group(i)
        chunk = self._chunk(group)
        length = chunk.num_values // group.num_rows if self.column == MAP else None
        with storage(f"cannot read {self.file.uri}"):
            with self.file.place.open(self.file.key) as file:
                values = read_floats(file, chunk, length=length)
            if values is not None:
                return values, None
            column = parquet.read_row_group(i, columns=[self.column], use_threads=False).column(0)
        return _values_and_bits(column)


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
    channels: slice,
    samples: NDArray[np.intp] | slice,
    *,
    values: NDArray[Any],
    bits: NDArray[np.uint8] | None,
) -> None:
    """Write values into a block, 0 where they are NULL."""
    if bits is None:
        out[channels, samples] = values
        return
    # as whole numbers, since what stands where a value is NULL may be a NaN; straight into the
    # block, for a product of its own would be written and read once more
    whole = np.dtype(f"u{values.itemsize}")
    if isinstance(samples, slice):
        np.multiply(values.view(whole), bits, out=out.view(whole)[channels, samples])
    else:
        out[channels, samples] = (values.view(whole) * bits).view(values.dtype)


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
