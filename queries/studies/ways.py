"""How what a study names is made: the command for each data set and checkpoint."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fstore import commands
from fstore.errors import UnknownNameError
from fstore.queries.studies.tuned import VIEWS, Tuned, run_seeds

if TYPE_CHECKING:
    from fstore.queries.studies.bound import Bound
    from fstore.queries.studies.making import MakePretrain
    from fstore.queries.studies.study import Study
    from fstore.store import Store

__all__ = [
    "checkpoint_command",
    "dataset_command",
    "finetune_command",
    "pretrain_command",
    "used_seeds",
]


def dataset_command(
    store: "Store", study: "Study", name: str, *, shown: commands.Where = None
) -> str:
    """Return the command that registers a data set of a study, or the splits that it lacks.

    A registered one is added again as it was; one that is not, as the study file says. What
    neither knows is left out, or stands in capitals.

    Parameters
    ----------
    store : Store
    study : Study
    name : str
    shown : Place or None
        The store that the command names; None: this one.
    """
    place = shown or store.place
    seeds = used_seeds(study, name)
    for info in store.datasets():
        if info.name == name:
            more = seeds or study.seeds  # what it lacks are splits
            root = str(info.root) if isinstance(info.root, Path) else None  # None: in the store
            return commands.dataset_add(place, name, format=info.format, root=root, seeds=more)
    for entry in study.make.datasets:
        if entry.name == name:
            return commands.dataset_add(
                place,
                name,
                format=entry.format,
                root=entry.root,
                seeds=sorted({*seeds, *entry.seeds}),
                fractions=entry.fractions,
                options=dict(entry.options),
            )
    return commands.dataset_add(place, name, format="FORMAT", seeds=seeds)


def used_seeds(study: "Study", dataset: str) -> list[int]:
    """Return the seeds of the random splits of a data set that a study reads, ascending."""
    from fstore.queries.studies.study import ROLES

    bounds = [bound for role in ROLES for bound in getattr(study, role)]
    used = [b.seeds for b in bounds if (b.dataset, b.split) == (dataset, "random")]
    return sorted({seed for seeds in used for seed in seeds})


def checkpoint_command(store: "Store | None", study: "Study", ckpt: str) -> str:
    """Return the command that makes a checkpoint of a study.

    One that was fine-tuned for a task is fine-tuned, without its recipe's options; a snapshot of
    pre-training that the study file describes is trained. Any other is imported; so is one that
    learned from data sets of different splits, which no command takes. Without a store the command
    names none.
    """
    place = None if store is None else store.place
    for entry in study.tuned:
        bounds: Sequence[Bound] = getattr(study, entry.task)
        if ckpt in entry.ckpts and len({bound.split for bound in bounds}) == 1:
            return finetune_command(place, study, entry, ckpt=ckpt)
    for training in study.make.pretrain:
        if ckpt in training.ckpts:
            return pretrain_command(store, study.network, training)
    return commands.ckpt_import(place, network=study.network, name=ckpt)


def pretrain_command(
    store: "Store | None", network: str, training: "MakePretrain", *, shown: commands.Where = None
) -> str:
    """Return the command that trains a network as a study file says; ``shown`` as above."""
    return commands.train_pretrain(
        shown or (store and store.place),
        network=network,
        dataset=training.dataset,
        iterations=training.iterations,
        snapshots=training.snapshots,
        seed=training.seed,
        split=_split_to_name(store, training),
        name_prefix=training.name_prefix,
        changes=dict(training.changes),
    )


def _split_to_name(store: "Store | None", training: "MakePretrain") -> str | None:
    """Return the split to learn from, where it is not the one that is taken without a word."""
    from fstore.store.parts import Split, splits_of

    own, splits = Split("random", training.split_seed), None
    if store is not None:
        with suppress(UnknownNameError):  # it is registered by an earlier step
            splits = splits_of(store, training.dataset)
    if splits is None:
        return str(own) if training.split_seed else None
    return None if Split() in splits or splits == [own] else str(own)


def finetune_command(
    store: commands.Where,
    study: "Study",
    entry: Tuned,
    *,
    ckpt: str,
    **recipe: Any,  # noqa: ANN401 - of three types
) -> str:
    """Return the command that fine-tunes a checkpoint of a study.

    The seed of the run is that of the split and of the training.

    Parameters
    ----------
    store : Place or None
    study : Study
    entry : Tuned
    ckpt : str
        One of the entry's.
    **recipe
        ``iterations``, ``trainval``, ``changes`` of
        :func:`fstore.commands.train_finetune`; nothing leaves them to its defaults.
    """
    bounds: Sequence[Bound] = getattr(study, entry.task)
    return commands.train_finetune(
        store,
        network=study.network,
        parent=entry.parent,
        mode=entry.mode,
        datasets=[bound.dataset for bound in bounds],
        view=VIEWS[entry.task],
        split=bounds[0].split,
        seed=run_seeds(bounds)[entry.ckpts.index(ckpt)],
        name=ckpt,
        **recipe,
    )
