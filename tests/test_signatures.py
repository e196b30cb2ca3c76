"""Signatures: at most three arguments are told apart by their place, the others have names."""

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import fstore

ROOMS = ("extractor", "store", "queries", "workflows", "pixels", "cli")

MOST = 3

PROGRESS = ["what", "done", "total", "note"]
"""Of :data:`fstore.types.OnProgress`, which is called by place everywhere."""

ROOT = Path(fstore.__file__).parent


def modules(room: str) -> list[str]:
    """Return the modules of a room."""
    below = pkgutil.walk_packages([str(ROOT / room)], f"fstore.{room}.")
    return [f"fstore.{room}", *(module.name for module in below)]


def crowded(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the class, if any, and the name of functions with too many positional arguments."""
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                arguments = [a.arg for a in [*child.args.posonlyargs, *child.args.args]]
                owner = node.name if isinstance(node, ast.ClassDef) else ""
                if owner and arguments[:1] in (["self"], ["cls"]):
                    arguments.pop(0)
                if is_sql(child):
                    continue
                if len(arguments) > MOST and [a.strip("_") for a in arguments] != PROGRESS:
                    yield owner, getattr(child, "name", "lambda")


def is_sql(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> bool:
    """Tell whether DuckDB calls a function: with columns, by place."""
    kinds = {ast.unparse(a.annotation) for a in function.args.args if a.annotation is not None}
    return kinds == {"pa.ChunkedArray"}


def is_foreign(module: str, owner: str, name: str) -> bool:
    """Tell whether another library calls a method: it says how many arguments there are."""
    bases = getattr(importlib.import_module(module), owner).__mro__[1:] if owner else ()
    return any(name in vars(b) and not b.__module__.startswith("fstore") for b in bases)


@pytest.mark.parametrize("room", ROOMS)
def test_arguments_have_names(room: str) -> None:
    """From the fourth argument on, functions take arguments by name alone."""
    for module in modules(room):
        source = importlib.import_module(module).__file__
        assert source is not None
        tree = ast.parse(Path(source).read_text(encoding="utf-8"))
        told = [pair for pair in crowded(tree) if not is_foreign(module, *pair)]
        assert not told, module


def test_the_rule_sees_what_breaks_it() -> None:
    """Functions, nested ones and methods are looked at; arguments behind a star are not counted."""
    source = """
def four(a, b, c, d):
    def inner(a, b, c, d): ...
def starred(a, b, c, *, d): ...
class Thing:
    def three(self, a, b, c): ...
    def method(self, a, b, c, d): ...
"""
    assert sorted(crowded(ast.parse(source))) == [("", "four"), ("", "inner"), ("Thing", "method")]
