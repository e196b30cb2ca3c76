"""How a report stands: what is stored, what is stale, what it lacks. Nothing is computed."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from fstore.errors import FstoreError, UnknownNameError
from fstore.queries.cells.code import code_version
from fstore.queries.cells.inputs import Inputs
from fstore.queries.cells.missing import Missing, what_is_missing
from fstore.queries.cells.needs import Need
from fstore.queries.cells.noted import last_noted
from fstore.queries.reports import REPORTS, computes, is_own, needs_of, paper_numbers
from fstore.queries.samples.ablations import ablation_module
from fstore.queries.studies.study import Study, UnboundError
from fstore.queries.studies.ways import dataset_command

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["Standing", "State", "look", "told", "with_paper"]


class State(StrEnum):
    """How a report stands, or what became of it. Whatever lists reports says it in these words.

    ``STALE`` and ``MISSING`` may both be so; stale is said first.
    """

    FRESH = "fresh"
    """All its cells are stored and still right."""
    COMPUTED = "computed"
    """A cell was computed just now."""
    STALE = "stale"
    """A cell that can be computed is not stored, or its code or inputs changed since."""
    MISSING = "missing inputs"
    """What some cells read, or all of them, is not there."""
    LEFT_OUT = "left out"
    """The study does not bind a part that it needs."""
    FAILED = "failed"
    """It has an error."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What of a report can be computed, what of it is stored, and what it lacks.

    ``needs`` are all cells, or series of cells; ``stamps`` has those whose activations are there,
    ``kept`` the stored rows by fingerprint, ``noted`` the last row of table ``refreshes`` on the
    report. ``error`` is why it cannot be told; then there are neither stamps nor rows.
    """

    needs: Sequence[Need] = ()
    stamps: dict[Need, dict[str, str]] = field(default_factory=dict)
    kept: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)
    noted: dict[str, Any] | None = None
    error: Exception | None = None

    @property
    def state(self) -> State:
        """How it stands, in a word."""
        if isinstance(self.error, UnboundError):
            return State.LEFT_OUT
        if self.error is not None:
            return State.MISSING if isinstance(self.error, UnknownNameError) else State.FAILED
        return State.STALE if self.stale else State.MISSING if self.missing else State.FRESH

    @property
    def stale(self) -> dict[Need, dict[str, str]]:
        """The needs that bringing it up would compute."""
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
    def is_settled(self) -> bool:
        """Whether bringing it up changes nothing: no cell is stale, and the history says so."""
        if self.state is State.FAILED:
            return True
        return not self.stale and self.cells == self.noted_cells

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The stored rows of cells that are not stale, in order."""
        return [row for cell in self.cells for row in self.kept.get(cell, ())]


def look(inputs: Inputs, study: Study, name: str) -> Standing:
    """Return how a report stands, without computing anything; what goes wrong is its ``error``.

    Parameters
    ----------
    inputs : Inputs
        Of a store at one moment.
    study : Study
    name : str
        A registered report.
    """
    frozen, needs = inputs.store, list[Need]()
    noted = last_noted(frozen, study.name).get(name)
    try:
        needs += needs_of(frozen, study, name)
        lacks = {need: inputs.lacks(need) for need in needs}
        ready = [need for need in needs if not lacks[need]]
        return Standing(
            needs=needs,
            stamps=stamps_of(name, ready, inputs),
            kept=kept_rows(frozen, study.name, name),
            missing=what_is_missing(frozen, study, lacks),
            noted=noted,
        )
    except Exception as error:  # noqa: BLE001 - the other reports have a right to be looked at
        untold = Standing(needs=needs, noted=noted, error=error)
    if untold.state is not State.MISSING:
        return untold
    return replace(untold, missing=[_unregistered(frozen, study, untold.error)])


def _unregistered(store: "Store", study: Study, error: Exception | None) -> Missing:
    """Say which command registers the data set or the split that an error is about."""
    name = getattr(error, "dataset", None) or "NAME"
    return Missing((), str(error), dataset_command(store, study, name))


def told(error: Exception | None) -> str:
    """Return an error for readers, one that is a bug with its kind; nothing if there is none.

    Examples
    --------
    >>> from fstore.errors import DataError
    >>> told(DataError("no box")), told(KeyError("fc")), told(None)
    ('no box', "KeyError: 'fc'", '')
    """
    if error is None:
        return ""
    return str(error) if isinstance(error, FstoreError) else f"{type(error).__name__}: {error}"


def stamps_of(name: str, needs: Sequence[Need], inputs: Inputs) -> dict[Need, dict[str, str]]:
    """Return, for each cell, the columns that say what it is computed from."""
    stamps = {}
    for need in needs:
        code = code_version(computes(name).__module__, *ablation_modules(need))
        cell = {"cell": [need.row, need.col]}
        read = json.dumps(inputs.described(need) | cell, sort_keys=True)
        fingerprint = hashlib.sha256(json.dumps([name, read, code]).encode()).hexdigest()
        stamps[need] = {"fingerprint": fingerprint, "code_version": code, "inputs": read}
    return stamps


def ablation_modules(need: Need) -> tuple[str, ...]:
    """Return the module of the ablation that a need asks for by name, if it does."""
    return tuple(ablation_module(str(v)) for name, v in need.parameters if name == "ablation")


def kept_rows(store: "Store", study: str, name: str) -> dict[str, list[dict[str, Any]]]:
    """Return the stored rows by fingerprint; of one computed twice, the later."""
    kept: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in store.rows("reports", study=study, report=name).to_pylist():
        kept[row["fingerprint"]].append(row)
    for fingerprint, rows in kept.items():
        latest = max(row["computed_at"] for row in rows)
        kept[fingerprint] = [row for row in rows if row["computed_at"] == latest]
    return kept


def with_paper(rows: Sequence[Mapping[str, Any]], name: str) -> list[dict[str, Any]]:
    """Return stored rows of a report as it shows them, the paper's numbers beside them."""
    paper, paper_row = (
        (None, str) if is_own(name) else (REPORTS[name].meta[key] for key in ("paper", "paper_row"))
    )
    numbers = paper_numbers(paper) if paper else {}
    columns = ("study", "report", "row", "col", "value", "std", "n")
    return [
        {**{c: row[c] for c in columns}, "paper": numbers.get((paper_row(row["row"]), row["col"]))}
        for row in rows
    ]
