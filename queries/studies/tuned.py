"""The fine-tuned checkpoints of a study: one for each run of a task, and what makes them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec.structs import replace

from fstore.errors import DataError
from fstore.toml_file import Table, Text, Texts

if TYPE_CHECKING:
    from fstore.queries.studies.bound import Bound

__all__ = [
    "MODES",
    "VIEWS",
    "Mode",
    "Task",
    "Tuned",
    "name_tuned",
    "run_seeds",
]

Mode: TypeAlias = Literal["ft", "fc-ft", "scratch"]
MODES: tuple[Mode, ...] = ("ft", "fc-ft", "scratch")
"""All layers are fine-tuned; fully connected ones only; all are trained from initial weights."""

Task: TypeAlias = Literal["classification", "scenes", "detection", "detection_more"]
VIEWS: dict[Task, str] = {
    "classification": "image",
    "scenes": "image",
    "detection": "gt",
    "detection_more": "gt",
}
"""Which samples a checkpoint that is tuned for a task has learned from."""


class Tuned(Table, frozen=True):
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

    task: Task
    mode: Mode
    parent: Text | None = None
    ckpts: Texts = ()

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


def name_tuned(entry: Tuned, where: str, bounds: "Mapping[str, Sequence[Bound]]") -> Tuned:
    """Return an entry ``tuned`` of a study file with its checkpoints, by default names if need be.

    Parameters
    ----------
    entry : Tuned
    where : str
        For messages.
    bounds : mapping of str to sequence of Bound
        The data sets that play each task; they give the number of runs and default names.

    Raises
    ------
    DataError
        The task has no data sets; the mode takes no parent, or needs one; the checkpoints are
        not as many as the runs.
    """
    task, mode = entry.task, entry.mode
    if not bounds.get(task):
        raise DataError(f'{where}.task: no data set is bound to it; add [{task}] with dataset = ""')
    if (mode == "scratch") == (entry.parent is not None):
        says = "starts from no checkpoint; remove" if entry.parent else "needs a"
        raise DataError(f"{where}: {mode} of task '{task}' {says} parent")
    if not entry.ckpts:
        return replace(entry, ckpts=_default_names(entry, bounds[task]))
    runs = run_seeds(bounds[task])
    if len(entry.ckpts) != len(runs):
        raise DataError(
            f"{where}.ckpts: {len(entry.ckpts)} checkpoints for {mode} of task '{task}', which has "
            f"{len(runs)} runs (seeds {', '.join(map(str, runs))}); name one for each"
        )
    return entry


def _default_names(entry: Tuned, bounds: "Sequence[Bound]") -> tuple[str, ...]:
    """Return the names that ``fstore train finetune`` gives; boxes are told from whole images."""
    view = {"detection": "-gt", "detection_more": "-gt-more"}.get(entry.task, "")
    learned = "+".join(bound.dataset for bound in bounds) + view
    name = "-".join(part for part in (entry.parent, learned, entry.mode) if part)
    return tuple(name + (f"-s{seed}" if seed else "") for seed in run_seeds(bounds))
