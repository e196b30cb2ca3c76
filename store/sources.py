"""Read files of activations, to write them again: all samples of some channels, none damaged.

Who writes a file anew gives its pages new checksums, so what is copied must first be proved: the
CRC of each page, that rows are the samples and channels that they should be, and, once all of a
file was read, the checksum of its rows, its totals and its identity.
"""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet as pq

from fstore.errors import FstoreError
from fstore.store.encode import (
    LEAVES,
    NEGATIVE_KEY,
    TOTALS_KEY,
    Group,
    group_checksum,
    group_negative,
    group_totals,
)
from fstore.store.files import IDENTITY_KEY, StoredFile
from fstore.store.identity import Identity
from fstore.store.pages import read_floats
from fstore.store.readers import _values_and_bits
from fstore.store.schema import (
    ACT_MAX,
    ACT_SUM,
    ARGMAX,
    CHANNEL,
    MAP,
    NNZ,
    NPOS,
    SAMPLE_ID,
)
from fstore.system_errors import reason
from fstore.types import LayerResponses

__all__ = ["Source", "UnfitError", "open_source"]

SUMMARY = (ACT_SUM, NNZ, NPOS, ARGMAX)
"""Columns that a layer without maps has NULL throughout."""
DAMAGE = (
    *(FstoreError, OSError, ValueError, LookupError, TypeError, ArithmeticError, MemoryError),
    pa.ArrowException,
)
"""What flipped bits lead to: a length may be of terabytes."""


class UnfitError(FstoreError):
    """A file cannot be read, or is not what it should be: its rows must not be written again."""


@dataclass
class Source:
    """A file that is read once, some channels after others; what was read is counted.

    Attributes
    ----------
    file : StoredFile
    sample_ids : array of shape (n_samples,), int64
        Ascending.
    identity : Identity
    starts : array of shape (n_groups + 1,), int64
        First channel of each row group; at the end their number.
    positions : int
        Places of a map; 1 of a layer without maps.
    """

    file: StoredFile
    sample_ids: NDArray[np.int64]
    identity: Identity
    starts: NDArray[np.int64]
    positions: int
    _metadata: pq.FileMetaData
    _checksum: int = 0
    _negative: int = 0
    _totals: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self._totals = np.zeros(len(self.sample_ids), dtype=np.int64)

    @property
    def n_channels(self) -> int:
        """Channels of the layer."""
        return int(self.starts[-1])

    @property
    def nonzero(self) -> int | None:
        """Responses that are not 0, as the footer says; None if it does not."""
        said = self._said_totals()
        return None if said is None else sum(said[NNZ])

    @property
    def size_bytes(self) -> int:
        """Of its rows, without the footer."""
        groups = (self._metadata.row_group(i) for i in range(len(self.starts) - 1))
        return sum(chunk.total_compressed_size for g in groups for chunk in _chunks(g).values())

    def read(self, start: int, stop: int) -> Iterator[Group]:
        """Yield the channels from ``start`` to before ``stop``, as they lie in row groups.

        Raises
        ------
        UnfitError
            A page is damaged, or rows are others than they should be.
        """
        first = int(np.searchsorted(self.starts, start, side="right")) - 1
        last = int(np.searchsorted(self.starts, stop, side="left"))
        with _reading(self.file):
            part = self._fetch(first, last)
        for i in range(first, last):
            low, high = int(self.starts[i]), int(self.starts[i + 1])
            with _reading(self.file):
                whole = self._group(part, i)
            group = whole.cut(max(start, low) - low, min(stop, high) - low)
            self._count(group)
            yield group

    def _fetch(self, first: int, last: int) -> "_Part":
        """Read the bytes of some row groups in one go."""
        begin = _begin(self._metadata.row_group(first).column(0))
        end = _end(self._metadata.row_group(last - 1).column(self._metadata.num_columns - 1))
        with self.file.place.open(self.file.key) as file:
            file.seek(begin)
            return _Part(file.read(end - begin), begin)

    def _group(self, part: "_Part", i: int) -> Group:
        """Return a row group as arrays, if its rows are what they should be."""
        low, high = int(self.starts[i]), int(self.starts[i + 1])
        shape = (high - low, len(self.sample_ids))
        columns = _Columns(part, self._metadata, i, with_maps=self.positions > 1)
        channels = np.arange(low, high, dtype=np.int32)
        in_order = np.array_equal(
            columns.read(SAMPLE_ID), np.tile(self.sample_ids, shape[0])
        ) and np.array_equal(columns.read(CHANNEL), np.repeat(channels, shape[1]))
        if not in_order:
            raise self._damaged("its rows are not its samples in order, channel by channel")
        values: dict[str, Any] = {ACT_MAX: columns.read(ACT_MAX).reshape(shape)}
        if self.positions > 1:
            values |= {name: columns.read(name).reshape(shape) for name in SUMMARY}
            values["maps"] = columns.read(MAP).reshape(*shape, self.positions)
        return Group(channels, self.sample_ids, LayerResponses(**values))

    def _count(self, group: Group) -> None:
        self._checksum = (self._checksum + group_checksum(group)) % 2**64
        self._negative += group_negative(group)
        self._totals = self._totals + group_totals(group)

    def check(self) -> None:
        """Compare what was read, which must be all of the file, with what it says of itself.

        Raises
        ------
        UnfitError
            It is damaged.
        """
        said = self._said_totals()
        negative = (self._metadata.metadata or {}).get(NEGATIVE_KEY.encode())
        wrong = {
            f"its rows have the checksum {self._checksum:016x}": (
                self._checksum != self.file.checksum
            ),
            "its totals are not those of its rows": said is not None
            and said != {SAMPLE_ID: self.sample_ids.tolist(), NNZ: self._totals.tolist()},
            f"{self._negative} responses are below 0, which its footer does not say": (
                negative is not None and int(negative) != self._negative
            ),
        }
        if problems := [text for text, is_wrong in wrong.items() if is_wrong]:
            raise self._damaged("; ".join(problems))

    def _said_totals(self) -> dict[str, list[int]] | None:
        said = (self._metadata.metadata or {}).get(TOTALS_KEY.encode())
        with _reading(self.file):
            return None if said is None else dict(json.loads(said))

    def _damaged(self, what: str) -> UnfitError:
        return UnfitError(f"{self.file.uri} is damaged: {what}")


