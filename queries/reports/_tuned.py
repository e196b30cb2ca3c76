"""What Tables 1, 2 and 4 share: a task's runs, each on the features of its own checkpoint."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fstore.queries.cells.needs import Cell, Need, Reading
from fstore.queries.reports._classify import (
    Measure,
    accuracies,
    classified,
    mean_aps,
    samples_of,
    spread,
)
from fstore.queries.reports._detect import detected, detector_readings
from fstore.queries.studies.study import Study, UnboundError
from fstore.queries.studies.tasks import TASKS, role_of, task_row
from fstore.queries.studies.tuned import run_seeds

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = [
    "task_cells",
    "task_needs",
]


@dataclass(frozen=True, slots=True)
class Task:
    """How a task is measured; ``measure`` is None where it is by detectors.

    ``own`` names the column of what the networks' own classifiers reach, ``recorded`` what their
    training calls it in the checkpoints' recipes; empty where theirs is another task.
    """

    measure: "Measure | None" = None
    own: str = ""
    recorded: str = ""


MEASURES = {
    "scenes": Task(accuracies, "softmax", "held_out_accuracy"),
    "classification": Task(mean_aps, "sigmoid_all_points", "held_out_mean_ap"),
    "detection": Task(),
    "detection_more": Task(),
}
"""By part of the study."""


OWN = "own classifier of "
"""Name of a need's parameter, with the checkpoint's: what its own classifier reached."""


def task_needs(
    store: "Store", study: Study, columns: Mapping[str, tuple[str, str | None]]
) -> list[Need]:
    """Return a need for each task of a study and each column that it has checkpoints for.

    Parameters
    ----------
    store : Store
    study : Study
    columns : mapping
        ``col`` to mode and parent of the checkpoints that were tuned; mode ``pretrain`` stands
        for the parent as it is.

    Raises
    ------
    UnboundError
        The study binds no such checkpoints, or no ``top_layer``.
    """
    needs = []
    for task in study.tuned_tasks(TASKS):
        for col, (mode, parent) in columns.items():
            entry = study.tuned_for(task, mode, parent)
            if mode == "pretrain" and parent is not None:
                ckpts = (parent,) * len(run_seeds(study.bound(task)))
                needs.append(_need(store, study, task, col=col, ckpts=ckpts))
            elif entry is not None:
                need = _need(store, study, task, col=col, ckpts=entry.ckpts)
                needs.append(_with_own(store, need))
    if not needs:
        modes = " or ".join(f"{mode} from {parent}" for mode, parent in columns.values())
        raise UnboundError(f"study '{study.name}' has no checkpoints among 'tuned' of mode {modes}")
    return needs


def _need(store: "Store", study: Study, task: str, *, col: str, ckpts: Sequence[str]) -> Need:
    """Return a cell's need: of every run, one checkpoint's features of one seed of the split."""
    layer, bounds = study.layer("top_layer"), study.bound(task)
    readings: list[Reading] = []
    for run, ckpt in enumerate(ckpts):
        if MEASURES[task].measure is None:
            readings += detector_readings(
                store, bounds, network=study.network, ckpt=ckpt, layer=layer, run=run
            )
        else:
            parts = samples_of(store, bounds, "image", run=run)
            readings += [Reading(study.network, ckpt, layer, samples) for samples in parts]
    parameters = (("ablation", "none"), ("shuffle_seed", study.seeds[0]))
    row = task_row(task, (bound.dataset for bound in bounds))
    return Need(row, col, tuple(readings), parameters)


def _with_own(store: "Store", need: Need) -> Need:
    """Add what the networks' own classifiers reached on test, where their training recorded it.

    Training that learned from train alone has recorded it on val, which is something else.
    """
    key = MEASURES[role_of(need.row)].recorded
    names = dict.fromkeys(reading.ckpt for reading in need.readings if key)
    texts = {r.name: r.recipe for r in store.checkpoints(need.readings[0].network)}
    recipes = {name: json.loads(texts.get(name, "{}")) for name in names}
    own = [
        (OWN + name, 100 * float(recipe[key]))
        for name, recipe in recipes.items()
        if recipe.get("trainval") and np.isfinite(recipe.get(key, np.nan))
    ]
    return replace(need, parameters=(*need.parameters, *own))


def task_cells(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield mean and deviation over runs of what linear SVMs reach on the test part.

    Beside it, where it is known of every checkpoint: what the networks' own classifiers reach.
    """
    for need in needs:
        task = MEASURES[role_of(need.row)]
        if task.measure is None:
            yield need, detected(store, need)
            continue
        cells = classified(store, need, task.measure)
        own = [float(v) for name, v in need.parameters if name.startswith(OWN)]
        if len(own) == len({reading.ckpt for reading in need.readings}):
            cells.append(spread(need, task.own, own))
        yield need, cells
