"""Read the pages that ``parquet.py`` writes: float32, byte-stream-split, zeros as NULL or not.

General readers build list levels and NULLs that are known beforehand: every list of a layer has
the same length. This one decodes values straight to where they belong, in half the time. It reads
what our own writer writes and nothing else; of anything else it says so, and pyarrow reads that.
"""

import zlib
from io import BufferedIOBase, IOBase
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet as pq

from fstore.store.parquet import DATA_PAGE, _list_starts

__all__ = ["read_floats", "read_lists"]

I32, STRUCT = 5, 12  # types of the compact Thrift protocol
KIND, SIZE, COMPRESSED, CRC, DATA_HEADER, N_VALUES = 1, 2, 3, 4, 5, 1  # fields of a page's header
CODEC = pa.Codec("zstd")


class _OtherError(Exception):
    """The bytes are not as ``parquet.py`` writes them."""


UNREADABLE = (_OtherError, LookupError, ValueError, OverflowError, OSError, pa.ArrowException)


def _places() -> NDArray[np.uint32]:
    """Table of four definition levels of 2 bits -> four bytes: 1 (level 3: there) or 0."""
    byte = np.arange(256, dtype=np.uint8)[:, None]
    levels = (byte >> np.array([0, 2, 4, 6], dtype=np.uint8)) & 3
    return np.ascontiguousarray(levels == 3).view(np.uint32).ravel()


PLACES = _places()


def read_floats(
    file: IOBase, chunk: "pq.ColumnChunkMetaData", *, length: int | None, check: bool = False
) -> NDArray[np.float32] | None:
    """Return the values of a column of one row group, NULL as 0; None if the pages are others.

    Parameters
    ----------
    file : binary file
    chunk : ColumnChunkMetaData
        Of the file's footer.
    length : int or None
        Of each list; None for a column without lists.
    check : bool
        Compare pages with their CRCs, and return None if one differs: pyarrow then says so.

    Returns
    -------
    array of shape (n_values,), float32, or None
    """
    if not _is_ours(chunk):
        return None
    file.seek(chunk.data_page_offset)
    raw = memoryview(file.read(chunk.total_compressed_size))
    out = np.zeros(chunk.num_values, dtype=np.uint32)
    done = at = 0
    try:
        while done < len(out):
            n_values, sizes, at = _header(raw, at)
            page = raw[at : at + sizes[0]]
            if check and zlib.crc32(page) != sizes[2]:
                return None
            body = memoryview(CODEC.decompress(page, sizes[1], asbytes=False)).cast("B")
            _decode(body, out[done : done + n_values], n_values, length=length)
            done, at = done + n_values, at + sizes[0]
    except UNREADABLE:
        return None  # pyarrow reads it, or says what is wrong with it
    return out.view(np.float32) if done == len(out) else None


