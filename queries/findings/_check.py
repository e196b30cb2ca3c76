"""Judge every claim by the numbers of a study, or by the paper's own."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from fstore.queries.cells.needs import ROW_COLUMNS, Row
from fstore.queries.findings._api import CLAIMS, Facts, Finding, Judgement, SweepPoint, Verdict
from fstore.queries.findings._enough import test_sets, too_few, without
from fstore.queries.findings._judging import said_of_cell, with_notes
from fstore.queries.findings._paper import paper_facts
from fstore.queries.findings._tested import TestSet
from fstore.queries.refresh.driver import Brought, brought
from fstore.queries.studies.study import Study
from fstore.registry import Entry
from fstore.types import OnProgress

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["check_findings", "paper_findings", "study_facts"]


def check_findings(
    store: "Store", study: Study, *, compute: bool, on_progress: OnProgress | None = None
) -> list[Finding]:
    """Return what a study's numbers say of each of the paper's claims, in the paper's order.

    Parameters
    ----------
    store : Store
    study : Study
    compute : bool
        Compute and store what is stale or absent of the reports that claims read; else only what
        is stored and still right is looked at.
    on_progress : callable or None

    Returns
    -------
    list of Finding
        A claim that lacks numbers has the verdict ``not enough data``, and says what it lacks.
    """
    facts = study_facts(store, study, compute=compute, on_progress=on_progress)
    paper = {finding.name: finding for finding in paper_findings()}
    return [_beside(finding, paper[finding.name]) for finding in _findings(facts)]


def paper_findings() -> list[Finding]:
    """Return the same checks on the paper's own tables.

    The paper gives standard deviations for some of them (in Tables 1, 2, 3, 4 and 7), which our
    copy leaves out: the error of its test sets stands in. Of figures, and of retrieval, it has no
    numbers.
    """
    return _findings(paper_facts())


def study_facts(
    store: "Store", study: Study, *, compute: bool, on_progress: OnProgress | None = None
) -> Facts:
    """Return what claims are judged by; parameters as :func:`check_findings`."""
    from fstore.queries.cells.inputs import Inputs

    names = list(dict.fromkeys(name for entry in CLAIMS for name in entry.meta["reports"]))
    reports = list(brought(store, study, names, compute=compute, on_progress=on_progress))
    frozen = Inputs.now(store).store
    rows: dict[str, Sequence[Row]] = {}
    sets: dict[str, dict[str, TestSet]] = {}
    notes = {done.report: done.note for done in reports if done.note}
    wanted = {d.report: {(n.row, n.col) for n in d.standing.needs} for d in reports if _is_asked(d)}
    for done in reports:
        if done.raised is None:
            needs = done.standing.needs
            thin = too_few(frozen, needs)
            sets[done.report] = test_sets(frozen, done.report, needs)
            own = [
                {**row, "draws": stored["draws"]}
                for row, stored in zip(done.rows, done.standing.rows, strict=True)
            ]
            rows[done.report] = without(own, needs, thin)
            if note := " ".join(dict.fromkeys(filter(None, [done.note, *thin.values()]))):
                notes[done.report] = note
    flat = _flat_layers(store, study.network)
    return Facts(
        rows,
        study.layers,
        tuple(layer for layer in study.layers if layer in flat),
        study.mid_layer or "",
        study.top_layer or "",
        _snapshots(store, study),
        notes,
        wanted,
        sets,
    )


def _is_asked(done: Brought) -> bool:
    """Whether the study binds a report, also one whose inputs are not registered."""
    return done.raised is None or bool(done.standing.needs)


def _flat_layers(store: "Store", network: str) -> set[str]:
    """Return the layers on record that have one number a channel and no map."""
    rows = store.rows("layers", network=network).to_pylist()
    return {row["layer"] for row in rows if row["height"] * row["width"] == 1}


def _snapshots(store: "Store", study: Study) -> tuple[SweepPoint, ...]:
    """Return the sweep, with what the recipes of its checkpoints know."""
    records = {record.name: record for record in store.checkpoints(study.network)}
    snapshots = []
    for name in study.sweep:
        if (record := records.get(name)) is None:
            snapshots.append(SweepPoint(name))
            continue
        held = json.loads(record.recipe).get("held_out_accuracy")
        held = held if held is not None and isfinite(held) else None
        snapshots.append(SweepPoint(name, record.iteration, held))
    return tuple(snapshots)


def _findings(facts: Facts) -> list[Finding]:
    entries = sorted(CLAIMS, key=lambda entry: _place(entry.meta["sections"][0]))
    return [_finding(entry, entry.function(facts), facts) for entry in entries]


def _place(section: str) -> tuple[bool, list[int]]:
    """Return a section's place in the paper; the supplement (``S1.3``) comes last."""
    return section.startswith("S"), [int(part) for part in re.findall(r"\d+", section)]


def _finding(entry: Entry[Any], judged: Judgement, facts: Facts) -> Finding:
    seen = {(n.row["report"], n.row["row"], n.row["col"]): n.row for n in judged.numbers}
    sections, reports = entry.meta["sections"], entry.meta["reports"]
    # what the study does not bind is not missing
    bound = [name for name in reports if name in facts.rows or name in facts.wanted]
    return Finding(
        entry.name,
        entry.meta["says"],
        f"section{'s' if len(sections) > 1 else ''} {', '.join(sections)}",
        judged.verdict.value,
        with_notes(facts, judged.evidence, bound),
        reports,
        [_cell(row, judged.verdict) for row in seen.values()],
        entry.meta["criterion"],
    )


def _cell(row: Row, verdict: Verdict) -> dict[str, Any]:
    own = row.get("agrees")
    said = said_of_cell(verdict, None if own is None else bool(own))
    return {**{column: row.get(column) for column in ROW_COLUMNS}, "agrees": said}


def _beside(finding: Finding, paper: Finding) -> Finding:
    if paper.verdict == Verdict.UNKNOWN:
        return finding
    return replace(finding, paper=f"{paper.verdict}: {paper.evidence}")
