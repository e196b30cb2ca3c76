"""The steps from raw files to the reports of a study: what each does, and the command that does."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fstore import commands
from fstore.errors import DataError, UnknownNameError
from fstore.queries.studies.bound import Bound
from fstore.queries.studies.making import (
    MakeCheckpoint,
    MakeDataset,
    MakeFinetune,
    MakePretrain,
    MakeProposals,
)
from fstore.queries.studies.study import ROLES, Study
from fstore.queries.studies.tuned import VIEWS, Tuned
from fstore.queries.studies.ways import (
    dataset_command,
    finetune_command,
    pretrain_command,
    used_seeds,
)
from fstore.types import OnProgress

if TYPE_CHECKING:
    from fstore.engines import RayOptions
    from fstore.extractor.training import Step as Iteration
    from fstore.queries.refresh.elsewhere import Elsewhere
    from fstore.store import Store
    from fstore.types import ImageFolder

__all__ = ["Context", "Step", "making_steps", "registered", "unsearched"]


@dataclass(frozen=True, slots=True)
class Context:
    """What a study is reproduced with: store, study, folder of raw data, a torch device.

    ``shown`` is the store that commands name, where it is another: in a dry run, the one to come.
    ``ray`` is the cluster that extracts, ``elsewhere`` where cells are computed; None: here.
    """

    store: "Store"
    study: Study
    data: Path | None
    device: str
    shown: commands.Where = None
    ray: "RayOptions | None" = None
    elsewhere: "Elsewhere | None" = None

    @property
    def place(self) -> commands.Where:
        """The store that the commands of steps name."""
        return self.shown or self.store.place


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its title, the command that does the same, and whether it was done before.

    The command is empty where none can be told yet, or there is nothing to do.

    ``run`` does it, which is quick where it was done before: names that stand for something else
    are refused. It returns a note, or nothing.
    """

    title: str
    command: str
    there: bool
    run: Callable[[OnProgress], str]


def making_steps(context: Context) -> Iterator[Step]:
    """Yield the steps that make data sets, proposals and checkpoints, each after what it needs.

    Raises
    ------
    UnknownNameError, DataError
        A data set is neither registered nor to be made; an entry of the study file is wrong.
    """
    study = context.study
    entries = [_described(context, entry) for entry in study.make.datasets]
    _check_datasets(context, entries)
    yield from (_dataset_step(context, entry) for entry in entries)
    yield from (_proposals_step(context, entry) for entry in study.make.proposals)
    yield from (_import_step(context, entry) for entry in study.make.checkpoints)
    yield from (_pretrain_step(context, entry) for entry in study.make.pretrain)
    for entry in study.tuned:
        recipe = study.make.recipe(entry.task, entry.mode)
        if recipe is not None:
            yield from (_finetune_step(context, entry, recipe, ckpt=ckpt) for ckpt in entry.ckpts)


def unsearched(context: Context) -> list[str]:
    """Return the data sets of which the study file says how proposals are made, and has none."""
    searched = {d.name for d in context.store.datasets() if "proposal" in d.views}
    return [m.dataset for m in context.study.make.proposals if m.dataset not in searched]


def registered(store: "Store", network: str) -> set[str]:
    """Return the names of a network's checkpoints."""
    return {record.name for record in store.checkpoints(network)}


# Data sets


@dataclass(frozen=True, slots=True)
class _Dataset:
    """An entry of the study file with its folder and all its seeds."""

    entry: MakeDataset
    root: Path | None
    seeds: tuple[int, ...]


def _described(context: Context, entry: MakeDataset) -> _Dataset:
    """Complete an entry: its folder below that of the data, and the seeds that the study uses."""
    root = None if entry.root is None else _path(context, entry.root)
    used = used_seeds(context.study, entry.name)
    return _Dataset(entry, root, tuple(sorted({*used, *entry.seeds})))


def _path(context: Context, path: str) -> Path:
    if not Path(path).is_absolute() and context.data is None:
        raise DataError(
            f"study '{context.study.name}' reads '{path}'; say in which folder: --data DIR"
        )
    return ((context.data or Path()) / path).resolve()


