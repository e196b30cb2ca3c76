"""Samples as a network saw them, and a response map laid over."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.pixels.resizing import Exif, Interpolation, whole
from fstore.pixels.warps import CropStart, ResizeMode, warp_axis
from fstore.types import Box

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL import Image

    from fstore.store import Store
    from fstore.store.files import Partition

__all__ = ["Picture", "Preparation", "draw_response", "pictures", "pixels", "places", "upsampled"]


@dataclass(frozen=True, slots=True)
class Preparation:
    """How an image becomes a network's input; where its pixels go, not their values.

    Attributes
    ----------
    size, resize, mode, context
        As in ``fstore.extractor.preprocess.Preprocess``.
    outside : tuple of int
        Colour (RGB, 0-255) of what lies outside of the image: the one that the network sees as 0.
    interpolation, antialias, exif, crop
        As there; records of checkpoints leave out what was the only way before.
    """

    size: int
    resize: int
    mode: ResizeMode
    context: int
    outside: tuple[int, int, int]
    interpolation: Interpolation = "bilinear"
    antialias: bool = True
    exif: Exif = "ignore"
    crop: CropStart = "nearest"


@dataclass(frozen=True, slots=True)
class Picture:
    """Where a sample's pixels are, and how they became a network's input.

    Attributes
    ----------
    path, uri, digest : Path, str, str
        The image file, its name in messages, its registered digest.
    box : Box or None
        None for the whole image.
    preparation : Preparation or None
        None where the checkpoint has no record of it.
    """

    path: Path
    uri: str
    digest: str
    box: Box | None
    preparation: Preparation | None


def pictures(store: "Store", partition: "Partition", ids: Sequence[int]) -> list[Picture]:
    """Return the pictures of samples of a partition, in the order asked for; no file is opened.

    Raises
    ------
    UnknownNameError
        The data set or its view is not registered.
    """
    root = store.dataset(partition.dataset).root
    records = store.checkpoints(partition.network)
    text = next((r.preprocessing for r in records if r.name == partition.ckpt), "{}")
    prepared = _preparation(json.loads(text))
    table = store.samples(partition.dataset, partition.view, ["sample_id", "uri", "digest", "box"])
    rows = {row["sample_id"]: row for row in table.to_pylist()}
    drawn = []
    for sample in ids:
        row = rows[int(sample)]
        box = row["box"] and tuple(row["box"][k] for k in ("xmin", "ymin", "xmax", "ymax"))
        drawn.append(Picture(root / row["uri"], row["uri"], row["digest"], box, prepared))
    return drawn


_HOW = ("interpolation", "antialias", "exif", "crop")


def _preparation(recorded: dict[str, Any]) -> Preparation | None:
    """Read the geometry off a checkpoint's record of its preprocessing."""
    if "size" not in recorded:
        return None
    mean, scale = recorded["mean"], recorded["scale"]
    red, green, blue = (
        int(np.clip(round(m / scale), 0, 255))
        for m in (mean[::-1] if recorded["order"] == "BGR" else mean)
    )
    where = {key: recorded[key] for key in ("size", "resize", "context")}
    where |= {key: recorded[key] for key in _HOW if key in recorded}
    return Preparation(**where, mode=recorded["resize_mode"], outside=(red, green, blue))


def pixels(picture: Picture) -> NDArray[np.uint8]:
    """Return a sample's image as the network saw it: whole and cropped, or its box warped.

    Returns
    -------
    array of shape (size, size, 3), uint8, RGB
        Boxes are smoothed where they are shrunk, unlike the network's input.

    Raises
    ------
    DataError
        The file is gone, changed since it was registered, or is no image; the box has no pixel
        in it; the checkpoint has no record of its preprocessing.
    """
    from fstore.pixels.image_files import decode, read_bytes_checked

    p = picture.preparation
    if p is None:
        raise DataError(
            f"{picture.uri}: its checkpoint has no record of its preprocessing, so what it "
            "saw cannot be drawn; import the weights under another name, and extract again"
        )
    data = read_bytes_checked(picture.path, picture.digest, uri=picture.uri)
    image = decode(data, uri=picture.uri)
    if picture.box is not None:
        return np.asarray(_warped(image, picture, picture.box, p=p))
    seen = whole(
        image,
        size=p.size,
        resize=p.resize,
        mode=p.mode,
        crop=p.crop,
        interpolation=p.interpolation,
        antialias=p.antialias,
        exif=p.exif,
    )
    return np.asarray(seen)


