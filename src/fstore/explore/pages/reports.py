"""The study's reports, live: how each stands, what is stale and why, and the command that helps."""

from typing import TYPE_CHECKING, Any

from fstore import commands
from fstore.errors import UnknownNameError
from fstore.explore.page import Asked, page
from fstore.explore.rendering import embedded
from fstore.queries.reports import report_of
from fstore.store.schema import TABLES

if TYPE_CHECKING:
    from markupsafe import Markup
    from starlette.responses import Response

    from fstore.queries.publish.exhibits import Exhibit
    from fstore.queries.refresh.listing import ReportState
    from fstore.queries.studies.study import Study

__all__ = ["picture", "report", "reports", "standings"]

WORDS = {
    "fresh": "up to date",
    "stale": "out of date",
    "missing inputs": "inputs missing",
    "left out": "not in this study",
    "failed": "failed",
}
"""What a state is called."""


@page("/reports", template="reports.html", nav="Reports")
def reports(asked: Asked) -> dict[str, object]:
    """Show the studies, and those parts of the chosen one that it binds."""
    from fstore.queries.studies.study import study_rows

    names = _studies(asked)
    study = _study(asked) if names else None
    return {
        "names": names,
        "study": study,
        "bound": study_rows(study) if study else [],
        "refresh": commands.report_refresh(asked.store.place, study=study.name) if study else "",
        "build": commands.report_build(asked.store.place, "page") if study else "",
    }


@page("/reports/list", template="reports_list.html")
def standings(asked: Asked) -> dict[str, object]:
    """Show how each report stands; nothing is computed."""
    study = _study(asked)
    listed = asked.contents.kept(
        ("states", study.name), tuple(TABLES), lambda: _states(asked, study)
    )
    place = asked.store.place
    refresh = {s.name: commands.report_refresh(place, s.name, study=study.name) for s in listed}
    return {"study": study, "states": listed, "words": WORDS, "refresh": refresh}


@page("/report", template="report.html")
def report(asked: Asked) -> dict[str, object]:
    """Show one report: what is stored of it, as the paper's table, and why more is not there."""
    name = asked.text("name")
    study = _study(asked)
    meta = report_of(study, name).meta
    shown = asked.contents.kept(
        ("report", study.name, name), tuple(TABLES), lambda: _shown(asked, study, name)
    )
    show = commands.report_show(asked.store.place, name, study=study.name)
    refresh = commands.report_refresh(asked.store.place, name, study=study.name)
    return {
        "study": study,
        "name": name,
        "meta": meta,
        "show": show,
        "refresh": refresh,
        **shown,
    }


def _studies(asked: Asked) -> list[str]:
    """Return the names of the studies that were set, the last one first."""
    rows = asked.store.rows("studies").to_pylist()
    rows.sort(key=lambda row: row["set_at"], reverse=True)
    return list(dict.fromkeys(str(row["name"]) for row in rows))


def _study(asked: Asked) -> "Study":
    from fstore.queries.studies.study import load_study

    return load_study(asked.store, asked.given.get("study") or None)


def _states(asked: Asked, study: "Study") -> "list[ReportState]":
    from fstore.queries.refresh.listing import states

    return states(asked.store, study)


def _shown(asked: Asked, study: "Study", name: str) -> dict[str, Any]:
    """Return the stored cells of a report that are still right, and what is lacking."""
    from fstore.queries.cells.needs import BESIDE
    from fstore.queries.publish.exhibits import exhibit
    from fstore.queries.publish.paper_tables import dressed, table_grid
    from fstore.queries.refresh.driver import brought

    (done,) = brought(asked.store, study, [name], compute=False)
    seen = exhibit(asked.store, study, done)
    dress, meta = dressed(study, name), report_of(study, name).meta
    main = [row for row in seen.rows if BESIDE not in row["col"]]
    is_table = bool(main) and bool(meta["paper"] or meta["columns"])
    grid = table_grid(main, word=dress["word"], spread=str(dress["spread"])) if is_table else None
    pictured = meta["plot"] is not None and meta["chart"] is not None and bool(main)
    return {
        "seen": seen,
        "grid": grid,
        "rows": [] if is_table else main,
        "chart": _chart(study, seen),
        "is_pictured": pictured,
    }


def _chart(study: "Study", seen: "Exhibit") -> "Markup | str":
    """Return the report's chart; empty where it has none, or its rows cannot be drawn."""
    from fstore.queries.publish.charts import chart_of

    chart = chart_of(seen.rows, report_of(study, seen.name), title=seen.title)
    return "" if chart is None else embedded(chart.spec, chart.alt)


@page("/report.png")
def picture(asked: Asked) -> "Response":
    """Return the picture of a report that is one: filters, maps over images."""
    from starlette.responses import Response

    study, name = _study(asked), asked.text("name")
    if report_of(study, name).meta["chart"] is None:
        raise UnknownNameError(f"report '{name}' has no picture")
    key = ("picture", study.name, name)
    data = asked.contents.kept(key, tuple(TABLES), lambda: _drawn(asked, study, name))
    return Response(data, media_type="image/png", headers={"cache-control": "private, max-age=60"})


def _drawn(asked: Asked, study: "Study", name: str) -> bytes:
    from fstore.queries.figures.plots import drawing_bytes
    from fstore.queries.refresh.driver import brought
    from fstore.queries.refresh.show import illustrated

    (done,) = brought(asked.store, study, [name], compute=False)
    rows = illustrated(asked.store, study, name, rows=done.rows)
    return drawing_bytes(report_of(study, name).meta["plot"](rows), ".png")