def _check_datasets(context: Context, entries: Sequence[_Dataset]) -> None:
    """Refuse unknown formats and options, and names that nothing stands for, before any work."""
    from fstore.extractor.proposals import METHODS
    from fstore.workflows.datasets import check_format

    for dataset in entries:
        check_format(dataset.entry.format, dict(dataset.entry.options))
    datasets = {d.name for d in context.store.datasets()}.union(d.entry.name for d in entries)
    for role in ROLES:
        for bound in getattr(context.study, role):
            if bound.dataset not in datasets:
                add = dataset_command(
                    context.store, context.study, bound.dataset, shown=context.place
                )
                raise UnknownNameError(
                    f"{role} of study '{context.study.name}': no data set '{bound.dataset}' is "
                    f"registered; add it with: {add}; or say in the study file how it "
                    f'is made: [[make.datasets]] with name = "{bound.dataset}", format, root'
                )
    for entry in context.study.make.proposals:
        METHODS[entry.method]  # or an error that lists them
        if entry.dataset not in datasets:
            raise UnknownNameError(
                f"make.proposals of study '{context.study.name}': no data set '{entry.dataset}'; "
                f"there are: {', '.join(sorted(datasets)) or 'none'}"
            )


def _dataset_step(context: Context, dataset: _Dataset) -> Step:
    entry = dataset.entry

    def run(on_progress: OnProgress) -> str:
        from fstore.workflows.datasets import add_dataset

        notes: list[str] = []
        options: dict[str, Any] = dict(entry.options)
        added = add_dataset(
            context.store,
            entry.name,
            entry.format,
            root=dataset.root,
            seeds=dataset.seeds,
            fractions=entry.fractions,
            on_progress=lambda done, total: on_progress("hashing", done, total, "files"),
            on_note=notes.append,
            **options,
        )
        sizes = ", ".join(f"{len(v.samples)} {v.view}" for v in added.manifest.views)
        return "; ".join([sizes, *notes])

    command = commands.dataset_add(
        context.place,
        entry.name,
        format=entry.format,
        root=dataset.root,
        seeds=dataset.seeds,
        fractions=entry.fractions,
        options=dict(entry.options),
    )
    is_done = _is_registered(context.store, dataset)
    return Step(f"Register data set {entry.name}", command, is_done, run)


def _is_registered(store: "Store", dataset: _Dataset) -> bool:
    """Tell whether a data set is there with its folder and splits; files are not hashed again."""
    from fstore.store.parts import Split, splits_of

    entry = dataset.entry
    info = next((d for d in store.datasets() if d.name == entry.name), None)
    if info is None or info.format != entry.format:
        return False
    moved = dataset.root is not None and not _is_below(info.root, dataset.root)
    wanted = {Split("random", seed) for seed in dataset.seeds}
    return not moved and wanted.issubset(splits_of(store, entry.name))


def _is_below(images: "ImageFolder", folder: Path) -> bool:
    return isinstance(images, Path) and images.is_relative_to(folder)


# Proposals


def _proposals_step(context: Context, entry: MakeProposals) -> Step:
    def run(on_progress: OnProgress) -> str:
        from fstore.workflows.proposals import Choice, add_proposals

        choice = Choice(method=entry.method, max_proposals=entry.max_proposals, part=entry.split)
        added = add_proposals(
            context.store,
            entry.dataset,
            choice,
            on_progress=lambda done, total: on_progress("searching", done, total, "images"),
        )
        return f"{added.kept} proposals in {added.images} images"

    is_done = entry.dataset not in unsearched(context)
    command = entry.command(context.place)
    return Step(f"Find proposals in {entry.dataset}", command, is_done, run)


# Checkpoints


def _import_step(context: Context, entry: MakeCheckpoint) -> Step:
    study, file = context.study, _path(context, entry.file)
    mean = None if entry.mean is None else _path(context, entry.mean)

    def run(_: OnProgress) -> str:
        from fstore.workflows.checkpoints import import_checkpoint

        import_checkpoint(
            context.store,
            file,
            network=study.network,
            name=entry.name,
            iteration=entry.iteration,
            parent=entry.parent,
            mean=mean,
        )
        return ""

    command = commands.ckpt_import(
        context.place,
        file,
        network=study.network,
        name=entry.name,
        options={"iteration": entry.iteration, "parent": entry.parent, "mean": mean},
    )
    is_done = entry.name in registered(context.store, study.network)
    return Step(f"Import checkpoint {entry.name}", command, is_done, run)


def _pretrain_step(context: Context, entry: MakePretrain) -> Step:
    store, network = context.store, context.study.network
    changes: dict[str, Any] = dict(entry.changes)

    def run(on_progress: OnProgress) -> str:
        from fstore.workflows.train.run import TrainingOptions, pretrain

        records = pretrain(
            store,
            network=network,
            dataset=entry.dataset,
            iterations=entry.iterations,
            snapshots=entry.snapshots,
            seed=entry.seed,
            name_prefix=entry.name_prefix,
            split_seed=entry.split_seed,
            options=TrainingOptions(context.device, on_step=_shown(on_progress)),
            **changes,
        )
        return _reached(records[-1].recipe)

    title = f"Pre-train {network} on {entry.dataset}, {entry.iterations} iterations"
    is_done = registered(store, network).issuperset(entry.ckpts)
    return Step(
        title, pretrain_command(context.store, network, entry, shown=context.place), is_done, run
    )


