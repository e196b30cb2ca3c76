"""Read the pages that ``parquet.py`` writes: float32, byte-stream-split, zeros as NULL or not.

General readers build list levels and NULLs that are known beforehand: every list of a layer has
the same length. This one puts values straight to where they belong, by the loops of
``page_loops.py``; threads do so side by side. It reads what our own writer writes and nothing
else; of anything else it says so, and pyarrow reads that.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedIOBase, IOBase
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet as pq

from fstore.store.parquet import DATA_PAGE, _list_starts

__all__ = ["Pages", "read_floats", "read_pages"]

I32, STRUCT = 5, 12  # types of the compact Thrift protocol
KIND, SIZE, COMPRESSED, CRC, DATA_HEADER, N_VALUES = 1, 2, 3, 4, 5, 1  # fields of a page's header
CODEC = pa.Codec("zstd")
BEHIND = 7  # bytes behind the levels that the loops may look at


class _OtherError(Exception):
    """The bytes are not as ``parquet.py`` writes them."""


UNREADABLE = (_OtherError, LookupError, ValueError, OverflowError, OSError, pa.ArrowException)


@dataclass
class _Page:
    """A page: compressed; what it holds, as soon as that is asked for."""

    n_values: int
    data: memoryview
    size: int
    body: memoryview | None = field(default=None, repr=False)

    def opened(self) -> memoryview:
        """Return the bytes, decompressed once."""
        if self.body is None:
            buffer = CODEC.decompress(self.data, self.size, asbytes=False)
            self.body, self.data = memoryview(buffer).cast("B"), memoryview(b"")
        return self.body


@dataclass(frozen=True, slots=True)
class Pages:
    """A column of one row group, read and checked, not decoded.

    Attributes
    ----------
    pages : sequence
    length : int or None
        Of each list; None for a column of numbers.
    """

    pages: list[_Page]
    length: int | None

    def put(self, out: NDArray[np.uint32], to: NDArray[np.int64]) -> bool:
        """Put lists where they belong, NULL as 0. A page without a wanted one stays compressed.

        Parameters
        ----------
        out : array of uint32
            The bits of float32.
        to : array of shape (n_lists,), int64
            Where in ``out`` each list, or number, begins; below 0: it is not wanted.

        Returns
        -------
        bool
            False if a page is not one of ours; some lists may be there already.
        """
        length = self.length or 1
        try:
            if sum(page.n_values for page in self.pages) != length * len(to):
                return False
            done = 0
            for page in self.pages:
                own = to[done : done + page.n_values // length]
                done += len(own)
                if own.max(initial=-1) >= 0:
                    _put(page, out, own, length=self.length)
        except UNREADABLE:
            return False  # pyarrow reads it, or says what is wrong with it
        return True


def read_pages(
    file: BufferedIOBase | IOBase, chunk: "pq.ColumnChunkMetaData", *, length: int | None
) -> Pages | None:
    """Read the pages of a column of one row group, and compare them with their CRCs.

    Parameters
    ----------
    file : binary file
    chunk : ColumnChunkMetaData
        Of the file's footer.
    length : int or None
        Of each list; None for a column without lists.

    Returns
    -------
    Pages or None
        None if they are others, or damaged: pyarrow reads them, or says so.
    """
    if not _is_ours(chunk):
        return None
    file.seek(chunk.data_page_offset)
    raw = memoryview(file.read(chunk.total_compressed_size))
    try:
        return Pages(list(_pages(raw, chunk.num_values, length=length or 1)), length)
    except UNREADABLE:
        return None


def read_floats(
    file: BufferedIOBase | IOBase, chunk: "pq.ColumnChunkMetaData", *, length: int | None
) -> NDArray[np.float32] | None:
    """Return the values of a column of one row group, NULL as 0; None if the pages are others.

    Parameters
    ----------
    file, chunk, length
        As for :func:`read_pages`.

    Returns
    -------
    array of shape (n_values,), float32, or None
    """
    pages = read_pages(file, chunk, length=length)
    if pages is None:
        return None
    out = np.empty(chunk.num_values, dtype=np.float32)
    whole = pages.put(out.view(np.uint32), np.arange(0, len(out), length or 1))
    return out if whole else None


def _pages(raw: memoryview, n_values: int, *, length: int) -> Iterator[_Page]:
    """Yield the pages of a column, which must have so many values."""
    done = at = 0
    while done < n_values:
        own, (compressed, size, crc), at = _header(raw, at)
        data = raw[at : at + compressed]
        if own < length or own % length or zlib.crc32(data) != crc:
            raise _OtherError
        yield _Page(own, data, size)
        done, at = done + own, at + compressed


def _put(
    page: _Page, out: NDArray[np.uint32], to: NDArray[np.int64], *, length: int | None
) -> None:
    """Put the lists of a page where they belong."""
    from fstore.store import page_loops as loops

    body = page.opened()
    if length is not None:
        starts, body = _levels(body)
        if bytes(starts) != _list_starts(length) * len(to):
            raise _OtherError
    levels, planes = _levels(body)
    bits = 1 if length is None else 2
    packed = _packed(levels, page.n_values, bits=bits)
    n_there = page.n_values if packed is None else loops.count_there(packed, bits)
    if len(planes) != 4 * n_there:
        raise _OtherError
    whole = np.empty(n_there + 1, dtype=np.uint32)
    loops.joined(np.frombuffer(planes, np.uint8), whole)
    if packed is None:
        loops.put_all(out, to, whole=whole, length=length or 1)
    elif length is None:
        loops.put_numbers(out, to, whole=whole, levels=packed)
    else:
        levels_on = np.frombuffer(body, np.uint8)[-len(planes) - len(packed) :]
        if len(planes) < BEHIND:
            levels_on = np.append(levels_on, np.zeros(BEHIND, dtype=np.uint8))
        loops.put_some(out, to, whole=whole, levels=levels_on, length=length)


def _is_ours(chunk: "pq.ColumnChunkMetaData") -> bool:
    return (
        chunk.physical_type == "FLOAT"
        and chunk.compression == "ZSTD"
        and not chunk.has_dictionary_page
        and set(chunk.encodings) == {"RLE", "BYTE_STREAM_SPLIT"}
    )


def _packed(levels: memoryview, n_values: int, *, bits: int) -> NDArray[np.uint8] | None:
    """Return levels of some bits each, packed; None where all values are there."""
    header, at = _varint(levels, 0)
    packed = np.frombuffer(levels[at:], np.uint8)
    if not header & 1:  # a run of one level
        if header >> 1 != n_values or packed.tolist() != [(1 << bits) - 1]:
            raise _OtherError
        return None
    if len(packed) != (header >> 1) * bits or 8 * (header >> 1) < n_values:
        raise _OtherError
    return packed


def _levels(body: memoryview) -> tuple[memoryview, memoryview]:
    """Cut levels, which their length stands before, off the rest."""
    end = 4 + int.from_bytes(body[:4], "little")
    if end > len(body):
        raise _OtherError
    return body[4:end], body[end:]


def _header(raw: memoryview, at: int) -> tuple[int, tuple[int, int, int], int]:
    """Return a data page's number of values; compressed and plain size and CRC; its begin."""
    fields, at = _struct(raw, at)
    data = fields[DATA_HEADER]
    if fields[KIND] != DATA_PAGE or not isinstance(data, dict):
        raise _OtherError
    plain: list[Any] = [data[N_VALUES], *(fields[key] for key in (COMPRESSED, SIZE, CRC))]
    n_values, compressed, size, crc = plain  # numbers, as _struct reads them
    return n_values, (compressed, size, crc % 2**32), at


def _struct(raw: memoryview, at: int) -> "tuple[dict[int, int | dict[int, int]], int]":
    """Read a struct of 32-bit numbers and structs of such."""
    fields: dict[int, int | dict[int, int]] = {}
    field = 0
    while (byte := raw[at]) != 0:
        at += 1
        step, kind = byte >> 4, byte & 15
        field += step
        if step == 0 or kind not in (I32, STRUCT):
            raise _OtherError
        if kind == I32:
            n, at = _varint(raw, at)
            fields[field] = (n >> 1) ^ -(n & 1)
        else:
            inner, at = _struct(raw, at)
            fields[field] = inner  # type: ignore[assignment]  # no deeper ones are in a header
    return fields, at + 1


def _varint(raw: memoryview, at: int) -> tuple[int, int]:
    """Read a number of seven bits a byte; return it and what comes behind it."""
    n = shift = 0
    while True:
        byte = raw[at]
        at += 1
        n |= (byte & 127) << shift
        if byte < 128:
            return n, at
        shift += 7
