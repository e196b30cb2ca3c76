"""Compiled loops over responses on the CPU: rounding and the summary columns in one pass.

Imports numba: import this module inside functions. A map is rounded, counted, searched and summed
while it is in the cache. Largest values are compared as whole numbers that ascend as the values do,
of which a processor takes several at a time.

The last bits of a sum depend on the order of its terms. It is NumPy's here: blocks of at most 128
values with eight running sums each, added in pairs; pieces of 8192 values (NumPy's buffer) one
after another.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fstore.compiled import compiled

__all__ = ["round_rows", "sum_order", "summarise_rows"]

ONE, DROPPED = np.uint32(1), np.uint32(13)  # bits of float32's 23: a mantissa of 10 stays
HALF, KEPT_BITS = np.uint32((1 << 12) - 1), np.uint32(0xFFFFE000)
NAN, INFINITY, NO_SIGN = np.uint32(0x7FC00000), np.uint32(0x7F800000), np.uint32(0x7FFFFFFF)
LEAST, MOST, INFINITE = np.int32(-(2**31)), np.int32(2**31 - 1), np.int32(0x7F800000)
BLOCK = 64  # values: among so many the place of the largest is sought
PAIRED, BUFFER = 128, 8192  # NumPy's


@compiled
def _round(x: NDArray[np.uint32], out: NDArray[np.uint32]) -> None:
    """Round to 10 bits of mantissa, ties to even; every NaN becomes the usual one."""
    nan = np.uint32(0)
    for i in range(x.size):
        b = x[i]
        nan |= np.uint32((b & NO_SIGN) > INFINITY)
        out[i] = (b + (((b >> DROPPED) & ONE) + HALF)) & KEPT_BITS
    if nan != 0:
        for i in range(x.size):
            if (x[i] & NO_SIGN) > INFINITY:
                out[i] = NAN


@compiled
def round_rows(x: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Round to TF32.

    Parameters
    ----------
    x, out : arrays of shape (n, positions), float32
        Two arrays, not one.
    """
    for row in range(x.shape[0]):
        _round(x[row].view(np.uint32), out[row].view(np.uint32))


@compiled
def _block_sum(x: NDArray[np.float32]) -> float:
    """Sum up to 128 values as NumPy does: eight running sums; fewer than eight one by one."""
    n, total, i = x.size, -0.0, 0
    if n >= 8:
        a, b, c, d = np.float64(x[0]), np.float64(x[1]), np.float64(x[2]), np.float64(x[3])
        e, f, g, h = np.float64(x[4]), np.float64(x[5]), np.float64(x[6]), np.float64(x[7])
        for i in range(8, n - n % 8, 8):
            a += np.float64(x[i])
            b += np.float64(x[i + 1])
            c += np.float64(x[i + 2])
            d += np.float64(x[i + 3])
            e += np.float64(x[i + 4])
            f += np.float64(x[i + 5])
            g += np.float64(x[i + 6])
            h += np.float64(x[i + 7])
        total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for i in range(n - n % 8, n):
        total += np.float64(x[i])
    return total


@compiled
def _sum(x: NDArray[np.float32], order: NDArray[np.int64], partial: NDArray[np.float64]) -> float:
    """Add the blocks of :func:`sum_order`; ``partial`` is room for sums not added yet."""
    total, at, top = 0.0, 0, 0
    for k in range(order.shape[0]):
        n = order[k, 0]
        partial[top] = _block_sum(x[at : at + n])
        at += n
        for _ in range(order[k, 1]):
            top -= 1
            partial[top] += partial[top + 1]
        if order[k, 2]:
            total += partial[top]
        else:
            top += 1
    return total


@compiled
def _look(x: NDArray[np.int32]) -> Any:  # noqa: ANN401 - NumPy's numbers
    """Return the largest value's number, how many are not 0, are above 0, and whether one is NaN.

    Numbers ascend as values do, -0.0 just below 0.0.
    """
    best, nnz, npos, size = LEAST, np.int32(0), np.int32(0), np.int32(0)
    for i in range(x.size):
        b = x[i]
        best = max(best, np.int32(b ^ ((b >> np.int32(31)) & MOST)))
        size = max(size, np.int32(b & MOST))
        nnz += np.int32((b & MOST) != 0)
        npos += np.int32(b > 0)
    return best, nnz, npos, size > INFINITE


@compiled
def _first(x: NDArray[np.float32], value: float) -> int:
    """Return the first place of a value that is there; looks at a block at a time."""
    start = 0
    while True:
        stop, there = min(start + BLOCK, x.size), False
        for i in range(start, stop):
            there |= x[i] == value
        if there:
            break
        start = stop
    while x[start] != value:
        start += 1
    return start


@compiled
def _among_nan(x: NDArray[np.float32]) -> tuple[int, int]:
    """Return the first place of a NaN, and how many are above 0."""
    first, npos = -1, 0
    for i in range(x.size):
        npos += x[i] > 0
        if first < 0 and x[i] != x[i]:
            first = i
    return first, npos


@compiled
def summarise_rows(
    maps: Any,  # noqa: ANN401 - a tuple of arrays
    order: NDArray[np.int64],
    columns: Any,  # noqa: ANN401 - a tuple of arrays
) -> None:
    """Round maps to TF32, where two arrays are given, and fill their summary columns.

    Parameters
    ----------
    maps : two arrays of shape (n, positions), float32
        From which, and to where they are rounded. Where ``positions`` of the first is 0, the
        second holds the values already.
    order : array of shape (n_blocks, 3), int64
        See :func:`sum_order`.
    columns : arrays of shape (n,): float32, float64, and three of int32
        act_max, act_sum, nnz, npos and argmax, as :class:`fstore.types.LayerResponses` has them.
    """
    source, values = maps
    largest, total, nnz, npos, argmax = columns
    partial, bits = np.empty(64, np.float64), np.empty(1, np.int32)
    for row in range(values.shape[0]):
        x = values[row]
        if source.shape[1]:
            _round(source[row].view(np.uint32), x.view(np.uint32))
        number, nnz[row], npos[row], nan = _look(x.view(np.int32))
        if nan:
            at, npos[row] = _among_nan(x)
            largest[row] = x[at]
        else:
            bits[0] = number ^ ((number >> np.int32(31)) & MOST)
            largest[row] = bits.view(np.float32)[0]
            at = _first(x, largest[row])
        argmax[row] = at
        total[row] = _sum(x, order, partial)


def sum_order(n: int) -> NDArray[np.int64]:
    """Say how NumPy adds ``n`` values as float64, so that compiled code gives the same bits.

    Returns
    -------
    array of shape (n_blocks, 3), int64
        A line a block: its length; how often the last two sums are added once it is summed;
        whether the sum is added to the whole then.
    """
    lines: list[list[int]] = []

    def halve(length: int, after: int) -> None:
        if length <= PAIRED:
            lines.append([length, after, 0])
            return
        half = length // 2 // 8 * 8
        halve(half, 0)
        halve(length - half, after + 1)

    for start in range(0, n, BUFFER):
        halve(min(BUFFER, n - start), 0)
        lines[-1][2] = 1
    return np.array(lines, dtype=np.int64).reshape(-1, 3)