def _finetune_step(context: Context, entry: Tuned, recipe: MakeFinetune, *, ckpt: str) -> Step:
    study = context.study
    bounds = study.bound(entry.task)
    split, seed = _one_split(entry, bounds, ckpt)
    if len(bounds) > 1:
        _check_whole(context.store, entry, bounds, seed=seed)
    trainval = recipe.trainval and _spares_val(context.store, bounds, seed)
    names = [bound.dataset for bound in bounds]
    changes: dict[str, Any] = dict(recipe.changes)
    length: dict[str, Any] = {"iterations": recipe.iterations, "trainval": trainval}

    def run(on_progress: OnProgress) -> str:
        from fstore.workflows.train.finetune import finetune
        from fstore.workflows.train.run import TrainingOptions

        records = finetune(
            context.store,
            network=study.network,
            dataset=names,
            parent=entry.parent,
            mode=entry.mode,
            view=VIEWS[entry.task],
            name=ckpt,
            seed=seed,
            split=split,
            split_seed=seed,
            options=TrainingOptions(context.device, on_step=_shown(on_progress)),
            **length,
            **changes,
        )
        return _reached(records[-1].recipe)

    place, title = context.place, f"{_origin(study, entry, names)} ({entry.mode}): {ckpt}"
    command = finetune_command(place, study, entry, ckpt=ckpt, changes=changes, **length)
    return Step(title, command, ckpt in registered(context.store, study.network), run)


def _origin(study: Study, entry: Tuned, datasets: Sequence[str]) -> str:
    """Say what is trained, and on what."""
    origin = f"Fine-tune {entry.parent}" if entry.parent else f"Train {study.network} from scratch"
    samples = "boxes of " if VIEWS[entry.task] == "gt" else ""
    return f"{origin} on {samples}{' and '.join(datasets)}"


def _one_split(entry: Tuned, bounds: Sequence[Bound], ckpt: str) -> tuple[str, int]:
    """Return the split and the seed of a checkpoint's run, which all its data sets have."""
    number = entry.ckpts.index(ckpt)
    splits = {(bound.split, bound.seed(number)) for bound in bounds}
    if len(splits) > 1:
        raise DataError(
            f"make.finetune: the data sets of task '{entry.task}' have other splits or seeds than "
            f"one another ({'; '.join(map(str, bounds))}); give them the same ones"
        )
    return splits.pop()


def _check_whole(store: "Store", entry: Tuned, bounds: Sequence[Bound], *, seed: int) -> None:
    """Refuse parts of several data sets: fine-tuning takes all that their splits have."""
    for bound in bounds:
        parts = _parts_there(store, bound, seed) or set()
        if unused := sorted(part for part in parts if not bound.uses(part)):
            raise DataError(
                f"make.finetune: task '{entry.task}' leaves out part {' and '.join(unused)} of "
                f"'{bound.dataset}'; fine-tuning on several data sets takes all of their parts: "
                "remove 'parts', or leave the task out of make.finetune and name its ckpts"
            )


def _spares_val(store: "Store", bounds: Sequence[Bound], seed: int) -> bool:
    """Tell whether val is free to learn from: all use it, and some have a test part to measure on.

    A data set that is not registered yet (in a dry run) is taken to have a part test.
    """
    tests = (_parts_there(store, bound, seed) for bound in bounds if bound.uses("test"))
    return all(bound.uses("val") for bound in bounds) and any(
        parts is None or "test" in parts for parts in tests
    )


def _parts_there(store: "Store", bound: Bound, seed: int) -> set[str] | None:
    """Return the parts of a data set's split, or None while it is not registered."""
    from fstore.store.parts import Split, parts_of

    if bound.dataset not in {dataset.name for dataset in store.datasets()}:
        return None
    return parts_of(store, bound.dataset, split=Split(bound.split, seed))


def _reached(recipe: str) -> str:
    """Return what a training recorded on held-out samples, in words."""
    import json

    measured = {k: v for k, v in json.loads(recipe).items() if k in _REACHED and v is not None}
    return ", ".join(f"{_REACHED[k]} {100 * v:.1f} %" for k, v in measured.items())


_REACHED = {"held_out_accuracy": "held-out accuracy", "held_out_mean_ap": "held-out mean AP"}


def _shown(on_progress: OnProgress) -> "Callable[[Iteration], None]":
    """Return what tells a bar of iterations, loss and speed."""
    from fstore.workflows.train.run import step_notes

    note = step_notes()
    return lambda step: on_progress("training", step.iteration, step.of, note(step))
