"""A report's rows as a table to read: a cell has our number, its spread, and the paper's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fstore.queries.page.exhibits import Exhibit
from fstore.queries.page.looks import Look, worded

__all__ = ["MAX_COLUMNS", "Cell", "Grid", "Line", "Listing", "grid", "listing"]

MAX_COLUMNS = 32
"""A report with more columns is listed row by row."""

MAX_LINES = 300
"""A listing with more is cut; the CSV has all."""

MINUS = "\N{MINUS SIGN}"

VERDICTS = {"holds": "agrees", "does not hold": "differs"}
"""Verdict of the paper's finding that rests on a cell, and how the cell is marked."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One number as it is shown; texts are ready to print.

    ``agreement``: ``agrees``, ``differs`` or nothing; ``claim`` is what with; ``absent`` says why
    there is no number; ``provenance`` is a fingerprint, empty where the row's heading has it.
    """

    row: str
    col: str
    value: str = ""
    std: str = ""
    n: str = ""
    paper: str = ""
    difference: str = ""
    agreement: str = ""
    claim: str = ""
    absent: str = ""
    provenance: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a table; ``provenance`` is a fingerprint if all its cells have the same."""

    name: str
    heading: str
    cells: tuple[Cell, ...]
    provenance: str = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of rows and columns; ``n`` is said once if it is the same everywhere.

    ``spread``, ``with_paper`` and ``agreements`` say what some cell has; ``by_cell``: whether
    numbers, and not rows, have a provenance of their own.
    """

    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    n: str
    spread: bool
    with_paper: bool
    by_cell: bool
    agreements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """A table with a line a number; ``left_off`` counts those that are not shown."""

    cells: tuple[Cell, ...]
    left_off: int


Verdicts = Mapping[tuple[str, str], tuple[str, str]]
"""Row and column of a cell -> verdict of a finding, and its claim."""


def grid(
    exhibit: Exhibit, look: Look, verdicts: Verdicts, roles: Mapping[str, str]
) -> Grid | Listing:
    """Return an exhibit's table: rows and columns, or a listing if it is too wide to read.

    Parameters
    ----------
    exhibit : Exhibit
    look : Look
        Decimals.
    verdicts : mapping
        Of the findings, by cell.
    roles : mapping
        Checkpoint by role, named in headings.
    """
    rows = exhibit.main
    at = {(row["row"], row["col"]): row for row in rows}
    columns = list(dict.fromkeys([row["col"] for row in rows] + [c for _, c in exhibit.absent]))
    names = list(dict.fromkeys([row["row"] for row in rows] + [r for r, _ in exhibit.absent]))
    if len(columns) > MAX_COLUMNS:
        return listing(rows, look, verdicts)
    counts = {row["n"] for row in rows}
    shown_n = len(counts) > 1
    lines = []
    for name in names:
        prints = {row["fingerprint"] for row in rows if row["row"] == name}
        whole = len(prints) == 1 and len(columns) > 1
        cells = tuple(
            _cell(
                at.get((name, col)) or {"row": name, "col": col},
                look,
                exhibit.absent.get((name, col), ""),
                verdicts.get((name, col), ("", "")),
                with_n=shown_n,
                with_provenance=not whole,
            )
            for col in columns
        )
        lines.append(Line(name, _heading(name, roles), cells, next(iter(prints)) if whole else ""))
    n = next(iter(counts)) if len(counts) == 1 else None
    marks = {cell.agreement for line in lines for cell in line.cells if cell.agreement}
    return Grid(
        tuple(worded(c) for c in columns),
        tuple(lines),
        "" if n is None else f"{n:,}",
        any(row["std"] is not None for row in rows),
        any(row["paper"] is not None for row in rows),
        not all(line.provenance for line in lines),
        tuple(sorted(marks)),
    )


def listing(rows: Sequence[Mapping[str, Any]], look: Look, verdicts: Verdicts) -> Listing:
    """Return rows one by one, the first of them if they are many."""
    shown = rows[:MAX_LINES]
    cells = (
        _cell(
            row,
            look,
            "",
            verdicts.get((row["row"], row["col"]), ("", "")),
            with_n=True,
            with_provenance=True,
        )
        for row in shown
    )
    return Listing(tuple(cells), len(rows) - len(shown))


def _heading(name: str, roles: Mapping[str, str]) -> str:
    """Return a row's name with the checkpoint that a role stands for."""
    return " ".join(
        f"{word} ({roles[word]})" if word in roles else word for word in name.split(" ")
    )


def _cell(
    row: Mapping[str, Any],
    look: Look,
    absent: str,
    verdict: tuple[str, str],
    *,
    with_n: bool,
    with_provenance: bool,
) -> Cell:
    if "value" not in row:
        return Cell(row["row"], row["col"], absent=absent)
    paper, std, n = row["paper"], row["std"], row["n"]
    agreement = VERDICTS.get(verdict[0], "")
    return Cell(
        row["row"],
        row["col"],
        value=number(row["value"], look.digits),
        std="" if std is None else number(std, look.digits),
        n=f"{n:,}" if with_n and n is not None else "",
        paper="" if paper is None else number(paper, look.digits),
        difference="" if paper is None else signed(row["value"] - paper, look.digits),
        agreement=agreement,
        claim=verdict[1] if agreement else "",
        provenance=row["fingerprint"] if with_provenance else "",
    )


def number(value: float, digits: int) -> str:
    r"""Return a number with a true minus sign.

    Examples
    --------
    >>> [number(x, 1) for x in (-1.25, -0.01, 7)] == ["\N{MINUS SIGN}1.2", "0.0", "7.0"]
    True
    """
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", MINUS)


def signed(value: float, digits: int) -> str:
    r"""Return a difference, its sign always there.

    Examples
    --------
    >>> [signed(x, 1) for x in (2.25, -2, 0.01)] == ["+2.2", "\N{MINUS SIGN}2.0", "±0.0"]
    True
    """
    text = number(value, digits)
    if text.startswith(MINUS):
        return text
    return f"+{text}" if float(text) else f"±{text}"
