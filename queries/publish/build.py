"""Write the site: into a folder beside its place, moved there when it is complete."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from fstore.commands import portable
from fstore.ending import leftover
from fstore.errors import DataError
from fstore.queries.cells.needs import ROW_COLUMNS
from fstore.queries.findings import Finding, check_findings
from fstore.queries.publish import claims as checks
from fstore.queries.publish.chart import Chart
from fstore.queries.publish.exhibits import Exhibit, exhibit, names
from fstore.queries.publish.grid import grid
from fstore.queries.publish.looks import look_of
from fstore.queries.publish.render import environment, method, script_json
from fstore.queries.publish.series import chart_of
from fstore.queries.publish.sources import Known, Source, sources, write_csv, write_json
from fstore.queries.refresh.driver import brought
from fstore.queries.refresh.show import illustrated
from fstore.queries.reports import REPORTS, paper_numbers
from fstore.queries.studies.study import Study, study_rows
from fstore.types import CheckpointRecord, OnProgress
from fstore.words import worded

if TYPE_CHECKING:
    from jinja2 import Environment

    from fstore.store import Store

__all__ = ["MARKER", "build_page", "check_place", "study_of"]

MARKER = "fstore-page.json"
"""File that says that a folder is a site of ours, which may be replaced."""

ASSETS = ("page.css", "page.js")
ROLES = ("pretrained", "finetuned")


def build_page(
    store: "Store",
    study: Study,
    out: Path,
    *,
    compute: bool = True,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
) -> Path:
    """Write a study's tables and figures as a site that opens from its files.

    A report that fails, or lacks something, is shown as such and stops nothing. The site appears
    as a whole: until it is complete, what was there before stays.

    Parameters
    ----------
    store : Store
    study : Study
    out : Path
        Folder: new, empty, or of an earlier site.
    compute : bool
        Compute and store cells that are not stored; else show what is.
    overwrite : bool
        Replace an earlier site.
    on_progress : callable or None

    Returns
    -------
    Path
        ``index.html``.

    Raises
    ------
    DataError
        The folder holds something else, or an earlier site and ``overwrite`` is not given.
    StorageError
        It cannot be written.
    """
    out = out.resolve()
    check_place(out, overwrite=overwrite)
    progress = on_progress or (lambda *_: None)
    every = names()
    exhibits = []
    progress("page", 0, len(every), every[0])
    for done in brought(store, study, every, compute=compute, on_progress=on_progress):
        exhibits.append(exhibit(store, study, done))
        progress("page", len(exhibits), len(every), done.report)
    with _replaced(out) as folder:
        site = _site(store, study, folder, exhibits=exhibits)
        for i, shown in enumerate(exhibits):
            progress("page", i, len(exhibits), f"drawing {shown.name}")
            _write_exhibit(site, shown)
        _write_rest(site)
    return out / "index.html"


def check_place(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder of something else, and an earlier site unless it may be replaced.

    Raises
    ------
    DataError
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise DataError(f"{out} is a file; name a new folder for the page")
    if (out / MARKER).is_file():
        if not overwrite:
            raise DataError(f"{out} holds a page already; add --overwrite to replace it")
    elif held := next(out.iterdir(), None):
        raise DataError(
            f"{out} is not empty and no page of fstore's (it holds {held.name!r}); "
            "name a new folder"
        )


def study_of(out: Path) -> str | None:
    """Return the study whose site a folder holds, or None."""
    try:
        return str(json.loads((out / MARKER).read_text(encoding="utf-8"))["study"])
    except (OSError, ValueError, KeyError):
        return None


@contextmanager
def _replaced(out: Path) -> Iterator[Path]:
    """Give a new folder that takes the place of ``out`` at the end; after an error it goes."""
    from fstore.store.commits import storage

    new = out.with_name(f".{out.name}.{uuid4().hex[:8]}")
    try:
        with storage(f"cannot write the page to {out}"):
            with leftover(new):
                new.mkdir(parents=True)
                yield new
            _swap(new, out)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _swap(new: Path, out: Path) -> None:
    """Put a folder in the place of another, which goes; if it cannot be, that one stays.

    What somebody else put into the old one is moved over; nothing but fstore's own goes.

    Raises
    ------
    DataError
        A file of somebody else has the name of one of the new site.
    """
    own = _own_files(out)
    if own is None:  # built before sites kept a list: what the new one has too was fstore's
        own = _files_of(new)
    in_the_way = sorted((_files_of(out) - own) & _files_of(new))
    if in_the_way:
        raise DataError(
            f"{out / in_the_way[0]} is not of fstore's making, and the new page has a file of that "
            "name; move yours away"
        )
    old = new.with_name(f"{new.name}.old")
    if out.exists():
        out.rename(old)
    try:
        new.rename(out)
    except OSError:
        if old.exists():
            old.rename(out)
        raise
    for file in sorted(_files_of(old) - own):
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        (old / file).rename(out / file)
    shutil.rmtree(old, ignore_errors=True)  # what is left is fstore's own


def _own_files(out: Path) -> set[Path] | None:
    """Return the files of a site, as its marker lists them; None if it has no list."""
    try:
        files = json.loads((out / MARKER).read_text(encoding="utf-8"))["files"]
        return {Path(file) for file in files}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _files_of(folder: Path) -> set[Path]:
    """List all files below a folder, and links, relative to it."""
    return {
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


@dataclass(frozen=True)
class _Site:
    """What the pages have in common."""

    store: "Store"
    study: Study
    folder: Path
    exhibits: tuple[Exhibit, ...]
    findings: tuple[Finding, ...]
    known: Known
    templates: "Environment"

    @property
    def roles(self) -> dict[str, str]:
        """Checkpoints by role."""
        ckpts = {role: getattr(self.study, role) for role in ROLES}
        return {role: name for role, name in ckpts.items() if name}


def _site(store: "Store", study: Study, folder: Path, *, exhibits: Sequence[Exhibit]) -> _Site:
    from importlib.metadata import version

    findings, error = _found(store, study)
    templates = environment(
        study=study,
        exhibits=exhibits,
        findings=findings,
        findings_error=error,
        verdicts=checks.VERDICTS,
        with_paper=sum(any(r["paper"] is not None for r in e.rows) for e in exhibits),
        built_at=datetime.now(UTC),
        version=version("fstore"),
    )
    records = {(r.network, r.name): r for r in store.checkpoints()}
    return _Site(store, study, folder, tuple(exhibits), tuple(findings), records, templates)


def _found(store: "Store", study: Study) -> tuple[Sequence[Finding], str]:
    """Return the findings on what is stored by now, or why there are none."""
    try:
        findings = check_findings(store, study, compute=False)
        return [replace(f, evidence=portable(f.evidence, store.place)) for f in findings], ""
    except Exception as error:  # noqa: BLE001 - tables and figures are shown all the same
        return (), f"{type(error).__name__}: {error}"


def _write_exhibit(site: _Site, shown: Exhibit) -> None:
    """Write a report's page and its files; what cannot be drawn is left out and said."""
    own = site.folder / "files" / shown.name
    own.parent.mkdir(exist_ok=True)
    origin = sources(shown, site.known)
    write_json(shown, origin, own.with_suffix(".json"))
    look = look_of(shown.name)
    unseen: list[str] = []
    if shown.rows:
        write_csv(shown.rows, own.with_suffix(".csv"))
    chart = _tried(lambda: chart_of(shown.rows, look, site.roles, title=shown.title), unseen)
    drawn = _tried(lambda: _draw(site, shown, own.with_suffix(".svg")), unseen)
    marks = checks.marks_of(site.findings, shown.name)
    paper_row = REPORTS[shown.name].meta["paper_row"]
    table = grid(shown, look, marks, roles=site.roles, paper_row=paper_row)
    text = site.templates.get_template("report.html").render(
        here=shown.name,
        shown=shown,
        look=look,
        table=table,
        chart=chart,
        spec=script_json(chart.spec) if chart else "",
        drawn=bool(drawn),
        unseen=unseen,
        origin=origin,
        method=method(shown.name),
        papers=_papers(shown),
        about=checks.about(site.findings, shown.name),
        near=_near(site.exhibits, shown),
    )
    (site.folder / f"{shown.name}.html").write_text(text, encoding="utf-8")


