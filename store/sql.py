"""Read-only SQL over a store: DuckDB with the tables as views and the macros of ``macros.py``.

Read-only means: one statement, which is a SELECT (DESCRIBE and SUMMARIZE are) or an EXPLAIN of
one; no file outside the store is read, no setting changes, memory is limited.
"""

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

import pyarrow as pa

from fstore.ending import leftover
from fstore.errors import MissingExtraError, QueryError, StorageError
from fstore.store.files import ACTIVATIONS, StoredFile
from fstore.store.hints import quotes_hint
from fstore.store.interrupt import Limit, interruptible, spill_config
from fstore.store.macros import MACROS, register_functions
from fstore.store.readonly import check_read_only
from fstore.store.schema import PARTITION, TABLES, Table
from fstore.store.tables import open_table, sql_text, storage
from fstore.store.totals import load_totals
from fstore.store.values import check_types, plain_rows

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import polars as pl
    from deltalake import DeltaTable

__all__ = ["Result", "Session"]

T = TypeVar("T")

BATCH_ROWS = 2048  # one DuckDB vector: the least that is held of a wide result
PARQUET_ROWS = 1 << 14  # a row group: 48 MB of maps with 729 places
UNSOUND = "window_self_join"
"""Optimizers that are switched off: this one reads a table a second time, for an aggregate OVER
(PARTITION BY ...), and forgets there which partitions were asked for (DuckDB 2.0.1)."""

# Zeros are NULL on disk where a layer is sparse; where the map is 1x1 all but act_max is NULL.
RESPONSES = """
    SELECT network, ckpt, dataset, "view", layer, sample_id, channel,
        coalesce(act_max, 0) AS act_max,
        coalesce(act_sum, act_max, 0) AS act_sum,
        coalesce(nnz, (act_max != 0)::INTEGER, 0) AS nnz,
        coalesce(npos, (act_max > 0)::INTEGER, 0) AS npos,
        coalesce(argmax, 0) AS argmax,
        CASE WHEN map IS NULL THEN [coalesce(act_max, 0)]
             ELSE list_transform(map, lambda x: coalesce(x, 0)) END AS map
    FROM {files}
"""

ALL_LABELS = """
    SELECT s.dataset, s."view", s.sample_id, c.class, coalesce(l.label, -1) AS label
    FROM samples AS s
    JOIN (SELECT name AS dataset, unnest(classes) AS class FROM datasets) AS c USING (dataset)
    LEFT JOIN labels AS l USING (dataset, "view", sample_id, class)
"""

# What `fstore status` lists, in its units; _files is a copy of the log's list of files.
PARTITIONS = """
    SELECT f.network, f.ckpt, f.dataset, f."view", f.layer,
        sum(f.rows)::BIGINT // l.channels AS samples,
        sum(f.rows)::BIGINT AS rows,
        sum(f.bytes)::BIGINT AS bytes,
        4 * sum(f.rows)::BIGINT * l.height * l.width AS raw_bytes
    FROM _files AS f LEFT JOIN layers AS l USING (network, layer)
    GROUP BY f.network, f.ckpt, f.dataset, f."view", f.layer, l.channels, l.height, l.width
"""


