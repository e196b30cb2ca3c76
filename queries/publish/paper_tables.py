"""A report's rows as a table for a paper: Markdown, LaTeX (booktabs) and CSV."""

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fstore.csv_text import csv_cell
from fstore.errors import DataError
from fstore.queries.cells.needs import BESIDE, Row
from fstore.queries.refresh.driver import Brought, brought
from fstore.queries.reports import column_words, titled

if TYPE_CHECKING:
    from fstore.queries.studies.study import Study
    from fstore.store import Store

__all__ = [
    "SUFFIXES",
    "Grid",
    "check_files",
    "dressed",
    "table_grid",
    "table_text",
    "tabular",
    "write_tables",
]


SUFFIXES = {"md": ".md", "latex": ".tex", "csv": ".csv"}
"""Formats, and how their files end."""

MOST_COLUMNS = 12
"""A table of more columns, and fewer rows, is turned on its side for a page."""

CONTROL = "[\x00-\x1f\x7f]"

BESIDE_VALUE = ("std", "n", "paper")

LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "[": "{[}",  # would be taken for an option of the line break before it
    "*": "{*}",
    **{character: f"\\{character}" for character in "$&#%_"},
}


@dataclass(frozen=True, slots=True)
class _Wide:
    """Cells by row and column; ``decimals`` suit the largest; ``n`` if it is that of all."""

    rows: tuple[str, ...]
    cols: tuple[str, ...]
    cells: Mapping[tuple[str, str], Row]
    decimals: int
    n: object


def table_text(
    rows: Sequence[Row],
    form: str,
    *,
    title: str = "",
    label: str = "",
    word: Callable[[str], str] = str,
    spread: str = "",
) -> str:
    """Return a report's rows as one table, a line a row and a column a column of the report.

    Parameters
    ----------
    rows : sequence of mapping
        With the keys ``ROW_COLUMNS``.
    form : {"md", "latex", "csv"}
        ``md``: values, ± standard deviation, the paper's number in brackets; below it n, where it
        is the same in all cells. ``latex``: the same as a ``table`` with booktabs' rules; names
        are escaped. ``csv``: every number in full, ``std``, ``n`` and ``paper`` in columns of
        their own. Tables of more than 12 columns and fewer rows are turned on their side, but
        for CSV.
    title : str
        Caption.
    label : str
        LaTeX's label is ``tab:LABEL``.
    word : callable
        What a column is called in Markdown and LaTeX, see
        :func:`fstore.queries.reports.column_words`; CSV has the names as they are.
    spread : str
        What the standard deviation is over, said beside it.

    Returns
    -------
    str
        Ends with a line break.

    Raises
    ------
    DataError
        No such format; there are no rows.
    """
    _check_form(form)
    if form == "csv":
        return _csv(_wide(rows))
    table = _turned(rows, word)
    if form == "md":
        return _markdown(table, title, spread)
    return _latex(table, title, label, spread=spread)


@dataclass(frozen=True, slots=True)
class Grid:
    """A table's cells as text: the header, a list a row with the row's name first, a note."""

    header: list[str]
    lines: list[list[str]]
    note: str


def table_grid(rows: Sequence[Row], *, word: Callable[[str], str] = str, spread: str = "") -> Grid:
    """Return a report's rows as the cells of one table, as :func:`table_text` has them.

    An n that differs from cell to cell is left out: on a screen it hides the values.

    Parameters
    ----------
    rows, word, spread
        As for :func:`table_text`.

    Raises
    ------
    DataError
        There are no rows.
    """
    if len({row.get("n") for row in rows}) > 1:
        rows = [{**row, "n": None} for row in rows]
    table = _turned(rows, word)
    lines = [[row, *_cells(table, row, "{}", between=" ± ")] for row in table.rows]
    return Grid(["", *table.cols], lines, _note(table, spread))


def dressed(study: "Study", name: str) -> dict[str, Any]:
    """Return how a report's table is titled and worded, as :func:`table_text` takes it.

    Parameters
    ----------
    study : Study
        Whose data sets the title names.
    name : str
        A registered report.
    """
    from fstore.queries.publish.looks import look_of

    return {
        "title": titled(name, study),
        "label": name,
        "word": column_words(name),
        "spread": look_of(name).spread,
    }


