"""The reference of the command line, from the program's own help."""

from typing import Any

import typer
from typer.testing import CliRunner

from fstore.cli import app
from fstore.cli.help import PURPOSES


def reference() -> str:
    """Return every command's help in Markdown, by purpose."""
    program: Any = typer.main.get_command(app)
    parts = []
    for purpose, names in PURPOSES.items():
        parts.append(f"## {purpose}")
        for name in names:
            parts += _of(program.get_command(None, name), name)
    return "\n\n".join(parts)


def _of(command: Any, words: str) -> list[str]:  # noqa: ANN401 - typer's
    """Return the help of a command, and of those below it."""
    heading = f"### fstore {words}" if " " not in words else f"#### fstore {words}"
    parts = [f"{heading}\n\n```\n{_help(words)}\n```"]
    if hasattr(command, "list_commands"):
        for name in command.list_commands(None):
            parts += _of(command.get_command(None, name), f"{words} {name}")
    return parts


def _help(words: str) -> str:
    result = CliRunner().invoke(app, [*words.split(), "--help"])
    if result.exit_code:
        raise RuntimeError(result.output) from result.exception
    return "\n".join(line.rstrip() for line in result.stdout.rstrip().splitlines())
