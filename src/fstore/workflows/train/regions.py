"""Regions of registered data sets to learn from: ground-truth boxes, and what is around them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from fstore.extractor.preprocess import Preprocess
    from fstore.extractor.training.region_examples import FixedRegions, RegionExamples
    from fstore.extractor.training.regions import RegionImage, Regions, RegionSource
    from fstore.store import Store
    from fstore.store.catalog import DatasetInfo

__all__ = ["RegionTables", "held_out_regions", "region_examples"]


def region_examples(
    tables: "Sequence[RegionTables]",
    ids: Sequence[NDArray[np.int64]],
    preprocess: "Preprocess",
    *,
    workers: int | None = None,
) -> "RegionExamples":
    """Return batches of regions of some images, a quarter of them foreground.

    Parameters
    ----------
    tables : sequence of RegionTables
        Of data sets with the same classes; their regions are drawn as if they were one.
    ids : for each, array of int64, ascending
        Samples of view ``image``. Those whose size is not known, as their file could not be
        read when it was registered, are left out.
    preprocess : Preprocess
    workers : int or None
        Threads that decode and warp; None: one a core.

    Raises
    ------
    DataError
        They have no foreground, or no background.
    """
    from fstore.extractor.training.region_examples import RegionExamples

    images, truth, source = _united(tables, ids)
    every_class = truth + source.background(np.random.default_rng(0), 1)  # every class is in it
    return RegionExamples(images, every_class, preprocess, source=source, workers=workers)


def held_out_regions(
    tables: "Sequence[RegionTables]",
    ids: Sequence[NDArray[np.int64]],
    preprocess: "Preprocess",
    *,
    workers: int | None = None,
) -> "FixedRegions":
    """Return the ground-truth boxes of some images, and background beside them.

    There is as much background as the average class has boxes, always the same: to answer
    ``background`` for everything is not worth more than to answer a class. Parameters and errors
    are those of :func:`region_examples`.
    """
    from fstore.extractor.training.region_examples import FixedRegions

    images, truth, source = _united(tables, ids)
    n_background = -(-len(truth.labels) // len(tables[0].classes))
    regions = truth + source.background(np.random.default_rng(0), n_background)
    return FixedRegions(images, regions, preprocess, workers=workers)


def _united(
    tables: "Sequence[RegionTables]", ids: Sequence[NDArray[np.int64]]
) -> "tuple[list[RegionImage], Regions, RegionSource]":
    """Return images of several data sets, their ground-truth boxes, and where regions come from."""
    from fstore.extractor.training.drawn_regions import DrawnBoxes
    from fstore.extractor.training.regions import StoredBoxes

    parts = [table.of(chosen) for table, chosen in zip(tables, ids, strict=True)]
    images = [image for part in parts for image in part.images]
    begins = np.cumsum([0] + [len(part.images) for part in parts[:-1]]).tolist()

    def joined(regions: "Iterable[Regions]") -> "Regions":
        return reduce(add, (r.moved(n) for r, n in zip(regions, begins, strict=True)))

    truth = joined(part.truth for part in parts)
    names = " and ".join(repr(table.name) for table in tables)
    if not len(truth.labels):
        raise DataError(
            f"{len(images)} images of a part of data set {names} show no ground-truth box that is "
            "not difficult: there is no foreground; take another split"
        )
    if not tables[0].stored:
        return images, truth, DrawnBoxes(images, len(tables[0].classes))
    fore, back = joined(part.fore for part in parts), joined(part.back for part in parts)
    if not len(back.labels):
        raise DataError(
            f"no stored proposal of {len(images)} images of data set {names} is background; learn "
            "from boxes drawn around the ground truth: --view gt"
        )
    return images, truth, StoredBoxes(truth + fore, back)


@dataclass(frozen=True, slots=True)
class _Part:
    """Some images of a data set, and regions of them, which count the images by their place.

    ``truth`` are the boxes that are not difficult; ``fore`` and ``back`` are stored proposals.
    """

    images: "list[RegionImage]"
    truth: "Regions"
    fore: "Regions"
    back: "Regions"


class RegionTables:
    """The boxes of a data set, read once.

    Parameters
    ----------
    store : Store
    info : DatasetInfo
        With views ``image`` and ``gt``.
    stored : bool
        Regions are the stored proposals (view ``proposal``, table ``overlaps``) and the
        ground-truth boxes; else they are drawn around the latter.
    classes : sequence of str
        In the order of the labels; default: the data set's.
    """

    def __init__(
        self, store: "Store", info: "DatasetInfo", *, stored: bool, classes: Sequence[str] = ()
    ) -> None:
        self.name, self.classes, self.stored = info.name, tuple(classes or info.classes), stored
        self._root = info.root
        columns = ["sample_id", "image_id", "uri", "digest", "width", "height"]
        self._images = store.samples(info.name, "image", columns)
        self._truth, self._difficult = self._read_truth(store)
        self._plain = self._truth.take(np.flatnonzero(~self._difficult))
        none = self._truth.take(np.arange(0))
        self._fore, self._back = self._read_proposals(store) if stored else (none, none)

    def of(self, ids: NDArray[np.int64]) -> _Part:
        """Return some images, ascending, and their regions; those of unknown size are left out."""
        ids = ids[self._images["width"].to_numpy()[ids] > 0]
        selected = (_select(regions, ids) for regions in (self._plain, self._fore, self._back))
        return _Part(self._region_images(ids), *selected)

    def _region_images(self, ids: NDArray[np.int64]) -> "list[RegionImage]":
        """Return files and all ground-truth boxes, difficult ones included."""
        from fstore.extractor.training.regions import RegionImage

        order = np.argsort(self._truth.images, kind="stable")
        of_box = self._truth.images[order]
        first, last = (np.searchsorted(of_box, ids, side=side) for side in ("left", "right"))
        rows = self._images.select(["uri", "digest", "width", "height"]).take(ids).to_pylist()
        images = []
        for row, a, b in zip(rows, first, last, strict=True):
            own = self._truth.take(order[a:b])
            boxes = np.asarray(own.boxes, np.float64)
            images.append(RegionImage(self._root, **row, boxes=boxes, labels=own.labels,
                                     difficult=self._difficult[order[a:b]]))  # fmt: skip
        return images

    def _read_truth(self, store: "Store") -> "tuple[Regions, NDArray[np.bool_]]":
        """Return all ground-truth boxes in order of sample, and which are difficult."""
        from fstore.extractor.training.regions import Regions

        rows = store.samples(self.name, "gt", ["sample_id", "image_id", "box", "difficult"])
        places = {name: place for place, name in enumerate(self.classes)}
        labels = np.zeros(rows.num_rows, np.int64)
        for row in store.labels(self.name, "gt").select(["sample_id", "class"]).to_pylist():
            labels[row["sample_id"]] = places[row["class"]]
        difficult = np.array(rows["difficult"].to_pylist(), bool)
        return Regions(_places(rows, self._images), _boxes(rows), labels), difficult

    def _read_proposals(self, store: "Store") -> "tuple[Regions, Regions]":
        """Return the proposals that are foreground, and those that are background."""
        from fstore.extractor.training.regions import FOREGROUND_IOU, Regions

        rows = store.samples(self.name, "proposal", ["sample_id", "image_id", "box"])
        images, boxes = _places(rows, self._images), _boxes(rows)
        best, truth = _best_overlaps(store, self.name, len(images))
        enough = best >= FOREGROUND_IOU
        fore = np.flatnonzero(enough & ~self._difficult[truth])
        back = np.flatnonzero(~enough)
        background = np.full(len(back), len(self.classes))
        return (
            Regions(images[fore], boxes[fore], self._truth.labels[truth[fore]]),
            Regions(images[back], boxes[back], background),
        )


def _select(regions: "Regions", ids: NDArray[np.int64]) -> "Regions":
    """Return the regions of some images, which then count by their place in ``ids``."""
    from fstore.extractor.training.regions import Regions

    selected = regions.take(np.flatnonzero(np.isin(regions.images, ids)))
    return Regions(np.searchsorted(ids, selected.images), selected.boxes, selected.labels)


def _best_overlaps(
    store: "Store", dataset: str, n_proposals: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return each proposal's largest overlap (0: none), and the ground-truth box that it is with.

    Of equal overlaps that with the box of the lowest number counts.
    """
    rows = store.rows("overlaps", dataset=dataset)
    samples, truth = rows["sample_id"].to_numpy(), rows["gt_sample_id"].to_numpy()
    overlap = rows["iou"].to_numpy()
    order = np.lexsort((-truth, overlap))  # the last one written to a place stays
    best, classes = np.zeros(n_proposals, np.float32), np.zeros(n_proposals, np.int64)
    best[samples[order]] = overlap[order]
    classes[samples[order]] = truth[order]
    return best, classes


def _places(rows: "pa.Table", images: "pa.Table") -> NDArray[np.int64]:
    """Return the place of each row's image; a million rows make no million strings."""
    import pyarrow.compute as pc

    names = images["image_id"].combine_chunks()
    places: NDArray[np.int64] = pc.index_in(rows["image_id"], value_set=names).to_numpy()
    return places.astype(np.int64)


def _boxes(rows: "pa.Table") -> NDArray[np.float64]:
    box = rows["box"].combine_chunks()
    sides = [box.field(side).to_numpy() for side in ("xmin", "ymin", "xmax", "ymax")]
    return np.stack(sides, axis=1)
