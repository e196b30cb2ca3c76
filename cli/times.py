"""Points in time as people write them: an ISO time, or how long ago."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

__all__ = ["AsOf", "parse_time"]

_UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}

AsOf = Annotated[
    str,
    typer.Option(
        "--as-of", metavar="TIME", help="As it stood then: 2026-11-25T03:00, or 2h, 1d ago."
    ),
]


def parse_time(text: str) -> datetime:
    """Return a point in time with its time zone.

    Parameters
    ----------
    text : str
        ISO 8601 (``2026-11-25``, ``2026-11-25T03:00``, ``2026-11-25T03:00+01:00``; local time if
        it has no zone), or how long ago: a number and ``s``, ``min``, ``h``, ``d`` or ``w``.

    Raises
    ------
    typer.BadParameter
        It is neither, or before the year 1.
    """
    words = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h|d|w)(?:\s+ago)?", text.strip())
    try:
        if words is not None:
            return datetime.now(UTC) - timedelta(**{_UNITS[words[2]]: float(words[1])})
        return datetime.fromisoformat(text).astimezone()
    except OverflowError as error:
        raise typer.BadParameter(f"{text!r} is before the year 1") from error
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is no time; write 2026-11-25, 2026-11-25T03:00, or how long ago: "
            "90s, 30min, 2h, 1d, 1w"
        ) from error
