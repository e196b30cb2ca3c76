"""Tables of a session that answer from footers and sidecars what would else read whole columns.

``sample_totals`` has how many of a layer's responses to a sample are not 0; footers say so.
``strongest_samples`` has the samples to which a filter responds most. The strongest of all samples
are among the strongest of each file, which its sidecar holds; files without one are read. Both are
filled when a statement names them, with the partitions that its conditions leave.
"""

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from fstore.errors import DataError, QueryError, SchemaError
from fstore.store.delta_log import Log, log_entries
from fstore.store.files import ACTIVATIONS, Partition, StoredFile, list_files, make_again
from fstore.store.interrupt import Limit
from fstore.store.kept import Kept
from fstore.store.paths import duck_name
from fstore.store.schema import PARTITION, SUMMARIES
from fstore.store.sidecars import holds_bits, read_sidecar
from fstore.store.sums import check_files
from fstore.store.tables import sql_text
from fstore.store.totals import load_totals
from fstore.store.views import list_sql

if TYPE_CHECKING:
    import duckdb

    from fstore.store.place import Place

__all__ = ["RANKS", "Summaries"]

TOTALS, STRONGEST = SUMMARIES
RANKS = 16
"""Samples of each filter in ``strongest_samples``: as many as every sidecar holds."""

ROWS = """
    UNION ALL SELECT channel, sample_id, coalesce(act_max, 0), coalesce(argmax, 0)
    FROM read_parquet({files}, hive_partitioning = false)
"""
RANKED = """
    INSERT INTO {table}
    SELECT {texts}, channel, "rank", sample_id, act_max, argmax
    FROM (SELECT *, row_number() OVER (PARTITION BY channel ORDER BY act_max DESC, sample_id)
        AS "rank" FROM (FROM _offered {rows}))
    WHERE "rank" <= {ranks}
"""


class Summaries:
    """The two tables of one session; whoever calls holds the session's lock.

    Parameters
    ----------
    duck : DuckDBPyConnection
        Has the table ``_totals``; ``_files`` before anything is filled.
    root : Place
        The store.
    check : bool
        Compare files with the sums that were noted, before anything is taken from them.
    """

    def __init__(self, duck: "duckdb.DuckDBPyConnection", root: "Place", *, check: bool) -> None:
        self._duck, self._root, self._check = duck, root, check
        self._log: Log | None = None  # what no longer stands there has been forgotten
        self._read: set[str] = set()
        self._ranked: dict[Partition, tuple[str, ...]] = {}  # and the files that were ranked
        columns = SUMMARIES[STRONGEST].schema.empty_table()
        duck.register("_none", columns)
        duck.execute(f"CREATE TABLE {STRONGEST} AS FROM _none")
        duck.unregister("_none")

    def fill(self, name: str, partitions: Iterable[Partition], log: Log, *, limit: Limit) -> None:
        """Have the rows of some partitions in one of the tables.

        Parameters
        ----------
        name : str
            Of the table.
        partitions : iterable of Partition
        log : Log
            Of ``activations``, which says which files they have.
        limit : Limit
            When the statement is to be over.

        Raises
        ------
        SchemaError
            A file has no totals: an older fstore wrote it. Or a partition has no value in a column.
        DataError
            A response is NaN or infinite, or stored as one bit, so that none is the strongest.
        QueryError
            The limit is reached.
        """
        if log is not self._log:
            self._forget(_partitions(log))
            self._log = log
        for partition in sorted(partitions, key=str):
            if limit.left == 0:
                raise QueryError(
                    f"the statement was stopped after {limit.seconds:g} s, its time limit; a "
                    f"condition on layer, ckpt and dataset has {name} read less"
                )
            _refuse_null(name, partition)
            if self._check:
                paths = log_entries(log, **partition.values)["path"].to_pylist()
                check_files(self._root, ACTIVATIONS, paths)
            files = list_files(self._root, log, **partition.values)
            if name == TOTALS:
                self._total(files)
            elif self._ranked.get(partition) != _names(files):
                with self._at_once():
                    self._rank(partition, files)
                self._ranked[partition] = _names(files)

    @contextmanager
    def _at_once(self) -> Iterator[None]:
        """Do what the block does in one transaction: an interrupt leaves all or nothing of it."""
        self._duck.begin()
        try:
            yield
        except BaseException:
            self._duck.rollback()
            raise
        self._duck.commit()

    def _forget(self, present: AbstractSet[Partition]) -> None:
        """Delete the rows of partitions that are there no more."""
        for partition in [p for p in self._ranked if p not in present]:
            self._duck.execute(f"DELETE FROM {STRONGEST} WHERE {_is(partition)}")
            del self._ranked[partition]

    def load_totals(self, files: Iterable[StoredFile]) -> None:
        """Have the totals of files in table ``_totals``; a footer is read once a session."""
        new = [file.uri for file in files if file.uri not in self._read]
        if new:
            with self._at_once():
                load_totals(self._duck, new)
            self._read.update(new)

    def _total(self, files: Sequence[StoredFile]) -> None:
        """Load the totals of a partition's files; refuse one that has none."""
        self.load_totals(files)
        names = [duck_name(file.uri) for file in files]
        found = self._duck.execute(
            "SELECT count(*) FROM _totals WHERE file_name IN (SELECT unnest(?))", [names]
        ).fetchall()
        if found != [(sum(file.n_samples for file in files),)]:
            raise SchemaError(
                f"some footers of {files[0].partition} lack the totals of their samples: an older "
                "fstore or another program wrote them; ask activations instead. "
                + make_again(files[0])
            )

    def _rank(self, partition: Partition, files: Sequence[StoredFile]) -> None:
        """Find the strongest samples of a partition's filters, in its files."""
        _refuse_bits(partition, files)
        offers = [_kept(self._root, file) for file in files]
        unread = [f.uri for f, kept in zip(files, offers, strict=True) if kept is None]
        texts = ", ".join(map(sql_text, partition.values.values()))
        rows = ROWS.format(files=list_sql(unread)) if unread else ""
        self._duck.execute(f"DELETE FROM {STRONGEST} WHERE {_is(partition)}")
        self._duck.register("_offered", _table([kept for kept in offers if kept]))
        self._duck.execute(RANKED.format(table=STRONGEST, texts=texts, rows=rows, ranks=RANKS))
        self._duck.unregister("_offered")
        found = self._duck.execute(
            f"SELECT sample_id, channel FROM {STRONGEST} WHERE {_is(partition)}"
            " AND NOT isfinite(act_max) LIMIT 1"
        ).fetchall()
        if found:  # NaN, which DuckDB ranks first, or infinity
            sample, channel = found[0]
            raise DataError(
                f"{partition}: the response of filter {channel} to sample {sample} is NaN or "
                f"infinite, so no sample is the strongest. {LEAVE_OUT}"
            )


