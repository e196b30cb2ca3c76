"""CSV as a spreadsheet may open it: the one rule for cells that would be taken for formulas."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["csv_cell", "csv_rows"]

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a cell begins with that a spreadsheet computes; the last four are the same, full width."""


def csv_cell(value: object) -> object:
    """Return what is written of a value: text that begins a formula gets an apostrophe before it.

    Numbers stay as they are, also where they are text (``-1.5``).

    Examples
    --------
    >>> csv_cell("=1+1"), csv_cell("-1.5"), csv_cell(-1.5), csv_cell("conv1")
    ("'=1+1", '-1.5', -1.5, 'conv1')
    """
    if isinstance(value, str) and value.startswith(FORMULA) and not _is_number(value):
        return f"'{value}"
    return value


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text)) and text.isascii() and not text[0].isspace()
    except ValueError:
        return False


def csv_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> Iterable[list[object]]:
    """Yield the cells of rows in the order of columns, as :func:`csv_cell` gives them."""
    return ([csv_cell(row.get(column)) for column in columns] for row in rows)
