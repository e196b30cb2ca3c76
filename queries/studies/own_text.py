"""The text of a study file as a store keeps it: what it says of other files is put in place."""

import json
import re
from pathlib import Path
from typing import Any

from fstore.errors import DataError
from fstore.reading import read_text
from fstore.toml_file import parse_toml

__all__ = ["with_files"]

LINE = r"^(\s*){key}(\s*=\s*)(?:\"{name}\"|'{name}')(\s*(?:#.*)?)$"


def with_files(toml: str, folder: Path, source: str) -> str:
    """Return a study's text with statements in place of their files, and whole paths of functions.

    Parameters
    ----------
    toml : str
    folder : Path
        Where the file lies, from which paths in it start.
    source : str
        Name of the file, for messages.

    Raises
    ------
    DataError
        It is no TOML; a file cannot be read; an entry does not stand on a line of its own.
    """
    if "sql_file" not in toml and "python" not in toml:  # nothing to put in: read once, later
        return toml
    entries = parse_toml(toml, source).get("report", ())
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict):
            continue
        if isinstance(file := entry.get("sql_file"), str):
            text = read_text(folder / Path(file).expanduser())
            toml = _replaced(toml, ("sql_file", file), ("sql", text), source=source)
        if isinstance(function := entry.get("python"), str) and ".py:" in function:
            path, _, name = function.rpartition(":")
            whole = (folder / Path(path).expanduser()).absolute()
            whole = whole.resolve() if ".." in whole.parts else whole
            toml = _replaced(
                toml, ("python", function), ("python", f"{whole}:{name}"), source=source
            )
    return toml


def _replaced(toml: str, old: tuple[str, str], new: tuple[str, str], *, source: str) -> str:
    """Return a text in which an entry is another; nothing else is."""
    if old == new:
        return toml
    pattern = LINE.format(key=old[0], name=re.escape(old[1]))
    value = json.dumps(new[1], ensure_ascii=False).replace("\x7f", "\\u007f")
    changed = re.sub(
        pattern, lambda m: f"{m[1]}{new[0]}{m[2]}{value}{m[3]}", toml, flags=re.MULTILINE
    )
    if _without(changed, source) != _without(toml, source) or changed == toml:
        raise DataError(
            f'{source}: write {old[0]} = "{old[1]}" on a line of its own, so that its file can be '
            "put in its place"
        )
    return changed


def _without(toml: str, source: str) -> Any:  # noqa: ANN401 - of TOML
    """Return what a text says, but for the entries that are replaced."""
    said = parse_toml(toml, source)
    for entry in said.get("report", ()):
        if isinstance(entry, dict):
            for key in ("sql", "sql_file", "python"):
                entry.pop(key, None)
    return said
