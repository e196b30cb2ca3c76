"""What a claim is: a function of the numbers of some reports that gives a verdict."""

from collections.abc import Callable, Container, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import isfinite
from typing import Any, TypeAlias

from fstore.queries.cells.needs import BESIDE, Row
from fstore.queries.findings._numbers import Number
from fstore.queries.findings._tested import TestSet
from fstore.registry import Registry

__all__ = ["CLAIMS", "Facts", "Finding", "Judgement", "SweepPoint", "Verdict", "claim"]


class Verdict(StrEnum):
    """What the numbers at hand say of a claim."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNKNOWN = "not enough data"


@dataclass(frozen=True, slots=True)
class SweepPoint:
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
        As :func:`fstore.queries.refresh.show.show_report` gives them; their ``paper`` is not
        looked at.
    layers : tuple of str
        In order of depth.
    flat : tuple of str
        Those of them that are fully connected.
    mid_layer, top_layer : str
        conv5 and fc7 in the paper; empty where the study names none.
    sweep : tuple of SweepPoint
        In order.
    notes : mapping of report to str
        Why it has no rows, or not all.
    wanted : mapping of report to set of (str, str)
        Row and column of the cells that the study asks of it, an empty column for a whole row;
        nothing of a report that the study does not bind.
    tested : mapping of report to mapping of row to TestSet
        What its numbers come from. Of a number without one, chance is not known.
    """

    rows: Mapping[str, Sequence[Row]]
    layers: tuple[str, ...] = ()
    flat: tuple[str, ...] = ()
    mid_layer: str = ""
    top_layer: str = ""
    sweep: tuple[SweepPoint, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    wanted: Mapping[str, AbstractSet[tuple[str, str]]] = field(default_factory=dict)
    tested: Mapping[str, Mapping[str, TestSet]] = field(default_factory=dict)

    @property
    def from_middle(self) -> tuple[str, ...]:
        """The mid layer and those that are deeper; none where the study names no mid layer."""
        at = self.layers.index(self.mid_layer) if self.mid_layer in self.layers else None
        return () if at is None else self.layers[at:]

    def number(self, report: str, row: str, col: str) -> Number | None:
        """Return a cell of a report, if it is there."""
        return self._cells(report, row).get(col)

    def numbers(self, report: str, names: Sequence[str], col: str) -> dict[str, Number]:
        """Return a column's cells in the rows of some names, those that are there."""
        numbers = {name: self.number(report, name, col) for name in names}
        return {name: number for name, number in numbers.items() if number is not None}

    def row(self, report: str, row: str) -> dict[str, Number]:
        """Return a row's cells by column, what stands beside left out."""
        return {col: n for col, n in self._cells(report, row).items() if BESIDE not in col}

    def names(self, report: str) -> list[str]:
        """Return the names of a report's rows, in order."""
        return list(dict.fromkeys(str(r["row"]) for r in self.rows.get(report, ())))

    def asked(self, report: str, *cols: str) -> list[str]:
        """Return the rows of which the study asks all of some columns, there or not."""
        cells = self.wanted.get(report, set())
        return [
            row
            for row in sorted({row for row, _ in cells})
            if (row, "") in cells or all((row, col) in cells for col in cols)
        ]

    def absent(self, report: str, present: Container[str], *cols: str) -> list[str]:
        """Return the rows that :meth:`asked` returns and that are not among some."""
        return [row for row in self.asked(report, *cols) if row not in present]

    def _cells(self, report: str, row: str) -> dict[str, Number]:
        """Return a row's finite cells by column, each with what its test set says."""
        mine = [r for r in self.rows.get(report, ()) if r["row"] == row]
        numbers = {str(r["col"]): Number.of(r) for r in mine if r["value"] is not None}
        finite = {col: number for col, number in numbers.items() if isfinite(number.value)}
        tests = self.tested.get(report, {}).get(row)
        cells = {col: n.on(tests) for col, n in finite.items()}
        for col, n in cells.items():
            if f"{col}{BESIDE}low" in finite:  # its deviation is that of the draws, and of no runs
                cells[col] = replace(n, std=None)
            if (chance := finite.get(f"{col}{BESIDE}chance")) is not None:
                cells[col] = replace(cells[col], chance=chance.value)
        return cells


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a claim's function gives: a verdict, a sentence with numbers, and these numbers.

    The row of a number may say by ``agrees`` whether this cell by itself bears the claim out: True,
    False, or None where it is open; see :func:`fstore.queries.findings._judging.marked`. What of
    this a finding says is :func:`fstore.queries.findings._judging.said_of_cell`'s to decide.
    """

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
        The cells that it was judged by, with the paper's own numbers as ``paper``; ``agrees`` is
        the verdict where this cell bears it out by itself (True: the claim holds, False: it does
        not), else None.
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
