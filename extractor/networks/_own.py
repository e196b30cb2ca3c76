"""Networks of the user's own, ``package.module:function``: found, called, and told what failed."""

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from fstore.errors import DataError, FstoreError, UnknownNameError

__all__ = ["call_own", "current_folder", "find_own", "function_of", "is_users", "place_of"]


def find_own(name: str) -> Callable[..., Any]:
    """Return the function that ``package.module:function`` names.

    Raises
    ------
    UnknownNameError
        No such module, or no such function in it.
    DataError
        The module is there and fails; its line is named.
    """
    module_name, _, attribute = name.partition(":")
    return function_of(_imported(module_name, name), attribute, where=module_name)


def function_of(module: ModuleType, attribute: str, *, where: str) -> Callable[..., Any]:
    """Return a function of a module.

    Raises
    ------
    UnknownNameError
        The module, whose name to people is ``where``, has no such function; its own are listed.
    """
    function = getattr(module, attribute, None) if attribute.isidentifier() else None
    if not callable(function):
        functions = [n for n, f in vars(module).items() if inspect.isfunction(f) and n[0] != "_"]
        names = ", ".join(sorted(functions)) or "none"
        raise UnknownNameError(f"no function {attribute!r} in {where}; it has: {names}")
    return function  # type: ignore[no-any-return]


def call_own(name: str, function: Callable[..., Any], options: dict[str, Any]) -> object:
    """Call a user's function.

    Raises
    ------
    DataError
        It needs other arguments, or fails; its line is named.
    """
    _check_arguments(name, function, options)
    try:
        return function(**options)
    except FstoreError as exc:
        raise type(exc)(f"network {name!r}: {exc}") from exc
    except (Exception, SystemExit) as exc:  # code of the user's may raise anything
        raise DataError(f"network {name!r} failed: {place_of(exc)}") from exc


def place_of(exc: BaseException) -> str:
    """Return where an error of a user's code comes from and what it is, in one line."""
    what = f"{type(exc).__name__}: {_first_line(exc)}".removesuffix(": ")
    if isinstance(exc, SyntaxError) and exc.filename:
        return f"{exc.filename}, line {exc.lineno}: {what}"
    frames = [f for f in traceback.extract_tb(exc.__traceback__) if is_users(f.filename)]
    if not frames:
        return what
    return f"{frames[-1].filename}, line {frames[-1].lineno}, in {frames[-1].name}: {what}"


def _imported(module_name: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        missing = exc.name or module_name
        if not f"{module_name}.".startswith(f"{missing}."):  # what the module itself imports
            raise DataError(f"module {module_name!r} fails: {place_of(exc)}") from exc
        raise UnknownNameError(
            f"cannot import {module_name!r} for network {name!r}: {_first_line(exc)}; "
            "is it installed, or in this folder? A file anywhere is named path/to/file.py:function"
        ) from exc
    except FstoreError:
        raise
    except (Exception, SystemExit) as exc:  # code of the user's may raise anything
        frames = traceback.extract_tb(exc.__traceback__)
        in_module = isinstance(exc, SyntaxError) or any(is_users(f.filename) for f in frames)
        if not in_module:  # no name of a module
            raise UnknownNameError(
                f"cannot import {module_name!r} for network {name!r}: {_first_line(exc)}; "
                "expected package.module:function"
            ) from exc
        raise DataError(f"module {module_name!r} fails: {place_of(exc)}") from exc


def _check_arguments(name: str, function: Callable[..., Any], options: dict[str, Any]) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in ones have none: calling them will tell
        return
    try:
        signature.bind(**options)
    except TypeError as exc:
        if options and "classes" not in signature.parameters:
            raise DataError(
                f"network {name!r} cannot be built with {options['classes']} outputs: its function "
                f"{name.rpartition(':')[2]}{signature} must take classes="
            ) from exc
        raise DataError(
            f"network {name!r}: {exc}; fstore calls {name.rpartition(':')[2]}{signature} with "
            "classes= or without arguments: give the others default values"
        ) from exc


def _first_line(exc: BaseException) -> str:
    return str(exc).strip().split("\n", 1)[0]


@contextmanager
def current_folder() -> Iterator[None]:
    """Let modules of the current folder be imported, first, as ``python -m`` does."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    importlib.invalidate_caches()  # a module may have been written a moment ago
    try:
        yield
    finally:
        sys.path.remove(folder)


def is_users(filename: str) -> bool:
    """Tell a file of the user's from fstore's, the import system's and installed libraries'."""
    if filename.startswith("<") or "site-packages" in filename:
        return False
    return not filename.startswith((_HERE, _LIBRARY))


_LIBRARY = inspect.getfile(importlib).rsplit("/importlib/", 1)[0] + "/"
_HERE = __file__.rsplit("/", 3)[0] + "/"  # of the package fstore
