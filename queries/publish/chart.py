"""What charts share: their parts, colours, marks and facets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from fstore.queries.publish.looks import Look

__all__ = ["Chart", "Roles", "plain"]


Rows: TypeAlias = Sequence[Mapping[str, Any]]


Roles: TypeAlias = Mapping[str, str]
"""Checkpoint by role, to say which one ``pretrained`` is."""


Trace: TypeAlias = dict[str, Any]


DASHES = ("dash", "solid", "dot", "dashdot")


LINE_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "x", "cross")
"""Of lines that a scale of colours alone leaves too close."""


SYMBOLS = ("circle-open", "square", "diamond-open", "triangle-up")


CATEGORIES = (
    ("#1f5fa8", "#7db4f0"),
    ("#b84a00", "#f2a065"),
    ("#0a7350", "#58c9a3"),
    ("#8a4b9e", "#cf9be0"),
)
"""Colours of things without an order, on a light and on a dark page."""


INK = ("#3a3f45", "#c9ced6")
"""Of what is neither: the paper's marks, a random filter."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart and what it says to those who do not see it.

    ``facets`` are dicts of ``name``, ``values`` (each with ``value`` and how it is told apart) and
    ``choose``: whether one is shown at a time.
    """

    traces: list[Trace]
    layout: dict[str, Any]
    alt: str
    facets: list[dict[str, Any]] = field(default_factory=list)

    @property
    def spec(self) -> dict[str, Any]:
        """What the page's script reads."""
        return {"traces": self.traces, "layout": self.layout, "facets": self.facets}


def split(name: str, look: Look, roles: Roles) -> dict[str, str]:
    """Return the value of each facet in a series' label; the last words are split off first."""
    return look.parts(name, roles)


def styled(labels: Any, look: Look) -> dict[tuple[str, ...], dict[str, Any]]:  # noqa: ANN401
    """Return colours and strokes or symbols by the values of the facets."""
    listed = list(labels)
    colour_by = look.colour or next(iter(listed[0]))
    shades = colours(list(dict.fromkeys(f[colour_by] for f in listed)), ordered=look.ordered)
    marks = list(dict.fromkeys(f[look.mark] for f in listed)) if look.mark else []
    styles = {}
    steps = list(shades) if by_symbol(look) else []
    for facets in listed:
        light, dark = shades[facets[colour_by]]
        at = marks.index(facets[look.mark]) if look.mark else -1
        styles[tuple(facets.values())] = {
            "light": light,
            "dark": dark,
            "dash": DASHES[at % len(DASHES)] if at >= 0 else "solid",
            "symbol": SYMBOLS[at % len(SYMBOLS)] if at >= 0 else "circle",
        }
        if steps:
            symbol = LINE_SYMBOLS[steps.index(facets[colour_by]) % len(LINE_SYMBOLS)]
            styles[tuple(facets.values())]["symbol"] = symbol
    return styles


def by_symbol(look: Look) -> bool:
    """Whether lines are told apart by their symbols too: their colours run along a scale."""
    return look.kind == "lines" and look.ordered and not look.mark


def colours(values: Sequence[str], *, ordered: bool) -> dict[str, tuple[str, str]]:
    """Return two colours a value: of a scale, if they are ordered or many, else distinct ones."""
    if not ordered and len(values) <= len(CATEGORIES):
        return dict(zip(values, CATEGORIES, strict=False))
    import matplotlib as mpl
    from matplotlib.colors import to_hex

    depth, n = mpl.colormaps["viridis"], max(1, len(values) - 1)
    return {
        value: (to_hex(depth(0.72 * i / n)), to_hex(depth(0.38 + 0.62 * i / n)))
        for i, value in enumerate(values)
    }


def facet_list(
    labels: Any,  # noqa: ANN401 - an iterable of dicts, read twice
    styles: Mapping[tuple[str, ...], Mapping[str, Any]],
    look: Look,
) -> list[dict[str, Any]]:
    """Return the facets that have several values, and how these are told apart."""
    listed = list(labels)
    facets = []
    for name in listed[0]:
        values: dict[str, dict[str, Any]] = {}
        for own in listed:
            style = styles[tuple(own.values())]
            how: dict[str, Any] = {}
            if name == (look.colour or next(iter(own))):
                how |= {"light": style["light"], "dark": style["dark"]}
                how |= {"symbol": style["symbol"]} if by_symbol(look) else {}
            if name == look.mark:
                how |= {"symbol" if look.kind == "points" else "dash": style[told_by(look)]}
            values.setdefault(own[name], {"value": own[name], **how})
        if len(values) > 1:
            choose = name == look.choose
            entry = {"name": name, "values": list(values.values()), "choose": choose}
            facets.append(entry | ({"every": look.every} if choose else {}))
    return facets


def told_by(look: Look) -> str:
    """Return what tells the values of the second facet apart."""
    return "symbol" if look.kind == "points" else "dash"


def plain(text: str) -> str:
    """Return text that Plotly shows as it is: no tag of its own, no placeholder.

    Examples
    --------
    >>> plain("<b>%{x}")
    '&lt;b&gt;%&#123;x}'
    """
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("%{", "%&#123;")):
        text = text.replace(sign, entity)
    return text
