"""What may be meant by a statement that finds nothing."""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fstore.cli.output import note
from fstore.errors import FstoreError

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["Counted", "tell_names"]

NAMES = ("network", "ckpt", "dataset", "view", "layer")
LISTED = 20

QUOTED = r"'(?:[^']|'')*'"
COMPARED = re.compile(
    rf"""\b(?P<column>{"|".join(NAMES)})"?(?:\s*==?\s*(?P<one>{QUOTED})"""
    rf"""|\s+in\s*\((?P<several>\s*{QUOTED}(?:\s*,\s*{QUOTED})*)\s*\))""",
    re.IGNORECASE,
)
TEXT = re.compile(QUOTED)
RESPONSES = re.compile(r"\b(?:activations|partitions)\b", re.IGNORECASE)


class Counted:
    """An iterator over rows that knows how many there were."""

    def __init__(self, rows: Iterator[Mapping[str, Any]]) -> None:
        self._rows = rows
        self.count = 0

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        """Yield the rows."""
        for row in self._rows:
            self.count += 1
            yield row


def tell_names(store: "Store", statement: str) -> None:
    """Note for each name that a statement compares with and is not stored: those there are.

    Only of statements on responses: other tables have names of which nothing is extracted.
    """
    if not RESPONSES.search(statement):
        return
    for column, values in _compared(statement).items():
        try:
            distinct = store.sql(
                f'SELECT DISTINCT "{column}" AS name FROM partitions ORDER BY name'
            )
            names = [row["name"] for row in distinct.rows()]
        except FstoreError:
            return
        for value in values:
            if value not in names:
                listed = ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")
                note(f"no activations of {column} '{value}'; there are: {listed or 'none'}")


def _compared(statement: str) -> dict[str, list[str]]:
    compared: dict[str, list[str]] = {}
    for match in COMPARED.finditer(statement):
        values = TEXT.findall(match["one"] or match["several"])
        texts = [value[1:-1].replace("''", "'") for value in values]
        compared.setdefault(match["column"].lower(), []).extend(texts)
    return compared
