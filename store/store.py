"""An open store: the object behind ``fstore.open``."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from fstore import commands
from fstore.errors import SchemaError, StorageError, UnknownNameError
from fstore.store import catalog, networks, proposals
from fstore.store.catalog import DatasetInfo
from fstore.store.commits import storage
from fstore.store.files import ACTIVATIONS, StoredFile, list_files
from fstore.store.local import local_folder
from fstore.store.locks import naming
from fstore.store.paths import check_ids, check_uris
from fstore.store.place import STORE_FOLDERS, Place
from fstore.store.places import place_at
from fstore.store.proposals import Overlaps, Proposals
from fstore.store.schema import SCHEMA_VERSION, TABLES
from fstore.store.sql import Result, Session
from fstore.store.tables import append_once, create_tables, read_columns, read_log, read_rows
from fstore.store.upgrade import OLDER, upgrade
from fstore.system_errors import reason
from fstore.trust import ANY
from fstore.types import CheckpointRecord, DatasetManifest, LayerSpec

if TYPE_CHECKING:
    from fstore.store.maintenance import Going

__all__ = ["Store"]

MARKER = "fstore.json"


class Store:
    """Tables of activations, and what they were computed from, in one folder.

    Use :meth:`open` or :meth:`create`; :meth:`sql` answers questions.
    """

    def __init__(self, place: Place, *, check: bool = False, trust: bool = False) -> None:
        self.place = place
        self.check = check
        self.trusted = {ANY} if trust else set[str]()
        self._session: Session | None = None

    @property
    def path(self) -> Path:
        """The store's folder; :attr:`place` is there of every store.

        Raises
        ------
        StorageError
            The store is not in a folder of this machine.
        """
        folder = local_folder(self.place)
        if folder is None:
            raise StorageError(
                f"the store {self.place} is no folder of this machine, and has no path; what it is "
                "called is str(store.place)"
            )
        return folder

    @classmethod
    def create(cls, path: str | Path) -> Self:
        """Make a store in a new or empty folder; one that is there already is opened.

        Raises
        ------
        StorageError
            The folder holds something else, or cannot be written.
        """
        root = place_at(path)
        with storage(f"cannot create a store in {root}"):
            root.make()
            is_store = root.entry(MARKER) is not None
            names = root.names("")
        if not is_store:
            foreign = [n for n in names if n not in STORE_FOLDERS and not n.startswith(MARKER)]
            if foreign:
                raise StorageError(
                    f"{root} is not empty and not a store (it holds {foreign[0]!r}); "
                    "choose a new folder"
                )
            create_tables(root)
            _write_marker(root)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path, *, check: bool = False, trust: bool = False) -> Self:
        """Open a store; one that an older fstore wrote gets the tables and columns it lacks.

        Parameters
        ----------
        path : str or Path
        check : bool
            Compare the files of activations, too, with the sums that were noted of them, before
            :meth:`sql` first reads them: all of them, once. Other tables are compared always.
        trust : bool
            As of :func:`fstore.open`.

        Raises
        ------
        StorageError
            There is none (``fstore init`` makes one), or an older one cannot be written.
        SchemaError
            It was written by a newer version of fstore.
        """
        root = place_at(path)
        try:
            version = dict(json.loads(root.read(MARKER))).get("schema_version")
        except FileNotFoundError as error:
            raise StorageError(
                f"no store at {root}; make one with: {commands.init(root)}"
            ) from error
        except NotADirectoryError as error:
            raise StorageError(f"{root} is a file, not the folder of a store") from error
        except OSError as error:
            raise StorageError(f"cannot read {reason(error)}") from error
        except (ValueError, TypeError, RecursionError) as error:
            raise StorageError(
                f"{root.uri(MARKER)} is damaged: {error}; expected what a new store has, such "
                f'as {{"schema_version": {SCHEMA_VERSION}}}'
            ) from error
        if version in OLDER:
            upgrade(root)
            _write_marker(root)
        elif version != SCHEMA_VERSION:
            raise SchemaError(
                f"the store at {root} has schema version {version}, this fstore knows "
                f"{SCHEMA_VERSION}; use the version of fstore that wrote it"
            )
        return cls(root, check=check, trust=trust)

    def sql(
        self, statement: str, parameters: Sequence[object] = (), *, timeout: float | None = None
    ) -> Result:
        """Run one read-only SQL statement (see ``docs/sql.md``).

        Parameters
        ----------
        statement : str
            SELECT, DESCRIBE, SUMMARIZE, or EXPLAIN of one; ``?`` stands for a parameter.
        parameters : sequence
            Values for the ``?``.
        timeout : float or None
            Seconds until all rows must have been read; then the statement is stopped. None for no
            limit.

        Returns
        -------
        Result
            With ``arrow()``, ``polars()``, ``pandas()``, ``rows()`` and ``batches()``.

        Raises
        ------
        QueryError
            The statement is not read-only or does not run.
        """
        return self._open_session().query(statement, parameters, timeout=timeout)

    def load_totals(self, files: Sequence[StoredFile]) -> None:
        """Make the per-sample totals of files known to :meth:`sql` (see ``store/totals.py``)."""
        self._open_session().load_totals(files)

    def _open_session(self) -> Session:
        if self._session is None:
            self._session = Session(self.place, check=self.check)
        return self._session

    def rows(self, table: str, /, **equal: str) -> pa.Table:
        """Return a table's rows where columns equal the given values."""
        if table not in TABLES:
            raise UnknownNameError(f"no table '{table}'; there are: {', '.join(TABLES)}")
        columns = TABLES[table].schema.names
        if strange := [column for column in equal if column not in columns]:
            raise UnknownNameError(
                f"table '{table}' has no column '{strange[0]}'; it has: {', '.join(columns)}"
            )
        return read_rows(self.place, table, **equal)

    def append(self, table: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Append rows to a table in one transaction; return their number."""
        new = [dict(row) for row in rows]
        return append_once(self.place, table, lambda: new, key=f"append:{table}")

    def files(self, **equal: str) -> list[StoredFile]:
        """List the committed files of activations, by partition values."""
        return list_files(self.place, read_log(self.place, ACTIVATIONS), **equal)

    # Data sets

    def register_dataset(self, manifest: DatasetManifest) -> bool:
        """Note a data set's samples; see :func:`fstore.store.catalog.add_dataset`."""
        with naming(self.place):
            new = catalog.add_dataset(self.place, manifest)
            inherited = proposals.VIEW in self.dataset(manifest.name).views and (
                proposals.inherit_splits(self.place, manifest.name) > 0
            )
            return new or inherited

    def inherit_splits(self, dataset: str) -> int:
        """Give proposals the part of their image in splits that came later; return rows added."""
        return proposals.inherit_splits(self.place, dataset)

    def add_proposals(
        self,
        dataset: str,
        boxes: Proposals,
        overlaps: Overlaps,
        *,
        found_how: Mapping[str, Any] | None = None,
    ) -> bool:
        """Register view ``proposal``; see :func:`fstore.store.proposals.add_proposals`."""
        with naming(self.place):
            self.dataset(dataset)
            return proposals.add_proposals(
                self.place, dataset, boxes, overlaps=overlaps, found_how=found_how
            )

    def datasets(self) -> list[DatasetInfo]:
        """Return the registered data sets, by name."""
        return catalog.datasets(self.place)

    def dataset(self, name: str) -> DatasetInfo:
        """Return one data set.

        Raises
        ------
        UnknownNameError
            There is none of that name; the message lists those there are.
        """
        by_name = {d.name: d for d in self.datasets()}
        if name not in by_name:
            names = ", ".join(by_name) or "none yet"
            raise UnknownNameError(f"no data set '{name}'; there are: {names}", dataset=name)
        return by_name[name]

    def samples(self, dataset: str, view: str, columns: Sequence[str] = ()) -> pa.Table:
        """Return a view's samples, or some columns of them, in order of ``sample_id``."""
        wanted = list(dict.fromkeys([*columns, "sample_id"])) if columns else ()
        rows = self._view_rows("samples", dataset, view, columns=wanted).sort_by("sample_id")
        check_ids(rows["sample_id"], self.dataset(dataset).counts[view], f"{dataset}.{view}")
        return rows.select(list(columns)) if columns else rows

    def labels(self, dataset: str, view: str) -> pa.Table:
        """Return a view's labels: present (1) or present only as difficult (0)."""
        return self._view_rows("labels", dataset, view)

    def splits(self, dataset: str, view: str) -> pa.Table:
        """Return the part of each sample in each split."""
        return self._view_rows("splits", dataset, view)

    def _view_rows(
        self, table: str, dataset: str, view: str, *, columns: Sequence[str] = ()
    ) -> pa.Table:
        info = self.dataset(dataset)
        if view not in info.views:
            raise UnknownNameError(
                f"data set '{dataset}' has no view '{view}'; it has: {', '.join(info.views)}",
                dataset=dataset,
            )
        names = columns or TABLES[table].schema.names
        if strange := [n for n in names if n not in TABLES[table].schema.names]:
            raise UnknownNameError(
                f"table '{table}' has no column {strange[0]!r}; it has: "
                + ", ".join(TABLES[table].schema.names)
            )
        rows = read_columns(self.place, table, names, dataset=dataset, view=view)
        if "uri" in rows.schema.names:
            check_uris(rows["uri"], dataset, view)
        return rows

    # Networks and checkpoints

    def register_checkpoint(self, record: CheckpointRecord, weights: Path) -> CheckpointRecord:
        """Move weights into the store; see :func:`fstore.store.networks.add_checkpoint`."""
        return networks.add_checkpoint(self.place, record, weights)

    def checkpoints(self, network: str | None = None) -> list[CheckpointRecord]:
        """Return the checkpoints, by network, iteration and name."""
        return networks.checkpoints(self.place, network)

    def find_checkpoint(self, name: str, network: str | None = None) -> CheckpointRecord:
        """Return one checkpoint; an ambiguous name lists the candidates."""
        return networks.find_checkpoint(self.place, name, network)

    def checkpoint_path(self, record: CheckpointRecord) -> Path:
        """Return the safetensors file of a checkpoint.

        Raises
        ------
        StorageError
            The record names a file that is not among the store's checkpoints.
        """
        return self.place.local(networks.weights_key(self.place, record))

    def add_layers(self, network: str, specs: Sequence[LayerSpec]) -> None:
        """Record the taps of a network; a changed one is refused."""
        networks.add_layers(self.place, network, specs)

    # Upkeep

    def status(self) -> list[dict[str, Any]]:
        """Count each partition's samples, rows, bytes; see :func:`fstore.store.status.status`."""
        from fstore.store.status import status

        return status(self.place)

    def drop(self, *, checkpoint: bool = False, **selected: str) -> "list[Going]":
        """Remove what fits; see :func:`fstore.store.maintenance.drop`.

        Parameters
        ----------
        checkpoint : bool
            Remove the fitting checkpoints as well, record and weights.
        **selected : str
            At least one of ``network``, ``ckpt``, ``dataset``, ``view``, ``layer``.
        """
        from fstore.store.maintenance import Selection, drop

        return drop(self.place, Selection(**selected), checkpoint=checkpoint)

    def gc(self, *, older_than_hours: float = 24) -> list[tuple[str, int]]:
        """Delete files that no log refers to; see :func:`fstore.store.maintenance.gc`."""
        from fstore.store.maintenance import gc

        return gc(self.place, older_than_hours=older_than_hours)

    def compact(
        self,
        *,
        target_mb: int = 256,
        on_problem: Callable[[str], object] | None = None,
        **selected: str,
    ) -> list[dict[str, Any]]:
        """Put small files together; see :func:`fstore.store.compact.compact`.

        The small tables (``runs``, ``reports``, ...) are done as well, unless some activations
        are selected.

        Parameters
        ----------
        target_mb : int
            Millions of bytes of a new file, at least.
        on_problem : callable or None
            Told of files that are damaged, and stay as they are.
        **selected : str
            Some of ``network``, ``ckpt``, ``dataset``, ``view``, ``layer``: these only.
        """
        from fstore.store.compact import compact
        from fstore.store.maintenance import Selection
        from fstore.store.small_tables import compact_tables

        chosen = Selection(**selected) if selected else None
        if chosen is None:
            compact_tables(self.place)
        return compact(self.place, chosen, target_bytes=target_mb * 10**6, on_problem=on_problem)

    def verify(self, **selected: str) -> Iterator[dict[str, Any]]:
        """Yield what is wrong with the store; see :func:`fstore.store.verify.verify`.

        Parameters
        ----------
        **selected : str
            Some of ``network``, ``ckpt``, ``dataset``, ``view``, ``layer``: look at these
            activations only.
        """
        from fstore.store.maintenance import Selection
        from fstore.store.verify import verify

        return verify(self.place, Selection(**selected) if selected else None)

    def add_checksums(self) -> int:
        """Note the sums of files that have none (``store/sums.py``); return their number.

        For a store that an older fstore or another program wrote to; :meth:`verify` first.

        Raises
        ------
        StorageError
            A table is damaged, or the store cannot be written.
        """
        from fstore.store import sums
        from fstore.store.verify_tables import unchecked

        with storage("cannot note the sums"):
            return sum(sums.add_missing(self.place, t, f) for t, f in unchecked(self.place).items())


def _write_marker(root: Place) -> None:
    """Say of a folder that its tables are those of this fstore."""
    text = json.dumps({"schema_version": SCHEMA_VERSION})
    with storage(f"cannot write {root.uri(MARKER)}"):
        root.write(MARKER, f"{text}\n".encode())
