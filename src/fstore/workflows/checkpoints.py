"""Weights into a store and back.

What was written is read back before it is registered; what the identity covers is compared
whenever it is loaded.
"""

import json
import math
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fstore.ending import leftover
from fstore.errors import DataError, FstoreError, StorageError
from fstore.names import check_new_name, network_name
from fstore.seeds import LARGEST_SEED, check_seed
from fstore.trust import check_consent, consent
from fstore.types import CheckpointRecord
from fstore.workflows.incoming import incoming, prepared
from fstore.workflows.preparation import OwnPreprocess, as_before, as_recorded, with_mean, with_own

if TYPE_CHECKING:
    from torch import Tensor

    from fstore.extractor.networks import Network
    from fstore.store import Store

__all__ = [
    "check_weights",
    "import_checkpoint",
    "init_checkpoint",
    "load_network",
    "named",
    "seeded_network",
    "write_checkpoint",
]

Say = Callable[[str], None]


def import_checkpoint(
    store: "Store",
    file: Path | None = None,
    *,
    network: str,
    name: str,
    weights: str | None = None,
    iteration: int | None = None,
    lr: float | None = None,
    seed: int | None = None,
    parent: str | None = None,
    mean: Path | None = None,
    key: str | None = None,
    preprocess: "OwnPreprocess | None" = None,
    say: Say | None = None,
) -> CheckpointRecord:
    """Read weights and register them as a checkpoint.

    Parameters
    ----------
    store : Store
    file : Path or None
        safetensors, torch state dict, ``.npz`` or ``.caffemodel``, or a folder with one of these
        (see :func:`fstore.extractor.weights.read_states`).
    network : str
        A name for :func:`fstore.extractor.networks.build_network`. The number of classes is
        taken from the file.
    name : str
        Of the checkpoint: letters, digits and ``. _ + : -``.
    weights : str or None
        In place of a file: the weights that the network's library publishes under that name
        (``IMAGENET1K_V2``, ``default``), with their own preprocessing. They are downloaded.
    iteration, lr, seed : numbers or None
        What is known of the training.
    parent : str or None
        Registered checkpoint of the same network that training started from.
    mean : Path or None
        Mean image (``.npy``), part of the checkpoint's preprocessing.
    key : str or None
        Which of several state dicts of a torch file, nested ones as ``a.b``.
    preprocess : mapping, Preprocess or None
        Where these weights want their input prepared in another way than the network states:
        fields that differ, as in ``{"interpolation": "bicubic"}``, or a whole
        :class:`fstore.extractor.preprocess.Preprocess`. Part of the checkpoint's identity.
    say : callable or None
        Told in a sentence what was taken and how it was checked.

    Raises
    ------
    UnknownNameError
        No such network or parent.
    DataError
        Unreadable file, several state dicts and no key, weights that do not fit the network or
        cannot be loaded back, numbers or a preprocessing that are none.
    IdentityError
        The name is registered with other weights or preprocessing.
    """
    from fstore.extractor.networks import build_network
    from fstore.extractor.weights import fit, network_for

    check_new_name(name, "checkpoint")
    network = network_name(network)
    consent(store.trusted, network)
    _check_numbers(iteration, lr, seed)
    if parent is not None:
        parent = store.find_checkpoint(parent, network).name
    say = say or (lambda _text: None)
    built = build_network(network)
    taken = incoming(built, file, weights=weights, key=key, say=say)
    built = network_for(taken.tensors, built)
    tensors = fit(taken.tensors, built, source=taken.source)
    preprocess = prepared(built, taken.preprocess, preprocess)
    built, own = with_own(built, preprocess)
    built = with_mean(built, mean, taken.tensors, preprocess=preprocess)
    if not own:
        built = as_before(built, named(store, network, {name}))
    about = json.dumps({**taken.about, **own}, sort_keys=True)
    record = CheckpointRecord(network, name, iteration, lr, seed, parent=parent, recipe=about)
    return write_checkpoint(store, record, tensors, network=built, say=say)


def init_checkpoint(
    store: "Store",
    *,
    network: str,
    name: str,
    seed: int = 0,
    classes: int | None = None,
    preprocess: "OwnPreprocess | None" = None,
    say: Say | None = None,
) -> CheckpointRecord:
    """Register a network's initial weights, drawn with a seed, as iteration 0.

    Parameters
    ----------
    store : Store
    network, name, preprocess, say
        As for :func:`import_checkpoint`.
    seed : int
        From 0; the same seed gives the same weights.
    classes : int or None
        Outputs; None for the network's own number.

    Raises
    ------
    UnknownNameError
        No such network.
    DataError
        A seed or a preprocessing that is none, or a network that cannot be built again from its
        weights.
    IdentityError
        The name is registered with other weights.
    """
    check_new_name(name, "checkpoint")
    network = network_name(network)
    consent(store.trusted, network)
    built, own = with_own(seeded_network(network, classes, seed), preprocess)
    if not own:
        built = as_before(built, named(store, network, {name}))
    about = json.dumps({"kind": "init", "seed": seed, **own}, sort_keys=True)
    record = CheckpointRecord(network, name, iteration=0, seed=seed, recipe=about)
    weights = built.model.state_dict()
    if odd := [n for n, t in weights.items() if t.is_floating_point() and bool(t.isnan().any())]:
        raise DataError(
            f"network {network!r} starts with values that are no numbers in {', '.join(odd[:5])}; "
            "draw or fill every parameter in its constructor (torch.empty does neither)"
        )
    return write_checkpoint(store, record, weights, network=built, say=say)


