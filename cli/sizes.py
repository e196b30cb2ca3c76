"""Sizes as people write them: ``4G``, ``512M``."""

import re

import typer

__all__ = ["parse_size"]

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_size(text: str) -> int:
    """Return the bytes that a text means: a number, and K, M, G or T of 1,024 each time.

    Raises
    ------
    typer.BadParameter
        It is no such text, or less than a byte.
    """
    found = re.fullmatch(
        r"([0-9]+(?:\.[0-9]+)?)([KMGT]?)(?:i?B)?", text.strip(), re.ASCII | re.IGNORECASE
    )
    size = int(float(found[1]) * UNITS[found[2].upper()]) if found else 0
    if size < 1:
        raise typer.BadParameter(f"'{text}' is no size; write one as 4G or 512M")
    return size
