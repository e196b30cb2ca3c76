"""What a network says of a sample: its last layer, where that is stored, and its classes' names."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fstore.store.files import Partition

if TYPE_CHECKING:
    from fstore.explore.contents import Contents
    from fstore.types import CheckpointRecord

__all__ = ["Prediction", "predictions", "trained_classes"]

USUAL = ("fc8", "prob", "probs", "logits", "softmax", "head", "classifier", "pool_final", "flatten")
"""Names of layers that are a network's output, where nothing else tells."""

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Prediction:
    """The largest outputs of a network.

    Attributes
    ----------
    partition : Partition
    rows : list of dict
        ``channel``, ``value``, and the class' ``name``, or None where the store has none.
    total : float
        Of all outputs: 1 where they are probabilities.
    n : int
        How many outputs there are.
    """

    partition: Partition
    rows: list[dict[str, Any]]
    total: float
    n: int


def predictions(contents: "Contents", partition: Partition, sample: int) -> list[Prediction]:
    """Return what a checkpoint says of a sample, for each stored layer that is its output.

    That is a layer of one value a filter with as many filters as the classes that the checkpoint
    was trained on, or, where the store does not know these, one of a usual name.

    Parameters
    ----------
    contents : Contents
    partition : Partition
        Of any layer: the checkpoint, data set and view count.
    sample : int
    """
    told = []
    names = _trained(contents).get((partition.network, partition.ckpt), ())
    for p in contents.partitions:
        if {**p.values, "layer": ""} != {**partition.values, "layer": ""}:
            continue
        shape = contents.shape(p)
        named = bool(names) and len(names) == shape.channels
        if shape.positions == 1 and (named or p.layer in USUAL):
            told += _of(contents, p, sample, names if named else ())
    return told


def _of(
    contents: "Contents", partition: Partition, sample: int, names: tuple[str, ...]
) -> list[Prediction]:
    responses = contents.responses(partition)
    row = int(np.searchsorted(responses.ids, sample))
    if row == len(responses.ids) or responses.ids[row] != sample:
        return []
    values = responses.values[row]
    rows = [
        {
            "channel": int(channel),
            "value": float(values[channel]),
            "name": names[channel] if names else None,
        }
        for channel in np.argsort(-values, kind="stable")[:SHOWN]
    ]
    return [Prediction(partition, rows, float(values.sum(dtype=np.float64)), len(values))]


def _trained(contents: "Contents") -> dict[tuple[str, str], tuple[str, ...]]:
    tables = ("checkpoints", "datasets")
    return contents.kept("classes of checkpoints", tables, lambda: _all_trained(contents))


def _all_trained(contents: "Contents") -> dict[tuple[str, str], tuple[str, ...]]:
    records = contents.store.checkpoints()
    return {(r.network, r.name): trained_classes(contents, r) for r in records}


def trained_classes(contents: "Contents", record: "CheckpointRecord") -> tuple[str, ...]:
    """Return the classes of a checkpoint's outputs, in order; none where the store has no word.

    Fine-tuning notes them. Pre-training notes the data set, and the hashes of its samples and
    labels: the data set of that name counts only if it still has these.
    """
    recipe = json.loads(record.recipe or "{}")
    if classes := recipe.get("classes"):
        return tuple(classes)
    name, data = recipe.get("dataset"), str(recipe.get("data", "")).split()
    info = next((d for d in contents.store.datasets() if d.name == name), None)
    if info is None or recipe.get("kind") != "pretrain":
        return ()
    same = {info.views.get("image"), info.labels.get("image")} <= set(data)
    return info.classes if same else ()
