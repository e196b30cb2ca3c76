"""``--timeout``: how long a command may take."""

from typing import Annotated

import typer

__all__ = ["Timeout"]


def _positive(value: float | None) -> float | None:
    if value is not None and value <= 0:
        raise typer.BadParameter(f"{value:g} is no time limit; give a number of seconds above 0")
    return value


Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        callback=_positive,
        help="Stop after so long, with status 1. Default: no limit.",
    ),
]
