"""Runs the Python examples of the documents on the store of ``_store.py``, and shows what comes."""

import ast
import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

from _store import kept

import fstore

__all__ = ["example"]

_NAMES: dict[str, Any] = {"fstore": fstore}
"""What earlier examples of a document defined."""


def example(code: str) -> str:
    """Run statements on the store, named ``store``; return them and what they show, in Markdown.

    A statement that is an expression shows its value, as in a notebook.
    """
    _NAMES.setdefault("store", fstore.open(Path(kept()) / "store"))
    shown = [_shown(statement) for statement in ast.parse(code).body]
    output = "\n".join(filter(None, shown))
    return f"```python\n{code.strip()}\n```" + (f"\n```\n{output}\n```" if output else "")


def _shown(statement: ast.stmt) -> str:
    text = io.StringIO()
    with contextlib.redirect_stdout(text), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if isinstance(statement, ast.Expr):
            value = eval(compile(ast.Expression(statement.value), "doc", "eval"), _NAMES)  # noqa: S307 - ours
            if value is not None:
                print(repr(value))
        else:
            exec(compile(ast.Module([statement], []), "doc", "exec"), _NAMES)  # noqa: S102 - ours
    return text.getvalue().rstrip()
