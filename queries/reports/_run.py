"""Compute a report's cells for a study, keep them, and reuse those that are still right."""

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from fstore.errors import UnknownNameError
from fstore.queries.reports._api import REPORTS, Need, Reading, Row, Samples, Weights, paper_numbers
from fstore.queries.reports._code import code_version
from fstore.queries.study import Study
from fstore.types import OnProgress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fstore.store import Store
    from fstore.store.files import Partition, StoredFile

__all__ = ["Inputs", "Missing", "Shown", "Standing", "illustrated", "show_report", "standing"]

Lack: TypeAlias = tuple[Reading | Weights, str]
"""What a cell reads and the store does not have, and what exactly is not there."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Cells that cannot be computed: what is lacking, and the command that makes it."""

    rows: tuple[str, ...]
    lack: str
    command: str

    def __str__(self) -> str:
        return f"no {', '.join(self.rows)}: {self.lack}; make it with: {self.command}"


@dataclass(frozen=True, slots=True)
class Shown:
    """A report's rows, and how they came about.

    ``rows`` have the keys ``ROW_COLUMNS``; ``computed`` and ``reused`` count needs (a cell, or a
    series of cells); ``missing`` says which are not there and why.
    """

    rows: list[dict[str, Any]]
    computed: int
    reused: int
    missing: list[Missing]


def show_report(
    store: "Store", study: Study, name: str, *, on_progress: OnProgress | None = None
) -> Shown:
    """Return a report's rows, computing and storing those whose inputs or code changed.

    What is computed is stored as it is done, so that a run that is stopped goes on from there.

    Parameters
    ----------
    store : Store
    study : Study
    name : str
        A registered report.
    on_progress : callable or None

    Returns
    -------
    Shown
        A cell whose activations are missing or incomplete has no row.

    Raises
    ------
    UnknownNameError
        No such report; a data set or split is not registered; no cell can be computed (the
        message has the ``fstore extract`` command).
    DataError
        The study does not bind a part that the report needs.
    """
    found = standing(store, study, name)
    if not found.stamps:
        raise UnknownNameError(
            f"report '{name}' of study '{study.name}' has nothing to show: "
            + "; ".join(str(m) for m in found.missing)
        )
    stale, kept = found.stale, found.kept
    if stale:
        for new in _compute(store, study.name, name, stale, on_progress):
            store.append("reports", new)
        kept = _kept(store, study.name, name)
    rows = [row for stamp in found.stamps.values() for row in kept[stamp["fingerprint"]]]
    paper = REPORTS[name].meta["paper"]
    reused = len(found.stamps) - len(stale)
    return Shown(_with_paper(rows, paper), len(stale), reused, found.missing)


def illustrated(
    store: "Store", study: Study, name: str, rows: Sequence[Row]
) -> list[dict[str, Any]]:
    """Return a report's rows with all that its plot needs, ready to be drawn.

    Parameters
    ----------
    store : Store
    study : Study
    name : str
        A registered report.
    rows : sequence of mapping
        Its rows, as :func:`show_report` gives them.

    Raises
    ------
    DataError
        An image or a file of weights is not there any more.
    """
    add = REPORTS[name].meta["illustrate"]
    return [dict(row) for row in (rows if add is None else add(store, study, rows))]


@dataclass(frozen=True, slots=True)
class Standing:
    """What of a report can be computed, what of it is stored, and what it lacks.

    ``stamps`` has the needs (cells, or series of cells) whose activations are there, ``kept`` the
    stored rows by fingerprint.
    """

    stamps: dict[Need, dict[str, str]]
    kept: dict[str, list[dict[str, Any]]]
    missing: list[Missing]

    @property
    def stale(self) -> dict[Need, dict[str, str]]:
        """The needs that :func:`show_report` would compute."""
        return {
            n: stamp for n, stamp in self.stamps.items() if stamp["fingerprint"] not in self.kept
        }


def standing(store: "Store", study: Study, name: str) -> Standing:
    """Return how a report stands, without computing anything; parameters as :func:`show_report`.

    Raises
    ------
    UnknownNameError
        No such report; a data set or split is not registered.
    DataError
        The study does not bind a part that the report needs.
    """
    needs: Sequence[Need] = REPORTS[name].meta["needs"](store, study)
    inputs = Inputs(store)
    lacks = {need: inputs.lacks(need) for need in needs}
    ready = [need for need in needs if not lacks[need]]
    missing = _missing(store, study, lacks)
    return Standing(_stamps(name, ready, inputs), _kept(store, study.name, name), missing)


