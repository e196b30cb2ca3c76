"""What needs two rooms that do not know each other: data sets and weights into a store."""

import inspect
import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fstore import ending, names
from fstore.errors import DataError, StorageError
from fstore.types import CheckpointRecord

if TYPE_CHECKING:
    from torch import Tensor

    from fstore.extractor.datasets import Progress
    from fstore.extractor.networks import Network
    from fstore.extractor.preprocess import Preprocess
    from fstore.store import Store
    from fstore.types import DatasetManifest

__all__ = [
    "AddedDataset",
    "add_dataset",
    "check_format",
    "check_name",
    "import_checkpoint",
    "init_checkpoint",
    "load_network",
    "seeded_network",
    "write_checkpoint",
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

    check_name("a data set", name)
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

    check_name("a checkpoint", name)
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
    return write_checkpoint(store, record, weights, preprocess)


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
    check_name("a checkpoint", name)
    built = seeded_network(network, classes, seed)
    about = json.dumps({"kind": "init", "seed": seed}, sort_keys=True)
    record = CheckpointRecord(network, name, iteration=0, seed=seed, recipe=about)
    return write_checkpoint(store, record, built.model.state_dict(), built.preprocess)


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


def check_name(what: str, name: str) -> None:
    """Refuse a name that a store cannot use, with a :class:`DataError` that says why."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+:-]*", name):
        raise DataError(
            f"{name!r} cannot name {what}; use letters, digits and . _ + : -, no sign first"
        )
    names.check_name(name, what.removeprefix("a "))


def seeded_network(network: str, classes: int | None, seed: int) -> "Network":
    """Return a network with the initial weights of a seed, from 0; torch's generator is kept."""
    import torch

    from fstore.extractor.networks import build_network

    if seed < 0:
        raise DataError(f"a seed counts from 0, not {seed}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_network(network, classes=classes)


def write_checkpoint(
    store: "Store",
    record: CheckpointRecord,
    weights: "Mapping[str, Tensor]",
    preprocess: "Preprocess",
    folder: Path | None = None,
) -> CheckpointRecord:
    """Register weights: written beside their final place, then moved there whole.

    Parameters
    ----------
    store, record, weights, preprocess
        What to register.
    folder : Path or None
        Where to write first, in the store. A run of training gives the one that it clears at
        its end; what others leave there when they are killed, ``fstore gc`` finds.

    Raises
    ------
    StorageError
        They cannot be written; nothing is registered.
    IdentityError
        The name is registered with other weights or preprocessing.
    """
    from fstore.extractor.weights import save_checkpoint, tensors_sha256

    record = replace(
        record,
        preprocessing=preprocess.to_json(),
        preprocessing_hash=preprocess.hash,
        sha256=tensors_sha256(weights),
    )
    folder = folder or store.path / "training"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        place = tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True)
    except OSError as exc:
        raise StorageError(f"cannot write into {folder}: {exc}") from exc
    with place as temporary, ending.leftover(Path(temporary)):
        path = Path(temporary) / "weights.safetensors"
        save_checkpoint(weights, path, mean_image=preprocess.mean_image)
        return store.add_checkpoint(record, path)
