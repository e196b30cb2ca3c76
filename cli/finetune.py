"""``fstore train finetune``, ``evaluate`` and ``plot``: from checkpoints to better ones, judged."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fstore.cli.app import open_store
from fstore.cli.output import AsCsv, AsJson, emit, note
from fstore.cli.places import tell_of_work
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
from fstore.cli.train import emit_trained, processes, progress, train
from fstore.errors import DataError

__all__ = ["evaluate", "finetune", "plot"]

EVALUATION_COLUMNS = [
    "network", "ckpt", "dataset", "view", "split", "split_seed", "layer", "metric", "svm",
    "classifier", "C", "n_train", "n_test", "classes",
]  # fmt: skip


class Mode(StrEnum):
    """What of the network learns."""

    FT = "ft"
    FC_FT = "fc-ft"
    SCRATCH = "scratch"


class View(StrEnum):
    """What a sample is."""

    IMAGE = "image"
    GT = "gt"
    PROPOSAL = "proposal"


Dataset = Annotated[str, typer.Option(help="Registered data set.")]


@train.command("finetune")
def finetune(
    ctx: typer.Context,
    *,
    dataset: Annotated[
        list[str],
        typer.Option(
            help="Registered data set; several of the same classes are learned from as one."
        ),
    ],
    mode: Annotated[
        Mode,
        typer.Option(
            help="ft: all layers learn; fc-ft: only the fully connected ones; scratch: all, from "
            "initial weights."
        ),
    ] = Mode.FT,
    parent: Annotated[
        str | None,
        typer.Option("--from", help="Checkpoint to start from, as NAME or NETWORK/NAME."),
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="Needed from scratch, and where --from is ambiguous.")
    ] = None,
    view: Annotated[
        View,
        typer.Option(
            help="image: whole images; gt: boxes drawn around the ground truth; proposal: stored "
            "proposals. The last two add a background class."
        ),
    ] = View.IMAGE,
    split: SplitName = None,
    split_seed: OldSplitSeed = None,
    trainval: Annotated[
        bool, typer.Option("--trainval", help="Learn from train and val, measure on test.")
    ] = False,
    iterations: Iterations = None,
    snapshots: Annotated[
        str, typer.Option(help="Register a checkpoint after these, too: 1000,5000.")
    ] = "",
    name: Annotated[
        str | None,
        typer.Option(help="Of the checkpoint. Default: PARENT-DATASET-MODE, DATASET-scratch."),
    ] = None,
    seed: Seed = 0,
    recipe: RecipeFile = None,
    lr: LearningRate = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Examples an iteration.")] = None,
    momentum: Momentum = None,
    weight_decay: WeightDecay = None,
    step: StepLength = None,
    gamma: Gamma = None,
    mirror: Annotated[bool | None, typer.Option(help="Mirror half of the examples.")] = None,
    amp: MixedPrecision = None,
    validate_every: Annotated[
        int | None, typer.Option(min=1, help="Measure so often. Default: ten times in all.")
    ] = None,
    save_every: SaveEvery = None,
    workers: Workers = None,
    device: Device = "auto",
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Fine-tune a checkpoint on other data; rerun to resume where it was killed.

    The classifier is replaced by a new one. Several GPUs: torchrun --nproc-per-node 2 -m
    fstore.cli train finetune ...

    Example: fstore train finetune --from 305k --mode ft --dataset voc07 --view gt
    """
    from fstore.workflows.train.finetune import finetune as run
    from fstore.workflows.train.run import TrainingOptions

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
            ctx, store, dataset, split=split, seed=split_seed, seed_option="--split-seed"
        )
        records = run(
            store, dataset=dataset, mode=mode.value, network=network, parent=parent,
            view=view.value, name=name, seed=seed, split=which.name, split_seed=which.seed,
            trainval=trainval, options=options, **entries,
        )  # fmt: skip
    if here.rank == 0:
        emit_trained(records, as_json=as_json, as_csv=as_csv)


@train.command("evaluate")
def evaluate(
    ctx: typer.Context,
    ckpt: Annotated[str, typer.Argument(help="Checkpoint, as NAME or NETWORK/NAME.")],
    *,
    dataset: Dataset,
    layer: Annotated[
        str | None,
        typer.Option(help="Layer of the features. Default: fc7, else the last declared one."),
    ] = None,
    view: Annotated[View, typer.Option(help="image or gt.")] = View.IMAGE,
    network: Annotated[str | None, typer.Option(help="Where several have one of the name.")] = None,
    split: SplitName = None,
    split_seed: OldSplitSeed = None,
    c: Annotated[float, typer.Option(help="Of the SVMs: weight of the loss.")] = 1e-3,
    choose_c: Annotated[
        bool, typer.Option("--choose-c", help="Choose it on val instead: 1e-5 ... 1e-1.")
    ] = False,
    device: Device = "auto",
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Judge a checkpoint by linear SVMs on its features, and by its own classifier.

    Class-averaged accuracy for data sets of one class an image, else mean AP; from 0 to 1.

    Example: fstore train evaluate 305k-sun397-ft --dataset sun397 --split random:0
    """
    from fstore.workflows.train.judge import evaluate as run

    store = open_store(ctx)
    which = split_meant(
        ctx, store, [dataset], split=split, seed=split_seed, seed_option="--split-seed"
    )
    measured = run(
        store, ckpt, dataset=dataset, layer=layer, view=view.value, network=network,
        split=which.name, split_seed=which.seed, c=None if choose_c else c, device=device,
    )  # fmt: skip
    if measured.note and not ctx.obj["quiet"]:
        note(f"no result of its own classifier: {measured.note}")
    emit([asdict(measured)], columns=EVALUATION_COLUMNS, as_json=as_json, as_csv=as_csv)


@train.command("plot")
def plot(
    ctx: typer.Context,
    ckpts: Annotated[
        list[str] | None,
        typer.Argument(help="Checkpoints. Default: the last of every run that was trained here."),
    ] = None,
    *,
    out: Annotated[
        Path, typer.Option("--plot", help="Draw to this .png, .svg or .pdf, with a .csv beside it.")
    ],
    log: Annotated[bool, typer.Option("--log", help="Logarithmic axis of the loss.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the files.")] = False,
) -> None:
    """Draw how loss and held-out accuracy went during training; print the figure's path.

    Example: fstore train plot 305k-voc07-ft voc07-scratch --plot curves.png
    """
    from functools import partial

    from fstore.queries.figures.curves import CURVE_COLUMNS, curve_rows, longest_runs, plot_curves
    from fstore.queries.figures.plots import check_out, save_plot

    check_out(out, overwrite=overwrite)
    store = open_store(ctx)
    records = [store.find_checkpoint(ckpt) for ckpt in ckpts or ()]
    curves = {
        f"{r.network}/{r.name}": curve_rows(r) for r in records or longest_runs(store.checkpoints())
    }
    if without := [name for name, curve in curves.items() if not curve]:
        note(f"no curves are known of {', '.join(without)}: not trained here")
    rows = [row for curve in curves.values() for row in curve]
    if not rows:
        raise DataError(
            "there are no curves to draw; only networks that were trained here have some"
        )
    draw = partial(plot_curves, log=log)
    drawn = ", ".join(name for name, curve in curves.items() if curve)
    title = f"Training, by iteration\n{drawn}"
    typer.echo(save_plot(draw, rows, out, columns=CURVE_COLUMNS, overwrite=overwrite, title=title))
