"""Options that ``fstore train pretrain`` and ``finetune`` share, declared once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = [
    "Amp",
    "Device",
    "Gamma",
    "Iterations",
    "LearningRate",
    "MixedPrecision",
    "Momentum",
    "RecipeFile",
    "SaveEvery",
    "Seed",
    "StepLength",
    "WeightDecay",
    "Workers",
    "numbers",
    "stated",
]


class Amp(StrEnum):
    """Mixed precision: what autocast computes in."""

    OFF = "off"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


Iterations = Annotated[
    int | None, typer.Option(min=1, help="Batches in all. Default: the network's own.")
]
Seed = Annotated[int, typer.Option(min=0, help="Of all that is random.")]
RecipeFile = Annotated[
    Path | None,
    typer.Option(help="TOML file of recipe entries; options win. See docs/training.md."),
]
LearningRate = Annotated[float | None, typer.Option(help="Learning rate at first.")]
Momentum = Annotated[float | None, typer.Option(help="Share of the velocity kept.")]
WeightDecay = Annotated[float | None, typer.Option(help="Of weights, not biases.")]
StepLength = Annotated[int | None, typer.Option(min=1, help="Iterations a learning rate.")]
Gamma = Annotated[float | None, typer.Option(help="Factor on it after each step.")]
MixedPrecision = Annotated[
    Amp | None, typer.Option(help="Mixed precision; float16 needs a GPU. Default: off.")
]
SaveEvery = Annotated[
    int | None, typer.Option(min=1, help="Keep the run's state so often. Default: a minute.")
]
Workers = Annotated[int | None, typer.Option(min=1, help="Decoding threads. Default: one a core.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")]


def stated(recipe: Path | None, **given: object) -> dict[str, Any]:
    """Return the recipe entries of a file, and of the options that were given, which win."""
    from fstore.extractor.training import read_recipe

    entries: dict[str, Any] = {} if recipe is None else read_recipe(recipe)
    return entries | {name: value for name, value in given.items() if value is not None}


def numbers(option: str, text: str) -> list[int]:
    """Return the whole numbers of a text such as ``5,15,50``; an option that takes them."""
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise typer.BadParameter(f"{option} takes numbers such as 5,15,50, not {text!r}") from None
