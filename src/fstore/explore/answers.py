"""Answers to SQL that a page shows: bounded in time, rows and bytes, and kept for the next page."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from fstore.errors import DataError, QueryError
from fstore.store.schema import TABLES
from fstore.store.sql import Session

if TYPE_CHECKING:
    from collections.abc import Generator

    from fstore.explore.contents import Contents

__all__ = ["MOST_BYTES", "MOST_ROWS", "SECONDS", "Answer", "answer", "batches"]

SECONDS = 20.0
"""That a statement may take."""
MOST_ROWS = 10_000
"""That are kept to be sorted and paged through."""
MOST_BYTES = 32 << 20
"""Of them, in memory."""
MEMORY = "400MB"
"""Of the session that answers; beyond it, DuckDB goes to disk, or refuses."""

_at_once = threading.BoundedSemaphore(2)
"""Statements that run at the same time: others wait."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The first rows of a statement.

    Attributes
    ----------
    table : pa.Table
    is_whole : bool
        Whether the statement gave no more.
    """

    table: pa.Table
    is_whole: bool


def answer(contents: "Contents", statement: str) -> Answer:
    """Return the first rows that a statement gives.

    Raises
    ------
    QueryError
        It is not read-only, does not run, or takes too long.
    """
    return contents.kept(("sql", statement), tuple(TABLES), lambda: _first(contents, statement))


def batches(
    contents: "Contents", statement: str, *, most_bytes: int
) -> "Generator[pa.RecordBatch, None, None]":
    """Yield all rows of a statement, for a file.

    Raises
    ------
    QueryError
        As :func:`answer`.
    DataError
        The rows are more than a browser should be sent.
    """
    size = 0
    with _turn():
        reader = _session(contents).query(statement, timeout=3 * SECONDS).batches()
        yield pa.RecordBatch.from_pylist([], schema=reader.schema)
        for batch in reader:
            size += batch.nbytes
            if size > most_bytes:
                raise DataError(
                    f"the rows are more than {most_bytes >> 20} MiB; ask for less, or use the "
                    "option --parquet of the command sql in a terminal"
                )
            yield batch


@contextmanager
def _turn() -> Iterator[None]:
    """Wait for a turn to run a statement, and give it back."""
    if not _at_once.acquire(timeout=SECONDS):
        raise QueryError("other statements are still running; try again in a moment")
    try:
        yield
    finally:
        _at_once.release()


def _session(contents: "Contents") -> Session:
    """Return the explorer's own session, whose memory is small."""
    place = contents.store.place
    return contents.kept("session", (), lambda: Session(place, memory_limit=MEMORY, threads=2))


def _first(contents: "Contents", statement: str) -> Answer:
    with _turn():
        reader = _session(contents).query(statement, timeout=SECONDS).batches()
        unread = iter(reader)
        taken: list[pa.RecordBatch] = []
        rows, size = 0, 0
        is_whole = True
        while is_whole and (batch := next(unread, None)) is not None:
            part = _fitting(batch, rows=MOST_ROWS - rows, size=MOST_BYTES - size)
            taken.append(part)
            rows, size = rows + part.num_rows, size + part.nbytes
            is_whole = part.num_rows == batch.num_rows
            del batch  # of what does not fit, nothing is held
    return Answer(pa.Table.from_batches(taken, schema=reader.schema), is_whole=is_whole)


def _fitting(batch: pa.RecordBatch, *, rows: int, size: int) -> pa.RecordBatch:
    """Return a batch, or a copy of as many of its first rows as there is room for."""
    if batch.num_rows <= rows and batch.nbytes <= size:
        return batch
    share = max(0, size) / max(1, batch.nbytes)
    return batch.take(pa.array(range(min(rows, int(batch.num_rows * share))), pa.int64()))
