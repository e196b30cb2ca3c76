"""A network's first-layer filters: what they weigh of each colour at each place."""

import json
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.store.remedies import weights_again
from fstore.store.weights import tensor_sums

if TYPE_CHECKING:
    from pathlib import Path

    from fstore.store import Store
    from fstore.types import CheckpointRecord

__all__ = ["cosines", "first_filters", "mosaic"]

Filters = NDArray[np.float32]


def first_filters(store: "Store", ckpt: str, network: str | None = None) -> Filters:
    """Return the filters of a checkpoint that look at the image itself.

    They are the checkpoint's one tensor of four dimensions with three input channels.

    Parameters
    ----------
    store : Store
    ckpt : str
        NAME or NETWORK/NAME.
    network : str or None

    Returns
    -------
    array of shape (n_filters, 3, height, width), float32
        Colours in the order RGB, whatever the network's own order is.

    Raises
    ------
    UnknownNameError
        No such checkpoint.
    DataError
        Its file is gone or damaged, or has no such tensor, or several.
    """
    record = store.find_checkpoint(ckpt, network)
    filters = _only_image_weights(store, record)
    # a record without an order is of a network that we know nothing of
    order = json.loads(record.preprocessing).get("order", "RGB")
    return np.ascontiguousarray(filters[:, ::-1] if order == "BGR" else filters)


def _only_image_weights(store: "Store", record: "CheckpointRecord") -> Filters:
    from safetensors import SafetensorError, safe_open

    path, name = store.checkpoint_path(record), f"{record.network}/{record.name}"
    try:
        _check_content(path, record)
        with safe_open(path, framework="numpy") as file:
            shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118
            fit = [key for key, shape in shapes.items() if len(shape) == 4 and shape[1] == 3]
            if len(fit) == 1:
                return np.asarray(file.get_tensor(fit[0]), dtype=np.float32)
    except (SafetensorError, OSError, DataError) as error:
        raise DataError(
            f"cannot read the weights of checkpoint '{name}' ({path}): {error}; "
            + weights_again(store.place, record)
        ) from error
    what = f"several: {', '.join(sorted(fit))}" if fit else "none"
    raise DataError(
        f"checkpoint '{name}' must have one tensor of filters over the three colours of an image, "
        f"(n, 3, height, width), to show its first layer; it has {what}"
    )


def _check_content(path: "Path", record: "CheckpointRecord") -> None:
    """Refuse weights that are not those registered; a flipped bit is no error to safetensors."""
    content = tensor_sums(path).weights
    if content != record.sha256:
        raise DataError(
            f"their sha256 is {content[:12]}, registered is {record.sha256[:12]}: they are damaged "
            "or were replaced"
        )


def cosines(filters: Filters, others: Filters) -> NDArray[np.float64]:
    """Return the cosine of the angle between each filter and the other of its place.

    Parameters
    ----------
    filters, others : arrays of shape (n_filters, 3, height, width)

    Returns
    -------
    array of shape (n_filters,), float64
        1: the same pattern, whatever its size; NaN where a filter is all zeros.

    Raises
    ------
    DataError
        The shapes differ.
    """
    if filters.shape != others.shape:
        raise DataError(f"filters of shapes {filters.shape} and {others.shape} cannot be compared")
    a, b = (x.reshape(len(x), -1).astype(np.float64) for x in (filters, others))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    with np.errstate(invalid="ignore"):
        similar: NDArray[np.float64] = (a * b).sum(axis=1) / lengths
    return similar


def mosaic(filters: Filters) -> Filters:
    """Lay filters out as one picture, row by row, as nearly square as their number allows.

    Parameters
    ----------
    filters : array of shape (n_filters, 3, height, width)
        RGB.

    Returns
    -------
    array of shape (rows * (height + 1) - 1, columns * (width + 1) - 1, 3), float32
        0 to 1. Grey is a weight of 0; every filter has a scale of its own, from minus to plus its
        largest weight, as the cosine does not depend on scale either. White in between.
    """
    n, _, height, width = filters.shape
    columns = int(np.ceil(np.sqrt(n)))
    rows = -(-n // columns)
    peaks = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    shown = 0.5 + 0.5 * filters / np.where(peaks > 0, peaks, 1)
    sheet = np.ones((rows * (height + 1), columns * (width + 1), 3), dtype=np.float32)
    for i, image in enumerate(shown.transpose(0, 2, 3, 1)):
        y, x = i // columns * (height + 1), i % columns * (width + 1)
        sheet[y : y + height, x : x + width] = image
    return sheet[:-1, :-1]
