"""A Parquet writer for what activations need, and nothing else.

General writers spend most of their time on list levels that are known beforehand (every list of
a layer has the same length) and cannot choose NULLs cheaply; ``docs/decisions/0003-encoding.md``
has the measurements. This one writes format version 2.6 files with version 1 data pages, which
every reader knows, from whole columns of one row group at a time:

- :class:`Leaf` describes a column, :class:`Chunk` its values in one row group;
- :func:`packed` compresses a chunk, :class:`ParquetFile` writes them, then the footer.

References
----------
https://parquet.apache.org/docs/file-format/ and ``parquet.thrift`` of apache/parquet-format.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fstore.store.thrift import Value, array, i16, i32, i64, struct, text, varint

__all__ = [
    "Chunk",
    "Leaf",
    "Packed",
    "ParquetFile",
    "dictionary",
    "floats",
    "indexed",
    "lists",
    "nulls",
    "packed",
]

MAGIC = b"PAR1"
INT32, INT64, FLOAT, DOUBLE = 1, 2, 4, 5
PLAIN, RLE, RLE_DICTIONARY, BYTE_STREAM_SPLIT = 0, 3, 8, 9
OPTIONAL, REPEATED = 1, 2
ZSTD, DATA_PAGE, DICTIONARY_PAGE, CONVERTED_LIST = 6, 0, 2, 3
PAGE_VALUES = 1 << 18  # 1 MiB of float32
TYPES = {"int32": INT32, "int64": INT64, "float32": FLOAT, "float64": DOUBLE}


@dataclass(frozen=True, slots=True)
class Leaf:
    """A column: optional values of one NumPy type, or optional lists of them."""

    name: str
    dtype: Literal["int32", "int64", "float32", "float64"]
    is_list: bool = False

    @property
    def path(self) -> tuple[str, ...]:
        """Path in the file's schema."""
        return (self.name, "list", "element") if self.is_list else (self.name,)

    @property
    def max_def(self) -> int:
        """Definition level of a value that is there."""
        return 3 if self.is_list else 1


@dataclass(frozen=True, slots=True)
class Page:
    """The uncompressed body of a data page."""

    body: bytes
    n_values: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A column's pages in one row group."""

    leaf: Leaf
    pages: Sequence[Page]
    encoding: int
    dictionary: NDArray[Any] | None = None
    low_high: tuple[bytes, bytes] | None = None
    null_count: int | None = None


def dictionary(leaf: Leaf, values: NDArray[Any]) -> Chunk:
    """Encode values that repeat: a dictionary of them, and an index a row."""
    distinct, index = np.unique(values, return_inverse=True)
    return indexed(leaf, distinct, index)


