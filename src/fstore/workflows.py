"""What needs two rooms that do not know each other: data sets into a store."""

import hashlib
import inspect
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fstore.errors import DataError, IdentityError, UnknownNameError
from fstore.types import CheckpointRecord

if TYPE_CHECKING:
    from torch import Tensor

    from fstore.extractor.datasets import Progress
    from fstore.extractor.networks import Network
    from fstore.extractor.preprocess import Preprocess
    from fstore.extractor.training import Snapshot, Step, TrainingData
    from fstore.store import Store
    from fstore.types import DatasetManifest

__all__ = [
    "AddedDataset",
    "add_dataset",
    "check_format",
    "import_checkpoint",
    "init_checkpoint",
    "load_network",
    "pretrain",
]


@dataclass(frozen=True, slots=True)
class AddedDataset:
    """What was registered; ``new`` is False if the same content was there already."""

    manifest: "DatasetManifest"
    new: bool


def add_dataset(
    store: "Store",
    name: str,
    format: str,  # noqa: A002 - the word of the command line
    root: Path | None = None,
    *,
    seeds: Sequence[int] = (),
    fractions: tuple[float, float, float] | None = None,
    on_progress: "Progress | None" = None,
    **options: Any,  # noqa: ANN401 - each format has its own
) -> AddedDataset:
    """Read a data set and register its samples, labels and splits in a store.

    Parameters
    ----------
    store : Store
    name : str
        Letters, digits and ``. _ + : -``; not registered yet, or with the same content.
    format : str
        One of the registered formats: ``voc``, ``imagefolder``, ``csv``, ``coco``, ``digits``,
        ``digit-scenes``.
    root : Path or None
        Folder of the images; formats that generate their images default to
        ``<store>/images/<name>``.
    seeds, fractions
        A stratified random split for each seed; shares of train, val and test (0.5, 0.1, 0.4).
    on_progress : callable or None
        Called with (files hashed, files in all).
    **options
        The format's own, as in ``docs/datasets.md``.

    Raises
    ------
    UnknownNameError
        No such format.
    DataError
        The folder does not hold such a data set, or the format has no such option.
    IdentityError
        The name is registered with other content.
    """
    from fstore.extractor.datasets import FORMATS

    _check_name("a data set", name)
    entry = FORMATS[format]
    check_format(format, options)
    if root is None:
        if not entry.meta["generated"]:
            raise DataError(f"format {format!r} reads a folder; name it with --root")
        root = store.path / "images" / name
    manifest = entry.function(
        name, root, seeds=seeds, fractions=fractions, on_progress=on_progress, **options
    )
    return AddedDataset(manifest, store.add_dataset(manifest))


_SHARED_OPTIONS = ("name", "root", "seeds", "fractions", "on_progress")


def check_format(name: str, options: Mapping[str, object]) -> None:
    """Refuse an unknown format of data sets, and options that it does not take.

    Raises
    ------
    UnknownNameError
        No such format.
    DataError
        The format has no such option.
    """
    from fstore.extractor.datasets import FORMATS

    reader = FORMATS[name].function
    known = [o for o in inspect.signature(reader).parameters if o not in _SHARED_OPTIONS]
    if unknown := [option for option in options if option not in known]:
        flags = ", ".join("--" + o.replace("_", "-") for o in known) or "none of its own"
        raise DataError(
            f"format {name!r} has no option --{unknown[0].replace('_', '-')}; it has: {flags}"
        )


def import_checkpoint(
    store: "Store",
    file: Path,
    *,
    network: str,
    name: str,
    iteration: int | None = None,
    lr: float | None = None,
    seed: int | None = None,
    parent: str | None = None,
    mean: Path | None = None,
) -> CheckpointRecord:
    """Read a file of weights and register it as a checkpoint.

    Parameters
    ----------
    store : Store
    file : Path
        safetensors, torch state dict, ``.npz`` or ``.caffemodel``.
    network : str
        A name for :func:`fstore.extractor.networks.build_network`. The number of classes is
        taken from the file.
    name : str
        Of the checkpoint: letters, digits and ``. _ + : -``.
    iteration, lr, seed : numbers or None
        What is known of the training.
    parent : str or None
        Registered checkpoint of the same network that training started from.
    mean : Path or None
        Mean image (``.npy``), part of the checkpoint's preprocessing.

    Raises
    ------
    UnknownNameError
        No such network or parent.
    DataError
        Unreadable file, or weights that do not fit the network.
    IdentityError
        The name is registered with other weights or preprocessing.
    """
    from fstore.extractor.networks import build_network
    from fstore.extractor.weights import MEAN_IMAGE, fit, network_for, read_mean_image, read_tensors

    _check_name("a checkpoint", name)
    if parent is not None:
        parent = store.find_checkpoint(parent, network).name
    tensors = read_tensors(file)
    built = network_for(tensors, build_network(network))
    weights = fit(tensors, built, source=str(file))
    image = tensors[MEAN_IMAGE].float().numpy() if MEAN_IMAGE in tensors else None
    image = image if mean is None else read_mean_image(mean, built.preprocess)
    preprocess = replace(built.preprocess, mean_image=image)
    about = {"kind": "import", "file": file.name}
    record = CheckpointRecord(
        network, name, iteration, lr, seed, parent=parent, recipe=json.dumps(about, sort_keys=True)
    )
    return _add_checkpoint(store, record, weights, preprocess)


