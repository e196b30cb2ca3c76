"""What a report is: cells, what each of them is computed from, and the table of all reports."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from fstore.store.parts import Samples

__all__ = ["BESIDE", "ROW_COLUMNS", "Cell", "Need", "Own", "Reading", "Row", "Weights"]

ROW_COLUMNS = ("study", "report", "row", "col", "value", "std", "n", "paper")
"""Keys of a report's rows; ``paper`` is the paper's own number, None where it has none."""

BESIDE = ":"
"""In the name of a column: it stands beside the paper's columns and is shown when asked for."""

SAMPLE, SUMMARY = "(sample)", "(summary)"
"""Rows of a report that are about its sample, and about all its other rows."""

Row: TypeAlias = Mapping[str, str | float | int | None]


@dataclass(frozen=True, slots=True)
class Reading:
    """Responses of one layer to some samples."""

    network: str
    ckpt: str
    layer: str
    samples: Samples


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of a checkpoint."""

    network: str
    ckpt: str


@dataclass(frozen=True, slots=True)
class Own:
    """How the cells of a report come about that a study states itself.

    ``statement`` is SQL, or ``python`` is ``FILE.py:FUNCTION`` and ``needs`` are the statements of
    what it may read. ``rows`` name the columns that tell rows apart; each row meets ``expect``.
    """

    report: str
    statement: str = ""
    python: str = ""
    needs: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    expect: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Need:
    """A cell, or a series of cells, and all that it depends on, beside the code.

    ``row`` and ``col`` name it; a need that gives several cells names what they share, and
    ``col`` may be empty. ``parameters`` are pairs of a name and a value that JSON knows. Without
    ``labels`` it plays no part what the samples show. What a cell with ``own`` reads follows from
    its statements, and not from ``readings``.
    """

    row: str
    col: str
    readings: tuple[Reading, ...] = ()
    parameters: tuple[tuple[str, str | float | int], ...] = ()
    weights: tuple[Weights, ...] = ()
    labels: bool = True
    own: Own | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """A computed cell: a value, its standard deviation and the number of what it is a mean of."""

    row: str
    col: str
    value: float
    std: float | None = None
    n: int | None = None
