"""A store that is looked at once: what was read is remembered, for as long as one looks."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from fstore.store.catalog import DatasetInfo
from fstore.store.files import ACTIVATIONS, StoredFile, list_files
from fstore.store.place import Place
from fstore.store.store import Store
from fstore.store.tables import read_log
from fstore.types import CheckpointRecord

__all__ = ["FrozenStore"]

T = TypeVar("T")

WHOLE = frozenset({"layers", "refreshes", "reports"})
"""Tables that are asked for part by part: opening one takes longer than reading all of it."""


class FrozenStore(Store):
    """A store whose answers stay what they were when first asked for.

    For questions that ask many times for the same few tables, such as which cells of all reports
    are stale. It does not see what is added later, and nothing is to be written through it.
    """

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._known: dict[Hashable, Any] = {}

    def rows(self, table: str, /, **equal: str) -> pa.Table:
        """Return a table's rows where columns equal the given values."""
        key = ("rows", table, *sorted(equal.items()))
        if table not in WHOLE or not equal:
            return self._once(key, lambda: super(FrozenStore, self).rows(table, **equal))
        return self._once(key, lambda: _where(self.rows(table), equal))

    def files(self, **equal: str) -> list[StoredFile]:
        """List the committed files of activations, by partition values."""
        key = ("files", *sorted(equal.items()))
        log = self._once("activations", lambda: read_log(self.place, ACTIVATIONS))
        return self._once(key, lambda: list_files(self.place, log, **equal))

    def datasets(self) -> list[DatasetInfo]:
        """Return the registered data sets, by name."""
        return self._once("datasets", super().datasets)

    def checkpoints(self, network: str | None = None) -> list[CheckpointRecord]:
        """Return the checkpoints, by network, iteration and name."""
        key = ("checkpoints", network)
        return self._once(key, lambda: super(FrozenStore, self).checkpoints(network))

    def _view_rows(
        self, table: str, dataset: str, view: str, *, columns: Sequence[str] = ()
    ) -> pa.Table:
        key = ("view", table, dataset, view, *columns)
        read = super()._view_rows
        return self._once(key, lambda: read(table, dataset, view, columns=columns))

    def _once(self, key: Hashable, read: Callable[[], T]) -> T:
        """Return what was read before under a key, or read it."""
        if key not in self._known:
            self._known[key] = read()
        value: T = self._known[key]
        return value


def _where(rows: pa.Table, equal: Mapping[str, str]) -> pa.Table:
    """Return the rows where columns equal the given values."""
    for column, value in equal.items():
        rows = rows.filter(pc.equal(rows[column], value))
    return rows