def _tried(draw: "Callable[[], Chart | Path | None]", unseen: list[str]) -> Any:  # noqa: ANN401
    """Return what a function draws; note an error, which is not worth the rest of the page."""
    try:
        return draw()
    except Exception as error:  # noqa: BLE001 - as said
        unseen.append(str(error) or type(error).__name__)
        return None


def _draw(site: _Site, shown: Exhibit, out: Path) -> Path | None:
    """Draw the report's own plot; its numbers are written anew beside it, the same."""
    from fstore.queries.figures.plots import save_plot

    plot = REPORTS[shown.name].meta["plot"]
    if plot is None or not shown.rows:
        return None
    rows = illustrated(site.store, site.study, shown.name, rows=shown.rows)
    return save_plot(plot, rows, out, columns=ROW_COLUMNS, overwrite=True)


def _papers(shown: Exhibit) -> dict[str, dict[str, float]]:
    """Return the paper's whole table by row and column, if it has numbers that we have not."""
    file = REPORTS[shown.name].meta["paper"]
    numbers = paper_numbers(file) if file else {}
    paper_row = REPORTS[shown.name].meta["paper_row"]
    ours = {(paper_row(row["row"]), row["col"]) for row in shown.rows}
    papers: dict[str, dict[str, float]] = {}
    if numbers.keys() <= ours:
        return papers
    for (row, col), value in numbers.items():
        papers.setdefault(row, {})[worded(col)] = value
    return papers


