"""Loops that lay out pages, against the same said in plain NumPy and plain Python."""

import numpy as np
import pytest
from numpy.typing import NDArray

from fstore.store.packing_loops import (
    count_there,
    hash_rows,
    number,
    split,
    split_there,
    split_wide,
)

LENGTHS = (1, 7, 8, 9, 4_095, 4_096, 4_097, 12_305)
ODD_BITS = (0x80000000, 0x00000001, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00001)
MASK = 2**64 - 1


def patterns(n: int, density: float) -> NDArray[np.uint32]:
    """Return bits of values of which a share is not +0.0; odd ones are among them."""
    random = np.random.default_rng(n)
    bits = random.integers(1, 2**32, size=n, dtype=np.uint32)
    bits[random.random(n) < 0.1] = random.choice(np.array(ODD_BITS, np.uint32))
    bits[random.random(n) >= density] = 0
    return bits


def planes(bits: NDArray[np.uint32] | NDArray[np.uint64]) -> bytes:
    """Return all first bytes, then all second bytes, and so on."""
    return b"".join(bits.tobytes()[k :: bits.itemsize] for k in range(bits.itemsize))


@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("n", LENGTHS)
def test_zeros_are_dropped_and_levels_say_where(n: int, density: float) -> None:
    """One bit a number, two bits a value of a list; only +0.0 is left out."""
    bits = patterns(n, density)
    there = bits != 0
    assert count_there(bits) == there.sum()
    pairs = np.ones((-(-n // 8) * 8, 2), np.uint8)  # lowest bit first: 2 is 01, 3 is 11
    pairs[:, 0] = 0
    pairs[:n, 0] = there
    for given, per_value in ((there, 1), (pairs.ravel(), 2)):
        levels = np.empty(-(-n // 8) * per_value, np.uint8)
        out = np.empty(4 * int(there.sum()), np.uint8)
        split_there(bits, levels, out)
        assert levels.tobytes() == np.packbits(given, bitorder="little").tobytes()
        assert out.tobytes() == planes(bits[there])


@pytest.mark.parametrize("n", LENGTHS)
def test_bytes_are_split(n: int) -> None:
    """All values stay where nothing is left out, of four and of eight bytes."""
    bits = patterns(n, 0.5)
    out = np.empty(4 * n, np.uint8)
    split(bits, out)
    assert out.tobytes() == planes(bits)
    wide = np.random.default_rng(n).integers(0, 2**64, size=n, dtype=np.uint64)
    out = np.empty(8 * n, np.uint8)
    split_wide(wide, out)
    assert out.tobytes() == planes(wide)


def test_values_are_numbered_in_their_order() -> None:
    """Distinct values and the number of each are those of ``np.unique``."""
    values = np.random.default_rng(0).integers(0, 3_000, size=500).astype(np.int32)
    values[:2] = 0, 2_999
    seen, index = np.zeros(3_000, np.int32), np.empty(500, np.int32)
    n = number(values, seen, index)
    distinct, expected = np.unique(values, return_inverse=True)
    assert np.array_equal(seen[:n], distinct)
    assert np.array_equal(index, expected)


def mix(x: int) -> int:
    """Compute the finaliser of MurmurHash3 with Python's whole numbers."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        x = (x ^ x >> 33) * factor & MASK
    return x ^ x >> 33


def test_the_hash_is_murmurs() -> None:
    """Rows are hashed as plain Python does; -0.0 counts as 0.0."""
    random = np.random.default_rng(0)
    samples, channels = random.integers(0, 2**39, 50), random.integers(0, 99, 50).astype(np.int32)
    largest = random.normal(size=50).astype(np.float32)
    total = random.normal(size=50)
    largest[:3], total[:3] = (0.0, np.inf, np.nan), (0.0, -np.inf, np.nan)
    expected = 0
    for s, c, high, added in zip(
        samples.tolist(), channels.tolist(), largest.view("u4"), total.view("u8"), strict=True
    ):
        expected += mix(mix(mix(s << 24 ^ c) ^ int(high)) ^ int(added))
    assert int(hash_rows((samples, channels), largest, total)) == expected & MASK
    largest[0], total[0] = -0.0, -0.0
    assert int(hash_rows((samples, channels), largest, total)) == expected & MASK
