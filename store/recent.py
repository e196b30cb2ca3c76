"""Rows of small tables that were read last: kept as long as the table's log says the same.

A report asks for the data sets, splits and labels of a store again for each of its cells. Reading
them takes some milliseconds from a disk, and requests from object storage.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

import pyarrow as pa

__all__ = ["MOST_BYTES", "Recent"]

MOST_BYTES = 32 << 20
"""Of all rows that are kept; an answer of more than an eighth of it is not."""
LEAST_BYTES = 1 << 16
"""That an answer counts for, with its key, however few rows it has."""


class Recent:
    """Tables of Arrow by key, those that were asked for longest ago given up first.

    Parameters
    ----------
    most_bytes : int
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._bytes = most_bytes, 0
        self._lock = threading.Lock()
        self._tables: OrderedDict[Hashable, pa.Table] = OrderedDict()

    def get(self, key: Hashable, read: Callable[[], pa.Table]) -> pa.Table:
        """Return what is kept under a key, or else what ``read`` returns.

        Parameters
        ----------
        key : hashable
            Says all that the rows depend on.
        read : callable
            Reads them.
        """
        with self._lock:
            if key in self._tables:
                self._tables.move_to_end(key)
                return self._tables[key]
        rows = read()
        if _size(rows) <= self._most // 8:
            with self._lock:
                self._keep(key, rows)
        return rows

    def _keep(self, key: Hashable, rows: pa.Table) -> None:
        self._bytes += _size(rows) - (_size(self._tables[key]) if key in self._tables else 0)
        self._tables[key] = rows
        while self._bytes > self._most:
            _, oldest = self._tables.popitem(last=False)
            self._bytes -= _size(oldest)


def _size(rows: pa.Table) -> int:
    return max(int(rows.nbytes), LEAST_BYTES)
