"""Bars by row and column of a report, the paper's numbers as marks."""

from collections.abc import Sequence
from math import sqrt
from typing import TYPE_CHECKING, Any

from fstore.queries.figures.parts import HEIGHT, WIDTH, counted, inline, titled, told
from fstore.queries.figures.plots import Plot, Row
from fstore.queries.figures.vega import CATEGORIES
from fstore.words import worded

if TYPE_CHECKING:
    import altair as alt

__all__ = ["PAPER_MARK", "bar_plot", "fills", "grouped_bars"]

OPACITIES = (0.95, 0.5, 0.2, 0.0)
"""Of bars of a group: they differ in black and white too."""

INK = "#3a3f45"
PAPER_MARK: dict[str, Any] = {
    "shape": "diamond",
    "filled": True,
    "size": 55,
    "color": "white",
    "stroke": "black",
    "strokeWidth": 1.4,
    "opacity": 1,
}
"""The paper's numbers: white diamonds, seen on dark and on light bars."""


def grouped_bars(
    rows: Sequence[Row],
    columns: Sequence[str],
    *,
    ylabel: str,
    xlabel: str = "Layer",
    title: str = "",
    of: str = "",
    over: str = "splits",
    of_mean: bool = False,
    ordered: bool = False,
    named: bool = False,
) -> "alt.LayerChart":
    """Draw a group of bars a row, a bar a column; lines are the spread.

    Parameters
    ----------
    rows : sequence of mapping
        Of a report; those of other columns are not drawn.
    columns : sequence of str
        In the order of the bars.
    ylabel, xlabel : str
        Quantity and unit; what the groups are.
    title : str
    of : str
        What a bar of a group is.
    over : str
        What ``n`` counts and the deviation is over.
    of_mean : bool
        The deviation is that of a population: lines are the standard error of the mean.
    ordered : bool
        Whether columns are steps of one thing: then each bar is darker than the one before.
    named : bool
        Whether columns are names of the store, which are shown as they are; else they are ours, and
        are put in words.
    """
    mine = [row for row in rows if row["col"] in columns]
    columns = [column for column in columns if any(row["col"] == column for row in mine)]
    words = {column: column if named else worded(column) for column in columns}
    points = [_point(row, words[str(row["col"])], of_mean=of_mean) for row in mine]
    groups = list(dict.fromkeys(str(row["row"]) for row in mine))
    chart = _layers(
        points, groups, list(words.values()), titles=(xlabel, ylabel, of or None), ordered=ordered
    )
    notes = [*_notes(mine, over=over, of_mean=of_mean), *_permuted(rows)]
    return titled(chart, title, *notes)  # type: ignore[no-any-return]


def _point(row: Row, word: str, *, of_mean: bool) -> dict[str, Any]:
    """Return what is drawn of a cell; one without a number has no bar, maybe the paper's mark."""
    value, std = row["value"], float(row["std"] or 0)
    half = std / sqrt(row["n"]) if of_mean and row["n"] else std
    spread = {} if value is None or not half else {"low": value - half, "high": value + half}
    own = {"group": str(row["row"]), "bar": word, "value": value, "n": row["n"]}
    return {**own, "std": row["std"], "paper": row["paper"], **spread}


def _layers(
    points: Sequence[Row],
    groups: Sequence[str],
    bars: Sequence[str],
    *,
    titles: tuple[str, str, str | None],
    ordered: bool,
) -> Any:  # noqa: ANN401 - altair's
    """Return bars, lines of the spread over them, and the paper's marks."""
    import altair as alt

    xlabel, ylabel, of = titles
    base = alt.Chart(inline(points)).encode(x=_groups(groups, xlabel))
    offset = alt.XOffset("bar:N", sort=list(bars), scale=alt.Scale(paddingInner=0.08))
    several = len(bars) > 1
    base = base.encode(xOffset=offset) if several else base
    tip = told(
        ("group:N", xlabel),
        ("bar:N", of or "Bar"),
        ("value:Q", ylabel, ".1f"),
        ("std:Q", "Standard deviation", ".2f"),
        ("n:Q", "n", ","),
        ("paper:Q", "The paper", ".1f"),
    )
    up = alt.Y("value:Q", title=ylabel, scale=alt.Scale(zero=True))
    filled = fills(bars, title=of, ordered=ordered)
    layers = [base.mark_bar(strokeWidth=1.2).encode(y=up, tooltip=tip, **filled)]
    if any("low" in p for p in points):
        rule = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=1.4, color="black")
        halo = rule.mark_rule(strokeWidth=3, color="white")
        layers += [halo.encode(y="low:Q", y2="high:Q"), rule.encode(y="low:Q", y2="high:Q")]
    if any(p["paper"] is not None for p in points):
        beside: dict[str, Any] = (
            {} if several else {"xOffset": 12}
        )  # so that the line of the spread is seen
        mark = base.transform_filter("isValid(datum.paper)").mark_point(**PAPER_MARK, **beside)
        layers.append(mark.encode(y="paper:Q", tooltip=tip))
    width = min(WIDTH, max(240, 70 * len(points), 7 * _longest(groups) * len(groups)))
    return alt.layer(*layers).properties(width=width, height=HEIGHT)