def open_source(file: StoredFile) -> Source:
    """Read a file's footer, for its rows to be read later.

    Raises
    ------
    UnfitError
        It cannot be read, or it is not what its name says.
    """
    with _reading(file), file.place.open(file.key) as opened:
        metadata = pq.read_metadata(opened)
        identity = Identity(json.loads((metadata.metadata or {})[IDENTITY_KEY.encode()]))
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        chunks = _chunks(groups[0])
        rows = [group.num_rows for group in groups]
        whole = not any(n % file.n_samples for n in rows) and chunks.keys() == LEAVES.keys()
        if not whole or identity.fingerprint != file.fingerprint:
            raise UnfitError(f"{file.uri} is damaged: its footer is not what its name says")
        starts = np.cumsum([0, *rows]) // file.n_samples
        positions = int(chunks[MAP].num_values // rows[0])
        return Source(file, file.sample_ids, identity, starts, positions, metadata)


@contextmanager
def _reading(file: StoredFile) -> Iterator[None]:
    """Say of whatever damaged bytes lead to which file it was."""
    try:
        yield
    except UnfitError:
        raise
    except DAMAGE as error:
        raise UnfitError(f"cannot read {file.uri}: {reason(error)}") from error


class _Part(io.RawIOBase):
    """A file of which only some bytes are here, and are all that is read."""

    def __init__(self, content: bytes, begin: int) -> None:
        self._content = memoryview(content)
        self._begin = begin
        self._at = begin

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at}.get(whence, self._size)
        self._at = base + offset
        return self._at

    def read(self, size: int = -1) -> bytes:
        start = self._at - self._begin
        stop = len(self._content) if size < 0 else start + size
        part = bytes(self._content[max(start, 0) : stop])
        self._at += len(part)
        return part

    @property
    def _size(self) -> int:
        return self._begin + len(self._content)


class _Columns:
    """One row group of a file, to be read column by column."""

    def __init__(self, part: _Part, metadata: pq.FileMetaData, i: int, *, with_maps: bool) -> None:
        self._part = part
        self._i = i
        self._parquet = pq.ParquetFile(part, metadata=metadata, page_checksum_verification=True)
        self._rows = metadata.row_group(i).num_rows
        self._chunks = _chunks(metadata.row_group(i))
        small = [SAMPLE_ID, CHANNEL, *(SUMMARY if with_maps else ())]
        self._small = self._parquet.read_row_group(i, columns=small, use_threads=False)

    def read(self, name: str) -> NDArray[Any]:
        """Return a column's values, or those of its lists, bit for bit; NULL as 0."""
        if name in self._small.schema.names:
            return _plain(self._small[name])
        chunk = self._chunks[name]
        length = chunk.num_values // self._rows if name == MAP else None
        values = read_floats(self._part, chunk, length=length)
        if values is not None:
            return values
        return _plain(self._parquet.read_row_group(self._i, columns=[name]).column(0))


def _plain(column: pa.ChunkedArray) -> NDArray[Any]:
    plain, bits = _values_and_bits(column)
    if bits is None:
        return plain
    whole = plain.view(f"u{plain.itemsize}") * bits
    kind: NDArray[Any] = whole.astype(f"u{plain.itemsize}", copy=False).view(plain.dtype)
    return kind


def _chunks(group: "pq.RowGroupMetaData") -> dict[str, "pq.ColumnChunkMetaData"]:
    """Return the columns of a row group, by name."""
    chunks = (group.column(k) for k in range(group.num_columns))
    return {chunk.path_in_schema.split(".", 1)[0]: chunk for chunk in chunks}


def _begin(chunk: "pq.ColumnChunkMetaData") -> int:
    """Return where a column of a row group begins, its dictionary included."""
    pages = [chunk.data_page_offset]
    return int(min([*pages, chunk.dictionary_page_offset] if chunk.has_dictionary_page else pages))


def _end(chunk: "pq.ColumnChunkMetaData") -> int:
    return _begin(chunk) + int(chunk.total_compressed_size)
