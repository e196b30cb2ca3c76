"""Which partitions a statement can touch, so that a view need not name the files of all others.

A view of a hundred thousand files costs DuckDB seconds before the first row. So each place of a
statement that reads ``activations`` gets a view of its own, of the files that its WHERE does not
rule out. What rules a partition out is told by DuckDB itself: those conditions of the WHERE, joined
by AND, that hold nothing but partition columns and constants are asked of the list of partitions.

A condition is used only where leaving its rows out early changes nothing: it stands in the WHERE
of the SELECT whose FROM names the table; its columns are that table's for sure; joins are plain
ones; and under outer joins it is not true of NULL. Whatever is not understood is not used, and a
place without a usable condition reads all files.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, TypeAlias

from fstore.store.readonly import nodes
from fstore.store.schema import PARTITION, SUMMARIES, TABLES
from fstore.store.tables import sql_name

__all__ = ["Reading", "readings", "rewritten"]

Node: TypeAlias = Mapping[str, Any]

CLASSES = frozenset(("CONJUNCTION", "COMPARISON", "OPERATOR", "BETWEEN", "FUNCTION", "PARAMETER"))
REFS = frozenset(("REGULAR", "CROSS"))
JOINS = frozenset(("INNER", "LEFT", "RIGHT", "OUTER", "FULL"))
COMPARISONS = frozenset(
    f"COMPARE_{kind}"
    for kind in (
        *("EQUAL", "NOTEQUAL", "LESSTHAN", "GREATERTHAN", "LESSTHANOREQUALTO"),
        *("GREATERTHANOREQUALTO", "IN", "NOT_IN", "DISTINCT_FROM", "NOT_DISTINCT_FROM"),
    )
)
OPERATORS = COMPARISONS | {"OPERATOR_NOT", "OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL"}
FUNCTIONS = frozenset(
    ("row", "~~", "!~~", "~~*", "!~~*", "lower", "upper", "starts_with", "prefix", "suffix")
)
"""Functions of texts alone, which are neither random nor fail."""
NOWHERE = {"alias": "", "query_location": 0, "query_location_length": 0}
AND: Node = {"class": "CONJUNCTION", "type": "CONJUNCTION_AND", **NOWHERE}
CONSTANT: Node = {"class": "CONSTANT", "type": "VALUE_CONSTANT", **NOWHERE}


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A place of a statement that reads the table, and what its WHERE says.

    Attributes
    ----------
    start, end : int
        The name's bytes in the statement.
    alias : str
        What the statement calls it.
    renamed : bool
        Whether the statement itself gives it that name.
    conditions : sequence of Node
        Trees of what rules partitions out.
    outer : bool
        Whether joins fill up with NULL.
    """

    start: int
    end: int
    alias: str
    renamed: bool
    conditions: Sequence[Node]
    outer: bool

    def question(self, template: str, parameters: Sequence[object]) -> str | None:
        """Return the tree, as JSON, of the statement that gives the partitions not ruled out.

        None if nothing can be said.

        Parameters
        ----------
        template : str
            The tree of ``SELECT ... FROM a_list_of_partitions AS p WHERE true``, as JSON.
        parameters : sequence
            Values of the ``?``.
        """
        usable = [bound for c in self.conditions if (bound := _bound(c, parameters)) is not None]
        if not usable:
            return None
        tree = json.loads(template)
        node = tree["statements"][0]["node"]
        node["from_table"]["alias"] = self.alias
        node["where_clause"] = usable[0] if len(usable) == 1 else {**AND, "children": usable}
        return json.dumps(tree)


def readings(tree: Node, text: bytes, *, table: str) -> list[Reading]:
    """List the places of a statement that read a table and can do with some of the partitions.

    Parameters
    ----------
    tree : Node
        Of the statement, as ``json_serialize_sql`` gives it.
    text : bytes
        The statement.
    table : str
        ``activations``, or another with its partition columns.
    """
    ctes = frozenset(_cte_names(tree))
    if table in ctes:
        return []
    places = [
        place
        for node in nodes(tree)
        if node.get("type") == "SELECT_NODE" and node.get("where_clause") and not node.get("sample")
        for place in _of_select(node, text, ctes, table=table)
    ]
    starts = [place.start for place in places]
    return [place for place in places if starts.count(place.start) == 1]


def rewritten(text: bytes, views: Mapping[Reading, str]) -> bytes:
    """Return a statement with views in place of the table."""
    for place, view in sorted(views.items(), key=lambda item: item[0].start, reverse=True):
        alias = "" if place.renamed else " AS " + sql_name(place.alias)
        text = text[: place.start] + sql_name(view).encode() + alias.encode() + text[place.end :]
    return text


def _of_select(node: Node, text: bytes, ctes: frozenset[str], *, table: str) -> Iterator[Reading]:
    source: Node = node["from_table"]
    joins, leaves = list(_joins(source)), list(_leaves(source))
    if any(j["ref_type"] not in REFS or j["join_type"] not in JOINS for j in joins):
        return
    plain = {column for column in PARTITION if _unambiguous(column, source, ctes)}
    outer = any(join["join_type"] != "INNER" for join in joins)
    for leaf in leaves:
        span = _span(leaf, text, table)
        if span is None:
            continue
        alias = str(leaf["alias"] or leaf["table_name"])
        usable = [c for c in _conjuncts(node["where_clause"]) if _is_usable(c, alias, plain)]
        if usable:
            yield Reading(*span, alias, bool(leaf["alias"]), tuple(usable), outer)


