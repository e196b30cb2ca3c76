"""Findings as the page shows them: verdicts, and which cells they speak of."""

from collections.abc import Sequence

from fstore.queries.findings import Finding

__all__ = ["VERDICTS", "about", "cells_of"]

VERDICTS = {"holds": "✓", "does not hold": "✗", "not enough data": "\N{EN DASH}"}
"""Verdicts and their signs, in the order of the summary."""

OF_CELL = {True: "holds", False: "does not hold", None: "not enough data"}


def about(findings: Sequence[Finding], report: str) -> list[Finding]:
    """Return the findings that rest on a report."""
    return [finding for finding in findings if report in finding.reports]


def cells_of(findings: Sequence[Finding], report: str) -> dict[tuple[str, str], tuple[str, str]]:
    """Return verdict and claims for the cells of a report that findings were judged by.

    A finding's row names a cell by ``report``, ``row`` and ``col``, and may say by ``agrees``
    whether this cell bears it out; else the finding's verdict is the cell's. Where findings on one
    cell differ, what does not hold is told.
    """
    claims: dict[tuple[str, str], dict[str, list[str]]] = {}
    for finding in findings:
        for row in finding.rows:
            if row.get("report") == report and "row" in row and "col" in row:
                of_cell = claims.setdefault((str(row["row"]), str(row["col"])), {})
                verdict = OF_CELL[row["agrees"]] if "agrees" in row else str(finding.verdict)
                of_cell.setdefault(verdict, []).append(finding.claim)
    order = ("does not hold", "holds", "not enough data")
    found = {}
    for cell, by_verdict in claims.items():
        verdict = next((v for v in order if v in by_verdict), "")
        found[cell] = (verdict, " ".join(dict.fromkeys(by_verdict.get(verdict, ()))))
    return found
