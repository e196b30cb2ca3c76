"""Selective search in its fast setting, on OpenCV's segmentation and grouping.

Settings are those of R-CNN, not of OpenCV's ready ``switchToSelectiveSearchFast``, which uses
other thresholds, leaves the minimum size alone, and does not resize.
"""

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fstore.errors import MissingExtraError
from fstore.extractor.proposals._api import Boxes, proposal_method

__all__ = ["selective_search"]

WIDTH = 500  # pixels that every image is resized to
MAX_HEIGHT = 1500  # pixels: narrower images are resized to this height instead
SIGMA = 0.8
KS = (50, 100)  # thresholds of the graph segmentation, and its minimum sizes
MIN_SIDE = 20  # pixels of the resized image
SEED = 0
STRATEGIES = (("Color", "Texture", "Size", "Fill"), ("Texture", "Size", "Fill"))
"""What is summed, with equal weights, to say which neighbours are merged next."""


@proposal_method("selective-search", version=1, libraries=("opencv-contrib-python-headless",))
def selective_search(image: Image.Image) -> Boxes:
    """Find regions by selective search, R-CNN's fast setting: about 2,000 boxes a photo.

    Parameters
    ----------
    image : Image of mode RGB

    Returns
    -------
    array of shape (n, 4), float64
        Whole pixels, ordered by priority: the place in its hierarchy, largest region first,
        times a random number in (0, 1], the same in every run.

    Raises
    ------
    MissingExtraError
        OpenCV with its contributed modules is not installed.

    References
    ----------
    Uijlings et al. 2013, doi:10.1007/s11263-013-0620-5, and its use in R-CNN (Girshick et al.
    2014): 8 hierarchies, of HSV and Lab, k = 50 and 100 (minimum size = k, sigma 0.8), two
    similarities; width 500, sides of at least 20 pixels. Differs: images more than three times as
    high as wide are resized to a height of 1,500 instead; regions of a hierarchy are
    ranked by their area, because OpenCV does not tell in which order they were merged (its own
    order draws from the C library's ``rand()`` and puts small regions first); places are
    rounded to whole pixels.
    """
    cv2 = _opencv()
    cv2.setNumThreads(1)  # images are searched in parallel, not pixels
    cv2.setRNGSeed(SEED)
    resized = _resize(cv2, image)
    hierarchies = []
    for conversion in (cv2.COLOR_BGR2HSV, cv2.COLOR_BGR2Lab):
        pixels = cv2.cvtColor(resized, conversion)
        for k in KS:
            hierarchies += [
                _hierarchy(cv2, resized, pixels, k=k, similarities=s) for s in STRATEGIES
            ]
    rects = _ranked(hierarchies)
    rects = rects[(rects[:, 2] >= MIN_SIDE) & (rects[:, 3] >= MIN_SIDE)]
    return _scaled(rects, resized.shape[:2], (image.height, image.width))


def _opencv() -> Any:  # noqa: ANN401 - its own stubs are incomplete
    try:
        import cv2
    except ImportError as exc:
        raise _missing("OpenCV is not installed") from exc
    if not isinstance(getattr(cv2, "ximgproc", None), ModuleType):
        raise _missing("the installed OpenCV lacks its contributed modules (ximgproc)")
    return cv2


def _missing(what: str) -> MissingExtraError:
    return MissingExtraError(
        f"selective search needs OpenCV's contributed modules, but {what}; install them with: "
        "pip install 'fstore[detect]' (or opencv-contrib-python-headless), or use "
        "--method components"
    )


def _resize(cv2: Any, image: Image.Image) -> NDArray[np.uint8]:  # noqa: ANN401
    """Return BGR pixels, WIDTH wide; smoothed before shrinking, bilinear when growing."""
    pixels = np.ascontiguousarray(np.asarray(image)[:, :, ::-1])
    scale = min(WIDTH / image.width, MAX_HEIGHT / image.height)
    if scale == 1:
        return pixels
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized: NDArray[np.uint8] = cv2.resize(pixels, size, interpolation=how)
    return resized


def _hierarchy(
    cv2: Any,  # noqa: ANN401
    base: NDArray[np.uint8],
    pixels: NDArray[np.uint8],
    *,
    k: int,
    similarities: tuple[str, ...],
) -> NDArray[np.int64]:
    """Return the regions of one hierarchical grouping: x, y, width, height, from 0."""
    made = cv2.ximgproc.segmentation
    strategy = made.createSelectiveSearchSegmentationStrategyMultiple()
    for name in similarities:
        part = getattr(made, f"createSelectiveSearchSegmentationStrategy{name}")()
        strategy.addStrategy(part, 1 / len(similarities))
    # A new one each time: strategies keep the histograms of the image that they last saw.
    grouping = made.createSelectiveSearchSegmentation()
    grouping.setBaseImage(base)
    grouping.addImage(pixels)
    grouping.addGraphSegmentation(made.createGraphSegmentation(SIGMA, float(k), k))
    grouping.addStrategy(strategy)
    return np.asarray(grouping.process(), dtype=np.int64).reshape(-1, 4)


def _ranked(hierarchies: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Join the regions of all hierarchies by priority (Uijlings et al., section 4.4)."""
    random = np.random.Generator(np.random.Philox(SEED))
    rects, priorities = [], []
    for regions in hierarchies:
        x, y, width, height = regions.T
        largest = regions[np.lexsort((height, width, y, x, -width * height))]
        places = np.arange(1, len(regions) + 1)
        rects.append(largest)
        priorities.append(places * (1 - random.random(len(regions))))
    return np.concatenate(rects)[np.argsort(np.concatenate(priorities), kind="stable")]


def _scaled(rects: NDArray[np.int64], source: tuple[int, int], target: tuple[int, int]) -> Boxes:
    """Scale the edges of regions to another image size; boxes from 1, last pixel included."""
    (height, width), (new_height, new_width) = source, target
    scale = np.array([new_width / width, new_height / height])
    low = np.rint(rects[:, :2] * scale)
    high = np.rint((rects[:, :2] + rects[:, 2:]) * scale)
    low = np.minimum(low, [new_width - 1, new_height - 1])
    return np.concatenate([low + 1, np.maximum(high, low + 1)], axis=1)
