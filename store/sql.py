"""Read-only SQL over a store: DuckDB with the tables as views and the macros of ``macros.py``.

A session binds the tables that a statement names, and no other: one that is damaged takes SQL away
from the statements that name it only. Of ``activations`` a statement reads the partitions that its
conditions leave (``prune.py``).

Read-only means: one statement, which is a SELECT (DESCRIBE and SUMMARIZE are) or an EXPLAIN of
one; no file outside the store is read, no setting changes, memory is limited.
"""

import threading
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from fstore.errors import FstoreError, QueryError, StorageError
from fstore.store.delta_log import Log, log_entries
from fstore.store.files import ACTIVATIONS, StoredFile
from fstore.store.interrupt import Limit, interruptible, spill_config
from fstore.store.macros import MACROS, register_functions
from fstore.store.narrow import NarrowViews
from fstore.store.paths import duck_name
from fstore.store.readonly import Named, check_read_only
from fstore.store.result import Result, duck_errors
from fstore.store.schema import SUMMARIES, TABLES
from fstore.store.summaries import Summaries
from fstore.store.sums import check_table
from fstore.store.tables import read_log, sql_text
from fstore.store.values import check_types
from fstore.store.views import (
    DERIVED,
    FILES,
    SOURCES,
    define_view,
    log_table,
    refusing_view,
)

if TYPE_CHECKING:
    import duckdb

    from fstore.store.place import Place

__all__ = ["Result", "Session"]

UNSOUND = "window_self_join"
"""Optimizers that are switched off: this one reads a table a second time, for an aggregate OVER
(PARTITION BY ...), and forgets there which partitions were asked for (DuckDB 2.0.1)."""


FILLED = frozenset((*SUMMARIES, "partitions", FILES, "_totals"))
"""Names behind which are rows that the session holds itself."""
ATTEMPTS = 20
"""To prepare a statement while others write."""

LISTED = "table 'activations' was listed, not read: name it in the statement"