def _warped(image: "Image.Image", picture: Picture, box: Box, *, p: Preparation) -> "Image.Image":
    from PIL import Image

    x, y = (
        warp_axis(box[i], box[i + 2], side, size=p.size, context=p.context)
        for i, side in enumerate(image.size)
    )
    if x is None or y is None:
        size = " x ".join(map(str, image.size))
        raise DataError(f"{picture.uri}: box {box} has no pixel in an image of {size}")
    cut = image.crop((x.first, y.first, x.last, y.last))
    window = Image.new("RGB", (p.size, p.size), p.outside)
    window.paste(cut.resize((x.length, y.length), Image.Resampling.BILINEAR), (x.offset, y.offset))
    return window


def upsampled(response: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Return a response map as large as the network's input, stretched evenly and bilinearly.

    Place (r, c) of a map of H x W comes to lie at pixels ``(r + 0.5) / H * size`` and
    ``(c + 0.5) / W * size``. The middle of what a place sees lies within a place of it (a test
    measures it for CaffeNet and SqueezeNet), which is small beside how much it sees.

    Parameters
    ----------
    response : array of shape (height, width), float32
    size : int
        Pixels.

    Returns
    -------
    array of shape (size, size), float32
    """
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(response, dtype=np.float32))
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


def places(response: NDArray[np.float32], network: str, size: int) -> NDArray[np.float32] | None:
    """Return a response map as it lies over the network's input; None where that is not known.

    Tokens are stored as maps of one column. Where each of them lies is known for torchvision's
    vision transformers: the class token, then the patches row by row. A map of one column of any
    other network is not drawn as bands over the image, for nothing says where its places are.

    Parameters
    ----------
    response : array of shape (height, width), float32
    network : str
        Name in the store.
    size : int
        Pixels of the square input.
    """
    tokens, width = response.shape
    if width > 1 or tokens == 1:
        return response
    named = re.fullmatch(r"torchvision:vit_[a-z]+_([0-9]+)", network)
    side = size // int(named[1]) if named else 0
    if not side or tokens != 1 + side * side:
        return None
    return response[1:, 0].reshape(side, side)


def draw_response(panel: "Axes", picture: Picture, response: NDArray[np.float32]) -> None:
    """Draw a sample with a response map over it: bright where it is large, its maximum marked.

    A map of one place, or one that is nowhere above 0, leaves the image as it is.

    Parameters
    ----------
    panel : Axes
    picture : Picture
    response : array of shape (height, width), float32
    """
    image = pixels(picture)
    size = len(image)
    panel.imshow(image)
    panel.set_xticks([])
    panel.set_yticks([])
    panel.spines[:].set_visible(False)
    peak = float(response.max())
    if response.size == 1 or peak <= 0:
        return
    share = np.clip(upsampled(response, size) / peak, 0, 1)
    veil = np.ones((size, size, 4))
    veil[:, :, 3] = 0.65 * (1 - share)
    panel.imshow(veil)
    row, col = np.unravel_index(response.argmax(), response.shape)
    x, y = (
        (at + 0.5) / n * size - 0.5 for at, n in ((col, response.shape[1]), (row, len(response)))
    )
    for color, width in (("white", 2.4), ("black", 0.9)):  # seen on dark and on bright pixels
        panel.contour(share, levels=[0.5], colors=color, linewidths=width)
        panel.plot(x, y, "+", color=color, markersize=6, markeredgewidth=width)
