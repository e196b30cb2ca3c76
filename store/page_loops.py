"""Loops over the pages that ``parquet.py`` writes: values put where they belong, NULL as 0.

A page's values are split into four planes: all first bytes, then all second bytes, and so on. Only
those that are not NULL are there; definition levels say which. A level has two bits in a column of
lists and one in a column of numbers; constants, since shifts by a variable take twice the time.
Whole numbers are unsigned: of a signed index, numba would ask each time whether it is below zero.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fstore.compiled import compiled

__all__ = ["count_there", "joined", "put_all", "put_numbers", "put_some"]

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint32]
Places = NDArray[np.int64]

BYTE, U32, U64 = np.uint8, np.uint32, np.uint64
LOW = U64(0x5555555555555555)  # of each level its lower bit
MOST = U64(28)  # levels of two bits that a word has in any case, wherever it begins


@compiled
def count_there(levels: Bytes, width: int) -> int:
    """Count the values that are there; -1 where a whole list is not, or is empty.

    Parameters
    ----------
    levels : array of uint8
    width : int
        Bits of a level: 1, or 2 in a column of lists.
    """
    second = BYTE(0x55 if width == 1 else 0)
    n, both = 0, BYTE(0xFF)
    for i in range(len(levels)):
        byte = levels[i]
        both &= byte
        low = (byte & BYTE(0x55)) + ((byte >> BYTE(1)) & second)
        low = (low & BYTE(0x33)) + ((low >> BYTE(2)) & BYTE(0x33))
        n += (low & BYTE(15)) + (low >> BYTE(4))
    return n if width == 1 or both | BYTE(0x55) == BYTE(0xFF) else -1


@compiled
def joined(planes: Bytes, whole: Words) -> None:
    """Make values of their bytes.

    Parameters
    ----------
    planes : array of shape (4 * n,), uint8
    whole : array of shape (n + 1,), uint32
        Written, but for the last one: the other loops look behind the last value, and do not
        take it.
    """
    n = len(planes) >> 2
    a, b, c, d = planes[:n], planes[n : 2 * n], planes[2 * n : 3 * n], planes[3 * n : 4 * n]
    for i in range(n):
        low = U32(a[i]) | U32(b[i]) << U32(8)
        whole[i] = low | U32(c[i]) << U32(16) | U32(d[i]) << U32(24)


@compiled
def put_all(out: Words, to: Places, *, whole: Words, length: int) -> None:
    """Put lists of which all values are there.

    Parameters
    ----------
    out : array of uint32
        The bits of float32.
    to : array of shape (n_lists,), int64
        Where in ``out`` each list begins; below 0: it is not wanted.
    whole : array of uint32
        The values.
    length : int
        Of a list.
    """
    for r in range(len(to)):
        if to[r] >= 0:
            own, place = whole[r * length : (r + 1) * length], out[to[r] : to[r] + length]
            for i in range(length):
                place[i] = own[i]


@compiled
def put_numbers(out: Words, to: Places, *, whole: Words, levels: Bytes) -> None:
    """Put numbers; as :func:`put_all` for lists of one.

    Parameters
    ----------
    out, to, whole
        As for :func:`put_all`, but ``whole`` has only the values that are there, and one more.
    levels : array of uint8
        Of one bit each.
    """
    k, n = U64(0), U64(len(to))
    for start in range(U64(0), n, U64(8)):
        byte = U64(levels[start >> U64(3)])
        for r in range(start, min(start + U64(8), n)):
            there = byte & U64(1)
            if to[r] >= 0:
                out[U64(to[r])] = whole[k] & (U32(0) - U32(there))
            k += there
            byte >>= U64(1)


@compiled
def put_some(out: Words, to: Places, *, whole: Words, levels: Bytes, length: int) -> None:
    """Put lists of which some values are there.

    Each list is set to 0, then the values that are there are put, one after the other: of most maps
    these are the fewer ones.

    Parameters
    ----------
    out, to, whole, length
        As for :func:`put_all`, but ``whole`` has only the values that are there, and one more.
    levels : array of uint8
        Of two bits each, 3 where the value is there, else 2; and at least 7 bytes more.
    """
    k, bit = U64(0), U64(0)
    for r in range(len(to)):
        skipped = to[r] < 0
        o = U64(max(to[r], 0))
        end = o + U64(length)
        while o < end:
            at, word = bit >> U64(3), U64(0)
            for i in range(8):
                word |= U64(levels[at + U64(i)]) << U64(8 * i)
            word >>= bit & U64(7)
            n = min(MOST, end - o)
            there = word & LOW & ((U64(1) << (n + n)) - U64(1))
            if skipped:
                k += _ones(there)
            else:
                for i in range(n):
                    out[o + U64(i)] = 0
                while there:
                    rest = there & (there - U64(1))
                    before = ((there ^ rest) - U64(1)) & LOW  # levels before the first 1
                    out[o + _ones(before)] = whole[k]
                    k += U64(1)
                    there = rest
            o += n
            bit += n + n


@compiled
def _ones(there: Any) -> Any:  # noqa: ANN401 - 64 bits, unsigned
    """Count the ones, of which no two are neighbours."""
    fours = U64(0x3333333333333333)
    low = (there & fours) + ((there >> U64(2)) & fours)
    low = (low + (low >> U64(4))) & U64(0x0F0F0F0F0F0F0F0F)
    return (low * U64(0x0101010101010101)) >> U64(56)
