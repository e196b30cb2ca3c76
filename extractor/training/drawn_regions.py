"""Boxes drawn around ground-truth boxes: where regions come from without proposals."""

from collections.abc import Sequence

import numpy as np

from fstore.errors import DataError
from fstore.extractor.training.regions import FOREGROUND_IOU, Boxes, RegionImage, Regions
from fstore.pixels.boxes import areas, iou_matrix

__all__ = ["DrawnBoxes"]


TRIES = 16
"""Candidates that are drawn at a time, of which the first that fits is taken."""


ROUNDS = 64
"""Times that candidates are drawn before a place is given up."""


class DrawnBoxes:
    """Boxes that are drawn around ground-truth boxes, for data sets without proposals.

    A foreground region is a ground-truth box that is not difficult, each equally often, moved by
    up to 0.3 of its sides and with sides of 2/3 to 3/2 of its own. Half of the background regions
    are such boxes of an image (each image equally often), moved by up to a whole side and with
    sides of 1/2 to 2 of their own; the others, and all of images without boxes, are boxes
    anywhere, with sides of 1/8 of the image's to the whole. Shifts are uniform, factors are
    uniform in their logarithm. Boxes are clipped to the image and rounded to pixels; those of
    which less than half is inside, and those that are not foreground or background, are drawn
    again.

    Parameters
    ----------
    images : sequence of RegionImage
    background : int
        Label of background regions.
    """

    def __init__(self, images: Sequence[RegionImage], background: int) -> None:
        self._images = images
        self._background = background
        plain = [(i, j) for i, m in enumerate(images) for j in np.flatnonzero(~m.difficult)]
        self._plain = np.array(plain, np.int64).reshape(-1, 2)

    def foreground(self, rng: np.random.Generator, n: int) -> Regions:
        """Draw ``n`` foreground regions; a box that finds no other is taken as it is."""
        chosen = self._plain[rng.integers(len(self._plain), size=n)]
        boxes = [self._around(rng, self._images[i], int(j)) for i, j in chosen]
        labels = [self._images[i].labels[j] for i, j in chosen]
        return Regions(chosen[:, 0], np.array(boxes).reshape(-1, 4), np.array(labels, np.int64))

    def background(self, rng: np.random.Generator, n: int) -> Regions:
        """Draw ``n`` background regions.

        Raises
        ------
        DataError
            Objects fill the images: no box meets them with less than 0.5.
        """
        places, boxes = np.empty(n, np.int64), np.empty((n, 4))
        for k in range(n):
            places[k], boxes[k] = self._elsewhere(rng)
        return Regions(places, boxes, np.full(n, self._background))

    def _around(self, rng: np.random.Generator, image: RegionImage, at: int) -> Boxes:
        """Return a box that meets its own ground-truth box best, and enough."""
        for _ in range(ROUNDS):
            candidates = _jittered(rng, image, at, shift=0.3, factor=1.5)
            overlaps = iou_matrix(candidates, image.boxes)
            best = overlaps[:, at] >= overlaps.max(axis=1)
            fit = np.flatnonzero(best & (overlaps[:, at] >= FOREGROUND_IOU))
            if len(fit):
                return np.asarray(candidates[fit[0]])
        return np.asarray(image.boxes[at])

    def _elsewhere(self, rng: np.random.Generator) -> tuple[int, Boxes]:
        """Return an image and a box in it that is background."""
        for _ in range(ROUNDS):
            place = int(rng.integers(len(self._images)))
            image = self._images[place]
            near = len(image.boxes) > 0 and rng.random() < 0.5
            at = int(rng.integers(len(image.boxes))) if near else 0
            candidates = (
                _jittered(rng, image, at, shift=1.0, factor=2.0) if near else _anywhere(rng, image)
            )
            most = iou_matrix(candidates, image.boxes).max(axis=1, initial=0.0)
            fit = np.flatnonzero(most < FOREGROUND_IOU)
            if len(fit):
                return place, candidates[fit[0]]
        raise DataError(
            f"no background region was found in {ROUNDS} images: objects fill them; fine-tune on "
            "whole images (--view image) instead"
        )


def _jittered(
    rng: np.random.Generator, image: RegionImage, at: int, *, shift: float, factor: float
) -> Boxes:
    """Draw boxes around one: shifted by shares of its sides, its sides multiplied."""
    box = image.boxes[at]
    sides = box[2:] - box[:2] + 1
    moved = box[:2] + sides / 2 + rng.uniform(-shift, shift, (TRIES, 2)) * sides
    bound = np.log(factor)
    return _inside(moved, sides * np.exp(rng.uniform(-bound, bound, (TRIES, 2))), image)


def _anywhere(rng: np.random.Generator, image: RegionImage) -> Boxes:
    """Draw boxes of any place in the image, their sides 1/8 of the image's to the whole."""
    whole = np.array([image.width, image.height], np.float64)
    sides = whole * np.exp(rng.uniform(-np.log(8), 0, (TRIES, 2)))
    centres = 1 + sides / 2 + rng.random((TRIES, 2)) * (whole - sides)
    return _inside(centres, sides, image)


def _inside(centres: Boxes, sides: Boxes, image: RegionImage) -> Boxes:
    """Return the boxes, clipped and in whole pixels; those that lie mostly outside are left out.

    A box whose first pixel is 1 and that is 10 wide has its centre at 6: at ``xmin + width / 2``.
    """
    low = np.rint(centres - sides / 2)
    high = np.maximum(low, np.rint(centres + sides / 2) - 1)
    whole = np.concatenate([low, high], axis=1)
    size = np.array([image.width, image.height])
    clipped = np.concatenate([np.maximum(low, 1), np.minimum(high, size)], axis=1)
    seen = (clipped[:, 2:] >= clipped[:, :2]).all(axis=1)
    kept = seen & (2 * areas(clipped) >= areas(whole))
    return clipped[kept]
