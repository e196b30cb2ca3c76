"""``fstore train``: make checkpoints."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from fstore.cli.app import open_store, sub_app
from fstore.cli.output import AsCsv, AsJson, emit
from fstore.cli.progress import bar

if TYPE_CHECKING:
    from fstore.extractor.training import Step

__all__ = ["progress", "train"]

train = sub_app("train", "Train networks; snapshots become checkpoints.")

COLUMNS = ["network", "name", "iteration", "lr", "loss", "accuracy"]


@train.callback()
def group() -> None:
    """Train networks; snapshots become checkpoints."""


@train.command("pretrain")
def pretrain(
    ctx: typer.Context,
    *,
    network: Annotated[str, typer.Option(help="Network to train; see fstore networks.")],
    dataset: Annotated[str, typer.Option(help="Registered data set with a class an image.")],
    iterations: Annotated[int, typer.Option(min=1, help="Batches in all.")],
    snapshots: Annotated[
        str, typer.Option(help="Register a checkpoint after these: 5,15,50. Default: the last.")
    ] = "",
    name_prefix: Annotated[str, typer.Option(help="Put before the checkpoints' names.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of all that is random.")] = 0,
    lr: Annotated[float | None, typer.Option(help="Learning rate at first.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images an iteration.")] = None,
    mirror: Annotated[bool | None, typer.Option(help="Mirror half of the images.")] = None,
    split_seed: Annotated[int, typer.Option(help="Which random split, if none official.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Train a network from random weights; rerun to resume where it was killed.

    Example: fstore train pretrain --network caffenet-mini --dataset digits --iterations 300
    """
    from fstore.training import Options
    from fstore.training import pretrain as run

    store = open_store(ctx)
    with progress(iterations, quiet=ctx.obj["quiet"]) as on_step:
        records = run(
            store, network=network, dataset=dataset, iterations=iterations,
            snapshots=_numbers(snapshots), seed=seed, name_prefix=name_prefix,
            split_seed=split_seed, options=Options(device=device, on_step=on_step),
            lr=lr, batch_size=batch_size, mirror=mirror,
        )  # fmt: skip
    rows = ({**asdict(r), "accuracy": _accuracy(r.recipe)} for r in records)
    emit(rows, columns=COLUMNS, as_json=as_json, as_csv=as_csv)


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise typer.BadParameter(
            f"--snapshots takes numbers such as 5,15,50, not {text!r}"
        ) from None


def _accuracy(recipe: str) -> float | None:
    import json

    value = json.loads(recipe).get("held_out_accuracy")
    return None if value is None else float(value)


@contextmanager
def progress(iterations: int, *, quiet: bool) -> "Iterator[Callable[[Step], None]]":
    """Draw a bar with loss, images/s and time left."""
    began = perf_counter()
    with bar(quiet=quiet) as update:
        first = 0

        def advance(step: "Step") -> None:
            nonlocal first
            first = first or step.iteration - 1  # a resumed run starts later
            speed = (step.iteration - first) * step.images / (perf_counter() - began)
            text = f"loss {step.loss:.3f}  {speed:.0f} images/s"
            update("training", step.iteration, iterations, text)

        yield advance
