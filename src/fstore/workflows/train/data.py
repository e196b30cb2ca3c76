"""What fine-tuning learns from: whole images of a data set, or regions of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError, UnknownNameError
from fstore.types import PARTS
from fstore.workflows.train.regions import RegionTables, held_out_regions, region_examples

if TYPE_CHECKING:
    from fstore.extractor.preprocess import Preprocess
    from fstore.extractor.training import FileExamples, ShuffledExamples, TrainingData
    from fstore.store import Store
    from fstore.store.catalog import DatasetInfo
    from fstore.store.parts import Samples

__all__ = ["BACKGROUND", "VIEWS", "Learning", "outputs", "training_data"]

BACKGROUND = "(background)"
"""The class of regions without an object; the last output."""

Ids: TypeAlias = NDArray[np.int64]

VIEWS = ("image", "gt", "proposal")


@dataclass(frozen=True, slots=True)
class Learning:
    """What is learned from.

    Raises
    ------
    DataError
        No data set, or one twice.

    Attributes
    ----------
    datasets : tuple of str
        Several are learned from as if they were one; they have the same classes.
    view : str
        ``image``: whole images; ``gt``: boxes drawn around ground-truth boxes; ``proposal``:
        stored proposals.
    split, split_seed : str, int
    trainval : bool
        Learn from train and val, measure on test; else learn from train, measure on val, or on
        test where the split has no val. Of several data sets some may have nothing to measure on.
    """

    datasets: tuple[str, ...]
    view: str = "image"
    split: str = "official"
    split_seed: int = 0
    trainval: bool = False

    def __post_init__(self) -> None:
        if not self.datasets or len(set(self.datasets)) < len(self.datasets):
            raise DataError(
                f"fine-tuning takes one data set or more, each once; not: {self.name or 'none'}"
            )

    @property
    def name(self) -> str:
        """The data sets as one word."""
        return "+".join(self.datasets)

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
        It has too few classes, or no labels; several have different ones.
    """
    from fstore.queries.samples.labels import class_names

    infos = [store.dataset(name) for name in learning.datasets]
    for other in infos:
        _check_view(store, other, learning.view)
    classes, info = list(class_names(store, learning.datasets)), infos[0]
    if differ := {other.task for other in infos} - {info.task}:
        raise DataError(
            f"data sets {', '.join(learning.datasets)} cannot be learned from together: their "
            f"tasks differ, '{info.task}' and '{differ.pop()}'"
        )
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


def _check_view(store: "Store", info: "DatasetInfo", view: str) -> None:
    from fstore.store.remedies import no_view

    if view not in VIEWS:
        raise UnknownNameError(f"no view {view!r}; there are: {', '.join(VIEWS)}")
    needed = ["image", "gt", view] if view != "image" else [view]
    absent = [v for v in needed if v not in info.views]
    if not absent:
        return
    drawn = "; or learn from boxes drawn around the ground truth: --view gt"
    other = drawn if absent == ["proposal"] else ""
    raise UnknownNameError(no_view(store, info, absent[0]) + other)


def training_data(
    store: "Store", learning: Learning, preprocess: "Preprocess", *, workers: int | None = None
) -> "TrainingData":
    """Return the examples to learn from and to measure on.

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
        A part has nothing to learn; an image is learned from in one data set and measured on in
        another.
    """
    from fstore.extractor.training import JoinedExamples, TrainingData
    from fstore.queries.samples.labels import class_names

    infos = [store.dataset(name) for name in learning.datasets]
    classes = class_names(store, learning.datasets)
    learnt, held = _parts(store, learning)
    identity = " ".join([*(_contents(info, learning.view) for info in infos), _which(learning)])
    if learning.regions:
        stored = learning.view == "proposal"
        tables = [RegionTables(store, info, stored=stored, classes=classes) for info in infos]
        train = region_examples(tables, learnt, preprocess, workers=workers)
        return TrainingData(
            train, held_out_regions(tables, held, preprocess, workers=workers), identity
        )

    def images(ids: Sequence[Ids]) -> "ShuffledExamples":
        parts = [
            _image_examples(
                store,
                info,
                own,
                classes=classes,
                preprocess=preprocess,
                workers=workers,
                share=len(infos),
            )
            for info, own in zip(infos, ids, strict=True)
            if len(own)
        ]
        return parts[0] if len(parts) == 1 else JoinedExamples(parts)

    return TrainingData(images(learnt), images(held), identity)


def _contents(info: "DatasetInfo", view: str) -> str:
    used = VIEWS if view == "proposal" else ("image", view)
    return " ".join(f"{v} {info.views[v]} {info.labels[v]}" for v in dict.fromkeys(used))


def _which(learning: Learning) -> str:
    return f"{learning.split} {learning.split_seed} trainval={learning.trainval}"


def _parts(store: "Store", learning: Learning) -> "tuple[list[Ids], list[Ids]]":
    """Return each data set's images that are learned from and that are measured on."""
    from fstore.queries.samples.labels import check_apart
    from fstore.store.parts import Samples, Split, used_parts

    learned, measured = [], []
    for name in learning.datasets:
        split = Split(learning.split, learning.split_seed)
        parts: dict[str, Samples] = {
            p: Samples(name, "image", split.name, split.seed, p) for p in PARTS
        }
        present = [s.part for s in used_parts(store, name, split=split)]
        held = "test" if learning.trainval or "val" not in present else "val"
        with_val = learning.trainval and "val" in present
        learned.append([parts["train"], *([parts["val"]] if with_val else [])])
        alone = len(learning.datasets) == 1  # one that is not there is an error then
        measured.append([parts[held]] if held in present or alone else [])
    if not any(measured):
        raise DataError(
            f"none of the data sets {', '.join(learning.datasets)} has a part to measure on in its "
            f"split '{learning.split}' (seed {learning.split_seed})"
        )
    remedy = "leave a data set out, or take another split"
    check_apart(store, list(chain(*learned)), list(chain(*measured)), remedy=remedy)
    return [_images(store, s) for s in learned], [_images(store, s) for s in measured]


def _images(store: "Store", parts: "Sequence[Samples]") -> Ids:
    """Return the images of parts, ascending; none of no part."""
    from fstore.store.parts import sample_ids

    ids = [sample_ids(store, part, difficult=True) for part in parts]
    return np.unique(np.concatenate(ids)) if ids else np.empty(0, np.int64)


def _image_examples(
    store: "Store",
    info: "DatasetInfo",
    ids: Ids,
    *,
    classes: Sequence[str],
    preprocess: "Preprocess",
    workers: int | None,
    share: int,
) -> "FileExamples":
    """Return whole images with one class each, or with a row of 1, 0 and -1 each.

    ``share`` data sets share the memory that images may be kept in.
    """
    from fstore.extractor.training import CACHE_BYTES, FileExamples
    from fstore.queries.samples.labels import label_matrix

    labels: Any = label_matrix(store, info.name, "image", ids=ids, classes=classes)
    if info.task == "single":
        shown = labels.max(axis=1) > 0
        ids, labels = ids[shown], labels[shown].argmax(axis=1)
    samples = store.samples(info.name, "image", ["sample_id", "uri", "digest"]).take(ids)
    return FileExamples(
        info.root,
        samples["uri"].to_pylist(),
        samples["digest"].to_pylist(),
        labels=labels,
        preprocess=preprocess,
        cache_bytes=CACHE_BYTES // share,
        workers=workers,
    )