def load_network(store: "Store", record: CheckpointRecord) -> "Network":
    """Return a checkpoint's network with its weights and its preprocessing, both as registered.

    Raises
    ------
    UnknownNameError
        The network's code is not there any more.
    StorageError
        The weights file is gone, damaged or another one: its sha256 is not the one recorded.
    DataError
        The weights do not fit the network any more.
    IdentityError
        The network's function states another preprocessing than that of the record, now and in
        its earlier statements.
    TrustError
        The network is code that the store names and that the user has not agreed to run.
    """
    check_consent(store.trusted, record.network)
    return _loaded(store, record, store.checkpoint_path(record))


def check_weights(store: "Store", record: CheckpointRecord) -> list[str]:
    """Return what is wrong with the weights of a checkpoint; nothing if they load as registered.

    Parameters
    ----------
    store : Store
    record : CheckpointRecord
        The file is read whole and hashed, the network is built, its preprocessing compared.

    Returns
    -------
    list of str
        Problems in words.
    """
    try:
        load_network(store, record)
    except FstoreError as exc:
        return [str(exc)]
    return []


def seeded_network(network: str, classes: int | None, seed: int) -> "Network":
    """Return a network with the initial weights of a seed, from 0; torch's generator is kept."""
    import torch

    from fstore.extractor.networks import build_network

    check_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_network(network, classes=classes)


def write_checkpoint(
    store: "Store",
    record: CheckpointRecord,
    weights: "Mapping[str, Tensor]",
    *,
    network: "Network",
    folder: Path | None = None,
    say: Say | None = None,
) -> CheckpointRecord:
    """Register weights: written beside their final place, read back, then moved there whole.

    Parameters
    ----------
    store, record
        Where and what to register.
    weights : mapping of name to Tensor
        Of the network's state dict.
    network : Network
        As it was built to be initialised or trained; its preprocessing is recorded. One image
        must give the same with the weights in this network, and in one that is built anew.
    folder : Path or None
        Where to write first, in the store. A run of training gives the one that it clears at
        its end; what others leave there when they are killed, ``fstore gc`` finds.
    say : callable or None
        Told in a sentence how the weights were checked.

    Raises
    ------
    StorageError
        They cannot be written; nothing is registered.
    DataError
        They do not load back as they were, or give other values; nothing is registered.
    IdentityError
        The name is registered with other weights or preprocessing.
    """
    from fstore.extractor.weights import save_checkpoint, tensors_sha256
    from fstore.extractor.weights.trial import compare
    from fstore.store.leases import working

    preprocess = network.preprocess
    record = replace(
        record,
        preprocessing=preprocess.to_json(),
        preprocessing_hash=preprocess.hash,
        sha256=tensors_sha256(weights),
    )
    folder = folder or store.place.workspace("training")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        place = tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True)
    except OSError as exc:
        raise StorageError(f"cannot write into {folder}: {exc}") from exc
    held = working(store.place, f"write checkpoint {record.name}")
    with held, place as temporary, leftover(Path(temporary)):
        path = Path(temporary) / "weights.safetensors"
        save_checkpoint(weights, path, mean_image=preprocess.mean_image)
        gives = compare(network, weights, _loaded(store, record, path))
        if say is not None:
            say(f"{record.network}/{record.name}: loads back, and one image gives {gives}")
        return store.register_checkpoint(record, path)


def _loaded(store: "Store", record: CheckpointRecord, path: Path) -> "Network":
    """Load a record's file; weights and preprocessing must be those of the record."""
    from fstore.extractor.weights import network_of, read_checkpoint, tensors_sha256
    from fstore.store.remedies import weights_again

    whole, again = f"{record.network}/{record.name}", weights_again(store.place, record)
    try:
        weights, image = read_checkpoint(path)
    except DataError as exc:
        raise StorageError(f"weights of checkpoint {whole} are damaged: {exc}; {again}") from exc
    content = tensors_sha256(weights)
    if content != record.sha256:
        raise StorageError(
            f"weights of checkpoint {whole} are damaged or were replaced: {path} has sha256 "
            f"{content[:12]}, registered is {record.sha256[:12]}; {again}"
        )
    network = network_of(record.network, weights, None, source=str(path))
    return as_recorded(network, record, image)


def named(store: "Store", network: str, names: Iterable[str]) -> list[CheckpointRecord]:
    """Return the checkpoints of a network that have one of these names."""
    return [record for record in store.checkpoints(network) if record.name in set(names)]


def _check_numbers(iteration: int | None, lr: float | None, seed: int | None) -> None:
    if iteration is not None and not 0 <= iteration <= LARGEST_SEED:
        raise DataError(f"--iteration counts from 0 to {LARGEST_SEED}, not {iteration}")
    if lr is not None and (not math.isfinite(lr) or lr < 0):
        raise DataError(f"--lr is a finite number from 0, not {lr}")
    if seed is not None:
        check_seed(seed, "--seed")
