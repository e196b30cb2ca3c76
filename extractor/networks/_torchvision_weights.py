"""torchvision's own sets of weights: the entries of its enums, with their transforms."""

from typing import TYPE_CHECKING, Any

from fstore.errors import DataError, UnknownNameError
from fstore.extractor.networks._downloads import Published, in_cache
from fstore.extractor.networks._torchvision import PREFIX, prepared_as

if TYPE_CHECKING:
    from fstore.extractor.preprocess import Preprocess

__all__ = ["published", "published_as"]

OTHER_EPSILON = {"KeypointRCNN_ResNet50_FPN_Weights.COCO_LEGACY"}
"""Weights that torchvision computes with in another way than with the default ones."""


def published(network: str, name: str) -> Published:
    """Return an entry of the enum of a network's weights; see :mod:`.published`."""
    enum = _enum(network)
    entries = {entry.name.casefold(): entry for entry in enum}
    if name.casefold() == "default":
        return _published(enum.DEFAULT)
    if name.casefold() not in entries:
        names = ", ".join(entry.name for entry in enum)
        raise UnknownNameError(
            f"torchvision has no weights {name!r} for {network.removeprefix(PREFIX)}; there are: "
            f"{names}, and default, which is {enum.DEFAULT.name}"
        )
    return _published(entries[name.casefold()])


def published_as(network: str, file_name: str) -> Published | None:
    """Return the entry whose address ends in a file's name, if there is one."""
    for entry in _enum(network):
        if entry.url.rpartition("/")[2] == file_name:
            return _published(entry)
    return None


def _enum(network: str) -> Any:  # noqa: ANN401 - a class made by torchvision
    from torchvision import models

    try:
        return models.get_model_weights(network.removeprefix(PREFIX))
    except ValueError as exc:
        raise UnknownNameError(f"torchvision has no network {network!r}: {exc}") from exc


def _published(entry: Any) -> Published:  # noqa: ANN401 - a member of such a class
    title = f"{type(entry).__name__}.{entry.name}"
    if title in OTHER_EPSILON:
        raise DataError(
            f"torchvision's {title} are computed with another epsilon of their batch normalisation "
            "than this network has here; use default"
        )
    url: str = entry.url
    return Published(
        entry.name, f"torchvision's {title}", url, _preprocess(entry), lambda: in_cache(url)
    )


def _preprocess(entry: Any) -> "Preprocess | None":  # noqa: ANN401
    """Return what the entry's transforms say; of the others the network itself says it."""
    transform = entry.transforms()
    return prepared_as(transform) if hasattr(transform, "crop_size") else None
