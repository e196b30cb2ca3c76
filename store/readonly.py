"""Which SQL only reads: judged on DuckDB's own parse tree, not on the text.

A statement's type is not enough: ``EXPLAIN ANALYZE COPY ...`` and ``WITH x AS (COPY ...) SELECT``
write files although one is an EXPLAIN and the other a SELECT.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fstore.errors import QueryError

if TYPE_CHECKING:
    import duckdb

__all__ = ["Named", "check_read_only"]

READING_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
TABLE_FUNCTIONS = {
    *("range", "generate_series", "unnest", "repeat", "repeat_row", "summary", "glob"),
    *("histogram", "histogram_values", "json_each", "json_tree", "query_table"),
    *("read_parquet", "parquet_scan", "parquet_metadata", "parquet_schema"),
    *("parquet_file_metadata", "parquet_kv_metadata", "read_json", "read_json_auto"),
    *("read_csv", "read_csv_auto", "read_text", "read_blob", "duckdb_functions"),
    *("duckdb_columns", "duckdb_views", "duckdb_tables", "duckdb_settings", "duckdb_types"),
}
CATALOGUE = ("duckdb_", "information_schema", "pg_", "sqlite_")
"""How the names begin that list the tables of a session."""
HELP = "SQL on a store is read-only; use SELECT, DESCRIBE, SUMMARIZE, or EXPLAIN of a SELECT"
# Only words that are known may stand before the inner statement: in a comment there, a bracket
# would end the options for this pattern and not for DuckDB, which would run what follows.
EXPLAIN = re.compile(
    r"\s*explain\s+(?:analy[sz]e\s+)?"
    r"(?:\(\s*(?:analy[sz]e|format\s+\w+)(?:\s*,\s*(?:analy[sz]e|format\s+\w+))*\s*\)\s*)?"
    r"(?P<inner>\S.*)",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Named:
    """What a statement names: tables, in small letters, and whether it asks which there are.

    Attributes
    ----------
    tree : dict
        The parse tree: of an EXPLAIN, that of the statement that it explains.
    before : int
        Bytes that stand before that statement.
    hidden : bool
        Whether it may name tables in texts, too.
    """

    tables: frozenset[str]
    catalogue: bool
    tree: dict[str, object]
    before: int = 0
    hidden: bool = False

    def reads(self, table: str) -> int:
        """Return how often the statement names a table to read it."""
        return _reads(self.tree, table)

    def describes(self, table: str) -> bool:
        """Tell whether the statement names a table only to have it described, without its rows."""
        described = [n for n in nodes(self.tree) if n.get("show_type") == "DESCRIBE"]
        return self.reads(table) == sum(_reads(node, table) for node in described)


def _reads(tree: "Mapping[str, object]", table: str) -> int:
    """Return how often a tree names a table."""
    return sum(str(node.get("table_name", "")).lower() == table for node in nodes(tree))


def check_read_only(duck: "duckdb.DuckDBPyConnection", text: str) -> Named:
    """Refuse all but one reading statement; return what it names.

    Names of a WITH clause are among the tables.

    Raises
    ------
    QueryError
        The text does not parse, holds none or several statements, or would change something.
    """
    import duckdb

    try:
        statements = duck.extract_statements(text)
    except duckdb.Error as error:
        raise QueryError(str(error)) from error
    if len(statements) != 1:
        raise QueryError(f"expected one statement, got {len(statements)}; {HELP}")
    try:
        kind = statements[0].type
    except ValueError as error:  # a kind that DuckDB's own Python does not know
        raise QueryError(HELP) from error
    if kind == duckdb.StatementType.EXPLAIN:
        match = EXPLAIN.fullmatch(text)
        if match is None:
            raise QueryError(f"this form of EXPLAIN is not understood; {HELP}")
        named = check_read_only(duck, match.group("inner"))
        return replace(named, before=named.before + len(text[: match.start("inner")].encode()))
    if kind == duckdb.StatementType.SELECT:
        return _check_tree(duck, text)
    if kind == duckdb.StatementType.MULTI:
        raise QueryError("PIVOT is refused unless it lists its values: PIVOT ... ON x IN (...)")
    raise QueryError(f"{kind.name} is refused: {HELP}")


def _check_tree(duck: "duckdb.DuckDBPyConnection", text: str) -> Named:
    answer = duck.cursor().execute("SELECT json_serialize_sql(?::VARCHAR)", [text]).fetchone()
    tree = json.loads(answer[0]) if answer else {"error": True}
    if tree["error"]:
        raise QueryError(str(tree.get("error_message", "the statement does not parse")))
    tables: set[str] = set()
    catalogue = hidden = False
    for node in nodes(tree):
        kind = str(node.get("type", ""))
        if kind.endswith("_NODE") and kind not in READING_NODES:
            verb = kind.removesuffix("_NODE").removesuffix("_QUERY")
            raise QueryError(f"{verb} inside a query is refused: {HELP}")
        if kind == "TABLE_FUNCTION":
            name = str(node["function"]["function_name"]).lower()  # type: ignore[index]
            if name not in TABLE_FUNCTIONS:
                raise QueryError(
                    f"table function {name} is refused; there are: "
                    + ", ".join(sorted(TABLE_FUNCTIONS))
                )
            catalogue |= name.startswith(CATALOGUE)
            hidden |= name == "query_table"
        table = str(node.get("table_name", "")).lower()
        tables.add(table)
        places = (table, str(node.get("schema_name", "")).lower())
        catalogue |= kind == "SHOW_REF" or any(place.startswith(CATALOGUE) for place in places)
    return Named(frozenset(tables - {""}), catalogue, tree, hidden=hidden)


def nodes(value: object) -> Iterator[dict[str, object]]:
    """Yield every object of a parse tree."""
    if isinstance(value, dict):
        yield value
        for child in value.values():
            yield from nodes(child)
    elif isinstance(value, list):
        for child in value:
            yield from nodes(child)
