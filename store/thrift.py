"""Thrift's compact protocol, the writing half: what a Parquet footer is made of.

A value is a pair of its kind and its bytes; structs are built from the inside outwards.
Reference: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

__all__ = ["Value", "array", "i16", "i32", "i64", "struct", "text", "varint"]

I16, I32, I64, BINARY, LIST, STRUCT = 4, 5, 6, 8, 9, 12

Value: TypeAlias = tuple[int, bytes]


def i16(n: int) -> Value:
    """Return a 16-bit integer."""
    return I16, _zigzag(n)


def i32(n: int) -> Value:
    """Return a 32-bit integer, or an enumeration's value."""
    return I32, _zigzag(n)


def i64(n: int) -> Value:
    """Return a 64-bit integer."""
    return I64, _zigzag(n)


def text(value: str | bytes) -> Value:
    """Return text as UTF-8, or bytes as they are."""
    data = value.encode() if isinstance(value, str) else value
    return BINARY, varint(len(data)) + data


def array(items: Sequence[Value]) -> Value:
    """Return a list of values of one kind; an empty one counts as a list of structs."""
    n, kind = len(items), items[0][0] if items else STRUCT
    head = bytes((n << 4 | kind,)) if n < 15 else bytes((0xF0 | kind,)) + varint(n)
    return LIST, head + b"".join([data for _, data in items])


def struct(fields: Mapping[int, Value]) -> Value:
    """Return a struct; field numbers ascend by at most 15."""
    parts, last = [], 0
    for number, (kind, data) in fields.items():
        step = number - last
        if not 0 < step < 16:
            raise ValueError(f"field {number} after {last}: only steps of 1 to 15 are written")
        parts += [bytes((step << 4 | kind,)), data]
        last = number
    return STRUCT, b"".join(parts) + b"\0"


def varint(n: int) -> bytes:
    """Return an unsigned integer, seven bits a byte, least significant first."""
    if n < 0x80:
        return bytes((n,))
    if n < 0x4000:
        return bytes((n & 0x7F | 0x80, n >> 7))
    if n < 0x20_0000:
        return bytes((n & 0x7F | 0x80, n >> 7 & 0x7F | 0x80, n >> 14))
    return bytes((n & 0x7F | 0x80, n >> 7 & 0x7F | 0x80, n >> 14 & 0x7F | 0x80)) + varint(n >> 21)


def _zigzag(n: int) -> bytes:
    return varint(n << 1 if n >= 0 else (-n << 1) - 1)
