"""SQL macros and functions that every session has."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

__all__ = ["MACROS", "Macro", "register_functions"]


@dataclass(frozen=True, slots=True)
class Macro:
    """A macro: how it is called, what it gives, the statement that creates it."""

    name: str
    signature: str
    summary: str
    sql: str


MACROS: tuple[Macro, ...] = (
    Macro(
        "binarize",
        "binarize(map)",
        "1 where a response is above 0, else 0 (section 5.1)",
        "CREATE MACRO binarize(map) AS list_transform(map, lambda x: (x > 0)::FLOAT)",
    ),
    Macro(
        "sp_max",
        "sp_max(map)",
        "Largest response of a map (section 5.2)",
        "CREATE MACRO sp_max(map) AS list_max(map)",
    ),
)


def register_functions(duck: "duckdb.DuckDBPyConnection") -> None:
    """Add the functions that need NumPy."""