def _near(exhibits: Sequence[Exhibit], shown: Exhibit) -> tuple[Exhibit | None, Exhibit | None]:
    """Return the exhibits before and after one."""
    at = exhibits.index(shown)
    before = exhibits[at - 1] if at else None
    return before, exhibits[at + 1] if at + 1 < len(exhibits) else None


def _write_rest(site: _Site) -> None:
    """Write the index, the findings' page, the script and style, and the marker."""
    from plotly.offline import get_plotlyjs

    pages = {"index.html": {"bound": study_rows(site.study), "checkpoints": _tree(site)}}
    if site.findings:
        pages["findings.html"] = {}
    for file, more in pages.items():
        page = site.templates.get_template(file)
        text = page.render(here=file.removesuffix(".html"), **more)
        (site.folder / file).write_text(text, encoding="utf-8")
    assets = site.folder / "assets"
    assets.mkdir()
    (assets / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")
    for name in ASSETS:
        source = files("fstore.queries.publish").joinpath("assets", name)
        (assets / name).write_bytes(source.read_bytes())
    written = sorted(path.as_posix() for path in (*_files_of(site.folder), Path(MARKER)))
    marker = {"made_by": "fstore report build", "study": site.study.name, "files": written}
    (site.folder / MARKER).write_text(json.dumps(marker) + "\n", encoding="utf-8")


def _tree(site: _Site) -> list[tuple[str, CheckpointRecord]]:
    """Return the checkpoints that are read, as a tree: the branch before each, and the record."""
    from fstore.queries.studies.lineage import lineage

    read: Mapping[str, Source] = {
        key: source for shown in site.exhibits for key, source in sources(shown, site.known).items()
    }
    used = {(c["network"], c["name"]) for source in read.values() for c in source.checkpoints}
    return [(d.branch, d.record) for d in lineage([r for k, r in site.known.items() if k in used])]
