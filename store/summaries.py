"""Tables of a session that answer from footers and sidecars what would else read whole columns.

``sample_totals`` has how many of a layer's responses to a sample are not 0; footers say so.
``strongest_samples`` has the samples to which a filter responds most. The strongest of all samples
are among the strongest of each file, which its sidecar holds; files without one are read. Both are
filled when a statement names them, with the partitions that its conditions leave.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from fstore.errors import DataError, QueryError, SchemaError
from fstore.store.delta_log import Log, log_entries
from fstore.store.files import ACTIVATIONS, Partition, StoredFile, list_files, make_again
from fstore.store.interrupt import Limit
from fstore.store.kept import Kept
from fstore.store.paths import duck_name
from fstore.store.schema import SUMMARIES
from fstore.store.sidecars import holds_bits, read_sidecar
from fstore.store.sums import check_files
from fstore.store.tables import read_log, sql_text
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
        self._log: Log | None = None
        self._read: set[str] = set()
        self._ranked: set[Partition] = set()
        columns = SUMMARIES[STRONGEST].schema.empty_table()
        duck.register("_none", columns)
        duck.execute(f"CREATE TABLE {STRONGEST} AS FROM _none")
        duck.unregister("_none")

    def fill(self, name: str, partitions: Iterable[Partition], limit: Limit) -> None:
        """Have the rows of some partitions in one of the tables.

        Parameters
        ----------
        name : str
            Of the table.
        partitions : iterable of Partition
        limit : Limit
            When the statement is to be over.

        Raises
        ------
        SchemaError
            A file has no totals: an older fstore wrote it.
        DataError
            A response is NaN or infinite, or stored as one bit, so that none is the strongest.
        QueryError
            The limit is reached.
        """
        log = read_log(self._root, ACTIVATIONS)
        if log is not self._log:
            self._duck.execute(f"DELETE FROM {STRONGEST}")
            self._ranked.clear()
            self._log = log
        for partition in sorted(partitions):
            if limit.left == 0:
                raise QueryError(
                    f"the statement was stopped after {limit.seconds:g} s, its time limit; a "
                    f"condition on layer, ckpt and dataset has {name} read less"
                )
            if self._check:
                paths = log_entries(log, **partition.values)["path"].to_pylist()
                check_files(self._root, ACTIVATIONS, paths)
            files = list_files(self._root, log, **partition.values)
            if name == TOTALS:
                self._total(files)
            elif partition not in self._ranked:
                self._rank(partition, files)

    def load_totals(self, files: Iterable[StoredFile]) -> None:
        """Have the totals of files in table ``_totals``; a footer is read once a session."""
        new = {file.uri: file for file in files if file.uri not in self._read}
        if new:
            load_totals(self._duck, list(new))
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
        self._duck.register("_offered", _table([kept for kept in offers if kept]))
        texts = ", ".join(map(sql_text, partition.values.values()))
        rows = ROWS.format(files=list_sql(unread)) if unread else ""
        self._duck.execute(RANKED.format(table=STRONGEST, texts=texts, rows=rows, ranks=RANKS))
        self._duck.unregister("_offered")
        self._refuse_infinite(partition)
        self._ranked.add(partition)

    def _refuse_infinite(self, partition: Partition) -> None:
        """Refuse a partition with NaN, which DuckDB ranks first, or infinity, and forget it."""
        is_its = " AND ".join(f'"{c}" = {sql_text(v)}' for c, v in partition.values.items())
        found = self._duck.execute(
            f"SELECT sample_id, channel FROM {STRONGEST} WHERE {is_its} AND NOT isfinite(act_max)"
            " LIMIT 1"
        ).fetchall()
        if found:
            self._duck.execute(f"DELETE FROM {STRONGEST} WHERE {is_its}")
            sample, channel = found[0]
            raise DataError(
                f"{partition}: the response of filter {channel} to sample {sample} is NaN or "
                "infinite, so no sample is the strongest. A condition on ckpt, dataset or layer "
                "leaves the layer out"
            )


def _refuse_bits(partition: Partition, files: Sequence[StoredFile]) -> None:
    """Refuse responses of which only the sign is stored: none is the strongest."""
    own = next((file for file in files if not file.is_foreign), None)
    if own is not None and holds_bits(own.identity.parts):
        raise DataError(
            f"{partition} is stored as bits (1 where a response is above 0), so no sample is the "
            "strongest. A condition on ckpt, dataset or layer leaves it out"
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
