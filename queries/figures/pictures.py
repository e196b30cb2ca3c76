"""Samples as a network saw them."""

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.pixels.resizing import whole
from fstore.pixels.warps import CropStart, Exif, Interpolation, ResizeMode, warp_axis
from fstore.types import Box, ImageFile, ImageFolder

if TYPE_CHECKING:
    from PIL import Image

    from fstore.store import Store
    from fstore.store.files import Partition

__all__ = [
    "Format",
    "Picture",
    "Preparation",
    "as_bytes",
    "crop",
    "picture_of",
    "pictures",
    "pixels",
    "preparation_of",
    "seen",
    "thumbnail",
]

Format: TypeAlias = Literal["jpeg", "png", "webp"]
QUALITY = 85
"""Of JPEG and WebP."""
FINER = 2
"""A JPEG is decoded at least so many times as large as its thumbnail, and then reduced."""


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
    path, uri, digest : ImageFile, str, str
        The image file, its name in messages, its registered digest.
    box : Box or None
        None for the whole image.
    preparation : Preparation or None
        None where the checkpoint has no record of it.
    """

    path: ImageFile
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
    import pyarrow as pa
    import pyarrow.compute as pc

    root = store.dataset(partition.dataset).root
    prepared = preparation_of(store, partition.network, partition.ckpt)
    table = store.samples(partition.dataset, partition.view, ["sample_id", "uri", "digest", "box"])
    wanted = pc.is_in(table["sample_id"], pa.array(sorted({int(i) for i in ids}), pa.int64()))
    rows = {row["sample_id"]: row for row in table.filter(wanted).to_pylist()}
    return [picture_of(root, rows[int(sample)], prepared) for sample in ids]


def picture_of(
    root: ImageFolder, row: Mapping[str, Any], preparation: Preparation | None
) -> Picture:
    """Return the picture of one row of table ``samples``; no file is opened.

    Parameters
    ----------
    root : ImageFolder
        Folder of the data set's images.
    row : mapping
        With ``uri``, ``digest`` and ``box``.
    preparation : Preparation or None
        Of the checkpoint (:func:`preparation_of`); a thumbnail needs none.
    """
    box = row["box"] and tuple(row["box"][k] for k in ("xmin", "ymin", "xmax", "ymax"))
    return Picture(root / row["uri"], row["uri"], row["digest"], box, preparation)


def preparation_of(store: "Store", network: str, ckpt: str) -> Preparation | None:
    """Return how a checkpoint's input is made; None where there is no record of it."""
    records = store.checkpoints(network)
    text = next((r.preprocessing for r in records if r.name == ckpt), "{}")
    return _preparation(json.loads(text))


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


