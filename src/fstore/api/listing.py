"""A list that a notebook shows as a table."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from fstore.html_text import table_html

__all__ = ["Listing"]

T = TypeVar("T")
Cells = Callable[[T], Sequence[object]]


class Listing(list[T]):
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
        self._columns = columns
        self._cells = cells

    def __repr__(self) -> str:
        if not self:
            return "[]"
        rows = [[*map(_plain, self._cells(item))] for item in self]
        table = [list(self._columns), *rows]
        widths = [max(len(row[i]) for row in table) for i in range(len(self._columns))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in table
        )

    def _repr_html_(self) -> str:
        return table_html(self._columns, map(self._cells, self)) if self else ""


def _plain(value: object) -> str:
    return "" if value is None else str(value)
