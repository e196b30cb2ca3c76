"""Connected components of grey levels: a cheap method for simple pictures, without OpenCV."""

from collections import Counter

import numpy as np
from PIL import Image

from fstore.extractor.proposals._api import Boxes, proposal_method

__all__ = ["components"]

STEP = 8  # grey levels between thresholds
MIN_SIDE = 8  # pixels


@proposal_method("components", version=1, libraries=("scipy",))
def components(image: Image.Image) -> Boxes:
    """Find connected regions brighter or darker than a grey level, for plain things.

    Every 8th grey level cuts the image in two; each connected region of either half, with sides
    of at least 8 pixels, gives its bounding box. Boxes that last over many levels come first, as
    in maximally stable extremal regions.

    Parameters
    ----------
    image : Image of mode RGB

    Returns
    -------
    array of shape (n, 4), float64

    References
    ----------
    After Matas et al. 2002, doi:10.5244/C.16.36. Differs: exact bounding boxes are counted
    instead of the growth of areas; no nested duplicates are removed but equal ones.
    """
    from scipy.ndimage import find_objects, label

    grey = np.asarray(image.convert("L"))
    lasting: Counter[tuple[int, int, int, int]] = Counter()
    for level in range(STEP, 256, STEP):
        for half in (grey >= level, grey < level):
            for y, x in find_objects(label(half)[0]):
                if x.stop - x.start >= MIN_SIDE and y.stop - y.start >= MIN_SIDE:
                    lasting[x.start + 1, y.start + 1, x.stop, y.stop] += 1
    ranked = sorted(lasting, key=lambda box: (-lasting[box], box))
    return np.array(ranked, dtype=np.float64).reshape(-1, 4)
