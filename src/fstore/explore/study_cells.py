"""What the stored reports of studies say of a class; nothing is computed."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from fstore import commands
from fstore.store.schema import TABLES

if TYPE_CHECKING:
    from fstore.explore.contents import Contents
    from fstore.queries.cells.needs import Need
    from fstore.queries.refresh.standing import Standing

__all__ = ["REPORTS_OF_CLASSES", "class_cells"]

REPORTS_OF_CLASSES = ("figure3", "table5", "table10", "figure5")
"""Reports whose cells are about single classes."""

NEIGHBOURS = 3


def class_cells(
    contents: "Contents", dataset: str, name: str
) -> tuple[list[dict[str, Any]], dict[tuple[str, str], str]]:
    """Return the cells about a class that are still right, and which are not there.

    Returns
    -------
    rows : list of dict
        ``study``, ``report``, ``ckpt``, ``layer``, ``view``, ``what``, ``value``, ``n``.
    stale : dict
        Reports and studies that have cells to be computed, and the command that computes them.
    """
    rows: list[dict[str, Any]] = []
    stale: dict[tuple[str, str], str] = {}
    names = dict.fromkeys(row["name"] for row in contents.store.rows("studies").to_pylist())
    for study in names:
        for report in REPORTS_OF_CLASSES:
            what = ("standing", study, report)
            make = partial(_standing, contents, study, report)
            stands = contents.kept(what, tuple(TABLES), make)
            own = [need for need in stands.stamps if need.readings[0].samples.dataset == dataset]
            for need in own:
                told = list(_told(report, need, stands, name))
                rows += [{"study": study, "report": report, **row} for row in told]
            if any(need in stands.stale for need in own):
                place = contents.store.place
                stale[report, study] = commands.report_refresh(place, report, study=study)
    return rows, stale


def _standing(contents: "Contents", study: str, report: str) -> "Standing":
    from fstore.queries.cells.inputs import Inputs
    from fstore.queries.refresh.standing import look
    from fstore.queries.studies.study import load_study

    return look(Inputs.now(contents.store), load_study(contents.store, study), report)


def _told(report: str, need: "Need", stands: "Standing", name: str) -> Iterator[dict[str, Any]]:
    """Yield what a report's fresh cells of one need say of a class."""
    from fstore.queries.cells.needs import TUNED

    read = need.readings[0]
    where = {"ckpt": read.ckpt, "layer": read.layer, "view": read.samples.view}
    kept = stands.kept.get(stands.stamps[need]["fingerprint"], ())
    cells = {(row["row"], row["col"]): row for row in kept}
    if report == "figure3":
        best = f"{name} {need.row} 1"
        wanted = [((best, "ap"), f"AP of {_filter(cells, best)}, percent")]
    elif report == "figure5":
        own = name + (TUNED if need.row == "finetuned" else "")
        others = sorted(
            (row for row in kept if row["row"] == own and row["col"] != name),
            key=lambda row: (-row["value"], row["col"]),
        )
        common = "share of best filters in common with"
        wanted = [((own, row["col"]), f"{common} {row['col']}") for row in others[:NEIGHBOURS]]
    else:
        shares = (("50%", "50 %"), ("90%", "90 %"))
        wanted = [
            ((f"{need.row} {key}", name), f"filters for {text} of the complete AP")
            for key, text in shares
        ]
    for key, what in wanted:
        if row := cells.get(key):
            yield {**where, "what": what, "value": row["value"], "n": row["n"]}


def _filter(cells: "dict[tuple[str, str], dict[str, Any]]", best: str) -> str:
    row = cells.get((best, "channel"))
    return "the best single filter" + (f" ({row['value']:.0f})" if row else "")
