"""What a detector learns from and is tested on: images, their objects and their proposals."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fstore import commands
from fstore.errors import DataError, UnknownNameError
from fstore.queries.samples.labels import class_names
from fstore.store.parts import Samples, Split, sample_ids, used_parts
from fstore.store.schema import TABLES

if TYPE_CHECKING:
    import pyarrow as pa

    from fstore.store import Store

__all__ = ["NEAR_IOU", "DetectionSet", "Objects", "Regions", "detection_set", "near_objects"]

NEAR_IOU = 0.3
"""A proposal that overlaps an object by this or more is no negative of the object's class."""

COLUMNS = ("sample_id", "image_id", "box")


@dataclass(frozen=True, slots=True)
class Objects:
    """Ground-truth boxes of one data set's images.

    Attributes
    ----------
    dataset : str
    ids : array of shape (n,), int64
        ``sample_id`` in view ``gt``, ascending.
    image : array of shape (n,), int
        Places in ``DetectionSet.images``.
    boxes : array of shape (n, 4), float64
    label : array of shape (n,), int
        Places in ``DetectionSet.classes``.
    difficult : array of shape (n,), bool
    """

    dataset: str
    ids: NDArray[np.int64]
    image: NDArray[np.intp]
    boxes: NDArray[np.float64]
    label: NDArray[np.intp]
    difficult: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Regions:
    """Proposals of one data set's images; arrays as those of :class:`Objects`."""

    dataset: str
    ids: NDArray[np.int64]
    image: NDArray[np.intp]
    boxes: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DetectionSet:
    """Images of one or several data sets.

    Attributes
    ----------
    classes : tuple of str
    images : tuple of (data set, image id)
    objects, regions : tuples of Objects and Regions, one a data set
    unsearched : int
        Images of the parts that have no proposals and are left out.
    """

    classes: tuple[str, ...]
    images: tuple[tuple[str, str], ...]
    objects: tuple[Objects, ...]
    regions: tuple[Regions, ...]
    unsearched: int

    def objects_of(self, label: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Return image, box and difficult flag of each object of a class."""
        chosen = [(o, o.label == label) for o in self.objects]
        parts = [(o.image[at], o.boxes[at], o.difficult[at]) for o, at in chosen]
        image, boxes, difficult = (np.concatenate(column) for column in zip(*parts, strict=True))
        return image, boxes, difficult


def set_parts(
    store: "Store", datasets: Sequence[str], *, split: Split, wanted: Sequence[str]
) -> list[Samples]:
    """Return the wanted parts of one split of some data sets.

    Of several, those that a data set lacks are left out (PASCAL VOC 2012 has no test part, many
    have no val); a single one is kept, for the error that lists what there is.
    """
    parts = []
    for dataset in dict.fromkeys(datasets):
        absent = Samples(dataset, "image", split.name, split.seed, wanted[0])
        parts += used_parts(store, dataset, split=split, wanted=wanted) or [absent]
    return parts


def detection_set(
    store: "Store",
    parts: Sequence[Samples],
    *,
    searched: bool = True,
) -> DetectionSet:
    """Return the images of some parts, with their objects and proposals.

    About 100 bytes a proposal are held, and 1 GB while ten million of them are read.

    Parameters
    ----------
    store : Store
    parts : sequence of Samples
        Parts of splits, of one or several data sets that count as one; their view is not asked.
    searched : bool
        Leave out images that have no proposals. Not every image need have been searched, and one
        that was not must not count as an image in which nothing is found. If not, proposals need
        not be there at all.

    Raises
    ------
    UnknownNameError
        A data set has no such part, no labelled boxes or no proposals.
    DataError
        Data sets differ in their classes.
    """
    datasets = list(dict.fromkeys(p.dataset for p in parts))
    classes = class_names(store, datasets)
    images: list[tuple[str, str]] = []
    objects, regions, unsearched = [], [], 0
    for dataset in datasets:
        names = _image_ids(store, [p for p in parts if p.dataset == dataset])
        table = _proposals(store, dataset, needed=searched)
        if searched:
            kept = _present(names, table)
            unsearched += len(names) - len(kept)
            names = kept
        first = len(images)
        images += [(dataset, name) for name in names]
        objects.append(_objects(store, dataset, names, first=first, classes=classes))
        regions.append(Regions(dataset, *_placed(table, names, first)[0]))
    if not images:
        of_others = commands.drop(store.place, {"dataset": datasets[0], "view": "proposal"})
        raise DataError(
            f"none of {unsearched} images of {', '.join(datasets)} has proposals; find them with: "
            f"{of_others} && {commands.proposals(store.place, dataset=datasets[0])}"
        )
    return DetectionSet(classes, tuple(images), tuple(objects), tuple(regions), unsearched)


def near_objects(
    store: "Store", regions: Regions, classes: Sequence[str], *, iou: float = NEAR_IOU
) -> NDArray[np.bool_]:
    """Say which proposals are near an object of a class, a difficult one too: no negatives of it.

    Returns
    -------
    array of shape (n_regions, n_classes), bool
    """
    statement = 'SELECT sample_id, class FROM "overlaps" WHERE dataset = ? AND iou >= ?::FLOAT'
    overlapping = store.sql(statement, [regions.dataset, iou]).arrow()
    ids = overlapping["sample_id"].to_numpy()
    column = _codes(overlapping["class"], classes)
    mine = np.isin(ids, regions.ids) & (column >= 0)
    near = np.zeros((len(regions.ids), len(classes)), dtype=np.bool_)
    near[np.searchsorted(regions.ids, ids[mine]), column[mine]] = True
    return near


def _image_ids(store: "Store", parts: Sequence[Samples]) -> list[str]:
    """Return the images of parts of one data set, in its order."""
    dataset = parts[0].dataset
    ids = [sample_ids(store, replace(p, view="image"), difficult=True) for p in parts]
    table = store.samples(dataset, "image", ["sample_id", "image_id"])
    wanted = np.isin(table["sample_id"].to_numpy(), np.concatenate(ids))
    names: list[str] = table["image_id"].filter(wanted).to_pylist()
    return names


def _proposals(store: "Store", dataset: str, *, needed: bool) -> "pa.Table":
    if "proposal" in store.dataset(dataset).views:
        return store.samples(dataset, "proposal", COLUMNS)
    if needed:
        raise UnknownNameError(
            f"data set '{dataset}' has no proposals; find them with: "
            + commands.proposals(store.place, dataset=dataset)
        )
    return TABLES["samples"].schema.empty_table().select(COLUMNS)


def _present(names: Sequence[str], table: "pa.Table") -> list[str]:
    image_ids = set(table["image_id"].unique().to_pylist())
    return [name for name in names if name in image_ids]


def _objects(
    store: "Store", dataset: str, names: Sequence[str], *, first: int, classes: Sequence[str]
) -> Objects:
    import pyarrow.compute as pc

    if "gt" not in store.dataset(dataset).views:
        raise UnknownNameError(f"data set '{dataset}' has no labelled boxes to learn or test with")
    table = store.samples(dataset, "gt", [*COLUMNS, "difficult"])
    (ids, image, boxes), rows = _placed(table, names, first)
    labels = store.labels(dataset, "gt")
    at = pc.index_in(table["sample_id"].filter(rows), labels["sample_id"])
    label = _codes(labels["class"].take(at), classes)
    difficult = table["difficult"].filter(rows).to_numpy()
    return Objects(dataset, ids, image, boxes, label, np.asarray(difficult, dtype=np.bool_))


def _placed(
    table: "pa.Table", names: Sequence[str], first: int
) -> tuple[tuple[NDArray[np.int64], NDArray[np.intp], NDArray[np.float64]], "pa.Array"]:
    """Return ids, images and boxes of the samples that are in some images; and which those are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    place = pc.index_in(table["image_id"], pa.array(names, pa.string()))
    rows = pc.is_valid(place)
    box = table["box"].filter(rows).combine_chunks()
    sides = [box.field(i).to_numpy() for i in range(4)]
    ids = table["sample_id"].filter(rows).to_numpy()
    image = place.filter(rows).to_numpy().astype(np.intp) + first
    return (ids, image, np.stack(sides, axis=1).astype(np.float64)), rows


def _codes(names: "pa.ChunkedArray", classes: Sequence[str]) -> NDArray[np.intp]:
    """Return the place of each name among the classes, -1 for none of them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    codes = pc.fill_null(pc.index_in(names, pa.array(classes, pa.string())), -1)
    places: NDArray[np.intp] = codes.to_numpy().astype(np.intp)
    return places


def runs(values: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """Yield where each run of equal values starts and ends."""
    starts = np.flatnonzero(np.append(True, np.diff(values) != 0)[: len(values)]).tolist()
    yield from zip(starts, [*starts[1:], len(values)], strict=False)
