"""What happens to pixels between the file and the network: stated by each network, hashed."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from fstore.geometry import ResizeMode
from fstore.types import FloatArray

__all__ = ["Preprocess"]


@dataclass(frozen=True)
class Preprocess:
    """How a network wants its input.

    Attributes
    ----------
    size : int
        Side of the square input, pixels.
    resize : int
        Whole images are resized to this first, then the centre ``size`` x ``size`` is cut.
    resize_mode : {"warp", "shorter"}
        ``warp``: both sides become ``resize`` (aspect lost, as Caffe and the paper do);
        ``shorter``: the shorter side does (as torchvision does).
    order : {"BGR", "RGB"}
        Order of the colour channels.
    scale : float
        Factor on the 0-255 pixels, before mean and std.
    mean, std : tuple of 3 floats
        Subtracted from, then divided into, the scaled pixels; in ``order``.
    mean_image : array of shape (3, resize, resize), float32, or None
        In place of ``mean``: subtracted at the pixel's own place (centre-cropped for crops).
    context : int
        Pixels of image around a box in a warped region, at the input's scale (R-CNN: 16).
    """

    size: int
    resize: int
    resize_mode: ResizeMode = "warp"
    order: Literal["BGR", "RGB"] = "BGR"
    scale: float = 1.0
    mean: tuple[float, float, float] = (104.0, 117.0, 123.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    mean_image: FloatArray | None = field(default=None, compare=False, repr=False)
    context: int = 16

    def to_json(self) -> str:
        """Return a canonical JSON text; the mean image appears as the sha256 of its bytes."""
        state: dict[str, Any] = asdict(self)
        image = state.pop("mean_image")
        if image is not None:
            bytes_ = np.ascontiguousarray(image, dtype=np.float32).tobytes()
            state["mean_image"] = hashlib.sha256(bytes_).hexdigest()
        return json.dumps(state, sort_keys=True)

    @property
    def hash(self) -> str:
        """Sha256 of :meth:`to_json`."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()
