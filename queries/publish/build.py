"""Write the site: its pages, the files beside them, style and script."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fstore.commands import portable
from fstore.queries.figures import vega
from fstore.queries.findings import Finding, check_findings
from fstore.queries.publish import claims as checks
from fstore.queries.publish.drawings import Drawing, draw
from fstore.queries.publish.exhibits import Exhibit, exhibit, names
from fstore.queries.publish.folder import MARKER, check_place, files_of, replaced
from fstore.queries.publish.gallery import gallery
from fstore.queries.publish.glossary import FILE, linked, meaning, terms
from fstore.queries.publish.grid import grid
from fstore.queries.publish.looks import look_of
from fstore.queries.publish.overview import data_sets, highlights, layers_in_words, strongest
from fstore.queries.publish.priors import priors_of
from fstore.queries.publish.render import environment, method
from fstore.queries.publish.sources import Known, Source, sources, write_csv, write_json
from fstore.queries.refresh.driver import brought
from fstore.queries.reports import paper_numbers, report_of
from fstore.queries.studies.study import Study, study_rows
from fstore.types import CheckpointRecord, OnProgress

if TYPE_CHECKING:
    from jinja2 import Environment

    from fstore.store import Store

__all__ = ["build_page"]

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
    every = names(study)
    exhibits = []
    progress("page", 0, len(every), every[0])
    for done in brought(store, study, every, compute=compute, on_progress=on_progress):
        exhibits.append(exhibit(store, study, done))
        progress("page", len(exhibits), len(every), done.report)
    with replaced(out) as folder:
        site = _site(store, study, folder, exhibits=exhibits)
        (folder / "files").mkdir()
        for i, shown in enumerate(exhibits):
            progress("page", i, len(exhibits), f"drawing {shown.name}")
            site.drawings[shown.name] = draw(store, study, shown, folder=folder / "files")
            _write_exhibit(site, shown)
        _write_rest(site)
    return out / "index.html"


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
    drawings: dict[str, Drawing] = field(default_factory=dict)

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
    origin = sources(shown, site.known)
    look = look_of(shown.name)
    marks = checks.marks_of(site.findings, shown.name)
    table = grid(
        shown,
        look,
        marks,
        roles=site.roles,
        paper_row=report_of(site.study, shown.name).meta["paper_row"],
    )
    write_json(shown, origin, own.with_suffix(".json"))
    if shown.rows:
        write_csv(shown.rows, own.with_suffix(".csv"))
    text = site.templates.get_template("report.html").render(
        here=shown.name,
        shown=shown,
        look=look,
        table=table,
        drawing=site.drawings[shown.name],
        priors=priors_of(site.store, site.study, shown.name) if look.priors else None,
        origin=origin,
        method=method(shown.name, site.study),
        papers=_papers(site.study, shown),
        about=checks.about(site.findings, shown.name),
        near=_near(site.exhibits, shown),
    )
    (site.folder / f"{shown.name}.html").write_text(linked(text), encoding="utf-8")


def _papers(study: Study, shown: Exhibit) -> dict[str, dict[str, float]]:
    """Return the paper's whole table by row and column, if it has numbers that we have not."""
    meta = report_of(study, shown.name).meta
    file, paper_row = meta["paper"], meta["paper_row"]
    numbers = paper_numbers(file) if file else {}
    ours = {(paper_row(row["row"]), row["col"]) for row in shown.rows}
    papers: dict[str, dict[str, float]] = {}
    if numbers.keys() <= ours:
        return papers
    look = look_of(shown.name)
    for (row, col), value in numbers.items():
        line, column = (look.col_text(col), row) if look.turned else (row, look.col_text(col))
        papers.setdefault(line, {})[column] = value
    return papers


def _near(exhibits: Sequence[Exhibit], shown: Exhibit) -> tuple[Exhibit | None, Exhibit | None]:
    """Return the exhibits before and after one."""
    at = exhibits.index(shown)
    before = exhibits[at - 1] if at else None
    return before, exhibits[at + 1] if at + 1 < len(exhibits) else None


def _write_rest(site: _Site) -> None:
    """Write the index, the findings' page, the script and style, and the marker."""
    pages: dict[str, dict[str, Any]] = {"index.html": _front(site)}
    if site.findings:
        pages["findings.html"] = {}
    pages[FILE] = {"terms": terms(), "meaning": meaning}
    for file, more in pages.items():
        page = site.templates.get_template(file)
        text = page.render(here=file.removesuffix(".html"), **more)
        text = text if file == FILE else linked(text)
        (site.folder / file).write_text(text, encoding="utf-8")
    assets = site.folder / "assets"
    assets.mkdir()
    (assets / "vega.js").write_text(vega.script(), encoding="utf-8")
    (assets / "chart.js").write_text(vega.drawing_script(), encoding="utf-8")
    for name in ASSETS:
        source = files("fstore.queries.publish").joinpath("assets", name)
        (assets / name).write_bytes(source.read_bytes())
    written = sorted(path.as_posix() for path in (*files_of(site.folder), Path(MARKER)))
    marker = {"made_by": "fstore report build", "study": site.study.name, "files": written}
    (site.folder / MARKER).write_text(json.dumps(marker) + "\n", encoding="utf-8")


def _front(site: _Site) -> dict[str, Any]:
    """Return what the overview says, beside what all pages know."""
    first = strongest(site.exhibits, site.findings)
    return {
        "bound": study_rows(site.study),
        "checkpoints": _tree(site),
        "data": data_sets(site.store, site.study),
        "highlights": highlights(site.store, site.study, site.exhibits, findings=site.findings),
        "first": first,
        "drawing": site.drawings[first.name] if first else None,
        "drawings_of": site.drawings,
        "gallery": gallery(site.store, site.study, site.exhibits, folder=site.folder),
        "layers_in_words": layers_in_words(site.study.layers),
    }


def _tree(site: _Site) -> list[tuple[str, CheckpointRecord]]:
    """Return the checkpoints that are read, as a tree: the branch before each, and the record."""
    from fstore.queries.studies.lineage import lineage

    read: Mapping[str, Source] = {
        key: source for shown in site.exhibits for key, source in sources(shown, site.known).items()
    }
    used = {(c["network"], c["name"]) for source in read.values() for c in source.checkpoints}
    return [(d.branch, d.record) for d in lineage([r for k, r in site.known.items() if k in used])]
