"""What a claim is: a function of the numbers of some reports that gives a verdict."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from fstore.queries.findings._numbers import Number
from fstore.queries.reports._api import BESIDE, Row
from fstore.registry import Registry

__all__ = ["CLAIMS", "Facts", "Finding", "Judgement", "Snapshot", "Verdict", "claim"]


class Verdict(StrEnum):
    """What the numbers at hand say of a claim."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNKNOWN = "not enough data"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A checkpoint along pre-training; ``held_out`` is its accuracy there, 0 to 1."""

    name: str
    iteration: int | None = None
    held_out: float | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What claims are judged by; nothing else is.

    Attributes
    ----------
    rows : mapping of report to rows
        As :func:`fstore.queries.reports._run.show_report` gives them; their ``paper`` is not
        looked at.
    layers : tuple of str
        In order of depth.
    flat : tuple of str
        Those of them that are fully connected.
    mid_layer, top_layer : str
        conv5 and fc7 in the paper; empty where the study names none.
    sweep : tuple of Snapshot
        In order.
    notes : mapping of report to str
        Why it has no rows, or not all.
    """

    rows: Mapping[str, Sequence[Row]]
    layers: tuple[str, ...] = ()
    flat: tuple[str, ...] = ()
    mid_layer: str = ""
    top_layer: str = ""
    sweep: tuple[Snapshot, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)

    def number(self, report: str, row: str, col: str) -> Number | None:
        """Return a cell of a report, if it is there."""
        found = (r for r in self.rows.get(report, ()) if (r["row"], r["col"]) == (row, col))
        return next((Number.of(r) for r in found if r["value"] is not None), None)

    def numbers(self, report: str, names: Sequence[str], col: str) -> dict[str, Number]:
        """Return a column's cells in the rows of some names, those that are there."""
        found = {name: self.number(report, name, col) for name in names}
        return {name: number for name, number in found.items() if number is not None}

    def row(self, report: str, row: str) -> dict[str, Number]:
        """Return a row's cells by column, what stands beside left out."""
        return {
            str(r["col"]): Number.of(r)
            for r in self.rows.get(report, ())
            if r["row"] == row and BESIDE not in str(r["col"]) and r["value"] is not None
        }

    def names(self, report: str) -> list[str]:
        """Return the names of a report's rows, in order."""
        return list(dict.fromkeys(str(r["row"]) for r in self.rows.get(report, ())))


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a claim's function gives: a verdict, a sentence with numbers, and these numbers."""

    verdict: Verdict
    evidence: str
    numbers: tuple[Number, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """A claim of the paper, and what the numbers at hand say of it.

    Attributes
    ----------
    name, claim : str
        What it is called, and what it says, in our words.
    source : str
        Sections of the paper.
    verdict : str
        ``holds``, ``does not hold`` or ``not enough data``.
    evidence : str
        A sentence or two with the numbers.
    reports : tuple of str
        Those that it reads.
    rows : list of dict
        The cells that it was judged by, with the paper's own numbers as ``paper``.
    criterion : str
        What makes it hold.
    paper : str
        Verdict and evidence of the same check on the paper's own tables; empty where these lack
        the numbers.
    """

    name: str
    claim: str
    source: str
    verdict: str
    evidence: str
    reports: tuple[str, ...]
    rows: list[dict[str, Any]]
    criterion: str
    paper: str = ""


Judge: TypeAlias = Callable[[Facts], Judgement]

CLAIMS: Registry[Judge] = Registry("claim")
"""Functions ``claim(facts) -> Judgement``."""


def claim(
    name: str, *, says: str, sections: Sequence[str], reports: Sequence[str], criterion: str
) -> Callable[[Judge], Judge]:
    """Register a claim.

    Parameters
    ----------
    name : str
        ``longer-is-better``, ...
    says : str
        What the paper claims, in our words.
    sections : sequence of str
        Where it does; the first one orders the findings. ``S1.3`` is the supplement's.
    reports : sequence of str
        Names of the reports whose rows it reads.
    criterion : str
        What makes it hold, in words.
    """
    meta = {"says": says, "sections": tuple(sections), "reports": tuple(reports)}
    return CLAIMS.register(name, **meta, criterion=criterion)
