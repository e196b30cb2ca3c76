"""Regions of a registered data set to learn from: ground-truth boxes, and what is around them."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from fstore.extractor.preprocess import Preprocess
    from fstore.extractor.training.regions import (
        FixedRegions,
        RegionExamples,
        RegionImage,
        Regions,
        RegionSource,
    )
    from fstore.store import Store
    from fstore.store.catalog import DatasetInfo

__all__ = ["RegionTables"]


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
    """

    def __init__(self, store: "Store", info: "DatasetInfo", *, stored: bool) -> None:
        self._info = info
        columns = ["sample_id", "image_id", "uri", "digest", "width", "height"]
        self._images = store.samples(info.name, "image", columns)
        self._truth, self._difficult = _read_truth(store, info, self._images)
        self._plain = self._truth.take(np.flatnonzero(~self._difficult))
        self._proposals = self._read_proposals(store) if stored else None

    def examples(
        self, ids: NDArray[np.int64], preprocess: "Preprocess", *, workers: int | None = None
    ) -> "RegionExamples":
        """Return batches of regions of some images, a quarter of them foreground.

        Parameters
        ----------
        ids : array of int64, ascending
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
        from fstore.extractor.training.regions import RegionExamples

        images, truth, source = self._of(ids)
        known = truth + source.background(np.random.default_rng(0), 1)  # every class is in it
        return RegionExamples(
            self._info.root, images, known, preprocess, source=source, workers=workers
        )

    def held_out(
        self, ids: NDArray[np.int64], preprocess: "Preprocess", *, workers: int | None = None
    ) -> "FixedRegions":
        """Return the ground-truth boxes of some images, and background beside them.

        There is as much background as the average class has boxes, always the same: to answer
        ``background`` for everything is not worth more than to answer a class.
        """
        from fstore.extractor.training.regions import FixedRegions

        images, truth, source = self._of(ids)
        n_background = -(-len(truth.labels) // len(self._info.classes))
        regions = truth + source.background(np.random.default_rng(0), n_background)
        return FixedRegions(self._info.root, images, regions, preprocess, workers=workers)

    def _of(self, ids: NDArray[np.int64]) -> "tuple[list[RegionImage], Regions, RegionSource]":
        """Return some images, their ground-truth boxes, and where their regions come from."""
        from fstore.extractor.training.regions import DrawnBoxes, StoredBoxes

        ids = ids[self._images["width"].to_numpy()[ids] > 0]
        images, truth = self._region_images(ids), _select(self._plain, ids)
        if not len(truth.labels):
            raise DataError(
                f"{len(ids)} images of a part of data set {self._info.name!r} show no ground-truth "
                "box that is not difficult: there is no foreground; take another split"
            )
        if self._proposals is None:
            return images, truth, DrawnBoxes(images, len(self._info.classes))
        fore, back = (_select(found, ids) for found in self._proposals)
        if not len(back.labels):
            raise DataError(
                f"no stored proposal of {len(ids)} images of data set {self._info.name!r} is "
                "background; learn from boxes drawn around the ground truth: --view gt"
            )
        return images, truth, StoredBoxes(truth + fore, back)

    def _region_images(self, ids: NDArray[np.int64]) -> "list[RegionImage]":
        """Return files and all ground-truth boxes, difficult ones included."""
        from fstore.extractor.training.regions import RegionImage

        order = np.argsort(self._truth.images, kind="stable")
        of_box = self._truth.images[order]
        first, last = (np.searchsorted(of_box, ids, side=side) for side in ("left", "right"))
        rows = self._images.select(["uri", "digest", "width", "height"]).take(ids).to_pylist()
        found = []
        for row, a, b in zip(rows, first, last, strict=True):
            own = self._truth.take(order[a:b])
            boxes = np.asarray(own.boxes, np.float64)
            found.append(RegionImage(**row, boxes=boxes, labels=own.labels,
                                     difficult=self._difficult[order[a:b]]))  # fmt: skip
        return found

    def _read_proposals(self, store: "Store") -> "tuple[Regions, Regions]":
        """Return the proposals that are foreground, and those that are background."""
        from fstore.extractor.training.regions import FOREGROUND_IOU, Regions

        rows = store.samples(self._info.name, "proposal", ["sample_id", "image_id", "box"])
        images, boxes = _places(rows, self._images), _boxes(rows)
        best, truth = _best_overlaps(store, self._info.name, len(images))
        enough = best >= FOREGROUND_IOU
        fore = np.flatnonzero(enough & ~self._difficult[truth])
        back = np.flatnonzero(~enough)
        background = np.full(len(back), len(self._info.classes))
        return (
            Regions(images[fore], boxes[fore], self._truth.labels[truth[fore]]),
            Regions(images[back], boxes[back], background),
        )


def _select(regions: "Regions", ids: NDArray[np.int64]) -> "Regions":
    """Return the regions of some images, which then count by their place in ``ids``."""
    from fstore.extractor.training.regions import Regions

    found = regions.take(np.flatnonzero(np.isin(regions.images, ids)))
    return Regions(np.searchsorted(ids, found.images), found.boxes, found.labels)


def _read_truth(
    store: "Store", info: "DatasetInfo", images: "pa.Table"
) -> "tuple[Regions, NDArray[np.bool_]]":
    """Return all ground-truth boxes in order of sample, and which are difficult."""
    from fstore.extractor.training.regions import Regions

    rows = store.samples(info.name, "gt", ["sample_id", "image_id", "box", "difficult"])
    places = {name: place for place, name in enumerate(info.classes)}
    labels = np.zeros(rows.num_rows, np.int64)
    for row in store.labels(info.name, "gt").select(["sample_id", "class"]).to_pylist():
        labels[row["sample_id"]] = places[row["class"]]
    difficult = np.array(rows["difficult"].to_pylist(), bool)
    return Regions(_places(rows, images), _boxes(rows), labels), difficult


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
    best, found = np.zeros(n_proposals, np.float32), np.zeros(n_proposals, np.int64)
    best[samples[order]] = overlap[order]
    found[samples[order]] = truth[order]
    return best, found


def _places(rows: "pa.Table", images: "pa.Table") -> NDArray[np.int64]:
    """Return the place of each row's image; a million rows make no million strings."""
    import pyarrow.compute as pc

    names = images["image_id"].combine_chunks()
    found: NDArray[np.int64] = pc.index_in(rows["image_id"], value_set=names).to_numpy()
    return found.astype(np.int64)


def _boxes(rows: "pa.Table") -> NDArray[np.float64]:
    box = rows["box"].combine_chunks()
    sides = [box.field(side).to_numpy() for side in ("xmin", "ymin", "xmax", "ymax")]
    return np.stack(sides, axis=1)
