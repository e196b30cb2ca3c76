"""How a report stands: what is stored, what is stale, what it lacks. Nothing is computed."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fstore.queries.cells.code import code_version
from fstore.queries.cells.inputs import Inputs
from fstore.queries.cells.missing import Missing, what_is_missing
from fstore.queries.cells.needs import REPORTS, Need, needs_of, paper_numbers
from fstore.queries.cells.noted import last_noted
from fstore.queries.studies.study import Study

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["Standing", "standing", "with_paper"]


@dataclass(frozen=True, slots=True)
class Standing:
    """What of a report can be computed, what of it is stored, and what it lacks.

    ``needs`` are all cells, or series of cells; ``stamps`` has those whose activations are there,
    ``kept`` the stored rows by fingerprint, ``noted`` the last row of table ``refreshes`` on the
    report.
    """

    needs: Sequence[Need]
    stamps: dict[Need, dict[str, str]]
    kept: dict[str, list[dict[str, Any]]]
    missing: list[Missing]
    noted: dict[str, Any] | None

    @property
    def stale(self) -> dict[Need, dict[str, str]]:
        """The needs that :func:`show_report` would compute."""
        return {
            n: stamp for n, stamp in self.stamps.items() if stamp["fingerprint"] not in self.kept
        }

    @property
    def cells(self) -> list[str]:
        """The fingerprints of all that can be computed, in order."""
        return [stamp["fingerprint"] for stamp in self.stamps.values()]

    @property
    def noted_cells(self) -> list[str]:
        """The fingerprints of the cells that the history has last, in order."""
        return [] if self.noted is None else list(self.noted["fingerprints"])

    @property
    def is_noted(self) -> bool:
        """Whether nothing is stale, and the history says so."""
        return not self.stale and self.cells == self.noted_cells

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The stored rows of cells that are not stale, in order."""
        return [row for cell in self.cells for row in self.kept.get(cell, ())]


def standing(store: "Store", study: Study, name: str, *, inputs: Inputs | None = None) -> Standing:
    """Return how a report stands, without computing anything.

    Parameters
    ----------
    store : Store
    study : Study
    name : str
        A registered report.
    inputs : Inputs or None
        Of a store at one moment, to look at several reports; None for the present one.

    Raises
    ------
    UnknownNameError
        No such report; a data set or split is not registered.
    DataError
        The study does not bind a part that the report needs.
    """
    inputs = inputs or Inputs.now(store)
    frozen = inputs.store
    needs = needs_of(frozen, study, name)
    lacks = {need: inputs.lacks(need) for need in needs}
    ready = [need for need in needs if not lacks[need]]
    return Standing(
        needs=needs,
        stamps=stamps_of(name, ready, inputs),
        kept=kept_rows(frozen, study.name, name),
        missing=what_is_missing(frozen, study, lacks),
        noted=last_noted(frozen, study.name).get(name),
    )


def stamps_of(name: str, needs: Sequence[Need], inputs: Inputs) -> dict[Need, dict[str, str]]:
    """Return, for each cell, the columns that say what it is computed from."""
    code = code_version(REPORTS[name].function.__module__)
    stamps = {}
    for need in needs:
        cell = {"cell": [need.row, need.col]}
        read = json.dumps(inputs.described(need) | cell, sort_keys=True)
        fingerprint = hashlib.sha256(json.dumps([name, read, code]).encode()).hexdigest()
        stamps[need] = {"fingerprint": fingerprint, "code_version": code, "inputs": read}
    return stamps


def kept_rows(store: "Store", study: str, name: str) -> dict[str, list[dict[str, Any]]]:
    """Return the stored rows by fingerprint; of one computed twice, the later."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in store.rows("reports", study=study, report=name).to_pylist():
        found[row["fingerprint"]].append(row)
    for fingerprint, rows in found.items():
        latest = max(row["computed_at"] for row in rows)
        found[fingerprint] = [row for row in rows if row["computed_at"] == latest]
    return found


def with_paper(rows: Sequence[Mapping[str, Any]], name: str) -> list[dict[str, Any]]:
    """Return stored rows of a report as it shows them, the paper's numbers beside them."""
    paper, paper_row = (REPORTS[name].meta[key] for key in ("paper", "paper_row"))
    numbers = paper_numbers(paper) if paper else {}
    columns = ("study", "report", "row", "col", "value", "std", "n")
    return [
        {**{c: row[c] for c in columns}, "paper": numbers.get((paper_row(row["row"]), row["col"]))}
        for row in rows
    ]
