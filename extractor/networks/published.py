"""Weights that libraries publish for their networks, and how these want their input."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fstore.errors import DataError, FstoreError
from fstore.extractor.networks._downloads import Published
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
    from fstore.extractor.networks import _library_weights, _torchvision_weights

    publishers: dict[str, Callable[[str, str], Published]] = {
        "torchvision": _torchvision_weights.published,
        "timm": _library_weights.of_timm,
        "open_clip": _library_weights.of_open_clip,
        "hf": _library_weights.of_hub,
    }
    network = network_name(network)
    prefix, colon, _ = network.partition(":")
    if colon and prefix in publishers:
        return publishers[prefix](network, name)
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
        with _quiet_retries():
            return weights.fetch()
    except FstoreError:
        raise
    except Exception as exc:  # each library's own client has its own errors
        reason = str(getattr(exc, "reason", "") or exc).strip().split("\n", 1)[0].rstrip(".")
        file = weights.url.rpartition("/")[2]
        named = f" under its own name, {file}" if Path(file).suffix else ""
        raise DataError(
            f"cannot download {weights.title} from {weights.url}: {reason or type(exc).__name__}; "
            f"without a network fetch the file of weights elsewhere and import it{named}"
        ) from exc


@contextmanager
def _quiet_retries() -> Iterator[None]:
    """Keep Hugging Face's client from telling each of its attempts; the last one is told."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
