"""Training: recipes, the examples that are drawn, and the loop that gives checkpoints."""

from fstore.extractor.training.examples import (
    ArrayExamples,
    Batch,
    Examples,
    FileExamples,
    ShuffledExamples,
    Targets,
    TrainingData,
)
from fstore.extractor.training.loop import Snapshot, Step, train
from fstore.extractor.training.recipe import Multiplier, Recipe, snapshot_name

__all__ = [
    "ArrayExamples",
    "Batch",
    "Examples",
    "FileExamples",
    "Multiplier",
    "Recipe",
    "ShuffledExamples",
    "Snapshot",
    "Step",
    "Targets",
    "TrainingData",
    "snapshot_name",
    "train",
]
