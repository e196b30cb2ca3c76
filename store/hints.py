"""What may be meant by a statement that DuckDB refuses."""

import re

__all__ = ["quotes_hint"]

NO_COLUMN = re.compile(r'(?:Referenced column|column named) "(?P<name>[^"]+)"[^\n]*not found')


def quotes_hint(message: str) -> str:
    """Return a line about quotes, if DuckDB took a text for the name of a column; else nothing."""
    column = NO_COLUMN.search(message)
    if column is None:
        return ""
    name = column["name"]
    return f"\nIf {name} is a text and no column: text needs single quotes, '{name}'"
