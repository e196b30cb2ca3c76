"""What charts share: titles and notes, strokes and symbols, names at the ends of lines."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from fstore.queries.figures.vega import CATEGORIES

if TYPE_CHECKING:
    import altair as alt

__all__ = [
    "HEIGHT",
    "PICK",
    "SHAPES",
    "STROKES",
    "WIDTH",
    "apart",
    "chosen",
    "counted",
    "drop_down",
    "inline",
    "label_places",
    "round_ends",
    "stroke_of",
    "titled",
    "told",
]

WIDTH, HEIGHT = 520, 300
"""Of a chart alone, in pixels; a page makes it as wide as there is room."""

SHAPES = (
    "circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right",
    "triangle-left",
)  # fmt: skip
STROKES = ([1, 0], [6, 3], [2, 2], [9, 3, 2, 3])
"""Symbols and dashes: what tells lines apart without colours."""

DIRECT = 8
"""As many lines have their names at their ends; more have a legend."""

PICK = "pick"
"""The parameter that a page's drop-down sets: one line or panel, or null for all."""

CHARACTER = 6.4
"""Pixels that a character of a title takes, about."""


def inline(rows: Sequence[Mapping[str, Any]]) -> "alt.Data":
    """Return rows as a chart's data, inside of it.

    Charts that are made of it hold it, and no copies: Altair would copy each row for each layer of
    a chart, several times.
    """
    values = [{key: _plain(value) for key, value in row.items()} for row in rows]
    return _rows_class()(values=values)


@cache
def _rows_class() -> "type[alt.Data]":
    """Return the class of such data; Altair is imported when a chart is drawn."""
    import altair as alt

    class Rows(alt.InlineData):
        """Rows that nobody changes."""

        def __deepcopy__(self, _: object) -> "Rows":
            return self

    return Rows


def _plain(value: object) -> Any:  # noqa: ANN401 - what JSON knows
    """Return a value as JSON has it: no number that is none."""
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def titled(chart: Any, title: str, *notes: str, width: int = WIDTH) -> Any:  # noqa: ANN401
    """Return a chart under its title, with notes below: n, and what the spread is.

    Parameters
    ----------
    chart : altair chart
    title : str
        Its first line is large, the others are small; empty for none.
    *notes : str
        Sentences; empty ones are left out.
    width : int
        Pixels that lines may have.
    """
    import altair as alt

    first, *rest = title.split("\n")
    small = [line for line in (*rest, " ".join(filter(None, notes))) if line]
    own: dict[str, Any] = {"text": _folded(first, width, 7.0) if first else ""}
    if small:
        own["subtitle"] = [line for text in small for line in _folded(text, width, CHARACTER)]
    return chart.properties(title=alt.TitleParams(**own)) if first or small else chart


def _folded(text: str, width: int, character: float) -> list[str]:
    return wrap(text, max(24, int(width / character)), break_on_hyphens=False)


def counted(counts: Sequence[int], of: str) -> str:
    """Say how many, of what: ``n = 300 images``, ``n = 3 to 5 splits``.

    Examples
    --------
    >>> counted([3, 5, 4], "splits"), counted([300, 300], "images")
    ('n = 3 to 5 splits', 'n = 300 images')
    """
    ends = dict.fromkeys((min(counts), max(counts)))
    return f"n = {' to '.join(f'{n:,}' for n in ends)} {of}"