@dataclass
class Result:
    """Rows of a query, read once: as Arrow, Polars, pandas, or batch by batch."""

    _relation: "duckdb.DuckDBPyRelation"
    _root: Path
    _cursor: "duckdb.DuckDBPyConnection"
    _limit: Limit

    @property
    def columns(self) -> list[str]:
        """Names of the columns; one that was there already gets a number: ``a``, ``a_1``."""
        names: list[str] = []
        for name in self._relation.columns:
            tries = (name, *(f"{name}_{n}" for n in range(1, len(names) + 2)))
            names.append(next(new for new in tries if new not in names))
        return names

    def batches(self, rows: int = BATCH_ROWS) -> "pa.RecordBatchReader":
        """Return a reader that holds about ``rows`` rows at a time."""
        with duck_errors():
            reader = self._run(lambda: self._relation.to_arrow_reader(rows))
        names = self.columns
        schema = pa.schema([f.with_name(n) for f, n in zip(reader.schema, names, strict=True)])
        return pa.RecordBatchReader.from_batches(schema, self._read(reader, names))

    def arrow(self) -> pa.Table:
        """Return all rows as an Arrow table."""
        with duck_errors():
            return self._run(self._relation.to_arrow_table).rename_columns(self.columns)

    def _run(self, function: Callable[[], T]) -> T:
        """Compute so that Ctrl-C and the time limit end it."""
        return interruptible(function, self._cursor.interrupt, self._limit)

    def _read(
        self, reader: "pa.RecordBatchReader", names: Sequence[str]
    ) -> "Iterator[pa.RecordBatch]":
        """Yield a query's batches; through Arrow, DuckDB's errors come as those of a file."""
        while True:
            try:
                batch = self._run(partial(next, reader, None))
            except (OSError, pa.ArrowException) as error:
                raise QueryError(str(error)) from error
            if batch is None:
                return
            yield batch.rename_columns(names)

    def polars(self) -> "pl.DataFrame":
        """Return all rows as a Polars frame."""
        import polars as pl

        frame = pl.from_arrow(self.arrow())
        assert isinstance(frame, pl.DataFrame)  # noqa: S101 - a table is never a series
        return frame

    def pandas(self) -> "pd.DataFrame":
        """Return all rows as a pandas frame (extra ``fstore[pandas]``)."""
        try:
            import pandas  # noqa: F401, ICN001 - only whether it is there
        except ImportError as error:
            raise MissingExtraError(
                "pandas is not installed: pip install 'fstore[pandas]'"
            ) from error
        return self.arrow().to_pandas()

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield rows as dictionaries; a time that Python has not is text (``store/values.py``)."""
        for batch in self.batches():
            yield from plain_rows(batch)

    def write_parquet(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the rows to a Parquet file, holding a batch at a time; return its path.

        The file appears when it is complete, or not at all.

        Raises
        ------
        StorageError
            The file exists and is not to be overwritten, lies in the store, or cannot be written.
        QueryError
            The query fails, or a column's type has no Parquet form.
        """
        target = Path(path)
        if target.resolve().is_relative_to(self._root):
            raise StorageError(f"{target} lies in the store, which SQL only reads; write elsewhere")
        if target.exists() and not overwrite:
            raise StorageError(f"{target} exists; choose another name or overwrite it")
        part = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            with storage(f"cannot write {target}"), leftover(part):
                self._write(part)
                part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return target

    def _write(self, path: Path) -> None:
        from pyarrow import parquet as pq

        batches = self.batches(PARQUET_ROWS)
        try:
            with pq.ParquetWriter(path, batches.schema, compression="zstd") as writer:
                for batch in batches:
                    writer.write_batch(batch)
        except pa.ArrowException as error:
            raise QueryError(f"these rows have no Parquet form: {error}") from error


@contextmanager
def duck_errors() -> Iterator[None]:
    """Turn DuckDB's errors into a :class:`QueryError`."""
    import duckdb

    try:
        yield
    except (duckdb.Error, pa.ArrowException) as error:
        raise QueryError(f"{error}{quotes_hint(str(error))}") from error