class Session:
    """A DuckDB in memory whose views follow the store's tables.

    Parameters
    ----------
    root : Place
        The store.
    memory_limit : str
        DuckDB's memory, for example ``4GB``.
    threads : int or None
        DuckDB's threads; None for one a core.
    check : bool
        Compare the files of activations with the sums that were noted of them (``sums.py``), before
        a statement first names them; those of the other tables are compared always.
    """

    def __init__(
        self,
        root: "Place",
        *,
        memory_limit: str = "4GB",
        threads: int | None = None,
        check: bool = False,
    ) -> None:
        import duckdb

        self._check = check
        self._root = root
        self._lock = threading.Lock()
        self._tables: dict[str, Log] = {}
        config: dict[str, Any] = {
            "memory_limit": memory_limit,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            **spill_config(self),
            "python_enable_replacements": False,  # a name is a table, never a caller's variable
        }
        if threads is not None:
            config["threads"] = threads
        self._duck = duckdb.connect(config=config)
        self._narrow = NarrowViews(self._duck, root, check=check)
        self._duck.execute("CREATE TABLE _totals (file_name VARCHAR, sample_id BIGINT, nnz BIGINT)")
        self._summaries = Summaries(self._duck, root, check=check)
        register_functions(self._duck)
        for macro in MACROS:
            self._duck.execute(macro.sql)
        root.register(self._duck)
        self._duck.execute(f"SET allowed_directories = [{_allowed(self._root)}]")
        self._duck.execute(f"SET disabled_optimizers = '{UNSOUND}'")
        self._duck.execute("SET enable_external_access = false")
        self._duck.execute("SET lock_configuration = true")

    def query(
        self, statement: str, parameters: Sequence[object] = (), *, timeout: float | None = None
    ) -> Result:
        """Run one read-only statement on the newest version of the tables that it names.

        Parameters
        ----------
        statement : str
        parameters : sequence
            Values for the ``?``.
        timeout : float or None
            Seconds until all rows must have been read; None for no limit.

        Raises
        ------
        QueryError
            The statement is not read-only, or DuckDB refuses it.
        StorageError, SchemaError
            A table that it names is damaged.
        """
        import duckdb

        limit = Limit(timeout)
        with self._lock:
            named = check_read_only(self._duck, statement)
            statement = self._prepared(named, statement, parameters, limit=limit)
            cursor = self._cursor(named)
        given = list(parameters) or None
        with duck_errors():
            try:
                bind = partial(cursor.sql, statement, params=given)
                relation = interruptible(bind, cursor.interrupt, limit)
            except duckdb.CatalogException:  # named where a parse tree does not show it
                with self._lock:
                    if not self._bind_all():
                        raise
                    cursor = self._cursor(named)
                bind = partial(cursor.sql, statement, params=given)
                relation = interruptible(bind, cursor.interrupt, limit)
        if relation is None:
            raise QueryError("the statement gives no rows; ask with a SELECT")
        check_types(relation)
        return Result(relation, self._root, cursor, limit)

    def load_totals(self, files: Sequence[StoredFile]) -> None:
        """Have the totals of files in table ``_totals``; a footer is read once a session."""
        with self._lock:
            self._bind(FILES)
            with duck_errors():
                self._summaries.load_totals(files)

    def _prepared(
        self, named: Named, statement: str, parameters: Sequence[object], *, limit: Limit
    ) -> str:
        """Bind what a statement names; return it with narrow views.

        What is filled with rows must be of the version that the views are of. So it is done again
        if activations changed meanwhile.
        """
        for _ in range(ATTEMPTS):
            log = read_log(self._root, ACTIVATIONS) if _is_filled(named) else None
            if log is not None:
                self._fill(named, statement, parameters, log=log, limit=limit)
            text, whole = self._narrow.narrowed(statement, named, parameters)
            for name in _tables_behind(named.tables):
                if name != ACTIVATIONS or whole:
                    self._bind(name)
                if name in TABLES and (name != ACTIVATIONS or (whole and self._check)):
                    check_table(self._root, name, self._tables[name])
            if named.catalogue:
                self._bind_all(listed=not whole)
            if log is None or read_log(self._root, ACTIVATIONS) is log:
                return text
        raise QueryError(
            f"activations changed during each of {ATTEMPTS} attempts to read what is known of "
            "them; ask again when less is written, or ask for fewer layers"
        )

    def _fill(
        self,
        named: Named,
        statement: str,
        parameters: Sequence[object],
        *,
        log: Log,
        limit: Limit,
    ) -> None:
        """Have the rows of the summaries that a statement names."""
        self._bind(FILES)
        for name in SUMMARIES:
            if (name in named.tables and not named.describes(name)) or named.hidden:
                reached = self._narrow.reached(
                    name, named, statement=statement, parameters=parameters
                )
                with duck_errors():
                    self._summaries.fill(name, reached, log, limit=limit)

    def _cursor(self, named: Named) -> "duckdb.DuckDBPyConnection":
        """Return a cursor that goes on seeing the rows that the session has now.

        A result is computed when its rows are asked for. Later statements may fill tables anew.
        """
        cursor = self._duck.cursor()
        if _is_filled(named):
            cursor.begin()
            cursor.execute("FROM _totals LIMIT 0").fetchall()  # the transaction begins here
        return cursor

    def _bind(self, name: str) -> None:
        """Define a table's view, if it is not there or the table changed; the derived with it."""
        log = read_log(self._root, ACTIVATIONS if name == FILES else name)
        if self._tables.get(name) is log:
            return
        self._tables.pop(name, None)
        if name == FILES:
            self._list_files(log)
        else:
            define_view(self._duck, self._root, name, name=name, entries=log_entries(log))
        self._tables[name] = log
        for view, sources in SOURCES.items():
            if name in sources and self._tables.keys() >= set(sources):
                self._duck.execute(f"CREATE VIEW IF NOT EXISTS {view} AS {DERIVED[view]}")

    def _bind_all(self, *, listed: bool = False) -> bool:
        """Bind every table, for statements that list them; tell whether any was not bound before.

        A damaged table is listed like the others, and refused where its rows are asked for; so is
        ``activations`` where it is listed only, since a view of all its files takes long.
        """
        before = len(self._tables)
        for name in (*TABLES, FILES):
            try:
                if name == ACTIVATIONS and listed and name not in self._tables:
                    raise StorageError(LISTED)
                self._bind(name)
            except FstoreError as error:
                if name == FILES:
                    continue
                view = refusing_view(name, str(error))
                self._duck.execute(f'CREATE OR REPLACE VIEW "{name}" AS {view}')
        return len(self._tables) > before

    def _list_files(self, log: Log) -> None:
        """Copy the log's list of files, so that SQL can count bytes without reading any."""
        self._duck.register("_log", log_table(self._root, log))
        self._duck.execute("CREATE OR REPLACE TABLE _files AS FROM _log")
        self._duck.unregister("_log")


def _is_filled(named: Named) -> bool:
    """Whether a statement names a table of the session that has rows of its own."""
    return named.hidden or not named.tables.isdisjoint(FILLED)


def _tables_behind(names: Iterable[str]) -> list[str]:
    """Return the tables that names stand for: their own, or those that a derived view reads."""
    own = {"_totals": (FILES,)}
    behind = {source for name in names for source in (SOURCES | own).get(name, (name,))}
    return [name for name in (*TABLES, FILES) if name in behind]


def _allowed(root: "Place") -> str:
    """Return what DuckDB may read, as it is and as a pattern: it compares what a statement has."""
    folders = root.readable()
    names = sorted({f"{text}/" for f in folders for text in (f, duck_name(f))})
    return ", ".join(map(sql_text, names))
