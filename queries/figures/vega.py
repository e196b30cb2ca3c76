"""Charts as Vega-Lite: one statement from which come the browser's chart, SVG, PNG and PDF.

A figure's module turns rows into an Altair chart. Nothing here needs a network: vl-convert draws
files, and its script draws in the browser.
"""

import hashlib
import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from fstore.errors import DataError
from fstore.queries.figures.pdf import in_order

if TYPE_CHECKING:
    import altair as alt

    Chart: TypeAlias = alt.TopLevelMixin

__all__ = [
    "CATEGORIES",
    "DPI",
    "SUFFIXES",
    "chart_bytes",
    "config",
    "drawing_script",
    "save_chart",
    "script",
    "spec_of",
]

SUFFIXES = (".png", ".svg", ".pdf")
CATEGORIES = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7f7f7f", "#8c6d00", "#56b4e9", "#e69f00",
)  # fmt: skip
"""Colours of things without an order (Okabe and Ito 2008): told apart by colour-blind readers, and
on a light and a dark ground. Marks or strokes tell them apart in black and white."""
DPI = 150


def config(*, dark: bool = False) -> dict[str, Any]:
    """Return the look of charts: fonts, colours of text and lines; the ground is left open."""
    ink, muted, rule = (
        ("#e6e8eb", "#a6adb7", "#343a42") if dark else ("#1b1e22", "#565c64", "#d8dbdf")
    )
    axis: dict[str, Any] = {
        "labelColor": muted,
        "titleColor": ink,
        "domainColor": muted,
        "tickColor": muted,
    }
    axis |= {
        "gridColor": rule,
        "labelFontSize": 11,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    }
    legend = {"labelColor": ink, "titleColor": muted, "titleFontWeight": "normal"}
    return {
        "background": "transparent" if dark else "white",
        "font": "system-ui, DejaVu Sans, sans-serif",
        "axis": axis,
        "legend": legend,
        "header": {"labelColor": ink, "titleColor": muted},
        "title": {"color": ink, "subtitleColor": muted, "anchor": "start", "fontSize": 13},
        "text": {"color": ink},
        "view": {"stroke": None},
        "range": {"category": list(CATEGORIES)},
    }


def spec_of(chart: "Chart") -> dict[str, Any]:
    """Return a chart as a Vega-Lite statement, without a look of its own.

    Its data stand inside, under ``datasets``, each once however many marks draw them.
    """
    from altair.utils import schemapi

    spec: dict[str, Any] = chart.to_dict(validate=schemapi.DEBUG_MODE)
    spec.pop("config", None)
    datasets: dict[str, Any] = spec.pop("datasets", {})
    _gather(spec, datasets)
    return {**spec, "datasets": datasets} if datasets else spec


def _gather(part: Any, datasets: dict[str, Any]) -> None:  # noqa: ANN401 - any part of a statement
    """Move rows to the datasets, named after what is in them."""
    if isinstance(part, list):
        for each in part:
            _gather(each, datasets)
    if not isinstance(part, dict):
        return
    data = part.get("data")
    if isinstance(data, dict) and "values" in data:
        rows = data.pop("values")
        text = json.dumps(rows, sort_keys=True).encode()
        data["name"] = f"data-{hashlib.sha256(text).hexdigest()[:16]}"
        datasets[data["name"]] = rows
    for key, each in part.items():
        if key != "data":
            _gather(each, datasets)


def chart_bytes(chart: "Chart", suffix: str, *, scale: float = DPI / 72) -> bytes:
    """Draw a chart as a file's bytes: ``.png``, ``.svg`` or ``.pdf``; no browser is needed.

    Raises
    ------
    DataError
        The suffix is another.
    """
    import vl_convert

    if suffix not in SUFFIXES:
        raise DataError(f"cannot draw to '{suffix}'; choose one of {', '.join(SUFFIXES)}")
    spec = {**_seen(spec_of(chart)), "config": config()}
    if suffix == ".svg":
        return str(vl_convert.vegalite_to_svg(spec)).encode()
    if suffix == ".pdf":
        return in_order(bytes(vl_convert.vegalite_to_pdf(spec)))
    return bytes(vl_convert.vegalite_to_png(spec, scale=scale))


def _seen(part: Any) -> Any:  # noqa: ANN401 - any part of a statement
    """Return a statement without the marks that nobody sees: they only hold tooltips."""
    if isinstance(part, list):
        return [_seen(each) for each in part if not _unseen(each)]
    if isinstance(part, dict):
        return {key: own if key == "datasets" else _seen(own) for key, own in part.items()}
    return part


def _unseen(part: Any) -> bool:  # noqa: ANN401
    mark = part.get("mark") if isinstance(part, dict) else None
    return isinstance(mark, dict) and mark.get("opacity") == 0


def save_chart(chart: "Chart", out: Path) -> Path:
    """Draw a chart to a file; its suffix says the format.

    Raises
    ------
    DataError
        The suffix is none of :data:`SUFFIXES`.
    """
    drawn = chart_bytes(chart, out.suffix)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(drawn)
    return out


def script() -> str:
    """Return the script that draws charts in a browser: ``vegaEmbed`` and what it needs."""
    import vl_convert

    return str(vl_convert.javascript_bundle(None))  # type: ignore[arg-type]  # all of it


def drawing_script() -> str:
    """Return the script that fits charts to their boxes: ``fstoreChart``; it needs :func:`script`.

    ``fstoreChart(box, spec, {looks: {light, dark}, isDark, bind})`` draws, follows the width of its
    box, and returns a function that draws anew, for a change of theme.
    """
    return files("fstore.queries.figures").joinpath("chart.js").read_text(encoding="utf-8")
