"""A table of text: columns side by side, cut where they do not fit a terminal."""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

__all__ = ["write_table"]

GAP = "  "
CUT = "…"
SIZE = re.compile(r" (?:bytes|[KMGT]iB)$")
NARROWEST = 12
"""Characters that a column of text keeps, before whole columns are left out."""


def write_table(
    rows: Iterable[Sequence[str]], columns: Sequence[str], *, width: int | None = None
) -> str:
    """Write rows to stdout, numbers to the right; say what was cut, if anything was.

    Parameters
    ----------
    rows : iterable of sequence of str
        Cells in the order of ``columns``; one with line breaks takes several lines.
    columns : sequence of str
        The header.
    width : int or None
        Characters of a line. Long texts are shortened, then columns in the middle are left out.
        None: as wide as it gets.
    """
    body = [line for row in rows for line in _lines(row)]
    numeric = [all(_is_number(line[i]) for line in body) for i in range(len(columns))]
    widths = [max(len(x) for x in column) for column in zip(columns, *body, strict=True)]
    fit = widths if width is None else _fitted(widths, numeric, width)
    shown = list(range(len(columns))) if width is None else _kept(fit, width)
    for line in [list(columns), ["-" * w for w in fit], *body]:
        cells = [CUT if i < 0 else _cell(line[i], fit[i], numeric[i]) for i in shown]
        sys.stdout.write(GAP.join(cells).rstrip() + "\n")
    return _said(columns, shown, shortened=fit != widths)


def _lines(cells: Sequence[str]) -> Iterator[list[str]]:
    """Spread cells that hold line breaks (a query plan) over lines of the table."""
    if any("\n" in cell for cell in cells):
        split = [cell.splitlines() for cell in cells]
        yield from map(list, zip_longest(*split, fillvalue=""))
    else:
        yield list(cells)


def _is_number(text: str) -> bool:
    """Tell numbers, and sizes such as ``1.2 MiB``."""
    try:
        float(SIZE.sub("", text) or "0")
    except ValueError:
        return False
    return True


def _cell(text: str, width: int, right: bool) -> str:
    if len(text) > width:
        text = text[: width - 1] + CUT
    return text.rjust(width) if right else text.ljust(width)


def _fitted(widths: Sequence[int], numeric: Sequence[bool], width: int) -> list[int]:
    """Narrow the widest columns of text, evenly, until the line fits or they are narrow."""
    fit = list(widths)
    texts = [i for i, is_number in enumerate(numeric) if not is_number]
    while _length(fit) > width:
        widest = max(texts, key=lambda i: fit[i], default=None)
        if widest is None or fit[widest] <= NARROWEST:
            break
        fit[widest] -= 1
    return fit


def _length(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _kept(widths: Sequence[int], width: int) -> list[int]:
    """Return which columns fit, two from the left for each from the right; -1 for what is cut.

    What a row is stands to the left as a rule.
    """
    n = len(widths)
    if _length(widths) <= width:
        return list(range(n))
    left: list[int] = []
    right: list[int] = []
    for step in range(n):
        side = right if step % 3 == 2 else left
        at = n - 1 - len(right) if side is right else len(left)
        if step and _length([*(widths[i] for i in [*left, *right, at]), len(CUT)]) > width:
            break
        side.append(at)
    return [*left, -1, *reversed(right)]


def _said(columns: Sequence[str], shown: Sequence[int], *, shortened: bool) -> str:
    missing = len(columns) - sum(i >= 0 for i in shown)
    if missing:
        return f"{missing} of {len(columns)} columns do not fit the terminal"
    return "long texts are shortened" if shortened else ""