def init_checkpoint(
    store: "Store", *, network: str, name: str, seed: int = 0, classes: int | None = None
) -> CheckpointRecord:
    """Register a network's initial weights, drawn with a seed, as iteration 0.

    Parameters
    ----------
    store : Store
    network, name : str
        As for :func:`import_checkpoint`.
    seed : int
        From 0; the same seed gives the same weights.
    classes : int or None
        Outputs; None for the network's own number.

    Raises
    ------
    UnknownNameError
        No such network.
    IdentityError
        The name is registered with other weights.
    """
    _check_name("a checkpoint", name)
    built = _seeded_network(network, classes, seed)
    about = json.dumps({"kind": "init", "seed": seed}, sort_keys=True)
    record = CheckpointRecord(network, name, iteration=0, seed=seed, recipe=about)
    return _add_checkpoint(store, record, built.model.state_dict(), built.preprocess)


def load_network(store: "Store", record: CheckpointRecord) -> "Network":
    """Return a checkpoint's network with its weights and its preprocessing.

    Raises
    ------
    UnknownNameError
        The network's code is not there any more.
    DataError
        The weights file is gone or damaged, or does not fit the network.
    """
    import torch

    from fstore.extractor.networks import build_network
    from fstore.extractor.weights import load_checkpoint, network_for, read_tensors

    path = store.checkpoint_path(record)
    tensors = read_tensors(path)
    with torch.device("meta"):  # no initial weights: drawing them takes longer than reading
        empty = network_for(tensors, build_network(record.network))
    network = load_checkpoint(path, empty)
    held = [*network.model.parameters(), *network.model.buffers()]
    if any(tensor.is_meta for tensor in held):  # something that is not in the file
        return load_checkpoint(path, network_for(tensors, build_network(record.network)))
    return network