def _longest(groups: Sequence[str]) -> int:
    """Return the characters of the longest line of a group's name."""
    return max(len(line) for group in groups for line in group.split("\n"))


def _groups(groups: Sequence[str], title: str) -> "alt.X":
    """Return the channel of groups; names that would meet stand aslant."""
    import altair as alt

    turned = -35 if len(groups) * _longest(groups) > WIDTH // 7 else 0
    labels = alt.Axis(labelAngle=turned, labelExpr="split(datum.label, '\\n')", labelLimit=240)
    scale = alt.Scale(paddingInner=0.25, paddingOuter=0.15)
    return alt.X("group:N", sort=list(groups), title=title, axis=labels, scale=scale)


def fills(bars: Sequence[str], *, title: str | None, ordered: bool = False) -> dict[str, Any]:
    """Return the channels that tell bars of a group apart: colour, and how dark they are.

    Parameters
    ----------
    bars : sequence of str
        The field is ``bar``.
    title : str or None
    ordered : bool
        Steps of one thing: one colour, darker from step to step.
    """
    import altair as alt

    n = len(bars)
    if ordered or n > len(CATEGORIES):
        colours = [CATEGORIES[0]] * n
        dark = [round(0.15 + 0.8 * i / max(1, n - 1), 3) for i in range(n)]
    else:
        colours = list(CATEGORIES[:n])
        dark = [OPACITIES[i % len(OPACITIES)] for i in range(n)]
    domain = list(bars)
    legend: Any = alt.Legend(orient="top", columns=6, labelLimit=220) if n > 1 else None
    same: dict[str, Any] = {"title": title, "sort": domain, "legend": legend}
    inside = [_seen_through(*look) for look in zip(colours, dark, strict=True)]
    return {
        "fill": alt.Fill("bar:N", scale=alt.Scale(domain=domain, range=inside), **same),
        "stroke": alt.Stroke("bar:N", scale=alt.Scale(domain=domain, range=colours), **same),
    }


def _seen_through(colour: str, opacity: float) -> str:
    """Return a colour with its opacity: a legend shows those of colours, and no other."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity})"


def _notes(rows: Sequence[Row], *, over: str, of_mean: bool) -> list[str]:
    """Say n, what the lines are, and what diamonds are."""
    counts = [int(row["n"] or 1) for row in rows]
    spread = any(row["std"] for row in rows)
    if of_mean:
        notes = [f"{counted(counts, over)}; bars: mean over {over}."]
        if spread:
            notes.append(
                "Lines: ± 1 standard error of the mean (the deviation over "
                f"{over} says how these differ: see the numbers)."
            )
    elif spread:
        notes = [f"Bars: mean, lines: ± 1 standard deviation over {over}; {counted(counts, over)}."]
    else:
        notes = ["One split, so no spread." if max(counts) == 1 else f"{counted(counts, over)}."]
    if any(row["paper"] is not None for row in rows):
        notes.append("Diamonds: the paper.")
    return notes


def _permuted(rows: Sequence[Row]) -> list[str]:
    """Say how far numbers differ that are means over permutations."""
    ends = [float(r["value"]) for r in rows if str(r["col"]).endswith(":permutations_std")]
    if not ends:
        return []
    shown = " to ".join(dict.fromkeys(f"{end:.1f}" for end in (min(ends), max(ends))))
    of = worded("sp_shuffle")
    return [f"{of}: mean over permutations, whose standard deviation is {shown}."]


def bar_plot(columns: Sequence[str], *, ylabel: str, of: str = "Ablation") -> Plot:
    """Return a plot of a report's rows: :func:`grouped_bars` with these columns."""

    def plot(rows: Sequence[Row], *, title: str = "") -> "alt.LayerChart":
        """Draw a group of bars a row, a bar a column, the paper's numbers as marks.

        Parameters
        ----------
        rows : sequence of mapping
            Rows of the report.
        title : str
        """
        return grouped_bars(rows, columns, ylabel=ylabel, title=title, of=of)

    return plot
