"""Responses of a filter by class, counted."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fstore.errors import DataError
from fstore.queries.figures.parts import apart, chosen, drop_down, inline, stroke_of, titled, told
from fstore.queries.figures.plots import Row

if TYPE_CHECKING:
    import altair as alt
    from numpy.typing import NDArray

__all__ = ["histogram", "histogram_rows"]


def histogram_rows(
    responses: "Mapping[str, NDArray[np.floating[Any]]]", *, bins: int = 30
) -> list[dict[str, Any]]:
    """Count responses by class in equal steps; those that are 0 apart.

    Parameters
    ----------
    responses : mapping of str to array of shape (n,)
        By class; arbitrary units.
    bins : int
        Steps from the smallest to the largest response that is not 0.

    Returns
    -------
    list of dict
        Keys ``class``, ``low`` and ``high`` (of the step), ``count``, ``n`` (responses of the
        class) and ``zeros`` (those that are 0; they are in no step).

    Raises
    ------
    DataError
        No response at all; one is NaN or infinite.
    """
    every = np.concatenate(
        [np.asarray(x, np.float64).ravel() for x in responses.values()] or [np.empty(0)]
    )
    if not every.size:
        raise DataError("no responses to count; name a class that has samples")
    if not np.isfinite(every).all():
        raise DataError("a response is NaN or infinite; responses that are counted must be numbers")
    above = every[every != 0]
    ends = (float(above.min()), float(above.max())) if above.size else (0.0, 1.0)
    edges = np.histogram_bin_edges(above, bins=bins, range=ends)
    return [
        {
            "class": name,
            "low": float(a),
            "high": float(b),
            "count": int(count),
            "n": int(x.size),
            "zeros": int((x == 0).sum()),
        }
        for name, x in ((name, np.asarray(own).ravel()) for name, own in responses.items())
        for a, b, count in zip(edges, edges[1:], np.histogram(x[x != 0], edges)[0], strict=False)
    ]


def histogram(
    rows: Sequence[Row], *, title: str = "", log: bool = False, quantity: str = "Response"
) -> "alt.TopLevelMixin":
    """Draw how often a response occurs, a stepped line a class, as a share of the class.

    Parameters
    ----------
    rows : sequence of mapping
        Of :func:`histogram_rows`.
    title : str
    log : bool
        Draw counts, on a logarithmic axis, in place of shares.
    quantity : str
        What is along x.
    """
    import altair as alt

    names = list(dict.fromkeys(str(row["class"]) for row in rows))
    data = [_drawn(row, log=log) for row in _closed(rows)]
    what = "Samples (log scale)" if log else "Share of the class's samples (percent)"
    scale = alt.Scale(type="symlog" if log else "linear", zero=True)
    base = alt.Chart(inline(data)).encode(
        x=alt.X("low:Q", title=quantity, scale=alt.Scale(zero=False, nice=False)),
        y=alt.Y("y:Q", title=what, scale=scale),
        color=apart(names, title="Class", legend=len(names) > 1)["color"],
    )
    dash = alt.StrokeDash(
        "line:N",
        sort=names,
        title="Class",
        legend=alt.Legend(symbolType="stroke") if len(names) > 1 else None,
        scale=alt.Scale(domain=names, range=[stroke_of(i) for i in range(len(names))]),
    )
    opacity = chosen("line") if len(names) > 1 else alt.value(1)
    lines = base.mark_line(interpolate="step-after", strokeWidth=1.7)
    tip = told(
        ("line:N", "Class"),
        ("low:Q", "From", ".4~g"),
        ("high:Q", "To", ".4~g"),
        ("count:Q", "Samples", ","),
        ("n:Q", "n of the class", ","),
        ("zero:Q", "Of these 0", ".1%"),
    )
    dots = base.mark_point(opacity=0, size=60).encode(tooltip=tip)
    fill = base.mark_area(interpolate="step-after", opacity=0.12)
    layers = [lines.encode(strokeDash=dash, opacity=opacity), dots]
    chart: Any = alt.layer(*([fill] if len(names) == 1 else []), *layers)
    chart = chart.properties(width=460, height=260)
    if len(names) > 1:
        chart = chart.add_params(drop_down(names, title="Class"))
    return titled(chart, title, _note(rows, names), width=460)  # type: ignore[no-any-return]


def _closed(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return rows, and after the last step of each class one that brings its line down to 0."""
    closed: list[dict[str, Any]] = []
    for name in dict.fromkeys(row["class"] for row in rows):
        mine = [dict(row) for row in rows if row["class"] == name]
        end = {**mine[-1], "low": mine[-1]["high"], "count": 0}
        closed += [*mine, end]
    return closed


def _drawn(row: Row, *, log: bool) -> dict[str, Any]:
    n = max(1, int(row["n"]))
    height = row["count"] if log else 100 * row["count"] / n
    return {**row, "line": str(row["class"]), "y": height, "zero": row["zeros"] / n}


def _note(rows: Sequence[Row], names: Sequence[str]) -> str:
    """Say how many responses there are and how many are 0, by class while these are few."""
    by = {str(row["class"]): (int(row["n"]), int(row["zeros"])) for row in rows}
    if len(names) <= 4:
        told_of = [
            f"{name} n = {n:,} ({100 * z / max(1, n):.0f} % are 0)" for name, (n, z) in by.items()
        ]
        return f"{'; '.join(told_of)}. Responses that are 0 are not drawn."
    total, zeros = (sum(own[i] for own in by.values()) for i in (0, 1))
    share = 100 * zeros / max(1, total)
    return (
        f"n = {total:,} responses of {len(names)} classes; {share:.0f} % are 0 and are not drawn."
    )
