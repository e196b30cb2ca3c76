"""Thrift's compact protocol against bytes worked out by hand from its specification."""

import pytest

from fstore.store.thrift import array, i16, i32, i64, struct, text, varint


@pytest.mark.parametrize(
    ("number", "encoded"),
    [
        (0, "00"),
        (1, "01"),
        (127, "7f"),
        (128, "8001"),
        (300, "ac02"),
        (50399, "df8903"),  # the specification's own example
        (2**32 - 1, "ffffffff0f"),
        (2**64 - 1, "ffffffffffffffffff01"),
    ],
)
def test_varint(number: int, encoded: str) -> None:
    """Seven bits a byte, least significant first, the top bit set on all but the last."""
    assert varint(number).hex() == encoded


@pytest.mark.parametrize(
    ("number", "zigzag"),
    [(0, 0), (-1, 1), (1, 2), (-2, 3), (2**31 - 1, 2**32 - 2), (-(2**31), 2**32 - 1)],
)
def test_signed_numbers_are_zigzag(number: int, zigzag: int) -> None:
    """Small magnitudes of either sign become small unsigned numbers: 0, -1, 1, -2, ..."""
    assert i32(number) == (5, varint(zigzag))
    assert i64(number) == (6, varint(zigzag))


def test_kinds() -> None:
    """Each kind carries its number of the specification: i16 4, i32 5, i64 6, binary 8."""
    assert i16(-3) == (4, b"\x05")
    assert i64(-(2**63)) == (6, varint(2**64 - 1))
    assert text("é") == (8, b"\x02\xc3\xa9")
    assert text(b"\x00\xff") == (8, b"\x02\x00\xff")
    assert text("x" * 200) == (8, b"\xc8\x01" + b"x" * 200)


def test_short_and_long_lists() -> None:
    """Up to 14 items the head is one byte, size and kind; from 15 the size follows as varint."""
    assert array([i32(1), i32(-1)]) == (9, bytes.fromhex("25 02 01"))
    assert array([i32(0)] * 14) == (9, bytes([0xE5]) + bytes(14))
    assert array([i32(0)] * 15) == (9, bytes([0xF5, 15]) + bytes(15))
    assert array([text("a")] * 200)[1][:3] == bytes([0xF8, 0xC8, 0x01])
    assert array([]) == (9, b"\x0c")


def test_structs_write_steps_between_field_numbers() -> None:
    """A field's head is the step from the last number and the kind; a zero byte ends it."""
    encoded = struct({1: i32(5), 3: text("ab"), 16: struct({2: i64(-1)})})
    # 15: step 1, i32 | 0a: 5 | 28: step 2, binary | 02 "ab" | dc: step 13, struct | 26 01 00 | 00
    assert encoded == (12, bytes.fromhex("15 0a 28 02 61 62 dc 26 01 00 00"))
    assert struct({}) == (12, b"\0")


@pytest.mark.parametrize("numbers", [(2, 1), (1, 17), (16,), (0,)])
def test_steps_that_are_not_written_are_refused(numbers: tuple[int, ...]) -> None:
    """Descending fields and steps above 15 are our bug, and say so."""
    with pytest.raises(ValueError, match="only steps of 1 to 15"):
        struct({n: i32(0) for n in numbers})
