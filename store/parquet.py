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
from functools import lru_cache
from typing import Any, BinaryIO, Literal, TypeAlias

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
FEW_KINDS = 1 << 20  # numbers from a range up to that are counted rather than sorted
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


Body: TypeAlias = "bytes | NDArray[np.uint8]"
Kind: TypeAlias = tuple[Value, dict[int, Value]]


@dataclass(frozen=True, slots=True)
class Page:
    """The uncompressed body of a data page."""

    body: Body
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
    from fstore.store.packing_loops import number

    low, high = int(values.min()), int(values.max())
    if high - low >= FEW_KINDS:
        return indexed(leaf, *np.unique(values, return_inverse=True))
    seen = np.zeros(high - low + 1, dtype=np.int32)
    index = np.empty(len(values), dtype=np.int32)
    n = number(np.subtract(values, low, dtype=np.int32), seen, index)
    return indexed(leaf, seen[:n] + np.int32(low), index)


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
        if zeros_as_null:
            pages.append(Page(_sparse(part, b"", bits=1), len(part)))
        else:
            pages.append(Page(_dense(part, _present(len(part))), len(part)))
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
            body = _sparse(part, repetition, bits=2)
        else:
            body = _dense(part, repetition + _with_length(_run(len(part), leaf.max_def)))
        pages.append(Page(body, len(part)))
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
    pages: list[bytes] = []
    uncompressed = dictionary_size = 0
    if chunk.dictionary is not None:
        kind = _page_kind(DICTIONARY_PAGE, len(chunk.dictionary), PLAIN)
        uncompressed += _pack_page(chunk.dictionary.tobytes(), kind, level=level, to=pages)
        dictionary_size = sum(map(len, pages))
    for page in chunk.pages:
        kind = _page_kind(DATA_PAGE, page.n_values, chunk.encoding)
        uncompressed += _pack_page(page.body, kind, level=level, to=pages)
    meta = {
        **_column_head(chunk.leaf, chunk.encoding),
        5: i64(sum(page.n_values for page in chunk.pages)),
        6: i64(uncompressed),
        7: i64(sum(map(len, pages))),
    }
    return Packed(pages, meta, _statistics(chunk), dictionary_size, uncompressed)


def _pack_page(body: Body, kind: Kind, *, level: int, to: list[bytes]) -> int:
    """Compress a page, add it to others, and return its bytes before compression."""
    page_type, header = kind
    data, fields = _once(body, level) if isinstance(body, bytes) else _compressed(body, level)
    _, page_header = struct({1: page_type, **fields, **header})
    to += [page_header, data]
    return len(page_header) + len(body)


def _compressed(body: Body, level: int) -> tuple[bytes, Mapping[int, Value]]:
    """Compress a page's body; return it, and what the header says of both."""
    data: bytes = pa.Codec("zstd", level).compress(pa.py_buffer(body), asbytes=True)
    crc = zlib.crc32(data)
    signed = crc - 2**32 if crc >= 2**31 else crc
    sizes = {2: i32(len(body)), 3: i32(len(data)), 4: i32(signed)}
    return data, sizes


_once = lru_cache(maxsize=16)(_compressed)
"""The same, for keys: these are the same in many row groups, and compressed once."""


@lru_cache(maxsize=4096)
def _page_kind(kind: int, n_values: int, encoding: int) -> Kind:
    """Return what a page's header says of it, but for its sizes and its checksum."""
    n = {1: i32(n_values), 2: i32(encoding)}
    if kind == DICTIONARY_PAGE:
        return i32(kind), {7: struct(n)}
    return i32(kind), {5: struct({**n, 3: i32(RLE), 4: i32(RLE)})}


@lru_cache(maxsize=256)
def _column_head(leaf: Leaf, encoding: int) -> dict[int, Value]:
    """Return what a footer says of a column in every row group."""
    encodings = [RLE, encoding] + ([PLAIN] if encoding == RLE_DICTIONARY else [])
    return {
        1: i32(TYPES[leaf.dtype]),
        2: array([i32(e) for e in encodings]),
        3: array([text(p) for p in leaf.path]),
        4: i32(ZSTD),
    }


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


def _dense(values: NDArray[Any], levels: bytes) -> NDArray[np.uint8]:
    """Return a page of levels and values, split: all first bytes, all second bytes, and so on."""
    from fstore.store.packing_loops import split, split_wide

    body = np.empty(len(levels) + values.nbytes, dtype=np.uint8)
    body[: len(levels)] = np.frombuffer(levels, dtype=np.uint8)
    if values.itemsize == 4:
        split(_bits(values, "<u4"), body[len(levels) :])
    else:
        split_wide(_bits(values, "<u8"), body[len(levels) :])
    return body


def _sparse(values: NDArray[Any], before: bytes, *, bits: int) -> NDArray[np.uint8]:
    """Return a page of float32 without those whose bits are all 0; a negative zero is kept.

    Its definition levels, of one bit or two, follow what is given as ``before``.
    """
    from fstore.store.packing_loops import count_there, split_there

    patterns, n_groups = _bits(values, "<u4"), -(-len(values) // 8)
    run = varint(n_groups << 1 | 1)  # bit-packed; the last group of eight is padded
    n_levels = n_groups * bits
    head = before + (len(run) + n_levels).to_bytes(4, "little") + run
    body = np.empty(len(head) + n_levels + 4 * int(count_there(patterns)), dtype=np.uint8)
    body[: len(head)] = np.frombuffer(head, dtype=np.uint8)
    levels, planes = np.split(body[len(head) :], [n_levels])
    split_there(patterns, levels, planes)
    return body


def _bits(values: NDArray[Any], kind: str) -> NDArray[Any]:
    """Return values as they are in memory: what the loops are compiled for can be written to."""
    return np.require(values, requirements=("C", "W")).view(kind)


def _present(n: int) -> bytes:
    """Definition levels of n values that are all there, in a column without lists."""
    return _with_length(_run(n, 1))


def _list_starts(length: int) -> bytes:
    """Repetition levels of one list: 0, then 1 for the rest."""
    return _run(1, 0) + (_run(length - 1, 1) if length > 1 else b"")


def _run(n: int, level: int) -> bytes:
    """Encode a run-length run of one level (levels of up to 8 bits)."""
    return varint(n << 1) + bytes([level])


def _with_length(levels: bytes) -> bytes:
    return len(levels).to_bytes(4, "little") + levels