def read_lists(
    file: BufferedIOBase,
    chunk: "pq.ColumnChunkMetaData",
    wanted: NDArray[np.intp],
    *,
    length: int,
) -> NDArray[np.float32] | None:
    """Return some of the lists of a column of one row group; None if the pages are others.

    Pages are decompressed, which is a third of the work, but only the wanted lists decoded; of
    pages without one not even that.

    Parameters
    ----------
    file : binary file
    chunk : ColumnChunkMetaData
        Of the file's footer.
    wanted : array of int
        Places of lists in the row group, ascending.
    length : int
        Of each list.

    Returns
    -------
    array of shape (n_wanted, length), float32, or None
        NULL as 0.
    """
    if not _is_ours(chunk):
        return None
    file.seek(chunk.data_page_offset)
    raw = memoryview(file.read(chunk.total_compressed_size))
    out = np.zeros((len(wanted), length), dtype=np.uint32)
    done = at = 0
    try:
        while done < chunk.num_values // length:
            n_values, sizes, at = _header(raw, at)
            page = raw[at : at + sizes[0]]
            first, last = np.searchsorted(wanted, (done, done + n_values // length))
            if first < last:
                body = memoryview(CODEC.decompress(page, sizes[1], asbytes=False)).cast("B")
                _pick(body, out[first:last], wanted[first:last] - done, n_values=n_values)
            done, at = done + n_values // length, at + sizes[0]
    except UNREADABLE:
        return None
    return out.view(np.float32)


def _pick(
    body: memoryview, out: NDArray[np.uint32], wanted: NDArray[np.intp], *, n_values: int
) -> None:
    """Put some lists of a page into zeros of shape (n_wanted, length)."""
    length = out.shape[1]
    starts, body = _levels(body)
    if bytes(starts) != _list_starts(length) * (n_values // length):
        raise _OtherError
    levels, body = _levels(body)
    mask = _present_mask(levels, n_values)
    if mask is None:
        counts = np.full(n_values // length, length)
        places = np.ones(out.shape, dtype=bool)
    else:
        lists = mask.reshape(-1, length)
        counts = np.add.reduce(lists, axis=1, dtype=np.intp)
        places = lists[wanted].view(np.bool_)
    if len(body) != 4 * counts.sum():
        raise _OtherError
    begins = np.cumsum(counts) - counts
    own = counts[wanted]
    # of each wanted list the places of its values among all: its begin, and so many on
    at = np.repeat(begins[wanted] - (np.cumsum(own) - own), own) + np.arange(own.sum())
    planes = np.frombuffer(body, np.uint8).reshape(4, -1)
    values = np.empty((len(at), 4), dtype=np.uint8)
    for byte, plane in enumerate(planes):
        values[:, byte] = plane[at]
    out[places] = values.view(np.uint32)[:, 0]


def _is_ours(chunk: "pq.ColumnChunkMetaData") -> bool:
    return (
        chunk.physical_type == "FLOAT"
        and chunk.compression == "ZSTD"
        and not chunk.has_dictionary_page
        and set(chunk.encodings) == {"RLE", "BYTE_STREAM_SPLIT"}
    )


def _decode(
    body: memoryview, out: NDArray[np.uint32], n_values: int, *, length: int | None
) -> None:
    """Put a page's values into zeros of shape (n_values,)."""
    if len(out) != n_values:
        raise _OtherError
    if length is not None:
        levels, body = _levels(body)
        if bytes(levels) != _list_starts(length) * (n_values // length):
            raise _OtherError
    levels, body = _levels(body)
    where = _where(levels, n_values, bits=1 if length is None else 2)
    n_there = n_values if where is None else len(where)
    if len(body) != 4 * n_there:
        raise _OtherError
    planes = np.frombuffer(body, np.uint8).reshape(4, n_there)
    values = np.empty((n_there, 4), dtype=np.uint8)
    for byte, plane in enumerate(planes):
        values[:, byte] = plane
    whole = values.view(np.uint32)[:, 0]
    if where is None:
        out[:] = whole
    else:
        out[where] = whole  # six times as fast as by a mask


def _where(levels: memoryview, n_values: int, *, bits: int) -> NDArray[np.intp] | None:
    """Return the places of values that are there; None where all are."""
    mask = _present_mask(levels, n_values, bits=bits)
    # of bytes it would take ten times as long
    return None if mask is None else np.flatnonzero(mask.view(np.bool_))


def _present_mask(levels: memoryview, n_values: int, *, bits: int = 2) -> NDArray[np.uint8] | None:
    """Return 1 for each value that is there, else 0; None where all are."""
    header, at = _varint(levels, 0)
    packed = np.frombuffer(levels[at:], np.uint8)
    there = (1 << bits) - 1
    if not header & 1:  # a run of one level
        if header >> 1 != n_values or packed.tolist() != [there]:
            raise _OtherError
        return None
    if len(packed) != (header >> 1) * bits or 8 * (header >> 1) < n_values:
        raise _OtherError
    if bits == 1:
        return np.unpackbits(packed, count=n_values, bitorder="little")
    if not (packed & 0xAA == 0xAA).all():  # a list that is NULL, or empty
        raise _OtherError
    return PLACES.take(packed).view(np.uint8)[:n_values]


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