def write_tables(
    store: "Store", study: "Study", folder: Path, *, form: str, overwrite: bool = False
) -> list[Path]:
    """Write the tables of a study to a folder, ``table3.tex`` and so on; return the files.

    They have the cells that are stored and still right; nothing is computed
    (:func:`fstore.queries.refresh.driver.brought` does that).

    Parameters
    ----------
    store : Store
    study : Study
    folder : Path
        Made if it is not there.
    form : {"md", "latex", "csv"}
        As :func:`table_text`. Markdown and LaTeX are for tables; CSV also has the points of
        figures. The study's own reports are in all three.
    overwrite : bool
        Replace files that are there.

    Returns
    -------
    list of Path
        A report that has no rows, or that the study binds no part for, has no file.

    Raises
    ------
    DataError
        No such format; a file exists (then none is written).
    StorageError
        A file cannot be written.
    """
    _check_form(form)
    check_files(study, folder, form, overwrite=overwrite)
    reports = brought(store, study, tabular(study, form), compute=False)
    texts = {done.report: _text(study, done, form) for done in reports}
    written = []
    for name, text in texts.items():
        if text:
            written.append(_write(_file(folder, name, form), text))
    return written


def check_files(study: "Study", folder: Path, form: str, *, overwrite: bool) -> None:
    """Refuse a folder that holds files which :func:`write_tables` would write.

    Raises
    ------
    DataError
    """
    for name in tabular(study, form):
        if (out := _file(folder, name, form)).exists() and not overwrite:
            raise DataError(f"{out} exists; choose another folder, or add --overwrite")


def _file(folder: Path, name: str, form: str) -> Path:
    return folder / (name + SUFFIXES[form])


def _text(study: "Study", done: Brought, form: str) -> str:
    """Return a report's table, or nothing if no cell of it can be told or is stored."""
    rows = [row for row in done.rows if BESIDE not in row["col"]]
    return table_text(rows, form, **dressed(study, done.report)) if rows else ""


def tabular(study: "Study", form: str) -> list[str]:
    """Return what is written in a format: tables, the study's own reports, in CSV figures too."""
    from fstore.queries.reports import REPORTS

    paper = [
        entry.name
        for entry in REPORTS
        if form == "csv" or entry.meta["paper"] or entry.meta["columns"]
    ]
    return [*paper, *(own.name for own in study.report)]


def _check_form(form: str) -> None:
    if form not in SUFFIXES:
        raise DataError(f"no format '{form}'; there are: {', '.join(SUFFIXES)}")


def _write(out: Path, text: str) -> Path:
    from fstore.store.commits import storage

    with storage(f"cannot write {out}"):
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    return out


def _turned(rows: Sequence[Row], word: Callable[[str], str]) -> _Wide:
    """Return a table with its columns in words; one that is too wide is turned on its side."""
    table = _wide([{**row, "col": word(str(row["col"]))} for row in rows])
    if len(table.cols) > MOST_COLUMNS and len(table.rows) < len(table.cols):
        table = _wide([{**r, "row": r["col"], "col": r["row"]} for r in table.cells.values()])
    return table


def _wide(rows: Sequence[Row]) -> _Wide:
    if not rows:
        raise DataError("a table needs at least one row")
    counts = {row.get("n") for row in rows}
    return _Wide(
        tuple(dict.fromkeys(str(row["row"]) for row in rows)),
        tuple(dict.fromkeys(str(row["col"]) for row in rows)),
        {(str(row["row"]), str(row["col"])): row for row in rows},
        _decimals(rows),
        counts.pop() if len(counts) == 1 else None,
    )


def _decimals(rows: Sequence[Row]) -> int:
    """Return how many decimals suit all values: none for whole numbers, more for small ones."""
    values = [float(row["value"] or 0) for row in rows]
    if all(v.is_integer() for v in values) and not any(row.get("std") for row in rows):
        return 0
    most = max(map(abs, values))
    return 1 if most >= 10 else 2 if most >= 1 else 3


