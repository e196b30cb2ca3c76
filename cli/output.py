"""Print rows as a table, as JSON or as CSV: the one place that does."""

import csv
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from datetime import date, datetime, time
from decimal import Decimal
from shutil import get_terminal_size
from typing import Annotated, Any

import typer

from fstore.cli.table import write_table
from fstore.csv_text import csv_cell

__all__ = ["FULL", "AsCsv", "AsJson", "emit", "note"]

FULL: ContextVar[bool] = ContextVar("full", default=False)
"""Whether tables are written whole, also where they do not fit the terminal: ``--full``."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON: a list of row objects.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV with a header line.")]

Row = Mapping[str, Any]


def emit(
    rows: Iterable[Row], *, columns: Sequence[str], as_json: bool = False, as_csv: bool = False
) -> None:
    """Write rows to stdout; keys are ``columns``; JSON goes out row by row, ``[]`` if empty."""
    if as_json and as_csv:
        raise typer.BadParameter("choose one of --json and --csv")
    if as_json or as_csv:
        write = _write_json if as_json else _write_csv
        write(rows, list(columns))
        return
    cells = ([_text(row.get(c)) for c in columns] for row in rows)
    cut = write_table(cells, list(columns), width=_width())
    if cut:
        note(f"{cut}; --full shows all")


def note(message: str) -> None:
    """Write a line for people to stderr."""
    typer.echo(message, err=True)


def _width() -> int | None:
    """Return the columns of the terminal that a table must fit; None where it need not."""
    if FULL.get() or not sys.stdout.isatty():
        return None
    return get_terminal_size().columns


def _write_json(rows: Iterable[Row], columns: Sequence[str]) -> None:
    opened = False
    for row in rows:
        text = _json({c: row.get(c) for c in columns})
        sys.stdout.write((",\n " if opened else "[") + text)
        opened = True
    sys.stdout.write("]\n" if opened else "[]\n")


def _write_csv(rows: Iterable[Row], columns: Sequence[str]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(map(csv_cell, columns))
    for row in rows:
        cells = ["" if row.get(c) is None else _cell(row[c]) for c in columns]
        writer.writerow(map(csv_cell, cells))


def _cell(value: object) -> object:
    if isinstance(value, Decimal):
        return f"{value:f}"  # every digit
    return _json(value) if _is_nested(value) else _plain(value)


def _is_nested(value: object) -> bool:
    """Tell lists and structs from values; an interval is a value."""
    return isinstance(value, (list, dict, tuple)) and not hasattr(value, "nanoseconds")


def _json(value: object) -> str:
    return json.dumps(_finite(value), allow_nan=False)


def _finite(value: object) -> object:
    """Return what JSON knows; null where a number is NaN or infinite."""
    if isinstance(value, dict):
        return {str(key): _finite(v) for key, v in value.items()}
    if _is_nested(value):
        return [_finite(v) for v in value]  # type: ignore[attr-defined]
    value = _plain(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)) and _is_nested(value):
        shown = ", ".join(_text(v) for v in value[:8])
        return f"[{shown}{', ...' if len(value) > 8 else ''}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_text(v)}" for k, v in value.items()) + "}"
    return str(_plain(value))


def _duration(value: Any) -> str:  # noqa: ANN401 - pyarrow's MonthDayNano
    """Return an interval as ISO 8601 writes it."""
    return f"P{value.months}M{value.days}DT{Decimal(value.nanoseconds) / 10**9:f}S"


def _number(value: Decimal) -> float | str:
    """Return a decimal as a number; as text where that would lose digits."""
    near = float(value)
    return near if Decimal(repr(near)) == value else f"{value:f}"


def _plain(value: object) -> object:
    """Turn dates, decimals and NumPy scalars into what JSON and CSV know."""
    if isinstance(value, Decimal):  # DuckDB's sum of integers
        return int(value) if value == value.to_integral_value() else _number(value)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if hasattr(value, "nanoseconds") and hasattr(value, "months"):  # DuckDB's INTERVAL
        return _duration(value)
    if hasattr(value, "item"):
        return value.item()
    return value if isinstance(value, (int, float, str, bool, type(None))) else str(value)
