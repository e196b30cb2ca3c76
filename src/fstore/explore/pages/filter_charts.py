"""Charts of a filter: its AP by class, one class' curve, responses by class, its entropy curve."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fstore.errors import FstoreError, UnknownNameError
from fstore.explore.choices import beside
from fstore.explore.filters import Aps, Looked, looked_at
from fstore.explore.page import Asked, page
from fstore.explore.pages.filter import CARRIED, filter_address, need_classes
from fstore.explore.pages.filter_pictures import channel_of
from fstore.explore.rendering import embedded

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["filter_aps", "filter_charts"]

MOST = 25
"""Classes that are drawn, best first."""
NARROW = 360
"""Pixels of a chart that has a legend beside it."""
POINTS = 400
"""Thresholds of an entropy curve that are drawn, at most."""
MEASURES = {
    "sp_max": "the largest response of each sample",
    "label": "all places of the maps",
    "weighted": "all places, weighted by their response",
}


@page("/filter-charts", template="filter_charts.html")
def filter_charts(asked: Asked) -> dict[str, object]:
    """Show how a filter responds to the classes, of which one is chosen."""
    looked, channel = looked_at(asked), channel_of(asked)
    measure = asked.one_of("measure", tuple(MEASURES))
    shown: dict[str, object] = {"message": "", "asked": asked, "measures": MEASURES}
    try:
        need_classes(looked)
        aps = filter_aps(looked, channel)
        name = asked.text("class", "\0").strip("\0") or _best(aps)
        if name not in aps.classes:
            raise UnknownNameError(f"no class '{name}'; there are: {', '.join(aps.classes)}")
        about = _About(looked, channel, aps, name)
        drawn = looked.kept(("charts", channel, name, measure), lambda: _drawn(about, measure))
        shown |= {
            "name": name,
            "measure": measure,
            "classes": aps.classes,
            "action": {n: asked.given[n] for n in CARRIED if n in asked.given},
            "p": asked.partition,
            "channel": channel,
            "rows": about.table(asked),
            "which": looked.which,
        }
        return shown | drawn
    except FstoreError as error:
        return shown | {"message": str(error)}


def _drawn(about: "_About", measure: str) -> dict[str, object]:
    charts = [about.aps_chart(), about.curve_chart(), about.histogram_chart()]
    return {"charts": charts, **_entropy(about, measure)}


def filter_aps(looked: Looked, channel: int) -> Aps:
    """Return how well one filter tells the classes; other filters are not read."""
    from fstore.queries.methods.filters import single_filter_aps

    at_11, at_all = single_filter_aps(looked.column(channel)[:, None], looked.Y)
    counts = (looked.Y > 0).sum(axis=0), (looked.Y != 0).sum(axis=0)
    return Aps(looked.classes, at_11, at_all, *counts)


def _best(aps: Aps) -> str:
    """Return the class that is told best."""
    values = np.where(np.isnan(aps.at_11[:, 0]), -1, aps.at_11[:, 0])
    return aps.classes[int(values.argmax())]


@dataclass(frozen=True)
class _About:
    """A filter and the class that is looked at."""

    looked: Looked
    channel: int
    aps: Aps
    name: str

    @property
    def order(self) -> list[int]:
        """The classes with a positive, best told first."""
        values = self.aps.at_11[:, 0]
        return [int(c) for c in np.argsort(-values, kind="stable") if not np.isnan(values[c])]

    def table(self, asked: Asked) -> list[dict[str, Any]]:
        """Return a row a class: AP, prior, positives."""
        aps = self.aps
        return [
            {
                "class": aps.classes[c],
                "ap_11": float(aps.at_11[c, 0]),
                "ap_all": float(aps.at_all[c, 0]),
                "prior": float(aps.priors[c]),
                "positives": int(aps.positives[c]),
                "n": int(aps.n[c]),
                "address": filter_address(asked, **{"class": aps.classes[c]}) + "#charts",
            }
            for c in self.order
        ]

    def aps_chart(self) -> "Markup":
        """Draw AP by class."""
        from fstore.queries.figures.ap_bars import ap_bars

        aps, best = self.aps, self.order[:MOST]
        rows = [
            {"class": aps.classes[c], "ap": float(aps.at_11[c, 0]), "n": int(aps.positives[c]),
             "prior": float(aps.priors[c])}
            for c in best
        ]  # fmt: skip
        more = len(self.order) - len(best)
        notes = [f"The best {MOST} of {len(self.order)} classes."] if more else []
        chart = ap_bars(
            rows, title="Average precision by class", quantity="AP, 11 recalls (percent)",
            mean=False, notes=notes,
        )  # fmt: skip
        return embedded(chart, f"AP of {len(rows)} classes, best {rows[0]['class']}")

    def curve_chart(self) -> "Markup":
        """Draw precision against recall of the class."""
        from fstore.queries.figures.precision_recall import precision_recall
        from fstore.queries.methods.single_filters import curve_rows

        c = self.aps.classes.index(self.name)
        X, Y = self.looked.column(self.channel)[:, None], self.looked.Y[:, [c]]
        points = curve_rows(X, Y, [self.name], top=1)
        rows = [{**row, "ap": row["ap_11"]} for row in points]
        chart = precision_recall(rows, title="Precision and recall")
        return embedded(chart, f"Precision against recall of {self.name}")

    def histogram_chart(self) -> "Markup":
        """Draw the responses to the class, to the two told best besides, and to all others."""
        from fstore.queries.figures.histogram import histogram, histogram_rows

        column, Y = self.looked.column(self.channel), self.looked.Y
        own = self.aps.classes.index(self.name)
        drawn = [own, *[c for c in self.order if c != own][:2]]
        by = {self.aps.classes[c]: column[Y[:, c] > 0] for c in drawn}
        others = column[(Y[:, drawn] < 0).all(axis=1)]
        if len(others):
            by["none of these"] = others
        rows = histogram_rows({name: x for name, x in by.items() if len(x)}, bins=24)
        chart: Any = histogram(rows, title="Largest responses by class")
        return embedded(
            chart.properties(width=NARROW), f"Histogram of responses to {', '.join(by)}"
        )


def _entropy(about: _About, measure: str) -> dict[str, object]:
    """Draw the entropy curve; say why where there is none."""
    from fstore.queries.figures.selectivity import plot_curve

    looked = about.looked
    try:
        rows = _curve(about, measure)
    except FstoreError as error:
        gt = [p for p in beside(looked.contents, looked.partition, "view") if p.view == "gt"]
        return {"entropy": None, "no_entropy": str(error), "gt": gt[0] if gt else None}
    if not rows:
        why = "the filter never responds above 0, so it has no curve"
        return {"entropy": None, "no_entropy": why, "gt": None}
    step = max(1, -(-len(rows) // POINTS))
    drawn: Any = plot_curve([*rows[:-1:step], rows[-1]], title="Entropy curve")
    chart = embedded(drawn.properties(width=NARROW), "Entropy of labels by threshold")
    return {"entropy": chart, "aue": rows[0]["aue"]}


def _curve(about: _About, measure: str) -> list[dict[str, Any]]:
    """Return the rows that ``fstore analyze entropy-curve`` gives."""
    from fstore.queries.methods.entropy import areas, entropy_curve
    from fstore.queries.samples.blocks import Rows, ablated_blocks

    looked, channel = about.looked, about.channel
    labels = looked.labels
    if measure == "sp_max":
        X = looked.column(channel)[:, None, None]
    else:
        blocks = ablated_blocks(
            looked.contents.store, [Rows(looked.partition, looked.ids)], channels=[channel]
        )
        X = next(blocks)[1]
    weighted = measure == "weighted"
    aue = float(areas(X, labels, weighted=weighted)[0])
    curve = entropy_curve(X[:, 0].ravel(), np.repeat(labels, X.shape[2]), weighted=weighted)
    columns = (values.tolist() for values in curve)
    return [
        {"channel": channel, "threshold": t, "entropy": h, "count": n, "aue": aue}
        for t, h, n in zip(*columns, strict=True)
    ]
