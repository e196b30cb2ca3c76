"""Rows of a query, handed out in the forms that other libraries and notebooks take."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
from numpy.typing import NDArray

from fstore.ending import leftover
from fstore.errors import QueryError, StorageError
from fstore.extras import need
from fstore.showing import table_html, text_table
from fstore.store.commits import storage
from fstore.store.hints import quotes_hint
from fstore.store.interrupt import Limit, interruptible
from fstore.store.values import column_array, plain_rows

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import polars as pl

    from fstore.store.place import Place

__all__ = ["Result", "duck_errors"]

T = TypeVar("T")

BATCH_ROWS = 2048  # one DuckDB vector: the least that is held of a wide result
PARQUET_ROWS = 1 << 14  # a row group: 48 MB of maps with 729 places
SHOWN = 20
"""Rows that are shown where nobody says how many."""


@dataclass
class Result:
    """Rows of a query, read once: as Arrow, Polars, pandas, or batch by batch."""

    _relation: "duckdb.DuckDBPyRelation"
    _root: "Place"
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

    def df(self) -> "pd.DataFrame":
        """Return all rows as a pandas frame (extra ``fstore[pandas]``)."""
        need("pandas", extra="pandas")
        return self.arrow().to_pandas()

    pandas = df

    def numpy(self) -> dict[str, NDArray[Any]]:
        """Return all rows as an array a column, by the columns' names.

        Returns
        -------
        dict of arrays of shape (n_rows,)
            Of a column of lists that have one length and no NULL, as ``map`` is, the shape is
            (n_rows, length).
        """
        table = self.arrow()
        return {name: column_array(table[name]) for name in table.column_names}

    def show(self, rows: int = SHOWN) -> None:
        """Print the first rows."""
        print(text_table(self.columns, *self._first(rows)))

    def __repr__(self) -> str:
        return (
            f"<Result of columns {', '.join(self.columns)}; rows: .show(), .polars(), .df(), ...>"
        )

    def _repr_html_(self) -> str:
        cells, note = self._first(SHOWN)
        return table_html(self.columns, cells, note=note)

    def _first(self, rows: int) -> tuple[list[list[object]], str]:
        """Return the cells of the first rows, and a note if there are more."""
        with duck_errors():
            table = self._run(self._relation.limit(rows + 1).to_arrow_table)
        table = table.rename_columns(self.columns)
        cells = [list(row.values()) for row in plain_rows(table.slice(0, rows))]
        return cells, f"the first {rows} rows" if table.num_rows > rows else ""

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
        if self._root.key_of(target) is not None:
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
