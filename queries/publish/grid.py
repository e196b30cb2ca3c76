"""A report's rows as a table to read: a cell has our number, its spread, and the paper's."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fstore.queries.publish.claims import Mark, Marks, legend
from fstore.queries.publish.exhibits import Exhibit, Key
from fstore.queries.publish.looks import Look

__all__ = ["MAX_COLUMNS", "Cell", "Grid", "Line", "Listing", "grid", "listing"]

MAX_COLUMNS = 32
"""A report with more columns is listed row by row."""

MAX_LINES = 300
"""A listing with more is cut; the CSV has all."""

MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True, slots=True)
class Cell:
    """One number as it is shown; texts are ready to print.

    ``row`` and ``col`` are the report's, ``heading`` and ``column`` their words; ``marks`` say of
    findings whether they hold; ``absent`` says why there is no number; ``provenance`` is a
    fingerprint, empty where the row's heading has it.
    """

    row: str
    col: str
    heading: str = ""
    column: str = ""
    value: str = ""
    std: str = ""
    n: str = ""
    paper: str = ""
    difference: str = ""
    marks: tuple[Mark, ...] = ()
    absent: str = ""
    provenance: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a table; ``provenance`` is a fingerprint if all its cells have the same.

    ``papers`` is what the paper calls the row, where that is another name and its numbers stand
    beside ours.
    """

    name: str
    heading: str
    cells: tuple[Cell, ...]
    provenance: str = ""
    papers: str = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of rows and columns; ``n`` is said once if it is the same everywhere.

    ``of_rows`` and ``of_columns`` are what these are; ``spread`` and ``with_paper`` say what some
    cell has; ``by_cell``: whether numbers, and not rows, have a provenance of their own; ``legend``
    has every mark once.
    """

    of_rows: str
    of_columns: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    n: str
    spread: bool
    with_paper: bool
    by_cell: bool
    legend: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """A table with a line a number; ``left_off`` counts those that are not shown."""

    cells: tuple[Cell, ...]
    left_off: int
    spread: bool
    legend: tuple[Mark, ...]


def grid(
    exhibit: Exhibit,
    look: Look,
    marks: Marks,
    *,
    roles: Mapping[str, str],
    paper_row: Callable[[str], str] = str,
) -> Grid | Listing:
    """Return an exhibit's table: rows and columns, or a listing if it is too wide to read.

    Parameters
    ----------
    exhibit : Exhibit
    look : Look
        Decimals, words, and whether the table is turned.
    marks : mapping
        What cells say of findings.
    roles : mapping
        Checkpoint by role, named in headings.
    paper_row : callable
        What the paper calls a row.
    """
    rows = exhibit.main
    columns = list(dict.fromkeys([row["col"] for row in rows] + [c for _, c in exhibit.absent]))
    names = list(dict.fromkeys([row["row"] for row in rows] + [r for r, _ in exhibit.absent]))
    if len(columns) > MAX_COLUMNS:
        return listing(rows, look, marks, roles=roles)
    counts = {row["n"] for row in rows}
    show = _Shown(exhibit, look, marks, roles=roles, with_n=len(counts) > 1)
    if look.turned:
        lines = [_line(show, [(r, c) for r in names], look.col_text(c)) for c in columns]
        headings, of = [look.row_text(r, roles) for r in names], (look.col, look.row)
    else:
        lines = [_line(show, [(r, c) for c in columns], look.row_text(r, roles)) for r in names]
        lines = [_with_papers(line, paper_row) for line in lines]
        headings, of = [look.col_text(c) for c in columns], (look.row, look.col)
    n = next(iter(counts)) if len(counts) == 1 else None
    return Grid(
        *of,
        tuple(headings),
        tuple(lines),
        "" if n is None else f"{n:,}",
        any(row["std"] is not None for row in rows),
        any(row["paper"] is not None for row in rows),
        not all(line.provenance for line in lines),
        tuple(legend(marks)),
    )


def _line(show: "_Shown", cells: Sequence[Key], heading: str) -> Line:
    """Return a line of a table: its cells name their source, or it does for all of them."""
    prints = {show.at[cell]["fingerprint"] for cell in cells if cell in show.at}
    whole = next(iter(prints)) if len(prints) == 1 and len(cells) > 1 else ""
    return Line(
        heading, heading, tuple(show.cell(c, with_provenance=not whole) for c in cells), whole
    )


def _with_papers(line: Line, paper_row: Callable[[str], str]) -> Line:
    """Add what the paper calls the row, where its numbers stand beside ours."""
    name = line.cells[0].row
    papers = any(cell.paper for cell in line.cells) and paper_row(name) != name
    return replace(line, papers=paper_row(name)) if papers else line


def listing(
    rows: Sequence[Mapping[str, Any]], look: Look, marks: Marks, *, roles: Mapping[str, str]
) -> Listing:
    """Return rows one by one, the first of them if they are many."""
    shown = rows[:MAX_LINES]
    exhibit = Exhibit("", "", "", "", rows=[dict(row) for row in shown])
    show = _Shown(exhibit, look, marks, roles=roles, with_n=True)
    cells = tuple(show.cell((row["row"], row["col"]), with_provenance=True) for row in shown)
    seen = {k: v for k, v in marks.items() if k in show.at}
    spread = any(row["std"] is not None for row in shown)
    return Listing(cells, len(rows) - len(shown), spread, tuple(legend(seen)))


class _Shown:
    """How the cells of an exhibit are shown."""

    def __init__(
        self,
        exhibit: Exhibit,
        look: Look,
        marks: Marks,
        *,
        roles: Mapping[str, str],
        with_n: bool,
    ) -> None:
        self.at: dict[Key, Mapping[str, Any]] = {(r["row"], r["col"]): r for r in exhibit.main}
        self.absent = exhibit.absent
        self.look, self.marks, self.roles, self.with_n = look, marks, roles, with_n

    def cell(self, key: Key, *, with_provenance: bool) -> Cell:
        """Return a cell, there or not."""
        look, (name, col) = self.look, key
        words = (name, col, look.row_text(name, self.roles), look.col_text(col))
        if (row := self.at.get(key)) is None:
            return Cell(*words, absent=self.absent.get(key, ""))
        paper, std, n = row["paper"], row["std"], row["n"]
        digits = 0 if col in look.whole else look.digits
        return Cell(
            *words,
            value=number(row["value"], digits),
            std="" if std is None else number(std, digits),
            n=f"{n:,}" if self.with_n and n is not None else "",
            paper="" if paper is None else number(paper, digits),
            difference="" if paper is None else signed(row["value"] - paper, digits),
            marks=self.marks.get(key, ()),
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
