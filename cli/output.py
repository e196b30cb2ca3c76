"""Print rows as a table, as JSON or as CSV: the one place that does."""

import csv
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import zip_longest
from typing import Annotated, Any

import typer

__all__ = ["AsCsv", "AsJson", "emit", "note"]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON: a list of row objects.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV with a header line.")]

Row = Mapping[str, Any]


def emit(
    rows: Iterable[Row], *, columns: Sequence[str], as_json: bool = False, as_csv: bool = False
) -> None:
    """Write rows to stdout; keys are ``columns``; JSON goes out row by row, ``[]`` if empty."""
    if as_json and as_csv:
        raise typer.BadParameter("choose one of --json and --csv")
    write = _write_json if as_json else _write_csv if as_csv else _write_table
    write(rows, list(columns))


def note(message: str) -> None:
    """Write a line for people to stderr."""
    typer.echo(message, err=True)


def _write_json(rows: Iterable[Row], columns: Sequence[str]) -> None:
    opened = False
    for row in rows:
        text = _json({c: row.get(c) for c in columns})
        sys.stdout.write((",\n " if opened else "[") + text)
        opened = True
    sys.stdout.write("]\n" if opened else "[]\n")


def _write_csv(rows: Iterable[Row], columns: Sequence[str]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(["" if row.get(c) is None else _cell(row[c]) for c in columns])


def _cell(value: object) -> object:
    return _json(value) if isinstance(value, (list, dict)) else _plain(value)


def _json(value: object) -> str:
    try:
        return json.dumps(value, default=_plain, allow_nan=False)
    except ValueError:  # JSON has no NaN and no infinity
        return json.dumps(_finite(value), default=_plain, allow_nan=False)


def _finite(value: object) -> object:
    """Put null where a number is NaN or infinite."""
    value = value if isinstance(value, (list, dict)) else _plain(value)
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write_table(rows: Iterable[Row], columns: Sequence[str]) -> None:
    body = [line for row in rows for line in _lines([_text(row.get(c)) for c in columns])]
    numeric = [all(_is_number(line[i]) for line in body) for i in range(len(columns))]
    widths = [max(len(x) for x in column) for column in zip(columns, *body, strict=True)]
    for line in [list(columns), ["-" * w for w in widths], *body]:
        cells = [
            x.rjust(w) if right else x.ljust(w)
            for x, w, right in zip(line, widths, numeric, strict=True)
        ]
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def _lines(cells: Sequence[str]) -> Iterator[list[str]]:
    """Spread cells that hold line breaks (a query plan) over lines of the table."""
    if any("\n" in cell for cell in cells):
        split = [cell.splitlines() for cell in cells]
        yield from map(list, zip_longest(*split, fillvalue=""))
    else:
        yield list(cells)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        shown = ", ".join(_text(v) for v in value[:8])
        return f"[{shown}{', ...' if len(value) > 8 else ''}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_text(v)}" for k, v in value.items()) + "}"
    return str(_plain(value))


def _is_number(text: str) -> bool:
    try:
        float(text or "0")
    except ValueError:
        return False
    return True


def _plain(value: object) -> object:
    """Turn dates, decimals and NumPy scalars into what JSON and CSV know."""
    if isinstance(value, Decimal):  # DuckDB's sum of integers
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if hasattr(value, "item"):
        return value.item()
    return value if isinstance(value, (int, float, str, bool, type(None))) else str(value)
