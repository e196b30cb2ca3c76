"""Samples as a network saw them, cut out and overlaid, as small pictures that are kept."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from fstore.errors import FstoreError
from fstore.explore.views import sample_row
from fstore.store.files import ACTIVATIONS, Partition

if TYPE_CHECKING:
    from PIL.Image import Image

    from fstore.explore.contents import Contents
    from fstore.explore.filters import Looked
    from fstore.fields import Field
    from fstore.queries.figures.pictures import Picture

__all__ = ["field_of", "has_field", "maps_of", "nine", "picture_of", "seen_field", "seen_image"]

WHOLE = 0.95
"""A field of this share of the input or more is shown as the whole input."""
LEAST = 24
"""Pixels: a smaller field is shown with what is around it, so that one can tell what it is."""
SMALL = 64
"""Pixels of an input of which each pixel is seen."""
GAP = 2
"""Pixels between pictures of a sheet."""


def picture_of(contents: "Contents", partition: Partition, sample: int) -> "Picture":
    """Return where a sample's pixels are, and how they became a network's input.

    Raises
    ------
    UnknownNameError
        The view has no such sample.
    """
    from fstore.queries.figures.pictures import picture_of as made
    from fstore.queries.figures.pictures import preparation_of

    p, store = partition, contents.store
    row = sample_row(contents, p.dataset, p.view, sample=sample)
    preparation = contents.kept(
        ("preparation", p.network, p.ckpt),
        ("checkpoints",),
        lambda: preparation_of(store, p.network, p.ckpt),
    )
    root = contents.dataset(p.dataset).root
    return made(root, row, preparation)


def seen_image(contents: "Contents", picture: "Picture") -> "Image":
    """Return what a network saw of a sample; it is kept as a file's bytes, which are small.

    Raises
    ------
    DataError
        The image file is gone, or is another than the registered one.
    """
    import io

    from PIL import Image

    from fstore.queries.figures.pictures import as_bytes, seen

    kind: Literal["png", "jpeg"] = (
        "png" if picture.preparation and picture.preparation.size <= SMALL else "jpeg"
    )
    data = contents.kept(("seen", picture), (), lambda: as_bytes(seen(picture), kind))
    return Image.open(io.BytesIO(data)).convert("RGB")


def field_of(contents: "Contents", partition: Partition) -> "Field | None":
    """Return which pixels of the input a layer's places see; None where that is not known."""
    from fstore.store.receptive import receptive_field

    p = partition
    return contents.kept(
        ("field", p.network, p.layer),
        ("layers",),
        lambda: receptive_field(contents.store, p.network, p.layer),
    )


def has_field(contents: "Contents", partition: Partition) -> bool:
    """Whether a place of a layer sees a part of the input that is worth cutting out."""
    field = field_of(contents, partition)
    if field is None or field.whole:
        return False
    return max(field.size_h, field.size_w) < WHOLE * field.input


def seen_field(contents: "Contents", partition: Partition, sample: int, *, place: int) -> "Image":
    """Return the pixels that a place of a layer's map sees; all of the input where it is not known.

    Parameters
    ----------
    contents : Contents
    partition : Partition
    sample : int
    place : int
        Of the map, row by row from 0.

    Raises
    ------
    UnknownNameError, DataError
        As from :func:`picture_of` and :func:`seen_image`.
    """
    from fstore.queries.figures.pictures import crop
    from fstore.store.receptive import box_of

    picture = picture_of(contents, partition, sample)
    image = seen_image(contents, picture)
    field = field_of(contents, partition)
    if field is None or not has_field(contents, partition):
        return image
    row, col = divmod(place, contents.shape(partition).width)
    return crop(picture, _widened(box_of(field, row, col, clip=False)), image=image)


def _widened(box: tuple[int, int, int, int]) -> tuple[float, float, float, float]:
    """Return a box at least ``LEAST`` pixels wide and high, about the same middle."""
    x0, y0, x1, y1 = box
    dx, dy = (max(0, LEAST - (b - a)) / 2 for a, b in ((x0, x1), (y0, y1)))
    return x0 - dx, y0 - dy, x1 + dx, y1 + dy


def nine(looked: "Looked", channel: int, *, tile: int) -> "Image":
    """Return the fields of a filter's nine strongest samples, three by three.

    An image that cannot be read leaves its place empty, as does a response that is not above 0.
    """
    from PIL import Image

    top = looked.strongest([channel])[channel]
    sheet = Image.new("RGBA", (3 * tile + 2 * GAP, 3 * tile + 2 * GAP))
    n = int((top.values[0, :9] > 0).sum())
    shown = zip(top.sample_ids[0, :n].tolist(), top.places[0, :n].tolist(), strict=True)
    for i, (sample, place) in enumerate(shown):
        try:
            image = seen_field(looked.contents, looked.partition, sample, place=place)
        except FstoreError:
            continue
        at = i % 3 * (tile + GAP), i // 3 * (tile + GAP)
        sheet.paste(fitted(image, tile), at)
    return sheet


def fitted(image: "Image", side: int) -> "Image":
    """Return an image as a square of ``side`` pixels; few pixels stay squares."""
    from PIL import Image

    how = Image.Resampling.NEAREST if image.width * 3 <= side else Image.Resampling.BICUBIC
    return image.resize((side, side), how)


def maps_of(
    looked: "Looked", channel: int, samples: Sequence[int]
) -> dict[int, NDArray[np.float32]]:
    """Return a filter's response maps to samples, by sample; each of shape (height, width).

    Raises
    ------
    UnknownNameError
        The layer has no such filter, or a sample is not stored.
    DataError
        A response is NaN or infinite.
    """
    contents, p = looked.contents, looked.partition
    tables = (ACTIVATIONS, "layers")
    lacking = [s for s in samples if not contents.holds(("map", p, channel, s), tables)]
    read = _read_maps(contents, p, channel, samples=lacking) if lacking else {}

    def own(sample: int) -> NDArray[np.float32]:
        if sample in read:
            return read[sample]
        return _read_maps(contents, p, channel, samples=[sample])[sample]

    return {s: contents.kept(("map", p, channel, s), tables, partial(own, s)) for s in samples}


def _read_maps(
    contents: "Contents", partition: Partition, channel: int, *, samples: Sequence[int]
) -> dict[int, NDArray[np.float32]]:
    from fstore.queries.samples.blocks import Rows, ablated_blocks

    shape = contents.shape(partition)
    rows = Rows(partition, np.unique(np.asarray(samples, dtype=np.int64)))
    (X,) = (X[:, 0] for _, X in ablated_blocks(contents.store, [rows], channels=[channel]))
    maps = X.reshape(len(rows.ids), shape.height, shape.width)
    return {int(s): own.copy() for s, own in zip(rows.ids, maps, strict=True)}
