"""Training: recipes, the examples that are drawn, and the loop that gives checkpoints."""

from fstore.extractor.training.examples import ArrayExamples, Examples, FileExamples, TrainingData
from fstore.extractor.training.pretraining import Snapshot, Step, pretrain
from fstore.extractor.training.recipe import Recipe, snapshot_name

__all__ = [
    "ArrayExamples",
    "Examples",
    "FileExamples",
    "Recipe",
    "Snapshot",
    "Step",
    "TrainingData",
    "pretrain",
    "snapshot_name",
]