def seen(picture: Picture) -> "Image.Image":
    """Return a sample's image as the network saw it: whole and cropped, or its box warped.

    Returns
    -------
    Image of mode RGB, size x size
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
        return _warped(image, picture, picture.box, p=p)
    return whole(
        image,
        size=p.size,
        resize=p.resize,
        mode=p.mode,
        crop=p.crop,
        interpolation=p.interpolation,
        antialias=p.antialias,
        exif=p.exif,
    )


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


def pixels(picture: Picture) -> NDArray[np.uint8]:
    """Return the same as :func:`seen` as an array.

    Returns
    -------
    array of shape (size, size, 3), uint8, RGB
    """
    return np.asarray(seen(picture))


def thumbnail(
    source: Picture | Path, size: int, *, exif: Exif | None = None, uri: str = ""
) -> "Image.Image":
    """Return a small picture of an image file as it is stored, or of a box of it.

    Parameters
    ----------
    source : Picture or Path
        A picture with a box: what the box holds, without context. A path is not compared with any
        digest.
    size : int
        Pixels of the longer side; smaller files are not enlarged.
    exif : {"ignore", "apply"} or None
        Whether a whole image is turned as its file says. None: as for the picture's network;
        without one ``ignore``, as boxes count pixels.
    uri : str
        Name of a path's file in messages; the path if empty.

    Returns
    -------
    Image of mode RGB

    Raises
    ------
    DataError
        The file is gone, changed since it was registered, or is no image; the box has no pixel
        in it.
    """
    from PIL import Image

    from fstore.pixels.image_files import decode, image_size, read_bytes_checked, upright

    if not isinstance(source, Picture):
        source = Picture(source, uri or str(source), "", None, None)
    data = read_bytes_checked(source.path, source.digest, uri=source.uri)
    sides = image_size(data)
    if 0 in sides:
        sides = decode(data, uri=source.uri).size  # an error that says what is wrong with it
    x0, y0, x1, y1 = _inside(source, sides)
    shrink = min(1.0, size / max(x1 - x0, y1 - y0))
    least = (math.ceil(FINER * shrink * sides[0]), math.ceil(FINER * shrink * sides[1]))
    image = decode(data, uri=source.uri, at_least=least)
    x, y = (new / old for new, old in zip(image.size, sides, strict=True))
    where = (x0 * x, y0 * y, min(x1 * x, image.width), min(y1 * y, image.height))
    small = image.resize(
        (max(1, round(shrink * (x1 - x0))), max(1, round(shrink * (y1 - y0)))),
        Image.Resampling.LANCZOS,
        box=where,
    )
    small.info = image.info  # its orientation
    prepared = source.preparation
    exif = exif or ("ignore" if prepared is None else prepared.exif)
    return upright(small) if exif == "apply" and source.box is None else small


def _inside(picture: Picture, sides: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return what is shown of an image: pixels from 0, last ones left out."""
    width, height = sides
    if picture.box is None:
        return 0, 0, width, height
    x0, y0, x1, y1 = picture.box  # from 1, last pixel included
    cut = max(x0 - 1, 0), max(y0 - 1, 0), min(x1, width), min(y1, height)
    if cut[0] >= cut[2] or cut[1] >= cut[3]:
        size = f"{width} x {height}"
        raise DataError(f"{picture.uri}: box {picture.box} has no pixel in an image of {size}")
    return cut


def crop(
    picture: Picture, box: tuple[float, float, float, float], *, image: "Image.Image | None" = None
) -> "Image.Image":
    """Cut a box out of what the network saw; beyond its edges it has the colour seen as 0.

    Parameters
    ----------
    picture : Picture
    box : tuple of float
        ``x0, y0, x1, y1`` in pixels of the network's input, from 0, the last ones left out; parts
        of pixels are shown whole. It may lie beyond the input.
    image : Image or None
        What :func:`seen` gives of the picture, where that is at hand.

    Returns
    -------
    Image of mode RGB

    Raises
    ------
    DataError
        The box is empty; the image cannot be read (as :func:`seen`).
    """
    from PIL import Image

    image = seen(picture) if image is None else image
    x0, y0, x1, y1 = (*map(math.floor, box[:2]), *map(math.ceil, box[2:]))
    if x0 >= x1 or y0 >= y1:
        raise DataError(f"{picture.uri}: no pixel lies in a box of {box}")
    outside = (0, 0, 0) if picture.preparation is None else picture.preparation.outside
    cut = Image.new("RGB", (x1 - x0, y1 - y0), outside)
    cut.paste(image, (-x0, -y0))
    return cut


def as_bytes(image: "Image.Image", format: Format = "jpeg") -> bytes:  # noqa: A002 - as Pillow's
    """Return an image as a file's bytes; the same image gives the same ones.

    Parameters
    ----------
    image : Image
    format : {"jpeg", "png", "webp"}
        ``png`` keeps every value, as for filters; photographs are a tenth of that as ``jpeg``.
    """
    file = io.BytesIO()
    how: dict[str, Any] = {} if format == "png" else {"quality": QUALITY}
    image.convert("RGB").save(file, format.upper(), **how)
    return file.getvalue()