def _span(leaf: Node, text: bytes, table: str) -> tuple[int, int] | None:
    """Return which bytes name the table; None where it is another, or not read as it is."""
    odd = ("schema_name", "catalog_name", "sample", "column_name_alias", "at_clause")
    if leaf.get("type") != "BASE_TABLE" or any(leaf[key] for key in odd):
        return None
    start = int(leaf["query_location"])
    for name in (table, f'"{table}"'):
        if text[start : start + len(name)].lower() == name.encode():
            return start, start + len(name)
    return None


def _unambiguous(column: str, node: Node, ctes: frozenset[str]) -> bool:
    """Whether a column's bare name is the table's, or one that equals it, or refused by DuckDB.

    A name that USING joins is that of the joined columns. They are equal if the join is inner and
    all are texts, and if no column of that name is left beside them.
    """
    joins = list(_joins(node))
    if not any(column in _using(join) for join in joins):
        return True
    return all(
        (join["join_type"] == "INNER" and all(map(_columns_known(ctes), _leaves(join))))
        if column in _using(join)
        else any(_lacks(column, join[side], ctes) for side in ("left", "right"))
        for join in joins
    )


def _columns_known(ctes: frozenset[str]) -> Callable[[Node], bool]:
    return lambda leaf: _columns(leaf, ctes) is not None


def _lacks(column: str, node: Node, ctes: frozenset[str]) -> bool:
    columns = [_columns(leaf, ctes) for leaf in _leaves(node)]
    return all(names is not None and column not in names for names in columns)


def _columns(leaf: Node, ctes: frozenset[str]) -> frozenset[str] | None:
    """Return the columns of one of the store's tables; None of anything else."""
    name = str(leaf.get("table_name", "")).lower()
    known = TABLES | SUMMARIES
    is_table = leaf.get("type") == "BASE_TABLE" and name in known and name not in ctes
    return frozenset(known[name].schema.names) if is_table and _is_bare(leaf) else None


def _is_bare(leaf: Node) -> bool:
    return not (leaf["schema_name"] or leaf["catalog_name"] or leaf["column_name_alias"])


def _using(join: Node) -> set[str]:
    return {str(column).lower() for column in join["using_columns"]}


def _joins(node: Node) -> Iterator[Node]:
    if node.get("type") == "JOIN":
        yield node
        for side in ("left", "right"):
            yield from _joins(node[side])


def _leaves(node: Node) -> Iterator[Node]:
    if node.get("type") == "JOIN":
        for side in ("left", "right"):
            yield from _leaves(node[side])
    else:
        yield node


def _conjuncts(node: Node) -> Iterator[Node]:
    if node["type"] == "CONJUNCTION_AND":
        for child in node["children"]:
            yield from _conjuncts(child)
    else:
        yield node


def _is_usable(node: Node, alias: str, plain: AbstractSet[str]) -> bool:
    """Whether a condition holds nothing but the table's partition columns and texts."""
    kind, children = node["class"], _children(node)
    if kind == "COLUMN_REF":
        names = [str(name).lower() for name in node["column_names"]]
        if len(names) == 1:
            return names[0] in plain
        return len(names) == 2 and names[0] == alias.lower() and names[1] in PARTITION
    if kind == "CONSTANT":
        return bool(node["literal"]["kind"] == "STRING")
    if kind == "FUNCTION":
        odd = ("schema", "catalog", "filter", "distinct")
        if node["function_name"] not in FUNCTIONS or any(node[key] for key in odd):
            return False
    elif kind not in CLASSES or (kind == "OPERATOR" and node["type"] not in OPERATORS):
        return False
    return all(_is_usable(child, alias, plain) for child in children)


def _children(node: Node) -> list[Node]:
    keys = ("left", "right", "input", "lower", "upper")
    arguments = [argument["expression"] for argument in node.get("arguments", ())]
    return [*(node[key] for key in keys if key in node), *node.get("children", ()), *arguments]


def _bound(node: Node, parameters: Sequence[object]) -> Node | None:
    """Return a condition with texts in place of its parameters; None if one is no text."""
    for inner in nodes(node):
        if inner.get("class") == "PARAMETER":
            number = str(inner["identifier"])
            at = int(number) - 1 if number.isdigit() else -1
            if not (0 <= at < len(parameters) and isinstance(parameters[at], str)):
                return None
    filled: Node = _filled(node, parameters)
    return filled


def _filled(value: Any, parameters: Sequence[object]) -> Any:  # noqa: ANN401 - of JSON
    if isinstance(value, dict):
        if value.get("class") == "PARAMETER":
            text = parameters[int(value["identifier"]) - 1]
            return {**CONSTANT, "literal": {"kind": "STRING", "text": text}}
        return {key: _filled(child, parameters) for key, child in value.items()}
    if isinstance(value, list):
        return [_filled(child, parameters) for child in value]
    return value


def _cte_names(tree: Node) -> Iterator[str]:
    for node in nodes(tree):
        named = node.get("cte_map")
        if isinstance(named, dict):
            yield from (str(entry["key"]).lower() for entry in named["map"])
        yield from (str(node[key]).lower() for key in ("cte_name", "ctename") if key in node)