def indexed(leaf: Leaf, distinct: NDArray[Any], index: NDArray[Any]) -> Chunk:
    """Encode ``distinct[index]``; ``distinct`` ascends; indices take whole bytes."""
    width = 1 if len(distinct) <= 1 << 8 else 2 if len(distinct) <= 1 << 16 else 4
    n_groups = -(-len(index) // 8)
    padded = np.zeros(n_groups * 8, dtype=f"<u{width}")
    padded[: len(index)] = index
    indices = bytes([8 * width]) + varint(n_groups << 1 | 1) + padded.tobytes()
    page = Page(_present(len(index)) + indices, len(index))
    low_high = distinct[0].tobytes(), distinct[-1].tobytes()
    return Chunk(leaf, [page], RLE_DICTIONARY, distinct, low_high, null_count=0)


def floats(leaf: Leaf, values: NDArray[Any], *, zeros_as_null: bool = False) -> Chunk:
    """Encode real numbers of shape (n,) byte-stream-split; exact zeros become NULL if asked."""
    pages = []
    for start in range(0, len(values), PAGE_VALUES):
        part = values[start : start + PAGE_VALUES]
        if not zeros_as_null:
            pages.append(Page(_present(len(part)) + _split_bytes(part), len(part)))
            continue
        not_zero = _not_zero(part)
        levels = _bit_packed(np.packbits(not_zero, bitorder="little").tobytes(), len(part))
        pages.append(
            Page(_with_length(levels) + _split_bytes(np.compress(not_zero, part)), len(part))
        )
    return Chunk(leaf, pages, BYTE_STREAM_SPLIT)


def lists(leaf: Leaf, values: NDArray[Any], *, zeros_as_null: bool = False) -> Chunk:
    """Encode lists of one length, values of shape (n, length); zeros become NULL if asked."""
    length = values.shape[1]
    step = max(1, PAGE_VALUES // length)
    pages = []
    for start in range(0, len(values), step):
        part = values[start : start + step].reshape(-1)
        repetition = _with_length(_list_starts(length) * (len(part) // length))
        if zeros_as_null:
            not_zero = _not_zero(part)
            levels = _bit_packed(
                SPREAD[np.packbits(not_zero, bitorder="little")].tobytes(), len(part)
            )
            body = _with_length(levels) + _split_bytes(np.compress(not_zero, part))
        else:
            body = _with_length(_run(len(part), leaf.max_def)) + _split_bytes(part)
        pages.append(Page(repetition + body, len(part)))
    return Chunk(leaf, pages, BYTE_STREAM_SPLIT)


def nulls(leaf: Leaf, n_rows: int) -> Chunk:
    """Encode a column that is NULL throughout."""
    levels = _with_length(_run(n_rows, 0))
    body = levels + levels if leaf.is_list else levels  # repetition 0, definition 0
    return Chunk(leaf, [Page(body, n_rows)], PLAIN, null_count=n_rows)


@dataclass(frozen=True, slots=True)
class Packed:
    """A chunk as it lies in a file, wherever that is.

    Attributes
    ----------
    pages : sequence of bytes
        Headers and compressed bodies.
    meta : mapping
        What the footer says of it, but where it lies.
    statistics : Value or None
    dictionary_size, uncompressed : int
        Bytes of the dictionary's page, 0 without one; of all pages before compression.
    """

    pages: Sequence[bytes]
    meta: Mapping[int, Value]
    statistics: Value | None
    dictionary_size: int
    uncompressed: int

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return sum(map(len, self.pages))


def packed(chunk: Chunk, *, level: int = 1) -> Packed:
    """Compress a chunk by zstd of some level; most of it runs without Python's lock."""
    codec = pa.Codec("zstd", level)
    pages: list[bytes] = []
    uncompressed = dictionary_size = 0
    if chunk.dictionary is not None:
        kind = {7: struct({1: i32(len(chunk.dictionary)), 2: i32(PLAIN)})}
        body = chunk.dictionary.tobytes()
        uncompressed += _pack_page(codec, DICTIONARY_PAGE, body, header=kind, to=pages)
        dictionary_size = sum(map(len, pages))
    for page in chunk.pages:
        levels = {1: i32(page.n_values), 2: i32(chunk.encoding), 3: i32(RLE), 4: i32(RLE)}
        header = {5: struct(levels)}
        uncompressed += _pack_page(codec, DATA_PAGE, page.body, header=header, to=pages)
    encodings = [RLE, chunk.encoding] + ([PLAIN] if chunk.dictionary is not None else [])
    meta = {
        1: i32(TYPES[chunk.leaf.dtype]),
        2: array([i32(e) for e in encodings]),
        3: array([text(p) for p in chunk.leaf.path]),
        4: i32(ZSTD),
        5: i64(sum(page.n_values for page in chunk.pages)),
        6: i64(uncompressed),
        7: i64(sum(map(len, pages))),
    }
    return Packed(pages, meta, _statistics(chunk), dictionary_size, uncompressed)


def _pack_page(
    codec: pa.Codec, kind: int, body: bytes, *, header: dict[int, Value], to: list[bytes]
) -> int:
    """Compress a page, add it to others, and return its bytes before compression."""
    data = codec.compress(body, asbytes=True)
    crc = zlib.crc32(data)
    signed = crc - 2**32 if crc >= 2**31 else crc
    fields = {1: i32(kind), 2: i32(len(body)), 3: i32(len(data)), 4: i32(signed), **header}
    page_header = struct(fields)[1]
    to += [page_header, data]
    return len(page_header) + len(body)


@dataclass
class ParquetFile:
    """An open file that takes row groups, then a footer.

    Parameters
    ----------
    file : binary file, at its beginning
    leaves : the columns, in order
    metadata : text for the footer
    """

    file: BinaryIO
    leaves: Sequence[Leaf]
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._groups: list[Value] = []
        self._rows = 0
        self._at = self._put(MAGIC, at=0)

    def write_group(self, chunks: Sequence[Packed], n_rows: int) -> None:
        """Write one row group; ``chunks`` in the order of the leaves."""
        columns = [self._write_chunk(chunk) for chunk in chunks]
        plain_size, size = sum(c.uncompressed for c in chunks), sum(c.size for c in chunks)
        ordinal = i16(len(self._groups) % 2**15)
        group = {1: array(columns), 2: i64(plain_size), 3: i64(n_rows), 6: i64(size), 7: ordinal}
        self._groups.append(struct(group))
        self._rows += n_rows

    def close(self) -> None:
        """Write the footer; the file itself stays open."""
        pairs = [struct({1: text(k), 2: text(v)}) for k, v in self.metadata.items()]
        orders = [struct({1: struct({})}) for _ in self.leaves]  # min and max are comparable
        _, footer = struct(
            {
                1: i32(2),
                2: array(_schema(self.leaves)),
                3: i64(self._rows),
                4: array(self._groups),
                5: array(pairs),
                6: text("fstore version 1"),
                7: array(orders),
            }
        )
        self._put(footer + len(footer).to_bytes(4, "little") + MAGIC, at=self._at)

    def _put(self, data: bytes, *, at: int) -> int:
        self.file.write(data)
        return at + len(data)

    def _write_chunk(self, chunk: Packed) -> Value:
        """Write a chunk's pages, and return what the footer says of it."""
        start = self._at
        for page in chunk.pages:
            self._at = self._put(page, at=self._at)
        meta = {**chunk.meta, 9: i64(start + chunk.dictionary_size)}
        if chunk.dictionary_size:
            meta[11] = i64(start)
        if chunk.statistics is not None:
            meta[12] = chunk.statistics
        return struct({2: i64(0), 3: struct(meta)})


def _statistics(chunk: Chunk) -> Value | None:
    fields = {}
    if chunk.null_count is not None:
        fields[3] = i64(chunk.null_count)
    if chunk.low_high is not None:
        low, high = chunk.low_high
        fields |= {5: text(high), 6: text(low)}
    return struct(fields) if fields else None


def _schema(leaves: Sequence[Leaf]) -> list[Value]:
    elements = [struct({4: text("schema"), 5: i32(len(leaves))})]
    for leaf in leaves:
        kind = i32(TYPES[leaf.dtype])
        if leaf.is_list:  # the three-level list of the format's specification
            outer = {3: i32(OPTIONAL), 4: text(leaf.name), 5: i32(1), 6: i32(CONVERTED_LIST)}
            logical = struct({3: struct({})})
            elements.append(struct({**outer, 10: logical}))
            elements.append(struct({3: i32(REPEATED), 4: text("list"), 5: i32(1)}))
            elements.append(struct({1: kind, 3: i32(OPTIONAL), 4: text("element")}))
        else:
            elements.append(struct({1: kind, 3: i32(OPTIONAL), 4: text(leaf.name)}))
    return elements


def _spread() -> NDArray[np.uint16]:
    """Table of 8 presence bits -> 8 definition levels of 2 bits: 3 (there) or 2 (NULL)."""
    byte = np.arange(256, dtype=np.uint16)
    levels = np.full(256, 0xAAAA, dtype="<u2")
    for bit in range(8):
        levels |= ((byte >> bit) & 1) << (2 * bit)
    return levels


SPREAD = _spread()


def _not_zero(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where the bits are not those of +0.0: a negative zero is kept as it is."""
    bits: NDArray[np.bool_] = values.view(f"<u{values.itemsize}") != 0
    return bits


def _split_bytes(values: NDArray[Any]) -> bytes:
    """All first bytes, then all second bytes, ... of little-endian values."""
    planes = values.view(np.uint8).reshape(len(values), values.itemsize)
    return planes.T.tobytes()


def _present(n: int) -> bytes:
    """Definition levels of n values that are all there, in a column without lists."""
    return _with_length(_run(n, 1))


def _list_starts(length: int) -> bytes:
    """Repetition levels of one list: 0, then 1 for the rest."""
    return _run(1, 0) + (_run(length - 1, 1) if length > 1 else b"")


def _run(n: int, level: int) -> bytes:
    """Encode a run-length run of one level (levels of up to 8 bits)."""
    return varint(n << 1) + bytes([level])


def _bit_packed(packed: bytes, n: int) -> bytes:
    """Encode a bit-packed run of levels; the last group of eight is padded."""
    return varint(-(-n // 8) << 1 | 1) + packed


def _with_length(levels: bytes) -> bytes:
    return len(levels).to_bytes(4, "little") + levels