def _stamps(name: str, needs: Sequence[Need], inputs: "Inputs") -> dict[Need, dict[str, str]]:
    """Return, for each cell, the columns that say what it is computed from."""
    code = code_version(REPORTS[name].function.__module__)
    stamps = {}
    for need in needs:
        read = json.dumps(inputs.described(need), sort_keys=True)
        text = json.dumps([name, need.row, need.col, read, code])
        fingerprint = hashlib.sha256(text.encode()).hexdigest()
        stamps[need] = {"fingerprint": fingerprint, "code_version": code, "inputs": read}
    return stamps


NO_PROPOSALS = "no proposals"
"""What a cell lacks if the images that it reads were not searched."""

COMMIT_SECONDS = 5
"""What is computed waits no longer than this to be stored together with what comes next."""


def _compute(
    store: "Store",
    study: str,
    name: str,
    stamps: Mapping[Need, Mapping[str, str]],
    on_progress: OnProgress | None,
) -> Iterator[list[dict[str, Any]]]:
    """Yield rows for table ``reports``, all rows of some needs at a time."""
    rows: list[dict[str, Any]] = []
    left = dict(stamps)
    started = time.monotonic()
    for need, cells in REPORTS[name].function(store, list(stamps)):
        now, stamp = _after_all(store), left.pop(need)
        same = {"study": study, "report": name, **stamp, "computed_at": now}
        rows += [{**same, **asdict(cell)} for cell in cells]
        if on_progress is not None:
            on_progress(name, len(stamps) - len(left), len(stamps), f"{need.row} {need.col}")
        if time.monotonic() - started > COMMIT_SECONDS:
            yield rows
            rows, started = [], time.monotonic()
    if left:
        raise RuntimeError(f"report {name} gave no cell for {next(iter(left))}")
    if rows:
        yield rows


def _after_all(store: "Store") -> datetime:
    """Return the time, or the microsecond after the latest stored one if the clock went back."""
    import pyarrow.compute as pc

    latest = pc.max(store.rows("reports")["computed_at"]).as_py()
    now = datetime.now(UTC)
    return now if latest is None else max(now, latest + timedelta(microseconds=1))


