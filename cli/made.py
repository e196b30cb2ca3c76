"""Commands made when they are wanted: their options come from signatures and docstrings."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import typer

from fstore.cli.app import HELP_OPTIONS
from fstore.cli.commands import Program

__all__ = ["flag_of", "made_commands", "parameter", "with_parameters"]


def made_commands(
    functions: Mapping[str, Callable[..., None]], about: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    """Return typer's commands of some functions, by name.

    Parameters
    ----------
    functions : mapping
    about : mapping
        Of a command's name: ``help`` and ``short_help``, in place of its function's docstring.
    """
    made = Program(context_settings=HELP_OPTIONS, rich_markup_mode=None)
    made.callback()(lambda: None)
    for name, function in functions.items():
        made.command(name, **about.get(name, {}))(function)
    group: Any = typer.main.get_group(made)
    return dict(group.commands)


def with_parameters(
    function: Callable[..., None], parameters: Iterable[inspect.Parameter]
) -> Callable[..., None]:
    """Return a function whose signature has these parameters: typer makes options of them."""
    every = list(parameters)
    function.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    function.__annotations__ = {p.name: p.annotation for p in every}
    return function


def parameter(name: str, annotation: Any, default: Any = None) -> inspect.Parameter:  # noqa: ANN401
    """Return a parameter that is given by name alone."""
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def flag_of(name: str, kind: Any) -> list[str]:  # noqa: ANN401 - a type
    """Return the spelling of an option where typer would have another.

    A switch has no ``--no-`` beside it; ``class_`` is ``--class``.
    """
    spelled = "--" + name.rstrip("_").replace("_", "-")
    return [spelled] if kind is bool or name.endswith("_") else []
