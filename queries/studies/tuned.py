"""The fine-tuned checkpoints of a study: one for each run of a task, and what makes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fstore.errors import DataError
from fstore.queries.studies.toml_values import check_keys, one_of, tables, text, texts

if TYPE_CHECKING:
    from fstore.queries.studies.bound import Bound

__all__ = [
    "MODES",
    "VIEWS",
    "Tuned",
    "parse_tuned",
    "run_seeds",
]

MODES = ("ft", "fc-ft", "scratch")
"""All layers are fine-tuned; fully connected ones only; all are trained from initial weights."""

VIEWS = {
    "classification": "image",
    "scenes": "image",
    "detection": "gt",
    "detection_more": "gt",
}
"""Which samples a checkpoint that is tuned for a task has learned from."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """Checkpoints that were fine-tuned, or trained from scratch, for a task.

    Attributes
    ----------
    task : {"classification", "scenes", "detection", "detection_more"}
        The part of the study whose data sets they learned from.
    mode : {"ft", "fc-ft", "scratch"}
        What learned, see :data:`MODES`.
    parent : str or None
        The checkpoint that fine-tuning started from; None for ``scratch``.
    ckpts : tuple of str
        One for each run of the task, in the order of :func:`run_seeds`.
    """

    task: str
    mode: str
    parent: str | None
    ckpts: tuple[str, ...]

    def __str__(self) -> str:
        origin = f" from {self.parent}" if self.parent else ""
        return f"{self.task}, {self.mode}{origin}: {' '.join(self.ckpts)}"


def run_seeds(bounds: "Sequence[Bound]") -> tuple[int, ...]:
    """Return the seed of each run of a task: those of the data set that has most of them.

    Raises
    ------
    DataError
        Data sets have different numbers of seeds; one with a single seed is in every run.
    """
    if len(counts := {len(bound.seeds) for bound in bounds} - {1}) > 1:
        numbers = " and ".join(map(str, sorted(counts)))
        raise DataError(f"data sets that play one part have {numbers} seeds; give all as many")
    return max((bound.seeds for bound in bounds), key=len)


def parse_tuned(
    value: object, where: str, bounds: "Mapping[str, Sequence[Bound]]"
) -> tuple[Tuned, ...]:
    """Read the entries ``tuned`` of a study file.

    Parameters
    ----------
    value : object
        From TOML.
    where : str
        For messages.
    bounds : mapping of str to sequence of Bound
        The data sets that play each task; they give the number of runs and default names.

    Raises
    ------
    DataError
        A key, task, mode, parent or number of checkpoints is wrong (which one is named).
    """
    found: dict[tuple[str, str, str | None], Tuned] = {}
    for table in tables(value, where, "task, mode, parent, ckpts"):
        entry = _entry(table, where, bounds)
        key = (entry.task, entry.mode, entry.parent)
        if key in found:
            raise DataError(f"{where}: {entry.mode} of task '{entry.task}' is there twice")
        found[key] = entry
    return tuple(found.values())


def _entry(
    table: Mapping[str, object], where: str, bounds: "Mapping[str, Sequence[Bound]]"
) -> Tuned:
    check_keys(table, {"task": True, "mode": True, "parent": False, "ckpts": False}, where)
    task = one_of(table["task"], f"{where}.task", VIEWS)
    mode = one_of(table["mode"], f"{where}.mode", MODES)
    if not bounds.get(task):
        raise DataError(f'{where}.task: no data set is bound to it; add [{task}] with dataset = ""')
    if (mode == "scratch") == ("parent" in table):
        says = "starts from no checkpoint; remove" if "parent" in table else "needs a"
        raise DataError(f"{where}: {mode} of task '{task}' {says} parent")
    parent = text(table["parent"], f"{where}.parent") if "parent" in table else None
    if "ckpts" not in table:
        return Tuned(task, mode, parent, _default_names(task, mode, parent, bounds[task]))
    ckpts, runs = texts(table["ckpts"], f"{where}.ckpts"), run_seeds(bounds[task])
    if len(ckpts) != len(runs):
        raise DataError(
            f"{where}.ckpts: {len(ckpts)} checkpoints for {mode} of task '{task}', which has "
            f"{len(runs)} runs (seeds {', '.join(map(str, runs))}); name one for each"
        )
    return Tuned(task, mode, parent, ckpts)


def _default_names(
    task: str, mode: str, parent: str | None, bounds: "Sequence[Bound]"
) -> tuple[str, ...]:
    """Return the names that ``fstore train finetune`` gives; boxes are told from whole images."""
    view = {"detection": "-gt", "detection_more": "-gt-more"}.get(task, "")
    learned = "+".join(bound.dataset for bound in bounds) + view
    name = "-".join(part for part in (parent, learned, mode) if part)
    return tuple(name + (f"-s{seed}" if seed else "") for seed in run_seeds(bounds))