def _csv(table: _Wide) -> str:
    shown = [k for k in BESIDE_VALUE if any(c.get(k) is not None for c in table.cells.values())]
    # a carriage return would end a line: the csv module does not put it in quotes
    rows, cols = (
        [re.sub(CONTROL, " ", name) for name in names] for names in (table.rows, table.cols)
    )
    header = [name for col in cols for name in (col, *(f"{col} {key}" for key in shown))]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", *map(csv_cell, header)])
    for row, name in zip(table.rows, rows, strict=True):
        cells = [table.cells.get((row, col), {}) for col in table.cols]
        writer.writerow(
            [csv_cell(name), *(cell.get(key) for cell in cells for key in ("value", *shown))]
        )
    return text.getvalue()


def _markdown(table: _Wide, title: str, spread: str) -> str:
    lines = [[_md_text(row), *_cells(table, row, "{}", between=" ± ")] for row in table.rows]
    head = ["", *map(_md_text, table.cols)]
    ruled = [head, ["---", *["---:"] * len(table.cols)], *lines]
    body = [f"| {' | '.join(line)} |" for line in ruled]
    above = [f"**{_md_text(title)}**", ""] if title else []
    note = _note(table, spread)
    below = ["", note + "."] if note else []
    return "\n".join([*above, *body, *below]) + "\n"


def _latex(table: _Wide, title: str, label: str, *, spread: str) -> str:
    lines = [[_tex_text(row), *_cells(table, row, "${}$", between=r" \pm ")] for row in table.rows]
    head = ["", *map(_tex_text, table.cols)]
    caption = ". ".join(filter(None, [_tex_text(title), _tex_text(_note(table, spread))]))
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            *([f"\\caption{{{caption}.}}"] if caption else []),
            *([f"\\label{{tab:{label}}}"] if label else []),
            f"\\begin{{tabular}}{{l{'r' * len(table.cols)}}}",
            r"\toprule",
            f"{' & '.join(head)} \\\\",
            r"\midrule",
            *(f"{' & '.join(line)} \\\\" for line in lines),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _cells(table: _Wide, row: str, number: str, *, between: str) -> list[str]:
    """Return a row's cells; ``number`` is put around each number, ``between`` before the spread."""

    def shown(value: object) -> str:
        text = f"{float(str(value)):.{table.decimals}f}"
        return text.removeprefix("-") if float(text) == 0 else text

    cells = []
    for cell in (table.cells.get((row, col)) for col in table.cols):
        if cell is None or cell["value"] is None:
            cells.append("")
            continue
        std, n, paper = (cell.get(key) for key in BESIDE_VALUE)
        text = number.format(shown(cell["value"]) + ("" if std is None else between + shown(std)))
        inside = [] if paper is None else [number.format(_papers(float(paper), table.decimals))]
        inside += [] if n is None or table.n is not None else [f"n = {n}"]
        cells.append(text + (f" ({', '.join(inside)})" if inside else ""))
    return cells


def _papers(value: float, decimals: int) -> str:
    """Return the paper's number with all decimals that it has, or as many as ours."""
    text = f"{value:g}"
    own = len(text.partition(".")[2])
    return text if own > decimals else f"{value:.{decimals}f}"


def _note(table: _Wide, spread: str) -> str:
    """Say what stands in the cells beside the values."""
    cells = table.cells.values()
    says: list[tuple[object, str]] = [
        (
            any(c.get("std") is not None for c in cells),
            f"± is the standard deviation {spread}".rstrip(),
        ),
        (any(c.get("paper") is not None for c in cells), "in brackets: the paper, on its own data"),
        (table.n is not None, f"n = {table.n}"),
    ]
    text = "; ".join(words for applies, words in says if applies)
    return text[:1].upper() + text[1:] if text and not text.startswith("n ") else text


def _escape(text: str, replace: Callable[[str], str]) -> str:
    """Return a name on one line, each character replaced."""
    return "".join(replace(c) for c in re.sub(rf"({CONTROL}|\s)+", " ", text))


def _tex_text(text: str) -> str:
    return _escape(text, lambda c: LATEX.get(c, c))


def _md_text(text: str) -> str:
    """Escape what Markdown reads; an underscore within a word it does not."""
    plain = _escape(text, lambda c: f"\\{c}" if c in "\\`*[]<>|&~$#!" else c)
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", plain)
