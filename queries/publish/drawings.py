"""What is drawn of an exhibit: the interactive chart, the file of the static one, a thumbnail."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fstore.queries.cells.needs import ROW_COLUMNS
from fstore.queries.figures.plots import save_plot
from fstore.queries.publish.charts import LOOKS_OF_CHARTS, Chart, chart_of
from fstore.queries.publish.exhibits import Exhibit
from fstore.queries.publish.render import script_json
from fstore.queries.publish.thumbnails import write_thumbnail
from fstore.queries.publish.titles import report_title
from fstore.queries.refresh.show import illustrated
from fstore.queries.reports import report_of
from fstore.queries.studies.study import Study

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["Drawing", "draw"]


@dataclass(frozen=True, slots=True)
class Drawing:
    """An exhibit's charts.

    Attributes
    ----------
    chart : Chart or None
        The interactive one.
    spec : str
        JSON for the script.
    drawn : bool
        Whether the static one's file is there.
    is_picture : bool
        Whether that is a picture of its own, and shows what the interactive chart does not.
    small : tuple of int or None
        Width and height of the thumbnail, if there is one.
    unseen : tuple of str
        Why something is not drawn.
    """

    chart: Chart | None
    spec: str
    drawn: bool
    is_picture: bool
    small: tuple[int, int] | None
    unseen: tuple[str, ...]


def draw(store: "Store", study: Study, shown: Exhibit, *, folder: Path) -> Drawing:
    """Draw an exhibit and write the files, ``NAME.svg`` and ``NAME-small.png``.

    What cannot be drawn is left out, and said.

    Parameters
    ----------
    store : Store
    study : Study
    shown : Exhibit
    folder : Path
        Where the files go.
    """
    from altair.utils.schemapi import debug_mode

    unseen: list[str] = []
    report = report_of(study, shown.name)
    svg, png = folder / f"{shown.name}.svg", folder / f"{shown.name}-small.png"
    with debug_mode(False):  # not each part of a chart is held against Vega-Lite's schema
        chart = _tried(lambda: chart_of(shown.rows, report, title=shown.title), unseen)
        drawn = _tried(lambda: _saved(store, study, shown, out=svg), unseen)
    small = _tried(lambda: write_thumbnail(svg, png), unseen) if drawn else None
    spec = script_json({"chart": chart.spec, "looks": LOOKS_OF_CHARTS}) if chart else ""
    is_picture = report.meta["chart"] is not None
    return Drawing(chart, spec, bool(drawn), is_picture, small, tuple(unseen))


def _tried(drawing: Callable[[], Any], unseen: list[str]) -> Any:  # noqa: ANN401
    """Return what a function draws; note an error, which is not worth the rest of the page."""
    try:
        return drawing()
    except Exception as error:  # noqa: BLE001 - as said
        unseen.append(str(error) or type(error).__name__)
        return None


def _saved(store: "Store", study: Study, shown: Exhibit, *, out: Path) -> Path | None:
    """Draw the report's own plot; its numbers are written anew beside it, the same."""
    plot = report_of(study, shown.name).meta["plot"]
    if plot is None or not shown.rows:
        return None
    rows = illustrated(store, study, shown.name, rows=shown.rows)
    title = report_title(shown.name, study)
    return save_plot(plot, rows, out, columns=ROW_COLUMNS, overwrite=True, title=title)
