"""Views of the partitions that a place of a statement can touch, in a session of SQL."""

from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fstore.store.delta_log import Log, log_entries
from fstore.store.files import ACTIVATIONS, Partition
from fstore.store.prune import Reading, readings, rewritten
from fstore.store.readonly import Named
from fstore.store.schema import PARTITION
from fstore.store.sums import check_files
from fstore.store.tables import read_log
from fstore.store.views import define_view

if TYPE_CHECKING:
    import duckdb

    from fstore.store.place import Place

__all__ = ["NarrowViews"]

LIST = "_partitions"
"""Table of a session: the partitions of the log, by number; -1 has NULL in all columns."""
MOST_FILES, LEAST_VIEWS = 200_000, 16
"""Views are kept for the statements that follow, until they name so many files together."""


class NarrowViews:
    """The narrow views of one session; whoever calls holds the session's lock.

    A view is never changed once it is made: rows of an earlier statement may still be read
    through it.

    Parameters
    ----------
    duck : DuckDBPyConnection
    root : Place
        The store.
    check : bool
        Compare files with the sums that were noted, before a view of them is used.
    """

    def __init__(self, duck: "duckdb.DuckDBPyConnection", root: "Place", *, check: bool) -> None:
        self._duck, self._root, self._check = duck, root, check
        self._log: Log | None = None
        self._codes: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._count = self._made = 0
        self._views: OrderedDict[tuple[Log, frozenset[int]], tuple[str, int]] = OrderedDict()

    def narrowed(
        self, statement: str, named: Named, parameters: Sequence[object]
    ) -> tuple[str, bool]:
        """Return a statement with narrow views where they will do; and whether all files are read.

        Parameters
        ----------
        statement : str
        named : Named
            What it names.
        parameters : sequence
            Values of its ``?``.
        """
        if ACTIVATIONS not in named.tables:
            return statement, False
        text = statement.encode()
        before, inner = text[: named.before], text[named.before :]
        views = {}
        for place in readings(named.tree, inner, table=ACTIVATIONS):
            self._list()
            chosen = self._not_ruled_out(place, parameters)
            if chosen is not None:
                views[place] = self._view(chosen)
        whole = named.hidden or named.reads(ACTIVATIONS) > len(views)
        return (before + rewritten(inner, views)).decode(), whole

    def reached(
        self, table: str, named: Named, *, statement: str, parameters: Sequence[object]
    ) -> frozenset[Partition]:
        """Return the partitions of which a statement can read a table's rows.

        Parameters
        ----------
        table : str
            ``activations``, or another with its partition columns.
        named : Named
            What the statement names.
        statement : str
        parameters : sequence
            Values of its ``?``.
        """
        self._list()
        places = readings(named.tree, statement.encode()[named.before :], table=table)
        chosen = [self._not_ruled_out(place, parameters) for place in places]
        every = self.partitions
        whole = named.hidden or named.reads(table) > len(places)
        if whole or any(numbers is None for numbers in chosen):
            return frozenset(every)
        return frozenset(every[n] for numbers in chosen if numbers for n in numbers)

    @cached_property
    def partitions(self) -> list[Partition]:
        """The partitions that were listed last, by number."""
        if self._log is None or not self._count:
            return []
        entries = log_entries(self._log)
        first = np.unique(self._codes, return_index=True)[1]
        columns = [entries[f"partition.{name}"].take(first).to_pylist() for name in PARTITION]
        return [
            Partition(**dict(zip(PARTITION, row, strict=True)))
            for row in zip(*columns, strict=True)
        ]

    def _list(self) -> None:
        """List the log's partitions, if it is another than before."""
        log = read_log(self._root, ACTIVATIONS)
        if log is self._log:
            return
        entries = log_entries(log)
        columns = [entries[f"partition.{c}"].combine_chunks().cast(pa.string()) for c in PARTITION]
        # NULL is no text of a value: those begin with a letter here
        marked = [pc.fill_null(pc.binary_join_element_wise("v", c, ""), "n") for c in columns]
        keys = pc.binary_join_element_wise(*marked, "\0").dictionary_encode()
        self._codes = np.asarray(keys.indices, dtype=np.int64)
        first = np.unique(self._codes, return_index=True)[1]
        self._count = len(first)
        numbers = pa.array([-1, *range(self._count)], pa.int64())
        values = [pa.concat_arrays([pa.nulls(1, pa.string()), c.take(first)]) for c in columns]
        rows = pa.table([numbers, *values], names=["number", *PARTITION])
        self._duck.register("_listed", rows)
        self._duck.execute(f"CREATE OR REPLACE TABLE {LIST} AS FROM _listed")
        self._duck.unregister("_listed")
        self._log = log
        self.__dict__.pop("partitions", None)  # they are those of the log before

    @cached_property
    def _template(self) -> str:
        """The tree of the question which partitions there are, without a condition."""
        text = f"SELECT number FROM {LIST} AS p WHERE true"
        answer = self._duck.execute("SELECT json_serialize_sql(?::VARCHAR)", [text]).fetchone()
        return str(answer[0]) if answer else ""

    def _not_ruled_out(self, place: Reading, parameters: Sequence[object]) -> frozenset[int] | None:
        """Return the numbers of partitions that a place may touch; None for all."""
        import duckdb

        question = place.question(self._template, parameters)
        if question is None:
            return None
        try:
            text = self._duck.execute("SELECT json_deserialize_sql(?::JSON)", [question]).fetchone()
            answer = self._duck.execute(str(text[0])).fetchall() if text else []
        except duckdb.Error:  # the statement itself will say so, if it is wrong
            return None
        numbers = {int(row[0]) for row in answer}
        if (place.outer and -1 in numbers) or len(numbers - {-1}) == self._count:
            return None
        return frozenset(numbers - {-1})

    def _view(self, chosen: frozenset[int]) -> str:
        """Return the name of a view of partitions, by their numbers."""
        assert self._log is not None  # noqa: S101 - listed before
        key = (self._log, chosen)
        entries = None
        if key not in self._views or self._check:
            wanted = np.isin(self._codes, np.fromiter(chosen, dtype=np.int64, count=len(chosen)))
            entries = log_entries(self._log).filter(pa.array(wanted))
            if self._check:
                check_files(self._root, ACTIVATIONS, entries["path"].to_pylist())
        if key not in self._views and entries is not None:
            self._made += 1
            view = f"_{ACTIVATIONS}_{self._made}"
            define_view(self._duck, self._root, view, name=ACTIVATIONS, entries=entries)
            self._views[key] = view, len(entries)
            self._forget()
        self._views.move_to_end(key)
        return self._views[key][0]

    def _forget(self) -> None:
        """Drop the views that were used longest ago, if there are too many."""
        while len(self._views) > LEAST_VIEWS and (
            sum(n for _, n in self._views.values()) > MOST_FILES
        ):
            _, (view, _) = self._views.popitem(last=False)
            self._duck.execute(f"DROP VIEW {view}")
