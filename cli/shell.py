"""``fstore sql`` without a statement: a shell that reads statements until Ctrl-D."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from fstore.cli.output import note
from fstore.errors import FstoreError

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["run_shell"]

WELCOME = """A statement ends with ; and may take several lines. Tab completes names.
.tables lists the tables, .help says this again, Ctrl-C drops a line, Ctrl-D or .quit leaves."""
HISTORY_LENGTH = 2000
KEYWORDS = (
    "SELECT", "FROM", "WHERE", "GROUP BY", "ORDER BY", "LIMIT", "JOIN", "USING", "DISTINCT",
    "DESCRIBE", "SUMMARIZE", "EXPLAIN", "count", "avg", "max", "min", "sum",
)  # fmt: skip
NAMES = ("network", "ckpt", "dataset", "view", "layer")
TABLES = (
    "SELECT table_name AS name FROM information_schema.tables "
    "WHERE table_name[1] != '_' ORDER BY name"
)
COLUMNS = "SELECT DISTINCT column_name AS name FROM information_schema.columns ORDER BY name"


def run_shell(
    store: "Store", answer: Callable[[str], None], *, ask: Callable[[str], str] = input
) -> None:
    """Read statements and answer each, until the input ends.

    Parameters
    ----------
    store : Store
        Whose names are completed.
    answer : callable
        Prints the answer to a statement; its errors are told, and the shell goes on.
    ask : callable
        Returns the next line; takes the prompt. ``EOFError`` ends the shell.
    """
    note(WELCOME)
    with _editing(store):
        for statement in _statements(ask):
            if statement in {".quit", ".exit"}:
                return
            if statement == ".help":
                note(WELCOME)
                continue
            try:
                answer(TABLES if statement == ".tables" else statement)
            except FstoreError as error:
                note(f"error: {error}")
            except KeyboardInterrupt:
                note("stopped")


def _statements(ask: Callable[[str], str]) -> Iterator[str]:
    """Yield statements, each up to its semicolon, and commands that begin with a dot."""
    lines: list[str] = []
    while True:
        try:
            line = ask("   ...> " if lines else "fstore> ")
        except EOFError:
            note("")
            return
        except KeyboardInterrupt:
            note("")
            lines = []
            continue
        if not lines and line.strip().startswith("."):
            yield line.strip()
            continue
        lines.append(line)
        text = "\n".join(lines).strip()
        if text.endswith(";") and text.count("'") % 2 == 0:
            yield text
            lines = []
        elif not text:
            lines = []


@contextmanager
def _editing(store: "Store") -> Iterator[None]:
    """Have lines edited, completed, and kept for the next time, where the platform can."""
    try:
        import readline
    except ImportError:
        yield
        return
    history = _history_file()
    with suppress(OSError):
        readline.read_history_file(history)
    before = readline.get_completer(), readline.get_completer_delims()
    readline.set_completer(_completer(store))
    readline.set_completer_delims(" \t\n(),;=<>'\"")
    readline.parse_and_bind("tab: complete")
    readline.set_history_length(HISTORY_LENGTH)
    try:
        yield
    finally:
        readline.set_completer(before[0])
        readline.set_completer_delims(before[1])
        with suppress(OSError):
            history.parent.mkdir(parents=True, exist_ok=True)
            readline.write_history_file(history)


def _history_file() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "fstore" / "sql_history"


def _completer(store: "Store") -> Callable[[str, int], str | None]:
    @cache
    def matching(word: str) -> list[str]:
        return [name for name in _names(store) if name.lower().startswith(word.lower())]

    def complete(word: str, state: int) -> str | None:
        names = matching(word)
        return names[state] if state < len(names) else None

    return complete


@cache
def _names(store: "Store") -> list[str]:
    """Return all that a statement may hold: tables, columns, and the names of what is stored."""
    asked = [TABLES, COLUMNS, *(f'SELECT DISTINCT "{n}" AS name FROM partitions' for n in NAMES)]
    names = list(KEYWORDS)
    for statement in asked:
        with suppress(FstoreError):
            names += [str(row["name"]) for row in store.sql(statement).rows()]
    names += re.findall(r"MACRO (\w+)", _macros())
    return sorted(dict.fromkeys(names))


def _macros() -> str:
    from fstore.store.macros import MACROS

    return "\n".join(macro.sql for macro in MACROS)
