"""A list that a notebook shows as a table."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Generic, TypeVar

from fstore.html_text import short, table_html

__all__ = ["Listing"]

T = TypeVar("T")
FIRST = 20
"""Rows that are shown; the others are counted."""


class Listing(list[T], Generic[T]):
    """A list of things of one kind; otherwise an ordinary list.

    Parameters
    ----------
    items : iterable
    columns : sequence of str
        Of the table.
    cells : callable
        ``cells(item)`` gives its cells.
    """

    def __init__(
        self, items: Iterable[T], *, columns: Sequence[str], cells: Callable[[T], Sequence[object]]
    ) -> None:
        super().__init__(items)
        self.columns = tuple(columns)
        self._cells = cells

    def __repr__(self) -> str:
        if not self:
            return "[]"
        rows = [[*map(short, self._cells(item))] for item in islice(self, FIRST)]
        table = [list(self.columns), *rows]
        widths = [max(len(row[i]) for row in table) for i in range(len(self.columns))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in table
        ]
        return "\n".join([*lines, *filter(None, [self._more()])])

    def _repr_html_(self) -> str:
        if not self:
            return ""
        cells = map(self._cells, islice(self, FIRST))
        return table_html(self.columns, cells, note=self._more())

    def _more(self) -> str:
        return f"... {len(self) - FIRST} more rows" if len(self) > FIRST else ""
