"""What a statement reads: tables, and the partitions of ``activations`` that its conditions leave.

Nothing is computed. Where it cannot be told what a statement reads, it is refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fstore.errors import QueryError
from fstore.store.files import ACTIVATIONS, Partition
from fstore.store.narrow import NarrowViews
from fstore.store.readonly import check_read_only, nodes
from fstore.store.schema import SUMMARIES, TABLES
from fstore.store.views import FILES, SOURCES

if TYPE_CHECKING:
    from fstore.store.place import Place

__all__ = ["Reads", "StatementReader"]

BOOKS = ("reports", "refreshes", "runs", "studies")
"""Tables that fstore writes while it works: what reads them is never up to date."""
ROWS_OF_PARTITIONS = frozenset((ACTIVATIONS, *SUMMARIES))
"""The tables whose rows belong to partitions of ``activations``."""
UNTOLD = ("read_", "parquet_", "glob", "query_table", "duckdb_")
"""How the table functions begin of which nobody can tell what they read."""


@dataclass(frozen=True, slots=True)
class Reads:
    """What a statement reads.

    Attributes
    ----------
    tables : frozenset of str
        Without ``activations``; ``_files`` is the list of its files.
    partitions : frozenset of Partition
        Those of ``activations`` that its conditions leave.
    responses : bool
        Whether it names ``activations``, or what is known of them.
    """

    tables: frozenset[str]
    partitions: frozenset[Partition]
    responses: bool


class StatementReader(NarrowViews):
    """Tells what statements read in a store, as it is when it is asked.

    Parameters
    ----------
    root : Place
        The store.
    """

    def __init__(self, root: "Place") -> None:
        import duckdb

        self._parser = duckdb.connect()
        super().__init__(self._parser.cursor(), root, check=False)

    def parameters(self, statement: str) -> list[str]:
        """Return the names of a statement's parameters, each once, in order.

        Raises
        ------
        QueryError
            It does not parse, or does not only read; a parameter has no name.
        """
        return list(dict.fromkeys(name for _, name in self._places(statement)))

    def _places(self, statement: str) -> list[tuple[int, str]]:
        """Return where each parameter of a statement stands, in bytes, and its name, in order."""
        tree = check_read_only(self._parser, statement).tree
        found = [node for node in nodes(tree) if node.get("class") == "PARAMETER"]
        places = [(int(str(n["query_location"])), str(n["identifier"])) for n in found]
        names = [name for _, name in sorted(places)]
        if bare := [name for name in names if not name.isidentifier()]:
            raise QueryError(f"parameter {bare[0]} has no name; write $layer, not ? or $1")
        return sorted(places)

    def reads(self, statement: str, values: Mapping[str, str | int]) -> Reads:
        """Return what a statement reads.

        Parameters
        ----------
        statement : str
            With parameters as ``$name``.
        values : mapping
            Of the parameters.

        Raises
        ------
        QueryError
            It does not parse, does not only read, or it cannot be told what it reads.
        """
        text, parameters = self.numbered(statement, values)
        named = check_read_only(self._parser, text)
        functions = {
            str(node["function"]["function_name"]).lower()  # type: ignore[index]
            for node in nodes(named.tree)
            if node.get("type") == "TABLE_FUNCTION"
        }
        untold = sorted(name for name in functions if name.startswith(UNTOLD))
        if untold or named.catalogue or named.hidden:
            what = f"{untold[0]}()" if untold else "the list of tables"
            raise QueryError(f"nobody can tell when {what} changes; name the store's tables")
        names = named.tables.difference(SUMMARIES)
        tables = {source for name in names for source in SOURCES.get(name, (name,))}
        if books := sorted(tables.intersection(BOOKS)):
            raise QueryError(
                f"table '{books[0]}' changes with each refresh, so what reads it is never up to "
                "date; ask it in a statement of its own"
            )
        known = frozenset(tables.intersection((*TABLES, FILES)))
        left: frozenset[Partition] = frozenset()
        asked = ROWS_OF_PARTITIONS.intersection(named.tables)
        for table in asked:
            left |= self.reached(table, named, statement=text, parameters=parameters)
        if FILES in known and not asked:
            self._list()
            left = frozenset(self.partitions)
        return Reads(known - {ACTIVATIONS}, left, bool(asked))

    def numbered(
        self, statement: str, values: Mapping[str, str | int]
    ) -> tuple[str, Sequence[str | int]]:
        """Return a statement with ``$1`` for its first parameter and so on, and their values.

        Parameters
        ----------
        statement : str
        values : mapping
            By name; a statement need not have all of them.

        Raises
        ------
        QueryError
            It does not parse, or does not only read.
        """
        places = self._places(statement)
        names = list(dict.fromkeys(name for _, name in places))
        text = statement.encode()
        for start, name in reversed(places):
            end = start + 1 + len(name.encode())
            text = text[:start] + f"${names.index(name) + 1}".encode() + text[end:]
        return text.decode(), [values[name] for name in names]
