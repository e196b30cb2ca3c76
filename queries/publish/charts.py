"""The interactive chart of a report: its figure's own statement, and that in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fstore.queries.figures.alt import alt_text
from fstore.queries.figures.plots import is_picture, with_numbers
from fstore.queries.figures.vega import config, spec_of
from fstore.registry import Entry

__all__ = ["LOOKS_OF_CHARTS", "Chart", "chart_of"]

LOOKS_OF_CHARTS = {"light": config(), "dark": config(dark=True)}
"""What the page's script draws with, on a light and on a dark page."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart as Vega-Lite has it, and what it says to those who do not see it."""

    spec: dict[str, Any]
    alt: str


def chart_of(rows: Sequence[Mapping[str, Any]], report: Entry[Any], *, title: str) -> Chart | None:
    """Return the chart of a report's rows; None where it has none, or a picture alone.

    Parameters
    ----------
    rows : sequence of mapping
        Of the report, with what stands beside.
    report : Entry
    title : str
        For the words; the page has it as its heading.
    """
    meta = report.meta
    plot = meta["chart"] or meta["plot"]
    numbers = with_numbers(rows)
    if plot is None or not numbers:
        return None
    drawn = plot(numbers, title="")
    if drawn is None or is_picture(drawn):
        return None
    spec = spec_of(drawn)
    return Chart(spec, alt_text(spec, title))