def _kept(store: "Store", study: str, name: str) -> dict[str, list[dict[str, Any]]]:
    """Return the stored rows by fingerprint; of one computed twice, the later."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in store.rows("reports", study=study, report=name).to_pylist():
        found[row["fingerprint"]].append(row)
    for fingerprint, rows in found.items():
        latest = max(row["computed_at"] for row in rows)
        found[fingerprint] = [row for row in rows if row["computed_at"] == latest]
    return found


def _with_paper(rows: Sequence[Mapping[str, Any]], paper: str | None) -> list[dict[str, Any]]:
    numbers = paper_numbers(paper) if paper else {}
    columns = ("study", "report", "row", "col", "value", "std", "n")
    return [
        {**{c: row[c] for c in columns}, "paper": numbers.get((row["row"], row["col"]))}
        for row in rows
    ]


@dataclass
class Inputs:
    """What the store has of what reports read; each thing is looked up once."""

    store: "Store"
    _files: dict[tuple[str, str], "dict[Partition, list[StoredFile]]"] = field(default_factory=dict)
    _samples: dict[Samples, "NDArray[np.int64]"] = field(default_factory=dict)
    _unreadable: dict[tuple[str, str], set[int]] | None = None
    _checkpoints: dict[Weights, str] | None = None

    def lacks(self, need: Need) -> list[Lack]:
        """Return what a cell reads and the store lacks."""
        lacks: list[Lack] = [(reading, self.lack(reading)) for reading in need.readings]
        lacks += [(w, "" if self._sha256(w) else "no checkpoint") for w in need.weights]
        return [(what, lack) for what, lack in lacks if lack]

    def described(self, need: Need) -> dict[str, object]:
        """Return what a cell depends on: versions of partitions and samples, and parameters."""
        from fstore.store.versions import partition_version

        partitions = {str(_partition(r)): partition_version(self.files(r)) for r in need.readings}
        samples = {
            " ".join((s.dataset, s.view, s.split, str(s.seed), s.part)): self._version(s)
            for s in dict.fromkeys(r.samples for r in need.readings)
        }
        found = {"partitions": partitions, "samples": samples, "parameters": dict(need.parameters)}
        weights = {f"{w.network}/{w.ckpt}": self._sha256(w) for w in need.weights}
        return found | ({"weights": weights} if weights else {})

    def files(self, reading: Reading) -> "list[StoredFile]":
        """Return the committed files of the partition that a reading is from."""
        key = (reading.network, reading.ckpt)
        if key not in self._files:
            found: dict[Partition, list[StoredFile]] = defaultdict(list)
            for file in self.store.files(network=reading.network, ckpt=reading.ckpt):
                found[file.partition].append(file)
            self._files[key] = found
        return self._files[key].get(_partition(reading), [])

    def lack(self, reading: Reading) -> str:
        """Say what a reading lacks; samples whose image cannot be read are not missed."""
        import numpy as np

        from fstore.store.files import present

        wanted, files = self._wanted(reading.samples), self.files(reading)
        if not len(wanted):
            return NO_PROPOSALS
        if not files:
            return "no activations"
        absent = set(np.setdiff1d(wanted, present(files)).tolist())
        absent -= self._bad(reading.samples)
        if not absent:
            return ""
        return f"activations of {len(wanted) - len(absent)} of {len(wanted)} samples only"

    def _wanted(self, samples: Samples) -> "NDArray[np.int64]":
        """Return the samples of a part of a split, ascending; no proposals if there are none."""
        import numpy as np

        from fstore.store.export import part_samples

        if samples not in self._samples:
            s, ids = samples, np.empty(0, dtype=np.int64)
            try:
                ids = part_samples(
                    self.store, s.dataset, s.view, split=s.split, seed=s.seed, part=s.part
                )
            except UnknownNameError:
                if s.view != "proposal":
                    raise
            self._samples[samples] = ids
        return self._samples[samples]

    def _sha256(self, weights: Weights) -> str:
        """Return the hash of a checkpoint's weights, or nothing."""
        if self._checkpoints is None:
            known = self.store.checkpoints()
            self._checkpoints = {Weights(r.network, r.name): r.sha256 for r in known}
        return self._checkpoints.get(weights, "")

    def _version(self, samples: Samples) -> str:
        return hashlib.sha256(self._wanted(samples).tobytes()).hexdigest()[:16]

    def _bad(self, samples: Samples) -> set[int]:
        """Return the samples of a view whose images some run found unreadable."""
        if self._unreadable is None:
            from fstore.queries.samples import unreadable

            self._unreadable = unreadable(self.store)
        return self._unreadable.get((samples.dataset, samples.view), set())


def _partition(reading: Reading) -> "Partition":
    from fstore.store.files import Partition

    samples = reading.samples
    where = (reading.network, reading.ckpt, samples.dataset, samples.view, reading.layer)
    return Partition(*where)


def _missing(store: "Store", study: Study, lacks: Mapping[Need, Sequence[Lack]]) -> list[Missing]:
    """Put together what one command would make: proposals, a checkpoint, layers of one view."""
    from fstore.queries.tuned import checkpoint_command
    from fstore.store.features import extract_command

    there = {record.name for record in store.checkpoints(study.network)}
    absent: dict[str, list[str]] = defaultdict(list)
    unsearched: dict[str, list[str]] = defaultdict(list)
    together: dict[tuple[str, str, str, str, str], list[tuple[str, Reading]]] = defaultdict(list)
    for need, lacking in lacks.items():
        for what, lack in lacking:
            if isinstance(what, Reading) and lack == NO_PROPOSALS:
                unsearched[what.samples.dataset].append(need.row)
            if isinstance(what, Weights) or what.ckpt not in there:
                absent[what.ckpt].append(need.row)
            elif lack != NO_PROPOSALS:
                s = what.samples
                key = (what.network, what.ckpt, s.dataset, s.view, lack)
                together[key].append((need.row, what))
    unmade = [
        Missing(
            tuple(dict.fromkeys(rows)),
            f"{NO_PROPOSALS} of data set {dataset}",
            study.make.proposals_of(dataset).command,
        )
        for dataset, rows in unsearched.items()
    ]
    unmade += [
        Missing(
            tuple(dict.fromkeys(rows)),
            f"no checkpoint {study.network}/{ckpt}",
            checkpoint_command(study, ckpt),
        )
        for ckpt, rows in absent.items()
    ]
    return unmade + [
        Missing(
            tuple(dict.fromkeys(row for row, _ in found)),
            f"{lack} of {dataset}.{view} at {network}/{ckpt}",
            extract_command(
                _partition(found[0][1]), list(dict.fromkeys(r.layer for _, r in found))
            ),
        )
        for (network, ckpt, dataset, view, lack), found in together.items()
    ]
