"""What a library publishes: a set of weights, its address, and torch's cache of downloads."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fstore.extractor.preprocess import Preprocess

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Published", "in_cache"]


@dataclass(frozen=True)
class Published:
    """A set of weights of a library.

    Attributes
    ----------
    name : str
        As the library calls it: ``IMAGENET1K_V2``.
    title : str
        For people: ``torchvision's ResNet50_Weights.IMAGENET1K_V2``.
    url : str
        Where it is published.
    preprocess : Preprocess or None
        What its input went through; None where that is the network's own.
    fetch : function
        Returns a file, downloading it where it is not in the library's cache, or the tensors by
        their names in the network.
    """

    name: str
    title: str
    url: str
    preprocess: Preprocess | None
    fetch: "Callable[[], Path | Mapping[str, Tensor]]"


def in_cache(url: str) -> Path:
    """Return the file of an address from torch's cache, downloading it first if it is not there.

    A file whose name holds the start of its sha256 must have that sha256.
    """
    import torch

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / url.rpartition("/")[2]
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        stated = torch.hub.HASH_REGEX.search(path.name)
        quiet = not os.isatty(2)
        torch.hub.download_url_to_file(
            url, str(path), stated[1] if stated else None, progress=not quiet
        )
    return path
