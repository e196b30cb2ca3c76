"""``fstore train``: make checkpoints."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from fstore.cli.app import open_store, sub_app
from fstore.cli.output import AsCsv, AsJson, emit
from fstore.cli.places import tell_of_work
from fstore.cli.progress import bar
from fstore.cli.recipe_options import (
    Device,
    Gamma,
    Iterations,
    LearningRate,
    MixedPrecision,
    Momentum,
    RecipeFile,
    SaveEvery,
    Seed,
    StepLength,
    WeightDecay,
    Workers,
    numbers,
    stated,
)
from fstore.cli.splits import OldSplitSeed, SplitName, split_meant

if TYPE_CHECKING:
    from fstore.extractor.training import Processes, Step
    from fstore.types import CheckpointRecord

__all__ = ["emit_trained", "processes", "progress", "train"]

train = sub_app("train", "Train networks; snapshots become checkpoints.")

COLUMNS = ["network", "name", "iteration", "lr", "loss"]


@train.callback()
def group() -> None:
    """Train networks; snapshots become checkpoints."""


@train.command("pretrain")
def pretrain(
    ctx: typer.Context,
    *,
    network: Annotated[str, typer.Option(help="Network to train; see fstore networks.")],
    dataset: Annotated[str, typer.Option(help="Registered data set with a class an image.")],
    iterations: Iterations = None,
    snapshots: Annotated[
        str,
        typer.Option(
            help="Register a checkpoint after these: 5,15,50. "
            "Default: the network's own, and the last."
        ),
    ] = "",
    name_prefix: Annotated[str, typer.Option(help="Put before the checkpoints' names.")] = "",
    seed: Seed = 0,
    recipe: RecipeFile = None,
    lr: LearningRate = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images an iteration.")] = None,
    momentum: Momentum = None,
    weight_decay: WeightDecay = None,
    step: StepLength = None,
    gamma: Gamma = None,
    mirror: Annotated[bool | None, typer.Option(help="Mirror half of the images.")] = None,
    amp: MixedPrecision = None,
    split: SplitName = None,
    split_seed: OldSplitSeed = None,
    validate_every: Annotated[
        int | None, typer.Option(min=1, help="Measure on held-out images so often, too.")
    ] = None,
    save_every: SaveEvery = None,
    workers: Workers = None,
    device: Device = "auto",
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Train a network from random weights; rerun to resume where it was killed.

    Several GPUs: torchrun --nproc-per-node 2 -m fstore.cli train pretrain ...

    Example: fstore train pretrain --network caffenet-mini --dataset digits --iterations 300
    """
    from fstore.workflows.train.run import TrainingOptions
    from fstore.workflows.train.run import pretrain as run

    entries = stated(
        recipe, iterations=iterations, snapshots=numbers("--snapshots", snapshots) or None, lr=lr,
        batch_size=batch_size, momentum=momentum, weight_decay=weight_decay, step=step,
        gamma=gamma, mirror=mirror, amp=amp and amp.value,
    )  # fmt: skip
    here = processes()
    hushed = ctx.obj["quiet"] or here.rank > 0
    with progress(quiet=hushed) as on_step:
        options = TrainingOptions(
            device=device, workers=workers, save_every=save_every,
            validate_every=validate_every, processes=here, on_step=on_step,
        )  # fmt: skip
        store = open_store(ctx)
        tell_of_work(store, "training", "the state is kept", quiet=hushed)
        which = split_meant(
            ctx, store, [dataset], split=split, seed=split_seed, seed_option="--split-seed",
            official_first=True,
        )  # fmt: skip
        records = run(
            store, network=network, dataset=dataset, seed=seed, name_prefix=name_prefix,
            split=which.name, split_seed=which.seed, options=options, **entries,
        )  # fmt: skip
    if here.rank == 0:
        emit_trained(records, as_json=as_json, as_csv=as_csv)


def processes() -> "Processes":
    """Return which of ``torchrun``'s processes this is, from the variables that it sets."""
    from fstore.extractor.training import Processes

    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    if any(name not in os.environ for name in (*names, "MASTER_ADDR")):
        return Processes()
    return Processes(*(int(os.environ[name]) for name in names))


def emit_trained(
    records: "Sequence[CheckpointRecord]", *, as_json: bool = False, as_csv: bool = False
) -> None:
    """Print the checkpoints that a run made, with what was measured on held-out images."""
    import json

    recipes = [json.loads(record.recipe) for record in records]
    multi = any("held_out_mean_ap" in recipe for recipe in recipes)
    measured = "mean_ap" if multi else "accuracy"
    rows = (
        {**asdict(record), measured: recipe.get(f"held_out_{measured}")}
        for record, recipe in zip(records, recipes, strict=True)
    )
    emit(rows, columns=[*COLUMNS, measured], as_json=as_json, as_csv=as_csv)


@contextmanager
def progress(*, quiet: bool) -> "Iterator[Callable[[Step], None]]":
    """Draw a bar with loss, images/s, time left and what was last measured on held-out images.

    Yields the ``on_step`` of a run.
    """
    from fstore.workflows.train.run import step_notes

    note = step_notes()
    with bar(quiet=quiet) as update:

        def advance(step: "Step") -> None:
            update("training", step.iteration, step.of, note(step))

        yield advance
