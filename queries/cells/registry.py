"""The table of all reports: what each shows, what it needs, how it is drawn."""

import csv
from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeAlias

from fstore.queries.cells.needs import Cell, Need, Row
from fstore.queries.studies.study import Study
from fstore.registry import Registry

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["REPORTS", "Compute", "paper_numbers", "report"]


Compute: TypeAlias = "Callable[[Store, Sequence[Need]], Iterable[tuple[Need, Sequence[Cell]]]]"


Illustrate: TypeAlias = "Callable[[Store, Study, Sequence[Row]], list[dict[str, Any]]]"


REPORTS: "Registry[Compute]" = Registry("report")
"""Functions ``report(store, needs)``; they yield each need that is asked for with its cells."""


def report(
    name: str,
    *,
    title: str,
    answers: str,
    needs: "Callable[[Store, Study], Sequence[Need]]",
    paper: str | None = None,
    columns: Sequence[str] = (),
    plot: Callable[..., object] | None = None,
    chart: Callable[..., object] | None = None,
    illustrate: "Illustrate | None" = None,
    on: str = "",
    paper_row: "Callable[[str], str]" = str,
    negative: str = "",
    together: bool = False,
) -> "Callable[[Compute], Compute]":
    """Register a report.

    Parameters
    ----------
    name : str
        ``table6``, ``figure1``, ...
    title, answers : str
        What it shows, and the question that it answers; data sets are the study's to name, see
        ``on``.
    needs : callable
        ``needs(store, study)`` lists the cells, or series of cells, and what each of them reads.
    paper : str or None
        File of the paper's numbers in ``queries/paper``; None where the paper only draws.
    columns : sequence of str
        Every ``col`` of a table; others are made of one of them, :data:`BESIDE` and what they
        say (``none:all_points``). Empty for a curve, or where they depend on the study.
    plot : callable or None
        ``plot(rows, *, title="") -> Drawing``: a chart, or a picture.
    chart : callable or None
        Where ``plot`` gives a picture: what draws its numbers as a chart, beside it on the page.
    illustrate : callable or None
        ``illustrate(store, study, rows) -> rows``: called before the plot, and only then; it adds
        what is drawn but is no number of the report (images, weights), under further keys.
    on : str
        The part of a study whose data sets it is about: its title names them.
        Empty where its rows name their own.
    paper_row : callable
        ``paper_row(row) -> str``: what the paper calls a row; the same name by default.
    negative : str
        What becomes of responses below 0, where the paper takes it that there are none.
    together : bool
        Its needs share what they read or compute: whoever spreads needs over workers keeps those
        of this report in one task. Otherwise each need is computed for itself.
    """
    meta = {"title": title, "answers": answers, "paper": paper, "columns": tuple(columns)}
    shown = {
        "plot": plot,
        "chart": chart,
        "illustrate": illustrate,
        "on": on,
        "paper_row": paper_row,
    }
    return REPORTS.register(
        name, **meta, **shown, needs=needs, negative=negative, together=together
    )


def paper_numbers(name: str) -> dict[tuple[str, str], float]:
    """Return the paper's numbers of a file in ``queries/paper``: (row, col) -> value.

    The first column names the row, the header the others; an empty field is a number that the
    paper does not give.
    """
    text = files("fstore.queries").joinpath("paper", name).read_text(encoding="utf-8")
    rows = csv.reader(line for line in text.splitlines() if not line.startswith("#"))
    header = next(rows)
    return {
        (row[0], column): float(value)
        for row in rows
        for column, value in zip(header[1:], row[1:], strict=True)
        if value
    }
