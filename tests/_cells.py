"""Cells of reports as a store has them: for comparing two stores bit for bit."""

import struct
from typing import Any, TypeAlias

from fstore.store import Store

__all__ = ["Cells", "numbers"]

Cells: TypeAlias = dict[tuple[str, str, str], tuple[Any, ...]]


def numbers(store: Store) -> Cells:
    """Return each stored cell's numbers as bits, and what it was computed from.

    Keys are report, row and column. That a cell is stored once is part of what is proved.
    """
    cells: Cells = {}
    for row in store.rows("reports").to_pylist():
        key = (row["report"], row["row"], row["col"])
        assert key not in cells, f"{key} is stored twice"
        made_of = (row["n"], row["fingerprint"], row["inputs"], row["code_version"])
        cells[key] = (_bits(row["value"]), _bits(row["std"]), *made_of)
    return cells


def _bits(value: float | None) -> bytes:
    """Return a double's eight bytes; none of a value that is missing."""
    return b"" if value is None else struct.pack("<d", value)
