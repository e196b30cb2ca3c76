"""Training into a store: images that are registered there, snapshots that become checkpoints."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from fstore.errors import DataError, IdentityError
from fstore.names import check_new_name
from fstore.seeds import check_seed
from fstore.store.leases import working
from fstore.store.runs import Run, recorded
from fstore.trust import consent
from fstore.types import CheckpointRecord
from fstore.workflows.checkpoints import named, seeded_network, write_checkpoint
from fstore.workflows.preparation import as_before

if TYPE_CHECKING:
    from fstore.extractor.networks import Network
    from fstore.extractor.training import Processes, Recipe, Snapshot, Step, TrainingData
    from fstore.store import Store
    from fstore.store.parts import Split

__all__ = ["Plan", "TrainingOptions", "pretrain", "step_notes", "train_into"]


@dataclass(frozen=True)
class TrainingOptions:
    """How a run is done; nothing of it changes the weights that come out.

    Attributes
    ----------
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``.
    workers : int or None
        Threads that decode images; None: one a core.
    save_every : int or None
        Iterations between two saves of the run's state; None: about a minute.
    validate_every : int or None
        Measure on the held-out images after every so many iterations; None: at snapshots.
    processes : Processes or None
        Those that train together, as ``torchrun`` numbers them; None: this one alone.
    on_step : function of Step, or None
        Called after each iteration.
    """

    device: str = "auto"
    workers: int | None = None
    save_every: int | None = None
    validate_every: int | None = None
    processes: "Processes | None" = None
    on_step: "Callable[[Step], None] | None" = None


@dataclass(frozen=True)
class Plan:
    """What a run is; the weights follow from it.

    Attributes
    ----------
    network : Network
        With the weights that training starts from.
    data : TrainingData
    recipe : Recipe
    iterations : int
        Batches in all.
    names : mapping of int to str
        Iteration of each snapshot, and the name of the checkpoint that it becomes.
    seed : int
        Of batches, crops, mirroring and dropout.
    about : mapping
        Says in the checkpoints' recipes how they came about: ``kind``, ``dataset``, ``data``,
        ``seed``, ``recipe`` and the like; JSON values. A checkpoint of the same name with
        another value is refused.
    parent : str or None
        Registered checkpoint of the same network that training starts from.
    """

    network: "Network"
    data: "TrainingData"
    recipe: "Recipe"
    iterations: int
    names: Mapping[int, str]
    seed: int
    about: Mapping[str, object]
    parent: str | None = None


def pretrain(
    store: "Store",
    *,
    network: str,
    dataset: str,
    iterations: int | None = None,
    snapshots: Sequence[int] = (),
    seed: int = 0,
    name_prefix: str = "",
    split: str | None = None,
    split_seed: int = 0,
    options: TrainingOptions | None = None,
    **changes: object,
) -> list[CheckpointRecord]:
    """Train a network from initial weights and register its snapshots as checkpoints.

    Parameters
    ----------
    store : Store
        The run's state is kept in its folder ``training`` until the run is done: the same call
        resumes an interrupted run. A run whose checkpoints are all registered is not repeated.
    network : str
        A name for :func:`fstore.extractor.networks.build_network`.
    dataset : str
        Registered data set with one class an image. Learns from the part ``train`` of its split;
        ``val`` and ``test`` are held out.
    iterations : int or None
        Batches in all; None: the network's own number.
    snapshots : sequence of int
        Iterations after which to register a checkpoint, named ``5``, ``15``, ``5k``; none: the
        network's own within ``iterations``, and the last.
    seed : int
        Of initial weights, batches, crops, mirroring and dropout.
    name_prefix : str
        Put before the checkpoints' names.
    split, split_seed : str or None, int
        ``official``, or ``random`` and which. None: official, else the random one of the seed.
    options : TrainingOptions or None
        Device, progress and so on. Several processes train together if each calls this with
        its own ``options.processes``; the first one registers the checkpoints.
    **changes
        Entries of :class:`fstore.extractor.training.Recipe` that differ from the network's own;
        None keeps the network's.

    Returns
    -------
    list of CheckpointRecord
        In the order of the snapshots; ``recipe`` holds the held-out accuracy and the loss curve.

    Raises
    ------
    UnknownNameError
        No such network, data set or split.
    DataError
        A data set without one class an image or with a single class, snapshots out of range, an
        unreadable image, a loss that is not finite. What was kept before stays.
    StorageError
        A snapshot or the state cannot be written. What was kept before stays.
    IdentityError
        A checkpoint's name is registered with another recipe, data or weights.
    """
    from fstore.extractor.training import Recipe, run_length, snapshot_name

    check_seed(split_seed, "split_seed")
    options = options or TrainingOptions()
    consent(store.trusted, network)
    built = seeded_network(network, len(store.dataset(dataset).classes) or None, seed)
    recipe = Recipe.from_defaults(built.recipe, **changes)
    iterations, wanted = run_length(built.recipe, iterations, snapshots)
    names = {i: name_prefix + snapshot_name(i) for i in wanted}
    built = as_before(built, named(store, network, names.values()))
    chosen = _pretraining_split(store, dataset, split, seed=split_seed)
    data = _training_data(store, dataset, built, split=chosen, workers=options.workers)
    about = {"kind": "pretrain", "dataset": dataset, "data": data.identity, "seed": seed}
    about |= {"recipe": json.loads(recipe.to_json())}
    plan = Plan(built, data, recipe, iterations, names, seed, about)
    return train_into(store, plan, options)


def train_into(store: "Store", plan: Plan, options: TrainingOptions) -> list[CheckpointRecord]:
    """Carry a plan out, resuming it if it was interrupted; return its checkpoints in order.

    Raises
    ------
    IdentityError
        A checkpoint's name is registered with another recipe, data or weights.
    DataError, StorageError
        As for :func:`fstore.extractor.training.train`.
    """
    from fstore.extractor.training import ALONE, together

    done = _trained(store, plan)
    processes = options.processes or ALONE
    folder = _state_folder(store, plan)
    if len(done) == len(plan.names):
        if not processes.rank:
            _clear(folder)  # of a run that was killed when all was done but this
        return done
    held = working(store.place, f"train {plan.network.name}")
    with _on_record(store, plan, processes) as run:
        run.device = device = _device(options.device, processes)
        with held, together(processes, device=device):
            for snapshot in _snapshots(store, plan, options, device=device):
                record = _record(plan, snapshot)
                write_checkpoint(
                    store, record, snapshot.weights, network=plan.network, folder=folder
                )
                run.parameters["registered"].append(record.name)
            processes.wait()
        if not processes.rank:
            _clear(folder)
    return _trained(store, plan)


LIBRARIES = ("torch", "torchvision", "numpy", "pillow")
"""On whose versions weights may depend."""


def _on_record(store: "Store", plan: Plan, processes: "Processes") -> AbstractContextManager[Run]:
    """Put a run on record; of several processes that train together, the first one does."""
    kind, iterations = str(plan.about["kind"]), plan.iterations
    asked = {"network": plan.network.name, "checkpoints": list(plan.names.values())}
    parameters = {**plan.about, **asked, "iterations": iterations, "registered": []}
    if processes.rank:
        return nullcontext(Run(kind, parameters))
    return recorded(store, kind, parameters, libraries=LIBRARIES)


OWN_FILES = (
    "state.pt", ".state.pt.*", "tmp*/weights.safetensors", "tmp*/.weights.safetensors.*",
)  # fmt: skip
"""What a run writes into its folder; nothing else is removed from there."""


def _clear(folder: Path) -> None:
    """Remove what a run kept in its folder, and the folder unless others put something there."""
    for pattern in OWN_FILES:
        for path in folder.glob(pattern):
            with suppress(OSError):
                path.unlink()
    for place in (*folder.glob("tmp*"), folder):
        with suppress(OSError):
            place.rmdir()


def step_notes() -> "Callable[[Step], str]":
    """Return what tells of each step of a run: loss, what was measured last, images a second.

    The speed is that since the first step that it was told: a resumed run starts later, and what
    is read before the first step takes time of its own.
    """
    first, began = 0, 0.0

    def note(step: "Step") -> str:
        nonlocal first, began
        held_out = "" if step.held_out is None else f"  held out {step.held_out:.3f}"
        speed = ""
        if not first:
            first, began = step.iteration, perf_counter()
        elif spent := perf_counter() - began:
            speed = f"  {(step.iteration - first) * step.images / spent:.0f} images/s"
        return f"loss {step.loss:.3f}{held_out}{speed}"

    return note


def _snapshots(
    store: "Store", plan: Plan, options: TrainingOptions, *, device: str
) -> "Iterator[Snapshot]":
    from fstore.extractor.training import ALONE, train

    return train(
        plan.network,
        plan.data,
        recipe=plan.recipe,
        iterations=plan.iterations,
        snapshots=list(plan.names),
        seed=plan.seed,
        state_dir=_state_folder(store, plan),
        device=device,
        save_every=options.save_every,
        validate_every=options.validate_every,
        processes=options.processes or ALONE,
        on_step=options.on_step,
    )


def _device(device: str, processes: "Processes") -> str:
    """Return the one device that this process trains on."""
    from fstore.extractor.devices import find_devices

    if "," in device:
        raise DataError(
            f"a process trains on one device, not {device!r}; for several GPUs: torchrun "
            "--nproc-per-node 2 -m fstore.cli train ..."
        )
    chosen = find_devices(device)[0]
    return (
        f"cuda:{processes.local_rank}"
        if chosen.type == "cuda" and processes.world > 1
        else str(chosen)
    )


def _training_data(
    store: "Store", dataset: str, network: "Network", *, split: "Split", workers: int | None
) -> "TrainingData":
    """Say which files of a data set are learned from, and which held out."""
    import numpy as np

    from fstore.extractor.training import FileExamples, TrainingData

    info = store.dataset(dataset)
    if info.task != "single":
        raise DataError(
            f"data set {dataset!r} has task {info.task!r}; pre-training needs 'single': "
            "exactly one class an image"
        )
    parts = _parts(store, dataset, split)
    samples = store.samples(dataset, "image").select(["sample_id", "uri", "digest"]).to_pydict()
    rows = store.labels(dataset, "image").select(["sample_id", "class", "label"]).to_pylist()
    places = {name: place for place, name in enumerate(info.classes)}
    classes = {row["sample_id"]: places[row["class"]] for row in rows if row["label"] == 1}

    def examples(held: set[str]) -> FileExamples:
        ids = samples["sample_id"]
        chosen = [i for i, s in enumerate(ids) if parts.get(s) in held and s in classes]
        return FileExamples(
            info.root,
            [samples["uri"][i] for i in chosen],
            [samples["digest"][i] for i in chosen],
            labels=np.array([classes[ids[i]] for i in chosen], np.int64),
            preprocess=network.preprocess,
            workers=workers,
        )

    identity = f"{info.views['image']} {info.labels['image']} {split.name} {split.seed}"
    return TrainingData(examples({"train"}), examples({"val", "test"}), identity)


def _parts(store: "Store", dataset: str, split: "Split") -> dict[int, str]:
    """Return the part that each image plays in a split.

    Raises
    ------
    UnknownNameError
        The data set has no such split.
    """
    from fstore.store.parts import Samples, sample_ids, used_parts

    # without any, asking for one gives an error that names what there is
    used = used_parts(store, dataset, split=split) or [
        Samples(dataset, "image", split.name, split.seed, "train")
    ]
    return {int(i): s.part for s in used for i in sample_ids(store, s, difficult=True)}


def _pretraining_split(store: "Store", dataset: str, name: str | None, *, seed: int) -> "Split":
    """Return the split that is named; else the official one, else the random one of the seed."""
    from fstore.store.parts import Split, splits_of

    official = Split() in splits_of(store, dataset)
    return Split() if name is None and official else Split(name or "random", seed)


def _state_folder(store: "Store", plan: Plan) -> Path:
    identity = json.dumps([plan.network.name, plan.about], sort_keys=True)
    return store.place.workspace(f"training/{hashlib.sha256(identity.encode()).hexdigest()[:16]}")


def _record(plan: Plan, snapshot: "Snapshot") -> CheckpointRecord:
    return CheckpointRecord(
        plan.network.name,
        plan.names[snapshot.iteration],
        snapshot.iteration,
        snapshot.lr,
        plan.seed,
        snapshot.loss,
        parent=plan.parent,
        recipe=json.dumps({**plan.about, **snapshot.to_recipe()}, sort_keys=True),
    )


def _trained(store: "Store", plan: Plan) -> list[CheckpointRecord]:
    """Return the snapshots that are registered; refuse names that stand for another training."""
    network, names = plan.network.name, set(plan.names.values())
    for name in names:
        check_new_name(name, "checkpoint")
    trained = named(store, network, names)
    for record in trained:
        stored = json.loads(record.recipe)
        differ = [key for key, value in plan.about.items() if stored.get(key) != value]
        if differ:
            raise IdentityError(
                f"checkpoint {record.name!r} of {network} was made with other {', '.join(differ)}; "
                "choose another name, or drop it first"
            )
    return sorted(trained, key=lambda record: record.iteration or 0)
