"""Read what a cell of a table says, strictly: numbers, flags, parts, names of classes."""

import math
import re
import unicodedata

from fstore.errors import DataError
from fstore.types import Part

__all__ = ["PART_WORDS", "class_name", "flag", "flag_word", "number", "part_of"]

PART_WORDS: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "eval": "test",
}
"""What people call the parts of a data set, in small letters -> what fstore calls them."""

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_CONTROLS = frozenset({"Cc", "Zl", "Zp", "Cs"})  # control characters, line ends, half characters


def number(text: str, where: str) -> float:
    """Return a finite number in plain ASCII digits, as ``12``, ``4.5`` or ``1e2``.

    Raises
    ------
    DataError
        Anything else, also what ``float`` reads: ``1_0``, ``nan``, Arabic digits.
    """
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise DataError(f"{where}: {text!r} is no number; expected one such as 12 or 4.5")
    return value


def flag(text: str, where: str, what: str) -> bool:
    """Return whether a cell says 1; 0 and an empty one say no, anything else is a DataError."""
    if text not in {"", "0", "1"}:
        raise DataError(f"{where}: {what} {text!r}; expected 0 or 1")
    return text == "1"


FLAG_WORDS = {"0": False, "false": False, "no": False, "unspecified": False, "": False}
FLAG_WORDS |= {"1": True, "true": True, "yes": True}
"""What programs write for a flag, in small letters; one that says nothing is not set."""


def flag_word(text: str, where: str, what: str) -> bool:
    """Return what a flag says in a number or a word, in letters of any size.

    Raises
    ------
    DataError
        It is another word or number.
    """
    value = FLAG_WORDS.get(text.strip().lower())
    if value is None:
        raise DataError(f"{where}: {what} {text!r}; expected 0 or 1 (or false, true, no, yes)")
    return value


def part_of(text: str, where: str) -> Part | None:
    """Return the part that a word names, in letters of any size; None for an empty cell.

    Raises
    ------
    DataError
        The word names none.
    """
    part = PART_WORDS.get(text.lower())
    if text and part is None:
        raise DataError(
            f"{where}: split {text!r}; expected train, val, test or nothing "
            f"({', '.join(PART_WORDS)} are understood)"
        )
    return part


def class_name(text: str, where: str) -> str:
    """Return the name of a class, which is any text: ``0012``, ``1e5``, ``NA``.

    Raises
    ------
    DataError
        It holds a control character or a line separator, which nobody sees.
    """
    for sign in text:
        if unicodedata.category(sign) in _CONTROLS:
            raise DataError(f"{where}: class {text!r} holds the control character {sign!r}")
    return text
