"""Class selectivity drawn: MCAuE against the fraction of filters, and curves of entropy."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fstore.queries.cells.needs import BESIDE
from fstore.queries.figures.lines import Axis, beside, line_chart
from fstore.queries.figures.parts import counted, inline, round_ends, titled, told
from fstore.queries.figures.plots import Row
from fstore.queries.figures.vega import CATEGORIES

if TYPE_CHECKING:
    import altair as alt

__all__ = ["plot_curve", "plot_figure1", "plot_s_figure1", "plot_selectivity"]

ROLES = {"pretrained": "before fine-tuning", "finetuned": "after fine-tuning"}
SHARE = Axis("Fraction of filters, most selective first", ends=(0, 1), format=".2f")
MEASURES = {"weighted": "(a) Weighted label entropy", "sp_max": "(b) sp-max label entropy"}


def _layer_lines(
    rows: Sequence[Row],
    *,
    size: tuple[int, int],
    ends: tuple[float, float],
    alone: bool = True,
) -> "alt.LayerChart":
    """Draw MCAuE against the fraction of filters: a line a layer and checkpoint."""
    points = []
    for row in rows:
        layer, role = str(row["row"]).rsplit(" ", 1)
        own = {"line": layer, "role": ROLES[role], "x": float(row["col"]), "y": row["value"]}
        points.append({**own, "n": row["n"]})
    used = {p["role"] for p in points}
    roles = {role: word for role, word in ROLES.items() if word in used}
    height = Axis("MCAuE (nats; lower is more selective)", ends=ends, format=".3f")
    return line_chart(
        points,
        x=SHARE,
        y=height,
        of="Layer",
        roles=roles,
        alone=alone,
        size=size,
        more=[("n:Q", "Filters", ",")],
    )


def _ends(rows: Sequence[Row]) -> tuple[float, float]:
    return round_ends([float(row["value"]) for row in rows])


def _main(rows: Sequence[Row]) -> list[Row]:
    return [r for r in rows if BESIDE not in str(r["col"]) and r["value"] is not None]


def _counts(rows: Sequence[Row]) -> str:
    """Say how many filters there are: those in the mean over all of them."""
    layers: dict[str, int] = {}
    for row in rows:
        layer = str(row["row"]).rsplit(" ", 1)[0].rsplit(" ", 1)[-1]
        layers[layer] = max(layers.get(layer, 0), int(row["n"] or 0))
    return f"n = {', '.join(f'{n} ({layer})' for layer, n in layers.items())} filters."


def plot_figure1(rows: Sequence[Row], *, title: str = "") -> "alt.LayerChart":
    """Draw MCAuE against the fraction of filters, a line a layer and checkpoint.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the report.
    title : str
    """
    main = _main(rows)
    chart = _layer_lines(main, size=(520, 360), ends=_ends(main))
    return titled(chart, title, _counts(main))  # type: ignore[no-any-return]


def plot_s_figure1(rows: Sequence[Row], *, title: str = "") -> "alt.TopLevelMixin":
    """Draw MCAuE against the fraction of filters, a panel a measure, a line a layer.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the report.
    title : str
    """
    main = _main(rows)
    panels = []
    for measure, heading in MEASURES.items():
        mine = [
            {**row, "row": str(row["row"]).removeprefix(f"{measure} ")}
            for row in main
            if str(row["row"]).startswith(f"{measure} ")
        ]
        if mine:
            chart: Any = _layer_lines(mine, size=(360, 320), ends=_ends(main), alone=False)
            panels.append(chart.properties(title=heading))
    layers = list(dict.fromkeys(str(row["row"]).split(" ", 1)[1].rsplit(" ", 1)[0] for row in main))
    return titled(beside(panels, layers, of="Layer"), title, _counts(main), width=760)  # type: ignore[no-any-return]


def plot_selectivity(rows: Sequence[Row], *, title: str = "") -> "alt.LayerChart":
    """Draw the AuE of every filter, and the mean of those that are as selective or more.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the analysis.
    title : str
    """
    import altair as alt

    points = [
        {
            "share": row["rank"] / len(rows),
            "rank": row["rank"],
            "channel": row["channel"],
            "aue": row["aue"],
            "mcaue": row["mcaue"],
        }
        for row in rows
    ]
    base = alt.Chart(inline(points)).encode(
        x=alt.X("share:Q", title=SHARE.title, scale=alt.Scale(domain=[0, 1], nice=False))
    )
    tip = told(
        ("channel:Q", "Filter", "d"),
        ("rank:Q", "Rank", "d"),
        ("aue:Q", "AuE, nats", ".3f"),
        ("mcaue:Q", "MCAuE, nats", ".3f"),
    )
    up = alt.Scale(zero=True)
    dots = base.mark_point(color=CATEGORIES[1], size=28, opacity=0.8, shape="circle").encode(
        y=alt.Y("aue:Q", title="Area under the entropy curve (nats)", scale=up), tooltip=tip
    )
    line = base.mark_line(color=CATEGORIES[0], strokeWidth=2).encode(y="mcaue:Q")
    chart = alt.layer(dots, line).properties(width=520, height=300)
    note = f"n = {len(rows)} filters. Circles: a filter; line: the mean of those up to it (MCAuE)."
    return titled(chart, title, note)  # type: ignore[no-any-return]


def plot_curve(rows: Sequence[Row], *, title: str = "") -> "alt.LayerChart":
    """Draw the entropy of the labels against the threshold, a stepped line a filter.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the analysis.
    title : str
    """
    points = []
    for channel in dict.fromkeys(row["channel"] for row in rows):
        mine = [row for row in rows if row["channel"] == channel]
        name = f"filter {channel} (AuE {mine[0]['aue']:.2f})"
        # thresholds descend: a height holds down to the next one, the last down to 0
        steps = [(row["threshold"], row["entropy"]) for row in mine]
        points += [{"line": name, "x": x, "y": y} for x, y in [*steps, (0.0, steps[-1][1])]]
    chart = line_chart(
        points,
        x=Axis("Threshold / largest score of the filter", ends=(0, 1), format=".3f"),
        y=Axis("Entropy of the labels at or above it (nats)", format=".3f"),
        of="Filter",
        step=True,
    )
    counts = [
        max(int(r["count"]) for r in rows if r["channel"] == c)
        for c in dict.fromkeys(r["channel"] for r in rows)
    ]
    n = f"{counted(counts, 'samples that a filter responds to')}."
    what = "AuE: the area below the line, in nats; less is more selective."
    return titled(chart, title, n, what)  # type: ignore[no-any-return]
