"""What a report's cells lack, put together as one command would make it."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from fstore import commands
from fstore.queries.cells.inputs import NO_PROPOSALS, NO_RESPONSES, Lack, partition_of
from fstore.queries.cells.needs import Need, Own, Reading, Weights
from fstore.queries.studies.study import ROLES, Study

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["Missing", "what_is_missing"]

K = TypeVar("K")
V = TypeVar("V")

_Lacks: TypeAlias = Sequence[tuple[str, Reading | Weights | Own, str]]
"""Row of a cell, what it reads, and what of that is not there."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Cells that cannot be computed: what is lacking, and the command that makes it.

    Without ``rows`` it cannot even be told which they are. Where ``makes`` is not true, the
    command only shows what is stored.
    """

    rows: tuple[str, ...]
    lack: str
    command: str
    makes: bool = True

    @property
    def what(self) -> str:
        """The rows, in words."""
        return ", ".join(self.rows) or "cells"

    def __str__(self) -> str:
        how = "make it with" if self.makes else "see what is stored with"
        return f"no {self.what}: {self.lack}; {how}: {self.command}"


def what_is_missing(
    store: "Store", study: Study, lacks: Mapping[Need, Sequence[Lack]]
) -> list[Missing]:
    """Return what some needs lack: proposals, checkpoints, then layers of one view.

    Parameters
    ----------
    store : Store
    study : Study
    lacks : mapping
        What each need lacks.
    """
    registered = {record.name for record in store.checkpoints(study.network)}
    every = [(need.row, what, lack) for need, own in lacks.items() for what, lack in own]
    return [
        *_proposals(store, study, every),
        *_checkpoints(store, study, every, registered=registered),
        *_activations(store, every, registered),
        *(_of_own(store, study, need) for need in lacks if need.own and lacks[need]),
    ]


def _proposals(store: "Store", study: Study, lacks: _Lacks) -> list[Missing]:
    rows = _grouped(
        (what.samples.dataset, row)
        for row, what, lack in lacks
        if isinstance(what, Reading) and lack == NO_PROPOSALS
    )
    return [
        Missing(
            tuple(own),
            f"{NO_PROPOSALS} of data set {dataset}",
            study.make.proposals_of(dataset).command(store.place),
        )
        for dataset, own in rows.items()
    ]


def _checkpoints(
    store: "Store", study: Study, lacks: _Lacks, *, registered: Collection[str]
) -> list[Missing]:
    from fstore.queries.studies.ways import checkpoint_command

    rows = _grouped(
        (what.ckpt, row)
        for row, what, _ in lacks
        if not isinstance(what, Own) and (isinstance(what, Weights) or what.ckpt not in registered)
    )
    return [
        Missing(
            tuple(own),
            f"no checkpoint {study.network}/{ckpt}",
            checkpoint_command(store, study, ckpt),
        )
        for ckpt, own in rows.items()
    ]


def _activations(store: "Store", lacks: _Lacks, registered: Collection[str]) -> list[Missing]:
    from fstore.store.remedies import extract_command, rectified

    wanted = [
        (row, what, lack)
        for row, what, lack in lacks
        if isinstance(what, Reading) and what.ckpt in registered and lack != NO_PROPOSALS
    ]
    without_negative = rectified(store, [partition_of(what) for _, what, _ in wanted])
    readings = _grouped(
        (
            (
                *(what.network, what.ckpt, what.samples.dataset, what.samples.view, lack),
                partition_of(what) in without_negative,
            ),
            (row, what),
        )
        for row, what, lack in wanted
    )
    return [
        Missing(
            tuple(dict.fromkeys(row for row, _ in own)),
            f"{lack} of {dataset}.{view} at {network}/{ckpt}",
            extract_command(
                store.place,
                partition_of(own[0][1]),
                list(dict.fromkeys(r.layer for _, r in own)),
                rectify=rectify,
            ),
        )
        for (network, ckpt, dataset, view, lack, rectify), own in readings.items()
    ]


def _of_own(store: "Store", study: Study, need: Need) -> Missing:
    """Say what a cell of a study's own report lacks.

    The command extracts where the cell's parameters and the study leave no choice; else it lists
    what is stored.
    """
    values = {name: str(value) for name, value in need.parameters}
    datasets = {bound.dataset for role in ROLES for bound in getattr(study, role)}
    dataset = values.get("dataset") or (next(iter(datasets)) if len(datasets) == 1 else None)
    layer, ckpt = values.get("layer"), values.get("ckpt")
    command = commands.status(store.place)
    makes = bool(layer and ckpt and dataset)
    if layer and ckpt and dataset:
        network = values.get("network", study.network)
        command = commands.extract(
            store.place,
            layers=[layer],
            ckpts=[f"{network}/{ckpt}"],
            dataset=dataset,
            view=values.get("view", "image"),
        )
    return Missing((need.row,), f"{NO_RESPONSES} that it asks for", command, makes)


def _grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """Return the values of each key, each once, in order."""
    grouped: dict[K, dict[V, None]] = defaultdict(dict)
    for key, value in pairs:
        grouped[key][value] = None
    return {key: list(values) for key, values in grouped.items()}