class Session:
    """A DuckDB in memory whose views follow the store's tables.

    Parameters
    ----------
    root : Path
        The store.
    memory_limit : str
        DuckDB's memory, for example ``4GB``.
    threads : int or None
        DuckDB's threads; None for one a core.
    """

    def __init__(
        self, root: Path, *, memory_limit: str = "4GB", threads: int | None = None
    ) -> None:
        import duckdb

        self._root = root.resolve()
        self._lock = threading.Lock()
        self._tables: dict[str, DeltaTable] = {}
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
        self._totals: set[str] = set()
        self._duck.execute("CREATE TABLE _totals (file_name VARCHAR, sample_id BIGINT, nnz BIGINT)")
        self._refresh()
        register_functions(self._duck)
        for macro in MACROS:
            self._duck.execute(macro.sql)
        self._duck.execute(f"SET allowed_directories = [{sql_text(str(self._root) + '/')}]")
        self._duck.execute(f"SET disabled_optimizers = '{UNSOUND}'")
        self._duck.execute("SET enable_external_access = false")
        self._duck.execute("SET lock_configuration = true")

    def query(
        self, statement: str, parameters: Sequence[object] = (), *, timeout: float | None = None
    ) -> Result:
        """Run one read-only statement on the newest version of every table.

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
        """
        limit = Limit(timeout)
        with self._lock:
            check_read_only(self._duck, statement)
            self._refresh()
        with duck_errors():
            cursor = self._duck.cursor()
            values = list(parameters) or None
            bind = partial(cursor.sql, statement, params=values)
            relation = interruptible(bind, cursor.interrupt, limit)
        if relation is None:
            raise QueryError("the statement gives no rows; ask with a SELECT")
        check_types(relation)
        return Result(relation, self._root, cursor, limit)

    def load_totals(self, files: Sequence[StoredFile]) -> None:
        """Have the totals of files in table ``_totals``; a footer is read once a session."""
        with self._lock:
            self._refresh()
            paths = [str(file.path.resolve()) for file in files]
            new = [path for path in paths if path not in self._totals]
            if new:
                with duck_errors():
                    load_totals(self._duck, new)
                self._totals.update(new)

    def _refresh(self) -> None:
        """Define the views whose tables changed."""
        for name in TABLES:
            delta = self._tables.get(name)
            if delta is None:
                delta = self._tables[name] = open_table(self._root, name)
            elif self._next_commit(name, delta).exists():
                delta.update_incremental()
            else:
                continue
            self._duck.execute(f'CREATE OR REPLACE VIEW "{name}" AS {_view(TABLES[name], delta)}')
            if name == ACTIVATIONS:
                self._list_files(delta)
        self._duck.execute(f"CREATE VIEW IF NOT EXISTS all_labels AS {ALL_LABELS}")
        self._duck.execute(f"CREATE VIEW IF NOT EXISTS partitions AS {PARTITIONS}")

    def _next_commit(self, name: str, delta: "DeltaTable") -> Path:
        """Where the log's next version will be: looking for it is quicker than reading the log."""
        return self._root / name / "_delta_log" / f"{delta.version() + 1:020d}.json"

    def _list_files(self, delta: "DeltaTable") -> None:
        """Copy the log's list of files, so that SQL can count bytes without reading any."""
        log = pa.table(delta.get_add_actions(flatten=True))
        columns = {name: log[f"partition.{name}"].cast(pa.string()) for name in PARTITION}
        columns |= {"rows": log["num_records"], "bytes": log["size_bytes"]}
        columns["file_name"] = pa.array(
            [str(self._root / ACTIVATIONS / unquote(path)) for path in log["path"].to_pylist()],
            pa.string(),
        )
        self._duck.register("_log", pa.table(columns))
        self._duck.execute("CREATE OR REPLACE TABLE _files AS FROM _log")
        self._duck.unregister("_log")


def _view(table: Table, delta: "DeltaTable") -> str:
    paths = delta.file_uris()
    if not paths:
        columns = ", ".join(f'NULL::{_sql_type(f.type)} AS "{f.name}"' for f in table.schema)
        files = f"(SELECT {columns} WHERE false)"
    else:
        types = ", ".join(f"'{name}': VARCHAR" for name in table.partition)
        hive = f", hive_partitioning = true, hive_types = {{{types}}}" if types else ""
        files = f"read_parquet([{', '.join(sql_text(p) for p in paths)}]{hive})"
    if table.name == ACTIVATIONS:
        return RESPONSES.format(files=files)
    return f"SELECT {', '.join(_quoted(name) for name in table.schema.names)} FROM {files}"


def _sql_type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"{_sql_type(kind.value_type)}[]"
    if pa.types.is_struct(kind):
        return f"STRUCT({', '.join(f'{_quoted(f.name)} {_sql_type(f.type)}' for f in kind)})"
    if pa.types.is_timestamp(kind):
        return "TIMESTAMPTZ"
    names = {"string": "VARCHAR", "int64": "BIGINT", "int32": "INTEGER", "bool": "BOOLEAN"}
    return {**names, "float": "FLOAT", "double": "DOUBLE"}[str(kind)]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
