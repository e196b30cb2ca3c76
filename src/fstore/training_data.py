"""What fine-tuning learns from: whole images of a data set, or regions of them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError, UnknownNameError
from fstore.region_data import RegionTables

if TYPE_CHECKING:
    from fstore.extractor.preprocess import Preprocess
    from fstore.extractor.training import FileExamples, TrainingData
    from fstore.store import Store
    from fstore.store.catalog import DatasetInfo

__all__ = ["BACKGROUND", "VIEWS", "Learning", "outputs", "training_data"]

BACKGROUND = "(background)"
"""The class of regions without an object; the last output."""

VIEWS = ("image", "gt", "proposal")


@dataclass(frozen=True, slots=True)
class Learning:
    """What is learned from.

    Attributes
    ----------
    dataset : str
    view : str
        ``image``: whole images; ``gt``: boxes drawn around ground-truth boxes; ``proposal``:
        stored proposals.
    split, split_seed : str, int
    trainval : bool
        Learn from train and val, measure on test; else learn from train, measure on val, or on
        test where the split has no val.
    """

    dataset: str
    view: str = "image"
    split: str = "official"
    split_seed: int = 0
    trainval: bool = False

    @property
    def regions(self) -> bool:
        """Whether examples are regions of images."""
        return self.view != "image"


def outputs(store: "Store", learning: Learning) -> list[str]:
    """Return the classes in the order of the network's outputs; regions have background last.

    Raises
    ------
    UnknownNameError
        No such data set, or it has no such view.
    DataError
        It has too few classes, or no labels.
    """
    info = store.dataset(learning.dataset)
    _check_view(info, learning.view)
    classes = list(info.classes)
    if info.task == "none" or not classes:
        raise DataError(f"data set {info.name!r} has no labels: there is nothing to learn")
    if learning.regions:
        return [*classes, BACKGROUND]
    if info.task == "single" and len(classes) < 2:
        raise DataError(
            f"data set {info.name!r} has a single class, {classes[0]!r}: there is nothing to tell "
            "apart; a classifier needs two"
        )
    return classes


def _check_view(info: "DatasetInfo", view: str) -> None:
    if view not in VIEWS:
        raise UnknownNameError(f"no view {view!r}; there are: {', '.join(VIEWS)}")
    needed = ["image", "gt", view] if view != "image" else [view]
    absent = [v for v in needed if v not in info.views]
    if not absent:
        return
    make = (
        f"; make proposals with: fstore proposals --dataset {info.name}, or learn from boxes drawn "
        "around the ground truth: --view gt"
        if absent == ["proposal"]
        else ""
    )
    raise UnknownNameError(
        f"data set {info.name!r} has no view {absent[0]!r}; it has: {', '.join(info.views)}{make}"
    )


def training_data(
    store: "Store", learning: Learning, preprocess: "Preprocess", *, workers: int | None = None
) -> "TrainingData":
    """Return the examples of a data set to learn from and to measure on.

    Parameters
    ----------
    store : Store
    learning : Learning
    preprocess : Preprocess
        Of the network.
    workers : int or None
        Threads that decode; None: one a core.

    Raises
    ------
    UnknownNameError
        No such split, or a part of it is empty.
    DataError
        A part has nothing to learn.
    """
    from fstore.extractor.training import TrainingData

    info = store.dataset(learning.dataset)
    learnt, held = _parts(store, learning)
    used = VIEWS if learning.view == "proposal" else ("image", learning.view)
    hashes = [f"{v} {info.views[v]} {info.labels[v]}" for v in dict.fromkeys(used)]
    which = f"{learning.split} {learning.split_seed} trainval={learning.trainval}"
    identity = " ".join([*hashes, which])
    if learning.regions:
        tables = RegionTables(store, info, stored=learning.view == "proposal")
        train = tables.examples(learnt, preprocess, workers=workers)
        return TrainingData(train, tables.held_out(held, preprocess, workers=workers), identity)
    images = [_image_examples(store, info, ids, preprocess, workers) for ids in (learnt, held)]
    return TrainingData(images[0], images[1], identity)


def _parts(store: "Store", learning: Learning) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the images that are learned from and those that are measured on, ascending."""
    from fstore.store.export import part_samples

    rows = store.splits(learning.dataset, "image").to_pylist()
    key = (learning.split, learning.split_seed)
    there = {r["part"] for r in rows if (r["split"], r["seed"]) == key}

    def ids(*parts: str) -> NDArray[np.int64]:
        found = [
            part_samples(store, learning.dataset, "image", split=key[0], seed=key[1], part=part)
            for part in parts
        ]
        return np.unique(np.concatenate(found))

    if learning.trainval:
        return ids("train", *({"val"} & there)), ids("test")
    return ids("train"), ids("val" if "val" in there else "test")


def _image_examples(
    store: "Store",
    info: "DatasetInfo",
    ids: NDArray[np.int64],
    preprocess: "Preprocess",
    workers: int | None,
) -> "FileExamples":
    """Return whole images with one class each, or with a row of 1, 0 and -1 each."""
    from fstore.extractor.training import FileExamples
    from fstore.queries.samples import label_matrix

    labels: Any = label_matrix(store, info.name, "image", ids, info.classes)
    if info.task == "single":
        shown = labels.max(axis=1) > 0
        ids, labels = ids[shown], labels[shown].argmax(axis=1)
    samples = store.samples(info.name, "image", ["sample_id", "uri", "digest"]).take(ids)
    return FileExamples(
        info.root,
        samples["uri"].to_pylist(),
        samples["digest"].to_pylist(),
        labels,
        preprocess,
        workers=workers,
    )
