"""Findings as the page shows them: verdicts, and the marks of the cells that bear them out.

What may be said at a cell is not decided here: a finding's rows say it, see
:func:`fstore.queries.findings._judging.said_of_cell`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import TypeAlias

from fstore.queries.findings import Finding

__all__ = ["VERDICTS", "Mark", "Marks", "about", "legend", "marks_of"]

VERDICTS = {"holds": "✓", "does not hold": "✗", "not enough data": "\N{EN DASH}"}
"""Verdicts and their signs, in the order of the summary."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a cell says of a finding: the letter it goes by on this page, its verdict, its claim."""

    letter: str
    verdict: str
    claim: str
    name: str

    @property
    def words(self) -> str:
        """The mark as it stands at a cell: ``✓ a holds``."""
        return f"{VERDICTS[self.verdict]} {self.letter} {self.verdict}"


Marks: TypeAlias = Mapping[tuple[str, str], tuple[Mark, ...]]
"""By row and column of a cell; cells of which nothing is said are not there."""


def about(findings: Sequence[Finding], report: str) -> list[Finding]:
    """Return the findings that rest on a report."""
    return [finding for finding in findings if report in finding.reports]


def marks_of(findings: Sequence[Finding], report: str) -> Marks:
    """Return the marks of a report's cells, a mark for each finding that has one to give.

    Parameters
    ----------
    findings : sequence of Finding
        A finding's row names a cell by ``report``, ``row`` and ``col``; its ``agrees`` says whether
        the cell has the finding's verdict, and None that nothing is said.
    report : str
    """
    marks_by_cell: dict[tuple[str, str], list[Mark]] = {}
    letters = iter(ascii_lowercase)
    for finding in findings:
        cells = [
            r for r in finding.rows if r.get("report") == report and r.get("agrees") is not None
        ]
        if not cells:
            continue
        mark = Mark(next(letters), finding.verdict, finding.claim, finding.name)
        for row in cells:
            marks_by_cell.setdefault((str(row["row"]), str(row["col"])), []).append(mark)
    return {cell: tuple(marks) for cell, marks in marks_by_cell.items()}


def legend(marks: Marks) -> list[Mark]:
    """Return every mark once, in the order of the letters."""
    every = {mark.letter: mark for own in marks.values() for mark in own}
    return [every[letter] for letter in sorted(every)]
