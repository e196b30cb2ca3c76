"""Which files of a folder a Python file imports, read from its text: the same in every program.

What ran so far would not do: a function may import more when it is called with other arguments.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

__all__ = ["imported_files"]


def imported_files(path: Path) -> set[Path]:
    """Return the files that a file imports from its own folder, and those that these import.

    Parameters
    ----------
    path : Path
        A Python file. Imports inside functions count; files that cannot be parsed import nothing.

    Returns
    -------
    set of Path
        Without ``path`` itself; those that are there.
    """
    folder, files, todo = path.parent, {path}, [path]
    while todo:
        for file in _imports(todo.pop(), folder):
            if file not in files:
                files.add(file)
                todo.append(file)
    return files - {path}


def _imports(path: Path, folder: Path) -> Iterator[Path]:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):  # running it will tell
        return
    package = path.parent.relative_to(folder).parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files(folder, tuple(alias.name.split(".")))
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            start = (*base, *(node.module or "").split(".")) if node.module else base
            for alias in node.names:  # each may be a module, or a name in the one before it
                yield from _files(folder, (*start, alias.name))


def _files(folder: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    """Yield the files that importing a dotted name runs: those of the packages on the way, too."""
    for length in range(1, len(parts) + 1):
        place = folder.joinpath(*parts[:length])
        for file in (place / "__init__.py", place.with_name(f"{place.name}.py")):
            if file.is_file():
                yield file
                break
