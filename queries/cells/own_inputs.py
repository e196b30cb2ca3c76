"""What the store has of what a study's own reports read: partitions, tables, the user's function.

A statement says itself what it reads; a function's ``needs`` are statements, and it can read
nothing else.
"""

import hashlib
import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from fstore.errors import DataError, QueryError
from fstore.names import own_file
from fstore.queries.cells.needs import Need, Own

if TYPE_CHECKING:
    from fstore.store import Store
    from fstore.store.files import Partition, StoredFile
    from fstore.store.reads import Reads, StatementReader

__all__ = ["OwnInputs", "source_of", "values_of"]


class OwnInputs:
    """What the store has of what own reports read; each thing is looked up once.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._reader: StatementReader | None = None
        self._reads: dict[Need, list[Reads]] = {}
        self._tables: dict[str, str] = {}
        self._files: dict[Partition, list[StoredFile]] | None = None

    def has_responses(self, need: Need) -> bool:
        """Whether some activations are there that a cell asks for, or it asks for none."""
        return all(reads.partitions or not reads.responses for reads in self.reads(need))

    def described(self, need: Need) -> dict[str, object]:
        """Return what a cell depends on, as ``Inputs.described`` does for other reports."""
        from fstore.store.versions import partition_version

        own = need.own
        assert own is not None  # noqa: S101 - whoever calls has looked
        reads, by_partition = self.reads(need), self._by_partition()
        partitions = sorted({p for each in reads for p in each.partitions}, key=str)
        tables = sorted({name for each in reads for name in each.tables})
        described: dict[str, object] = {
            "partitions": {str(p): partition_version(by_partition.get(p, [])) for p in partitions},
            "tables": {name: self._table(name) for name in tables},
            "parameters": dict(need.parameters),
            "statement": _hash([own.statement, list(own.needs), list(own.rows), own.python]),
            "expect": _hash(list(own.expect)),
        }
        return described | ({"function": _hash(source_of(own))} if own.python else {})

    def reads(self, need: Need) -> "list[Reads]":
        """Return what each statement of a cell reads.

        Raises
        ------
        DataError
            A statement is wrong, or it cannot be told what it reads.
        """
        if need not in self._reads:
            own = need.own
            assert own is not None  # noqa: S101 - whoever calls has looked
            statements = own.needs or (own.statement,)
            self._reads[need] = [self._read(own, s, values_of(need)) for s in statements]
        return self._reads[need]

    def _read(self, own: Own, statement: str, values: dict[str, str | int]) -> "Reads":
        from fstore.store.reads import StatementReader

        self._reader = self._reader or StatementReader(self._store.place)
        try:
            return self._reader.reads(statement, values)
        except QueryError as error:
            raise DataError(f"report '{own.report}': {error}") from error

    def _by_partition(self) -> "dict[Partition, list[StoredFile]]":
        if self._files is None:
            self._files = defaultdict(list)
            for file in self._store.files():
                self._files[file.partition].append(file)
        return self._files

    def _table(self, name: str) -> str:
        """Return a hash of a table's rows, in whatever order and files they are."""
        from fstore.store.views import FILES

        if name not in self._tables:
            if name == FILES:
                self._tables[name] = _hash(sorted(f"{f.uri}" for f in self._store.files()))
            else:
                self._tables[name] = self._hash_rows(name)
        return self._tables[name]

    def _hash_rows(self, name: str) -> str:
        statement = f'SELECT count(*) AS rows, sum(hash(t)) AS hashes FROM "{name}" AS t'
        (row,) = self._store.sql(statement).rows()
        return _hash([str(row["rows"]), str(row["hashes"])])


def values_of(need: Need) -> dict[str, str | int]:
    """Return the values of the parameters of a cell of a study's own report."""
    return {name: v for name, v in need.parameters if not isinstance(v, float)}


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def source_of(own: Own) -> str:
    """Return the text of the file with a report's function, without running it.

    Raises
    ------
    DataError
        It is not there, or cannot be read.
    """
    file = own_file(own.python) or Path(own.python)
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"report '{own.report}': {file} cannot be read: {error}; put the file there, or set "
            "the study again with its place"
        ) from error
