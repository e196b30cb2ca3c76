"""Figure 6's maps as a chart: one filter at a time, a panel an ablation."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fstore.queries.cells.needs import SAMPLE
from fstore.queries.figures.parts import PICK, inline, titled, told
from fstore.queries.figures.plots import Row
from fstore.queries.samples.ablations import ABLATIONS
from fstore.words import worded

if TYPE_CHECKING:
    import altair as alt

__all__ = ["plot_maps"]

SIDE = 170
"""Pixels of a panel."""


TIP = (
    ("filter:N", "Filter"),
    ("ablation:N", "After"),
    ("row:O", "Row"),
    ("col:O", "Column"),
    ("value:Q", "Response", ".4~g"),
)


def plot_maps(rows: Sequence[Row], *, title: str = "") -> "alt.TopLevelMixin":
    """Draw the response map of a filter after each ablation; a page can choose the filter.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of Figure 6.
    title : str
    """
    import altair as alt

    cells = _cells(rows)
    filters = list(dict.fromkeys(str(c["filter"]) for c in cells))
    ablations = list(dict.fromkeys(str(c["ablation"]) for c in cells))
    heat = alt.Color(
        "share:Q",
        title=["Share of the filter's", "largest response"],
        scale=alt.Scale(domain=[0, 1], range=["#eef3f8", "#5b93c4", "#08306b"]),
    )
    bare = alt.Axis(labels=False, ticks=False, domain=False)
    panel = (
        alt.Chart()
        .mark_rect(stroke="#9aa3ad", strokeWidth=0.3)
        .encode(
            x=alt.X("col:O", title=None, axis=bare, scale=_places(cells, "col")),
            y=alt.Y("row:O", title=None, axis=bare, scale=_places(cells, "row")),
            color=heat,
            tooltip=told(*TIP),
        )
        .properties(width=SIDE, height=SIDE)
    )
    chart: Any = panel.facet(
        alt.Facet(
            "ablation:N",
            sort=ablations,
            header=alt.Header(title=None, labelFontSize=11, labelLimit=160),
        ),
        data=inline(cells),
        columns=5,
        spacing=18,
    )
    bind = alt.binding_select(options=filters, name="Filter ")
    chart = chart.add_params(alt.param(name=PICK, value=filters[0], bind=bind))
    chart = chart.transform_filter(f"datum.filter == {PICK}")
    what = "One sample; binarized: 1 where it responds. A single place: one value is left of a map."
    chart = chart.properties(usermeta={"square": True})
    return titled(chart, title, what, width=900)  # type: ignore[no-any-return]


def _places(cells: Sequence[Row], key: str) -> "alt.Scale":
    import altair as alt

    return alt.Scale(domain=list(range(1 + max(int(c[key]) for c in cells))))


def _cells(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return every place of every map, its response, and that as a share of what is most."""
    maps: dict[tuple[str, str], dict[tuple[int, int], float]] = {}
    for row in rows:
        if not str(row["row"]).startswith(SAMPLE):
            channel, ablation = str(row["row"]).split(" ")
            r, c = map(int, str(row["col"]).split(" "))
            maps.setdefault((channel, ablation), {})[r, c] = float(row["value"] or 0)
    cells: list[dict[str, Any]] = []
    for entry in ABLATIONS:
        for (channel, ablation), values in maps.items():
            if ablation == entry.name:
                whole = maps[channel, "none"]
                peak = 1.0 if entry.meta["binary"] else max(*whole.values(), 0.0)
                cells += _map(channel, worded(ablation), values, whole=whole, peak=peak)
    return cells


def _map(
    channel: str,
    ablation: str,
    values: Mapping[tuple[int, int], float],
    *,
    whole: Mapping[tuple[int, int], float],
    peak: float,
) -> list[dict[str, Any]]:
    """Return a map's places; what is left of one, a single value, stands in the middle."""
    alone = len(values) == 1 and len(whole) > 1
    middle = tuple(max(place[i] for place in whole) // 2 for i in (0, 1))
    return [
        {
            "filter": channel,
            "ablation": ablation,
            "row": middle[0] if alone else row,
            "col": middle[1] if alone else col,
            "value": value,
            "share": max(0.0, value) / peak if peak > 0 else 0.0,
        }
        for (row, col), value in values.items()
    ]