def pretrain(
    store: "Store",
    *,
    network: str,
    dataset: str,
    iterations: int,
    snapshots: Sequence[int] = (),
    seed: int = 0,
    name_prefix: str = "",
    split_seed: int = 0,
    device: str = "auto",
    on_step: "Callable[[Step], None] | None" = None,
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
        Registered data set with one class an image. Learns from the part ``train`` of its split
        ``official``, else of its split ``random``; ``val`` and ``test`` are held out.
    iterations : int
        Batches in all.
    snapshots : sequence of int
        Iterations after which to register a checkpoint, named ``5``, ``15``, ``5k``; none: the
        last.
    seed : int
        Of initial weights, batches, crops, mirroring and dropout.
    name_prefix : str
        Put before the checkpoints' names.
    split_seed : int
        Which of the random splits.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``.
    on_step : function of Step, or None
        Called after each iteration.
    **changes
        Recipe entries that differ from the network's own: ``lr``, ``batch_size``, ``mirror``,
        ``momentum``, ``weight_decay``, ``step``, ``gamma``.

    Returns
    -------
    list of CheckpointRecord
        In the order of the snapshots; ``recipe`` holds the held-out accuracy.

    Raises
    ------
    UnknownNameError
        No such network, data set or split.
    DataError
        A data set without one class an image, snapshots out of range, an unreadable image, a
        loss that is not finite.
    IdentityError
        A checkpoint's name is registered with another recipe, data or weights.
    """
    from fstore.extractor.training import Recipe
    from fstore.extractor.training import pretrain as run

    built = _seeded_network(network, len(store.dataset(dataset).classes) or None, seed)
    recipe = Recipe.from_defaults(built.recipe, **changes)
    data = _training_data(store, dataset, built, split_seed)
    about = {"kind": "pretrain", "dataset": dataset, "data": data.identity, "seed": seed}
    about |= {"recipe": json.loads(recipe.to_json())}
    wanted = sorted(set(snapshots) or {iterations})
    done = _trained(store, network, name_prefix, wanted, about)
    if len(done) == len(wanted):
        return done
    state_dir = _state_folder(store, network, about)
    for snapshot in run(
        built,
        data,
        recipe=recipe,
        iterations=iterations,
        snapshots=wanted,
        seed=seed,
        state_dir=state_dir,
        device=_device(device),
        on_step=on_step,
    ):
        record = _snapshot_record(network, name_prefix, snapshot, about, seed)
        _add_checkpoint(store, record, snapshot.weights, built.preprocess)
    shutil.rmtree(state_dir, ignore_errors=True)
    return _trained(store, network, name_prefix, wanted, about)


def _check_name(what: str, name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+:-]*", name):
        raise DataError(
            f"{name!r} cannot name {what}; use letters, digits and . _ + : -, no sign first"
        )


def _seeded_network(network: str, classes: int | None, seed: int) -> "Network":
    import torch

    from fstore.extractor.networks import build_network

    if seed < 0:
        raise DataError(f"a seed counts from 0, not {seed}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_network(network, classes=classes)


def _device(device: str) -> str:
    import torch

    auto = "cuda" if torch.cuda.is_available() else "cpu"
    return auto if device == "auto" else device


def _add_checkpoint(
    store: "Store",
    record: CheckpointRecord,
    weights: "Mapping[str, Tensor]",
    preprocess: "Preprocess",
) -> CheckpointRecord:
    """Write weights beside their final place and hand them to the store."""
    from fstore.extractor.weights import save_checkpoint, tensors_sha256

    record = replace(
        record,
        preprocessing=preprocess.to_json(),
        preprocessing_hash=preprocess.hash,
        sha256=tensors_sha256(weights),
    )
    folder = store.path / "training"
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as temporary:
        path = Path(temporary) / "weights.safetensors"
        save_checkpoint(weights, path, mean_image=preprocess.mean_image)
        return store.add_checkpoint(record, path)


def _training_data(
    store: "Store", dataset: str, network: "Network", split_seed: int
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
    split, parts = _split_parts(store, dataset, split_seed)
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
            np.array([classes[ids[i]] for i in chosen], np.int64),
            network.preprocess,
        )

    identity = f"{info.views['image']} {info.labels['image']} {split}"
    return TrainingData(examples({"train"}), examples({"val", "test"}), identity)


def _split_parts(store: "Store", dataset: str, split_seed: int) -> tuple[str, dict[int, str]]:
    """Return the name of the split to train by and the part of each sample in it."""
    rows = store.splits(dataset, "image").to_pylist()
    for wanted in (("official", 0), ("random", split_seed)):
        parts = {r["sample_id"]: r["part"] for r in rows if (r["split"], r["seed"]) == wanted}
        if parts:
            return " ".join(map(str, wanted)), parts
    there = sorted({f"{r['split']} (seed {r['seed']})" for r in rows})
    raise UnknownNameError(
        f"data set {dataset!r} has no split to train by; wanted official, or random with seed "
        f"{split_seed}; there are: {', '.join(there) or 'none'}"
    )


def _state_folder(store: "Store", network: str, about: Mapping[str, object]) -> Path:
    key = hashlib.sha256(json.dumps([network, about], sort_keys=True).encode()).hexdigest()
    return store.path / "training" / key[:16]


def _snapshot_record(
    network: str, prefix: str, snapshot: "Snapshot", about: Mapping[str, object], seed: int
) -> CheckpointRecord:
    from fstore.extractor.training import snapshot_name

    name = prefix + snapshot_name(snapshot.iteration)
    _check_name("a checkpoint", name)
    recipe = json.dumps({**about, "held_out_accuracy": snapshot.accuracy}, sort_keys=True)
    return CheckpointRecord(
        network, name, snapshot.iteration, snapshot.lr, seed, snapshot.loss, recipe=recipe
    )


def _trained(
    store: "Store", network: str, prefix: str, snapshots: Sequence[int], about: Mapping[str, object]
) -> list[CheckpointRecord]:
    """Return the snapshots that are registered; refuse names that stand for another training."""
    from fstore.extractor.training import snapshot_name

    names = {prefix + snapshot_name(i) for i in snapshots}
    for name in names:
        _check_name("a checkpoint", name)
    there = [record for record in store.checkpoints(network) if record.name in names]
    for record in there:
        stored = json.loads(record.recipe)
        differ = [key for key, value in about.items() if stored.get(key) != value]
        if differ:
            raise IdentityError(
                f"checkpoint {record.name!r} of {network} was made with other {', '.join(differ)}; "
                "choose another --name-prefix, or drop it first"
            )
    return there