def apart(
    names: Sequence[str], *, title: str, legend: bool = True, symbols: bool = True
) -> dict[str, Any]:
    """Return the channels that tell lines apart: colour and symbol, or colour and dashes.

    Parameters
    ----------
    names : sequence of str
        In their order; the field is ``line``.
    title : str
        Of the legend.
    legend : bool
        False where names stand at the lines' ends.
    symbols : bool
        Whether points are drawn; else strokes are dashed.
    """
    import altair as alt

    n = len(names)
    scales: dict[str, Any] = {
        "color": (alt.Color, [CATEGORIES[i % len(CATEGORIES)] for i in range(n)]),
        "shape": (alt.Shape, [_symbol_of(i) for i in range(n)]),
        "strokeDash": (alt.StrokeDash, [stroke_of(i, symbols=symbols) for i in range(n)]),
    }
    shown: Any = alt.Legend(symbolStrokeWidth=2, columns=1 + n // 16) if legend else None
    return {
        channel: kind(
            "line:N",
            title=title,
            sort=list(names),
            legend=shown,
            scale=alt.Scale(domain=list(names), range=steps),
        )
        for channel, (kind, steps) in scales.items()
    }


def _symbol_of(i: int) -> str:
    """Return which symbol a line has: no two lines of one colour have the same, up to 64."""
    return SHAPES[(i + 3 * (i // len(CATEGORIES))) % len(SHAPES)]


def stroke_of(i: int, *, symbols: bool = False) -> list[int]:
    """Return which dashes a line has: no two lines of one colour have the same."""
    round_of_colours = i // len(CATEGORIES)
    return STROKES[(round_of_colours if symbols else i + round_of_colours) % len(STROKES)]


def drop_down(names: Sequence[str], *, title: str) -> "alt.Parameter":
    """Return the parameter by which a page shows one of several: a drop-down, at first all."""
    import altair as alt

    bind = alt.binding_select(options=[None, *names], labels=["all", *names], name=f"{title} ")
    return alt.param(name=PICK, value=None, bind=bind)


def chosen(field: str, shown: float = 1.0, faint: float = 0.12) -> Any:  # noqa: ANN401
    """Return the opacity of marks: those that the drop-down leaves out are faint."""
    import altair as alt

    test = f"{PICK} == null || datum.{field} == {PICK}"
    return alt.condition(test, alt.value(shown), alt.value(faint))


def told(*fields: tuple[str, str] | tuple[str, str, str]) -> list["alt.Tooltip"]:
    """Return a tooltip: fields with their type (``value:Q``), what they are called, a format."""
    import altair as alt

    return [
        alt.Tooltip(own[0], title=own[1], format=own[2])
        if len(own) == 3
        else alt.Tooltip(own[0], title=own[1])
        for own in fields
    ]


def label_places(
    ends: Mapping[str, float], *, low: float, high: float, height: float, gap: float = 13
) -> dict[str, float]:
    """Return where names at the ends of lines stand so that none covers another.

    Parameters
    ----------
    ends : mapping
        The last value of each line.
    low, high : float
        Ends of the axis.
    height : float
        Of the axis, in pixels.
    gap : float
        Pixels between names, at least.

    Examples
    --------
    >>> label_places({"a": 5, "b": 5, "c": 0}, low=0, high=10, height=100, gap=10)
    {'a': 5.5, 'b': 4.5, 'c': 0.0}
    """
    per_pixel = (high - low) / height
    order = sorted(ends, key=lambda name: -ends[name])
    at = {name: (high - ends[name]) / per_pixel for name in order}
    groups: list[list[str]] = []
    middles: list[float] = []
    for name in order:  # names that touch are spread about the middle of their lines
        groups.append([name])
        middles.append(at[name])
        while len(groups) > 1 and _touch(groups, middles, gap):
            merged = groups.pop()
            middles.pop()
            groups[-1] += merged
            middles[-1] = sum(at[each] for each in groups[-1]) / len(groups[-1])
    places = {}
    for group, middle in zip(groups, middles, strict=True):
        for i, name in enumerate(group):
            place = middle + (i - (len(group) - 1) / 2) * gap
            places[name] = round(high - place * per_pixel, 6)
    return {name: places[name] for name in ends}


def _touch(groups: Sequence[Sequence[str]], middles: Sequence[float], gap: float) -> bool:
    """Whether the last two groups of names are nearer than a gap."""
    room = (len(groups[-1]) + len(groups[-2])) / 2 * gap
    return middles[-1] - middles[-2] < room - 1e-9


def round_ends(values: Sequence[float], *, zero: bool = True) -> tuple[float, float]:
    """Return the ends of an axis: round numbers around values, and 0 if that is asked.

    Equal values, as 0 alone, have an axis too.

    Examples
    --------
    >>> round_ends([30.1, 34.4]), round_ends([0.93, 1.0], zero=False)
    ((0.0, 35.0), (0.93, 1.0))
    """
    low, high = min(values), max(values)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    span = (high - low) or abs(high) or 1.0
    step = 10.0 ** math.floor(math.log10(span))
    step = next(step * k for k in (0.1, 0.2, 0.5, 1) if span / (step * k) <= 8 or k == 1)
    below, above = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return round(below * step, 9), round(max(above, below + 1) * step, 9)
