"""Compiled loops that lay out the bodies of pages, number distinct values, and hash rows.

Imports numba: import this module inside functions. Values come as their bits. What is written goes
to where the page is made.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fstore.compiled import compiled

__all__ = ["count_there", "hash_rows", "number", "split", "split_there", "split_wide"]

FIRST, SECOND = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
HALF, CHANNEL_BITS = np.uint64(33), np.uint64(24)
BLOCK = 1 << 12  # values that are put together before their bytes are split; a multiple of 8


@compiled
def count_there(bits: NDArray[np.uint32]) -> np.uint32:
    """Count values, of shape (n,), that are not +0.0; -0.0 is one of them."""
    n = np.uint32(0)
    for i in range(bits.size):
        n += np.uint32(bits[i] != 0)
    return n


@compiled
def split_wide(bits: NDArray[np.uint64], out: NDArray[np.uint8]) -> None:
    """Write the first bytes of all values, then all second ones, and so on.

    Parameters
    ----------
    bits : array of shape (n,)
    out : array of 8 * n bytes
    """
    n = bits.size
    for plane in range(8):
        row = out[plane * n : plane * n + n]
        for i in range(n):
            row[i] = np.uint8(bits[i] >> np.uint64(8 * plane))


@compiled
def _split(bits: NDArray[np.uint32], out: NDArray[np.uint8], at: int) -> None:
    """Write the bytes of some values: those from ``at`` on, of all that ``out`` takes."""
    n, total = bits.size, out.size // 4
    first, second = out[at : at + n], out[total + at : total + at + n]
    third, last = out[2 * total + at : 2 * total + at + n], out[3 * total + at : 3 * total + at + n]
    for i in range(n):
        b = bits[i]
        first[i], second[i] = np.uint8(b), np.uint8(b >> np.uint32(8))
        third[i], last[i] = np.uint8(b >> np.uint32(16)), np.uint8(b >> np.uint32(24))


@compiled
def split(bits: NDArray[np.uint32], out: NDArray[np.uint8]) -> None:
    """Do so with values of four bytes; ``out`` is an array of 4 * n."""
    _split(bits, out, 0)


@compiled
def _write_levels(bits: NDArray[np.uint32], levels: NDArray[np.uint8]) -> None:
    for k in range(bits.size // 8):
        x = np.uint32(0)
        for i in range(8):
            x |= np.uint32(bits[8 * k + i] != 0) << np.uint32(i)
        levels[k] = np.uint8(x)
    if bits.size % 8:
        x = np.uint32(0)
        for i in range(bits.size % 8):
            x |= np.uint32(bits[bits.size // 8 * 8 + i] != 0) << np.uint32(i)
        levels[bits.size // 8] = np.uint8(x)


@compiled
def _write_list_levels(bits: NDArray[np.uint32], levels: NDArray[np.uint8]) -> None:
    for k in range(bits.size // 8):
        x = np.uint32(0xAAAA)
        for i in range(8):
            x |= np.uint32(bits[8 * k + i] != 0) << np.uint32(2 * i)
        levels[2 * k], levels[2 * k + 1] = np.uint8(x), np.uint8(x >> np.uint32(8))
    if bits.size % 8:
        k, x = bits.size // 8, np.uint32(0xAAAA)
        for i in range(bits.size % 8):
            x |= np.uint32(bits[8 * k + i] != 0) << np.uint32(2 * i)
        levels[2 * k], levels[2 * k + 1] = np.uint8(x), np.uint8(x >> np.uint32(8))


@compiled
def split_there(
    bits: NDArray[np.uint32], levels: NDArray[np.uint8], out: NDArray[np.uint8]
) -> None:
    """Write definition levels, and the bytes of the values that are not +0.0, split.

    Parameters
    ----------
    bits : array of shape (n,)
    levels : array of ceil(n / 8) bytes, of numbers; of twice as many, of what lists hold
    out : array of 4 * count_there(bits) bytes
    """
    of_lists = levels.size > (bits.size + 7) // 8
    room, at = np.empty(BLOCK, np.uint32), 0
    for start in range(0, bits.size, BLOCK):
        part = bits[start : start + BLOCK]
        if of_lists:
            _write_list_levels(part, levels[start // 4 :])
        else:
            _write_levels(part, levels[start // 8 :])
        n = 0
        for i in range(part.size):
            room[n] = part[i]
            n += int(part[i] != 0)
        _split(room[:n], out, at)
        at += n


@compiled
def number(values: NDArray[np.int32], seen: NDArray[np.int32], index: NDArray[np.int32]) -> int:
    """Give distinct values numbers in their order, and say the number of each.

    Parameters
    ----------
    values : array of shape (n,)
        From 0 to before the length of ``seen``.
    seen : array of zeros
        Becomes the distinct values, in order, as far as the result says.
    index : array of shape (n,)
        To be filled: which of them each value is.

    Returns
    -------
    int
        How many there are.
    """
    for i in range(values.size):
        seen[values[i]] = 1
    n = 0
    for value in range(seen.size):
        n += seen[value]
        seen[value] = n  # one more than its number
    for i in range(values.size):
        index[i] = seen[values[i]] - 1
    last = n = 0
    for value in range(seen.size):
        if seen[value] > last:
            last = seen[value]
            seen[n] = value
            n += 1
    return n


@compiled
def _mix(x: np.uint64) -> np.uint64:
    """Spread the bits of a value: the finaliser of MurmurHash3."""
    x = (x ^ (x >> HALF)) * FIRST
    x = (x ^ (x >> HALF)) * SECOND
    return x ^ (x >> HALF)


@compiled
def hash_rows(
    keys: Any,  # noqa: ANN401 - a tuple of arrays
    largest: NDArray[np.float32],
    total: NDArray[np.float64],
) -> np.uint64:
    """Sum a hash of each row, modulo 2^64; -0.0 counts as 0.0.

    Parameters
    ----------
    keys : two arrays of shape (n,): int64 and int32
        Samples and channels.
    largest, total : arrays of shape (n,)
    """
    samples, channels = keys
    found, room, wide = np.uint64(0), np.empty(1, np.float32), np.empty(1, np.float64)
    narrow_bits, wide_bits = room.view(np.uint32), wide.view(np.uint64)
    for i in range(samples.size):
        room[0], wide[0] = largest[i] + np.float32(0), total[i] + np.float64(0)
        x = _mix((np.uint64(samples[i]) << CHANNEL_BITS) ^ np.uint64(channels[i]))
        x = _mix(x ^ np.uint64(narrow_bits[0]))
        found += _mix(x ^ wide_bits[0])
    return found
