"""Tables as HTML for notebooks: everything is escaped, the colours are those of the page."""

import html
import math
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["definitions_html", "heading_html", "short", "table_html"]

LINE = "1px solid rgba(128,128,128,.4)"  # is seen on white and on black
LONGEST = 120
"""Characters of a cell."""

CELL = "padding:2px 10px;white-space:nowrap;background:none"


def heading_html(text: str) -> str:
    """Return a line in bold."""
    return f"<div style='font-weight:600;margin:.3em 0'>{_text(text)}</div>"


def definitions_html(pairs: Mapping[str, object]) -> str:
    """Return names and values, one below the other."""
    rows = "".join(
        f"<tr style='background:none'><th style='{CELL};text-align:left'>{_text(name)}</th>"
        f"<td style='{CELL};text-align:left'>{_text(value)}</td></tr>"
        for name, value in pairs.items()
    )
    return f"<table style='border-collapse:collapse;color:inherit'>{rows}</table>"


def table_html(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "", note: str = ""
) -> str:
    """Return rows as a table.

    Parameters
    ----------
    columns : sequence of str
    rows : iterable of sequences
        Cells in the order of the columns; numbers stand right, None is an empty cell.
    title, note : str
        Above and below the table.
    """
    cells = [list(row) for row in rows]
    right = [
        all(_is_number(row[i]) or row[i] is None for row in cells) for i in range(len(columns))
    ]
    sides = ["right" if own else "left" for own in right]
    head = "".join(
        f"<th style='{CELL};border-bottom:{LINE};text-align:{side}'>{_text(name)}</th>"
        for name, side in zip(columns, sides, strict=True)
    )
    body = "".join(
        "<tr style='background:none'>"
        + "".join(
            f"<td style='{CELL};text-align:{side}'>{_text(value)}</td>"
            for value, side in zip(row, sides, strict=True)
        )
        + "</tr>"
        for row in cells
    )
    below = f"<div style='opacity:.7;margin:.3em 0'>{_text(note)}</div>" if note else ""
    return (
        (heading_html(title) if title else "")
        + "<table style='border-collapse:collapse;color:inherit'>"
        + f"<thead><tr style='background:none'>{head}</tr></thead><tbody>{body}</tbody></table>"
        + below
    )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def short(value: object) -> str:
    """Return a cell's text: None is empty, numbers have six digits, long text is cut.

    Examples
    --------
    >>> short(None), short(2 / 3), short(12345678)
    ('', '0.666667', '12345678')
    """
    if value is None:
        return ""
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.6g}"
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 4]} ..."


def _text(value: object) -> str:
    return html.escape(short(value))