LEAVE_OUT = (
    f"To leave it out, say which layers, checkpoints or data sets you want, as texts, in the WHERE "
    f"directly behind {STRONGEST}: layer = 'conv5' AND ckpt = '305k'"
)


def _names(files: Sequence[StoredFile]) -> tuple[str, ...]:
    return tuple(file.key for file in files)


def _is(partition: Partition) -> str:
    """Return the condition that a row is of a partition."""
    return " AND ".join(f'"{c}" = {sql_text(v)}' for c, v in partition.values.items())


def _partitions(log: Log) -> frozenset[Partition]:
    """Return the partitions of which a log has files."""
    columns = [f"partition.{column}" for column in PARTITION]
    rows = log_entries(log).select(columns).group_by(columns).aggregate([]).to_pylist()
    return frozenset(Partition(*(row[column] for column in columns)) for row in rows)


def _refuse_null(name: str, partition: Partition) -> None:
    """Refuse rows without a layer, a checkpoint and so on, as another program may write them."""
    if lacking := [column for column, value in partition.values.items() if value is None]:
        raise SchemaError(
            f"another program wrote activations whose {lacking[0]} is NULL, which {name} does not "
            "take; ask activations instead"
        )


def _refuse_bits(partition: Partition, files: Sequence[StoredFile]) -> None:
    """Refuse responses of which only the sign is stored: none is the strongest."""
    own = next((file for file in files if not file.is_foreign), None)
    if own is not None and holds_bits(own.identity.parts):
        raise DataError(
            f"{partition} is stored as bits (1 where a response is above 0), so no sample is the "
            f"strongest. {LEAVE_OUT}"
        )


def _kept(root: "Place", file: StoredFile) -> Kept | None:
    """Return what a file's sidecar holds, if that is enough to rank."""
    kept = read_sidecar(root, file.key)
    if kept is None or kept.n_samples != file.n_samples:
        return None
    return kept if kept.n_kept >= min(RANKS, kept.n_samples) else None


def _table(kept: Sequence[Kept]) -> pa.Table:
    """Return what sidecars hold as rows: channel, sample_id, act_max, argmax."""
    schema = SUMMARIES[STRONGEST].schema
    names = ("channel", "sample_id", "act_max", "argmax")
    rows = pa.schema([schema.field(name) for name in names])
    parts = []
    for one in kept:
        first = slice(0, RANKS)
        ids, values, places = (a[:, first] for a in (one.sample_ids, one.values, one.places))
        channels = np.repeat(np.arange(len(ids), dtype=np.int32), ids.shape[1])
        columns = (channels, *(a.reshape(-1) for a in (ids, values, places)))
        parts.append(pa.table(dict(zip(names, columns, strict=True))).cast(rows))
    return pa.concat_tables(parts) if parts else rows.empty_table()
