"""Fine-tuning into a store: from a checkpoint, or from scratch for comparison (section 2.3)."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fstore.errors import DataError
from fstore.trust import consent
from fstore.types import CheckpointRecord
from fstore.workflows.checkpoints import load_network, named, seeded_network
from fstore.workflows.preparation import as_before, own_options
from fstore.workflows.train.data import Learning, outputs, training_data
from fstore.workflows.train.run import Plan, TrainingOptions, train_into

if TYPE_CHECKING:
    from fstore.extractor.networks import Network
    from fstore.store import Store

__all__ = ["finetune"]

VALIDATIONS = 10
"""Times that the held-out samples are measured during a run, unless said otherwise."""


def finetune(
    store: "Store",
    *,
    dataset: str | Sequence[str],
    mode: str,
    network: str | None = None,
    parent: str | None = None,
    view: str = "image",
    name: str | None = None,
    iterations: int | None = None,
    snapshots: Sequence[int] = (),
    seed: int = 0,
    split: str = "official",
    split_seed: int = 0,
    trainval: bool = False,
    options: TrainingOptions | None = None,
    **changes: Any,  # noqa: ANN401 - each entry of a recipe has its own type
) -> list[CheckpointRecord]:
    """Fine-tune a checkpoint on data sets, or train from scratch, and register the snapshots.

    Parameters
    ----------
    store : Store
        The run's state is kept in its folder ``training`` until the run is done: the same call
        resumes an interrupted run. A run whose checkpoints are all registered is not repeated.
    dataset : str or sequence of str
        Registered data set. Several that have the same classes are learned from as if they were
        one, and measured on where they have the part for it.
    mode : {"ft", "fc-ft", "scratch"}
        Every layer learns; only the fully connected ones do; every layer, from initial weights.
    network : str or None
        Needed from scratch, and where several networks have a checkpoint named ``parent``.
    parent : str or None
        Checkpoint to start from, NAME or NETWORK/NAME; None from scratch.
    view : {"image", "gt", "proposal"}
        Learn from whole images; from boxes drawn around ground-truth boxes; or from stored
        proposals. The last two add a background class, the last output.
    name : str or None
        Of the checkpoint; None: PARENT-DATASET-MODE, or DATASET-scratch, and -sSEED for a seed
        that is not 0; several data sets are joined by +. Snapshots before the last get their
        iteration appended.
    iterations : int or None
        Batches in all; None: what the network states.
    snapshots : sequence of int
        Iterations after which to register a checkpoint, beside the last.
    seed : int
        Of the new classifier (from scratch: of all weights) and of all that is drawn.
    split, split_seed : str, int
        ``official``, or ``random`` and which.
    trainval : bool
        Learn from the parts train and val and measure on test; else learn from train and measure
        on val, or on test where there is no val.
    options : TrainingOptions or None
        As for ``pretrain``, but ``validate_every`` None is a tenth of all.
    **changes
        Recipe entries that differ: ``lr``, ``batch_size``, ``mirror``, ``momentum``,
        ``weight_decay``, ``step``, ``gamma``.

    Returns
    -------
    list of CheckpointRecord
        In the order of the snapshots. ``recipe`` holds, beside the numbers, the ``classes`` in
        the order of the outputs and the curves.

    Raises
    ------
    UnknownNameError
        No such data set, view, split, network or parent.
    DataError
        No such mode; a parent from scratch, or none otherwise; a data set that has nothing to
        learn; several that differ in their classes, or of which one is measured on what another
        learns from; snapshots out of range; an unreadable image; a loss that is not finite.
    IdentityError
        A checkpoint's name is registered with another recipe, data or weights.
    """
    from fstore.extractor.training.finetuning import MODES, default_iterations, finetuning_recipe

    if mode not in MODES:
        raise DataError(f"no mode {mode!r} of fine-tuning; there are: {', '.join(MODES)}")
    options = options or TrainingOptions()
    datasets = (dataset,) if isinstance(dataset, str) else tuple(dataset)
    learning = Learning(datasets, view, split, split_seed, trainval)
    classes = outputs(store, learning)
    start = _parent(store, mode, network, parent=parent)
    parent_name = None if start is None else start.name
    built = _initial(store, start, str(network), n_outputs=len(classes), seed=seed)
    recipe = finetuning_recipe(built, mode, regions=learning.regions, **changes)
    total = iterations or default_iterations(built, mode, regions=learning.regions)
    names = _names(name or _name(start, learning.name, mode, seed=seed), total, snapshots)
    if start is None:
        built = as_before(built, named(store, built.name, names.values()))
    data = training_data(store, learning, built.preprocess, workers=options.workers)
    how = {"seed": seed, "iterations": total, "recipe": json.loads(recipe.to_json())}
    about = _about(mode, learning, start, data=data.identity, classes=classes) | how
    plan = Plan(built, data, recipe, total, names, seed, about, parent_name)
    every = options.validate_every or max(1, total // VALIDATIONS)
    return train_into(store, plan, replace(options, validate_every=every))


def _about(
    mode: str,
    learning: Learning,
    start: CheckpointRecord | None,
    *,
    data: str,
    classes: Sequence[str],
) -> dict[str, object]:
    """Return what the checkpoints' recipes say of where they come from and what they learned."""
    own = {} if start is None else own_options(start)
    return {
        "kind": "finetune",
        "mode": mode,
        "dataset": learning.name,
        "view": learning.view,
        "split": learning.split,
        "split_seed": learning.split_seed,
        "trainval": learning.trainval,
        "data": data,
        "classes": classes,
        "parent": None if start is None else start.name,
        "parent_sha256": None if start is None else start.sha256,
        **({"preprocess": own} if own else {}),
    }


def _parent(
    store: "Store", mode: str, network: str | None, *, parent: str | None
) -> CheckpointRecord | None:
    """Return the checkpoint that training starts from; None from scratch."""
    if mode != "scratch":
        if parent is None:
            raise DataError(f"mode {mode} starts from a checkpoint; name it with --from")
        return store.find_checkpoint(parent, network)
    if parent is not None:
        raise DataError(
            f"mode scratch starts from initial weights, not from {parent!r}; leave out --from, or "
            "choose --mode ft"
        )
    if network is None:
        raise DataError("mode scratch needs a network; name it with --network")
    return None


def _initial(
    store: "Store", start: CheckpointRecord | None, network: str, *, n_outputs: int, seed: int
) -> "Network":
    """Return the network that training starts with: the parent's, or initial weights."""
    from fstore.extractor.training.finetuning import with_new_classifier

    if start is None:
        consent(store.trusted, network)
        return seeded_network(network, n_outputs, seed)
    learned = load_network(store, start)  # first: it asks whether the network may be run
    return with_new_classifier(seeded_network(start.network, n_outputs, seed), learned, seed=seed)


def _name(start: CheckpointRecord | None, dataset: str, mode: str, *, seed: int) -> str:
    """Return the checkpoint's name if none is given."""
    words = [dataset, mode] if start is None else [start.name, dataset, mode]
    return "-".join([*words, f"s{seed}"] if seed else words)


def _names(base: str, iterations: int, snapshots: Sequence[int]) -> dict[int, str]:
    """Return what each snapshot is called: the last one by the plain name."""
    from fstore.extractor.training import snapshot_name

    before = sorted(set(snapshots) - {iterations})
    return {i: f"{base}-{snapshot_name(i)}" for i in before} | {iterations: base}
