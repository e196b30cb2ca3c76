"""``fstore ckpt``: import weights, draw initial ones, list what is registered."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fstore.cli.app import listed_store, open_store, sub_app
from fstore.cli.output import AsCsv, AsJson, emit, note
from fstore.errors import DataError
from fstore.names import network_name

if TYPE_CHECKING:
    from fstore.types import CheckpointRecord

__all__ = ["ckpt"]

ckpt = sub_app("ckpt", "Import weights, draw initial ones, list what is registered.")

COLUMNS = ["network", "name", "iteration", "lr", "loss", "seed", "parent", "sha256"]
DETAILS = [*COLUMNS, "preprocessing", "preprocessing_hash", "uri"]
CURVES = ["loss_curve", "held_out_curve"]

OfNetwork = Annotated[
    str, typer.Option("--network", help="Network that the weights are for; see fstore networks.")
]
Name = Annotated[str, typer.Option("--name", help="Name that the store will know them by.")]

Prepared = Annotated[
    list[str] | None,
    typer.Option(
        "--preprocess",
        metavar="NAME=VALUE",
        help="Prepare the input in another way than the network states, as in "
        "interpolation=bicubic or size=288,resize=320. Repeatable.",
    ),
]


@ckpt.command("import")
def import_(
    ctx: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(help=".safetensors, .pt, .pth, .npz, .caffemodel, or a folder of weights."),
    ] = None,
    *,
    network: OfNetwork,
    name: Name,
    weights: Annotated[
        str | None,
        typer.Option(
            help="In place of FILE: weights that the network's library publishes, as in "
            "IMAGENET1K_V2, or default. They are downloaded."
        ),
    ] = None,
    iteration: Annotated[int | None, typer.Option(help="Iterations of training.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate of the last one.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the training.")] = None,
    parent: Annotated[
        str | None, typer.Option(help="Checkpoint that training started from.")
    ] = None,
    mean: Annotated[
        Path | None, typer.Option(help="Mean image, .npy of shape (3, resize, resize).")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="Which state dict, where a file holds several: a, or a.b.")
    ] = None,
    preprocess: Prepared = None,
) -> None:
    """Import a file of weights, or published ones, as a checkpoint.

    The weights are read back and run on one image before they are registered.

    Example: fstore ckpt import caffenet.caffemodel --network caffenet --name 305k
    """
    from fstore.extractor.preprocess_text import parse_options
    from fstore.workflows.checkpoints import import_checkpoint

    record = import_checkpoint(
        open_store(ctx), file, network=network, name=name, weights=weights,
        iteration=iteration, lr=lr, seed=seed, parent=parent, mean=mean, key=key,
        preprocess=parse_options(preprocess or ()), say=note,
    )  # fmt: skip
    note(f"{record.network}/{record.name}: registered, sha256 {record.sha256[:12]}")


@ckpt.command("init")
def init(
    ctx: typer.Context,
    *,
    network: OfNetwork,
    name: Name,
    seed: Annotated[int, typer.Option(help="Of the random weights.")] = 0,
    classes: Annotated[
        int | None, typer.Option(help="Outputs. Default: the network's own number.")
    ] = None,
    preprocess: Prepared = None,
) -> None:
    """Register a network's random initial weights as a checkpoint.

    Example: fstore ckpt init --network caffenet --name random
    """
    from fstore.extractor.preprocess_text import parse_options
    from fstore.workflows.checkpoints import init_checkpoint

    record = init_checkpoint(
        open_store(ctx), network=network, name=name, seed=seed, classes=classes,
        preprocess=parse_options(preprocess or ()), say=note,
    )  # fmt: skip
    note(f"{record.network}/{record.name}: registered, sha256 {record.sha256[:12]}")


@ckpt.command("trust")
def trust(
    network: Annotated[
        str, typer.Argument(help="package.module:function, or path/to/file.py:function.")
    ],
) -> None:
    """Agree that a network's code is run when a store names it; until its file changes.

    Kept in ~/.config/fstore/trusted. Networks that you name yourself need none of this.

    Example: fstore ckpt trust nets.py:small
    """
    from fstore.trust import code_file, consent

    if not consent(set(), network):
        file = code_file(network_name(network))
        raise DataError(
            f"cannot keep that {network!r} is trusted: "
            + ("there is no such file or module here" if file is None else f"of {file}")
        )
    note(f"{network_name(network)}: trusted as it is now")


@ckpt.command("list")
def list_(
    ctx: typer.Context,
    network: Annotated[str | None, typer.Option(help="Only of this network.")] = None,
    as_json: AsJson = False,
    *,
    as_csv: AsCsv = False,
) -> None:
    """List the checkpoints as a tree: each one above those that were trained from it.

    With --json and --csv a row each, by network and iteration; the column parent says the same.

    Example: fstore ckpt list --json
    """
    from fstore.queries.studies.lineage import lineage

    records = listed_store(ctx).checkpoints(network)
    if as_json or as_csv:
        emit(map(asdict, records), columns=COLUMNS, as_json=as_json, as_csv=as_csv)
        return
    rows = (
        {**asdict(d.record), "name": d.branch + d.record.name, "sha256": d.record.sha256[:12]}
        for d in lineage(records)
    )
    emit(rows, columns=COLUMNS)


@ckpt.command("show")
def show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="NAME, or NETWORK/NAME.")],
    network: Annotated[str | None, typer.Option(help="Where several have one of the name.")] = None,
    *,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show all that is known of a checkpoint: numbers, recipe, how its training went.

    With --json, loss_curve and held_out_curve are lists of [iteration, value].

    Example: fstore ckpt show caffenet/305k
    """
    record = open_store(ctx).find_checkpoint(name, network)
    if as_json or as_csv:
        columns = [*DETAILS, "recipe", *CURVES]
        emit([_details(record)], columns=columns, as_json=as_json, as_csv=as_csv)
    else:
        emit(_fields(record), columns=["field", "value"])


def _details(record: "CheckpointRecord") -> dict[str, Any]:
    """Return a checkpoint's row; the recipe without its curves, which have columns."""
    import json

    from fstore.queries.figures.curves import curve_rows, recipe_of

    curves: dict[str, list[list[float]]] = {name: [] for name in CURVES}
    for row in curve_rows(record):
        name = "loss_curve" if row["curve"] == "loss" else "held_out_curve"
        curves[name].append([row["iteration"], row["value"]])
    return {**asdict(record), "recipe": json.dumps(recipe_of(record), sort_keys=True), **curves}


def _fields(record: "CheckpointRecord") -> "Iterator[dict[str, Any]]":
    """Yield what is known of a checkpoint, a field a row; curves are drawn."""
    from fstore.queries.figures.curves import curve_rows, recipe_of, sparkline

    fields = asdict(record)
    yield from ({"field": name, "value": fields[name]} for name in DETAILS)
    recipe = recipe_of(record)
    recipe |= recipe.pop("recipe", {})
    yield from ({"field": f"recipe: {k}", "value": v} for k, v in recipe.items())
    rows = curve_rows(record)
    for curve in dict.fromkeys(row["curve"] for row in rows):
        values = [row["value"] for row in rows if row["curve"] == curve]
        line = f"{values[0]:.3f} {sparkline(values)} {values[-1]:.3f}"
        yield {"field": "training loss" if curve == "loss" else f"held-out {curve}", "value": line}
