"""Training: recipes, the examples that are drawn, and the loop that gives checkpoints."""

from fstore.extractor.training.distributed import ALONE, Processes, together
from fstore.extractor.training.examples import (
    CACHE_BYTES,
    ArrayExamples,
    Batch,
    Examples,
    FileExamples,
    JoinedExamples,
    ShuffledExamples,
    Targets,
    TrainingData,
)
from fstore.extractor.training.loop import Snapshot, Step, train
from fstore.extractor.training.recipe import Multiplier, Recipe, run_length, snapshot_name
from fstore.extractor.training.recipe_file import read_recipe

__all__ = [
    "ALONE",
    "CACHE_BYTES",
    "ArrayExamples",
    "Batch",
    "Examples",
    "FileExamples",
    "JoinedExamples",
    "Multiplier",
    "Processes",
    "Recipe",
    "ShuffledExamples",
    "Snapshot",
    "Step",
    "Targets",
    "TrainingData",
    "read_recipe",
    "run_length",
    "snapshot_name",
    "together",
    "train",
]
