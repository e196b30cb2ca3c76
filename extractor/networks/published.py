"""Weights that libraries publish for their networks, and how these want their input."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fstore.errors import DataError
from fstore.extractor.networks._downloads import Published
from fstore.extractor.networks._libraries import LIBRARIES
from fstore.names import network_name

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Published", "fetched", "published", "published_as"]


def published(network: str, name: str) -> Published:
    """Return a set of weights that a network's library publishes; nothing is downloaded yet.

    Parameters
    ----------
    network : str
        ``torchvision:resnet50``, or another name with the prefix of a library.
    name : str
        What the library calls the weights, capitals or not; ``default``: those it recommends.

    Raises
    ------
    UnknownNameError
        There are no weights of that name; all there are are listed.
    DataError
        The network is of no library.
    """
    from fstore.extractor.networks import _torchvision_weights
    from fstore.extractor.networks._torchvision import PREFIX

    network = network_name(network)
    if network.startswith(PREFIX):
        return _torchvision_weights.published(network, name)
    prefix = network.partition(":")[0]
    if prefix in LIBRARIES and ":" in network and "published" in LIBRARIES[prefix].meta:
        entry: Published = LIBRARIES[prefix].meta["published"](network, name)
        return entry
    raise DataError(
        f"nobody publishes weights for network {network!r} under a name: leave --weights out, and "
        "give the file of weights"
    )


def published_as(network: str, file: Path) -> Published | None:
    """Return the published set of weights whose file has this name; None if there is none."""
    from fstore.extractor.networks import _torchvision_weights
    from fstore.extractor.networks._torchvision import PREFIX

    if network.startswith(PREFIX):
        return _torchvision_weights.published_as(network, file.name)
    return None


def fetched(weights: Published) -> "Path | Mapping[str, Tensor]":
    """Return the file or the tensors of a published set of weights.

    Raises
    ------
    DataError
        They cannot be downloaded; their address is named.
    """
    try:
        return weights.fetch()
    except Exception as exc:  # each library's own client has its own errors
        reason = str(getattr(exc, "reason", "") or exc).strip().split("\n", 1)[0]
        raise DataError(
            f"cannot download {weights.title} from {weights.url}: {reason or type(exc).__name__}; "
            "without a network fetch that file elsewhere and import it, under its own name: "
            f"fstore ckpt import {weights.url.rpartition('/')[2]}"
        ) from exc
