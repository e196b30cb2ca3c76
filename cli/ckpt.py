"""``fstore ckpt``: import weights, draw initial ones, list what is registered."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fstore.cli.app import open_store, sub_app
from fstore.cli.output import AsCsv, AsJson, emit, note

__all__ = ["ckpt"]

ckpt = sub_app("ckpt", "Import weights, draw initial ones, list what is registered.")

COLUMNS = ["network", "name", "iteration", "lr", "loss", "seed", "parent", "sha256"]
DETAILS = [*COLUMNS, "recipe", "preprocessing", "preprocessing_hash", "uri"]

OfNetwork = Annotated[
    str, typer.Option("--network", help="Network that the weights are for; see fstore networks.")
]
Name = Annotated[str, typer.Option("--name", help="Name that the store will know them by.")]


@ckpt.command("import")
def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help=".safetensors, .pt, .pth, .npz or .caffemodel.")],
    *,
    network: OfNetwork,
    name: Name,
    iteration: Annotated[int | None, typer.Option(help="Iterations of training.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate of the last one.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the training.")] = None,
    parent: Annotated[
        str | None, typer.Option(help="Checkpoint that training started from.")
    ] = None,
    mean: Annotated[
        Path | None, typer.Option(help="Mean image, .npy of shape (3, resize, resize).")
    ] = None,
) -> None:
    """Import a file of weights as a checkpoint.

    Example: fstore ckpt import caffenet.caffemodel --network caffenet --name 305k
    """
    from fstore.workflows import import_checkpoint

    record = import_checkpoint(
        open_store(ctx), file, network=network, name=name,
        iteration=iteration, lr=lr, seed=seed, parent=parent, mean=mean,
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
) -> None:
    """Register a network's random initial weights as a checkpoint.

    Example: fstore ckpt init --network caffenet --name random
    """
    from fstore.workflows import init_checkpoint

    store = open_store(ctx)
    record = init_checkpoint(store, network=network, name=name, seed=seed, classes=classes)
    note(f"{record.network}/{record.name}: registered, sha256 {record.sha256[:12]}")


@ckpt.command("list")
def list_(
    ctx: typer.Context,
    network: Annotated[str | None, typer.Option(help="Only of this network.")] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List the checkpoints, by network and iteration.

    Example: fstore ckpt list --json
    """
    rows = [asdict(record) for record in open_store(ctx).checkpoints(network)]
    shown = [{**row, "sha256": row["sha256"][:12]} for row in rows]
    plain = as_json or as_csv
    emit(rows if plain else shown, columns=COLUMNS, as_json=as_json, as_csv=as_csv)


@ckpt.command("show")
def show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="NAME, or NETWORK/NAME.")],
    network: Annotated[str | None, typer.Option(help="Where several have one of the name.")] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show all that is known of a checkpoint.

    Example: fstore ckpt show caffenet/305k
    """
    record = asdict(open_store(ctx).find_checkpoint(name, network))
    if as_json or as_csv:
        emit([record], columns=DETAILS, as_json=as_json, as_csv=as_csv)
    else:
        emit(({"field": k, "value": record[k]} for k in DETAILS), columns=["field", "value"])
