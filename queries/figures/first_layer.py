"""First-layer filters as pictures: one filter, for a page about it, without torch."""

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.queries.methods.first_layer import first_filters, mosaic
from fstore.store.remedies import weights_again

if TYPE_CHECKING:
    from PIL import Image

    from fstore.store import Store
    from fstore.types import CheckpointRecord

__all__ = ["are_first_filters", "filter_grid", "filter_picture"]

SIDE = 120
"""Pixels of one filter's longer side, at least."""
GAP = 2
"""Pixels between filters."""


def filter_picture(
    store: "Store", network: str, ckpt: str, *, channel: int, side: int = SIDE
) -> "Image.Image | None":
    """Return one first-layer filter as a picture; None where there is no such filter.

    That is so where the checkpoint has no tensor of filters over the three colours of an image, or
    several, or fewer filters. A file of weights is read and checked once for as long as it stays
    the same. Whether the channels of a layer are these filters, :func:`are_first_filters` tells.

    Parameters
    ----------
    store : Store
    network, ckpt : str
    channel : int
        Index of the filter, from 0.
    side : int
        Pixels that the longer side has at least; weights are even squares.

    Returns
    -------
    Image of mode RGB, or None
        Grey is a weight of 0, colours run from minus to plus the filter's largest weight.

    Raises
    ------
    UnknownNameError
        No such checkpoint.
    DataError
        Its file is gone or damaged.
    """
    record = store.find_checkpoint(ckpt, network)
    if _named(store, record) is None:
        return None
    filters = _filters(store, record.network, record.name, stamp=_stamp(store, record))
    if not 0 <= channel < len(filters):
        return None
    return _enlarged(filters[channel], -(-side // max(filters.shape[2:])))


def are_first_filters(
    store: "Store", network: str, ckpt: str, *, layer: str, sees: tuple[int, int] | None
) -> bool:
    """Whether channel c of a layer is what filter c of the first layer gives.

    Channels must be as many as filters, and either the layer has the name of the module whose
    weights they are, or a place sees no more than a filter covers: then nothing but operations on
    single places lies between.

    Parameters
    ----------
    store : Store
    network, ckpt, layer : str
    sees : tuple of int or None
        Height and width of the layer's receptive field in pixels; None: not known.

    Raises
    ------
    UnknownNameError, DataError
        As :func:`filter_picture`.
    """
    named = _named(store, store.find_checkpoint(ckpt, network))
    rows = store.rows("layers", network=network, layer=layer).to_pylist()
    if named is None or not rows:
        return False
    name, (n_filters, _, height, width) = named
    is_named = name.rpartition(".")[0] == layer
    return rows[0]["channels"] == n_filters and (is_named or sees == (height, width))


def filter_grid(filters: NDArray[np.float32], *, side: int) -> "Image.Image":
    """Return filters row by row in a grid that is as nearly square as their number allows.

    Parameters
    ----------
    filters : array of shape (n_filters, 3, height, width)
        RGB.
    side : int
        Pixels that the grid's rows have at least; weights are even squares.

    Returns
    -------
    Image of mode RGB
        Coloured as by :func:`fstore.queries.methods.first_layer.mosaic`; white in between.
    """
    from PIL import Image

    n, _, height, width = filters.shape
    columns = math.ceil(math.sqrt(n))
    rows = -(-n // columns)
    factor = max(1, -(-(side - (columns - 1) * GAP) // (columns * width)))
    step_y, step_x = factor * height + GAP, factor * width + GAP
    grid = Image.new("RGB", (columns * step_x - GAP, rows * step_y - GAP), "white")
    for i, weights in enumerate(filters):
        grid.paste(_enlarged(weights, factor), (i % columns * step_x, i // columns * step_y))
    return grid


def _enlarged(weights: NDArray[np.float32], factor: int) -> "Image.Image":
    """Return one filter, (3, height, width), as an image: each weight a square of pixels."""
    from PIL import Image

    image = Image.fromarray(np.rint(255 * mosaic(weights[None])).astype(np.uint8))
    factor = max(1, factor)
    return image.resize((factor * image.width, factor * image.height), Image.Resampling.NEAREST)


def _named(store: "Store", record: "CheckpointRecord") -> tuple[str, tuple[int, ...]] | None:
    """Return name and shape of the only tensor of filters over three colours, from the header."""
    from safetensors import SafetensorError, safe_open

    path = store.checkpoint_path(record)
    try:
        with safe_open(path, framework="numpy") as file:
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        name = f"{record.network}/{record.name}"
        raise DataError(
            f"cannot read the weights of checkpoint '{name}' ({path}): {error}; "
            + weights_again(store.place, record)
        ) from error
    fitting = [(k, s) for k, s in shapes.items() if len(s) == 4 and s[1] == 3]
    return fitting[0] if len(fitting) == 1 else None


def _stamp(store: "Store", record: "CheckpointRecord") -> tuple[int, int]:
    """Return what changes with a file of weights: its time and its size."""
    stat = store.checkpoint_path(record).stat()
    return stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=32)
def _filters(
    store: "Store",
    network: str,
    ckpt: str,
    *,
    stamp: tuple[int, int],  # noqa: ARG001 - a key
) -> NDArray[np.float32]:
    return first_filters(store, ckpt, network)
