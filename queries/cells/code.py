"""The version of a report's code: a hash of its source and of the fstore modules behind it."""

import ast
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

__all__ = ["code_changed", "code_modules", "code_version"]

ANSWERS_SQL = ("fstore.store.sql", "fstore.store.macros")
"""What every report reaches through the store it is given: views and macros."""

BLOCKS = ("body", "orelse", "handlers", "finalbody", "cases")
"""Where a statement holds others."""


@cache
def code_version(module: str) -> str:
    """Return 16 hex digits of a sha256 over the sources that a report's result depends on.

    They are the module's own, those of the modules in ``ANSWERS_SQL``, and, transitively, of the
    fstore modules that these import, at their top or inside functions. Imports for annotations
    only do not count, nor do other libraries.

    Parameters
    ----------
    module : str
        For example ``fstore.queries.reports.table6``.
    """
    digest = hashlib.sha256()
    for name in code_modules(module):
        digest.update(name.encode() + b"\0" + _module(name)[0] + b"\0")
    return digest.hexdigest()[:16]


def code_modules(module: str) -> list[str]:
    """Return the names of the modules that :func:`code_version` covers, sorted."""
    found: set[str] = set()
    waiting = [module, *ANSWERS_SQL]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _module(name)[1]
    return sorted(found)


def code_changed(modules: Iterable[str]) -> bool:
    """Tell whether the sources behind some modules are others than when they were first read.

    A process keeps the code that it imported, and :func:`code_version` the sources that it read:
    one that lives for long reads them at its start, and asks this before it computes.

    Parameters
    ----------
    modules : iterable of str
        As for :func:`code_version`.
    """
    names = {name for module in modules for name in code_modules(module)}
    try:
        return any(_source(name) != _module(name)[0] for name in names)
    except (ImportError, OSError, ValueError):  # a module is gone
        return True


@cache
def _module(name: str) -> tuple[bytes, tuple[str, ...]]:
    """Return a module's source and the fstore modules that it imports; reports share most."""
    source = _source(name)
    return source, tuple(dict.fromkeys(_imported(ast.parse(source).body)))


def _source(name: str) -> bytes:
    """Return a module's source as it is now."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ValueError(f"no source for module {name}")
    return Path(spec.origin).read_bytes()


def _imported(statements: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the fstore modules that statements import, ``if TYPE_CHECKING`` left out.

    Only blocks are entered, not expressions, which hold no statement.
    """
    for node in statements:
        if isinstance(node, ast.If) and _for_annotations(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if _is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom) and _is_ours(node.module or ""):
            yield from _named(node.module or "", [alias.name for alias in node.names])
        else:
            for block in BLOCKS:
                yield from _imported(getattr(node, block, ()))


def _for_annotations(test: ast.expr) -> bool:
    name = test.id if isinstance(test, ast.Name) else getattr(test, "attr", "")
    return bool(name == "TYPE_CHECKING")


def _is_ours(name: str) -> bool:
    return name == "fstore" or name.startswith("fstore.")


def _named(module: str, names: list[str]) -> Iterator[str]:
    """Yield what ``from module import names`` names: submodules, or the module itself."""
    submodules = [f"{module}.{name}" for name in names if _is_module(f"{module}.{name}")]
    yield from submodules
    if len(submodules) < len(names):
        yield module


@cache
def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # the parent is a module, not a package
        return False
