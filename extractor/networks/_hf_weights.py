"""Weights of a model of transformers under the names that its modules have in memory.

transformers renames modules from version to version; its files keep the older names, and reading
a file translates them. So the translation is left to transformers.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fstore.errors import DataError
from fstore.extractor.networks._api import Network

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["hf_tensors", "quiet"]

TEXT, IMAGES = "text_model.", "vision_model."
"""What the two parts of a model of images and texts are called in files."""


def hf_tensors(network: Network, tensors: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """Return a file's tensors as the network names them.

    What the network has no place for is kept, but the text part of a model of images and texts.

    Parameters
    ----------
    network : Network
    tensors : mapping of name to Tensor

    Raises
    ------
    DataError
        transformers cannot put them in their places.
    """
    import torch

    model: Any = network.model
    if set(model.state_dict()) <= set(tensors):
        return dict(tensors)
    try:
        with quiet():
            loaded, told = type(model).from_pretrained(
                None,
                config=model.config,
                state_dict=dict(tensors),
                dtype=torch.float32,
                output_loading_info=True,
            )
    except (RuntimeError, ValueError) as exc:
        first = str(exc).strip().split("\n", 1)[0]
        raise DataError(
            f"network {network.name!r}: transformers cannot place the weights: {first}"
        ) from exc
    missing = set(told["missing_keys"])
    placed = {name: t for name, t in loaded.state_dict().items() if name not in missing}
    extra = {name for name in told["unexpected_keys"] if name in tensors}
    if any(name.startswith(TEXT) for name in extra):
        extra = {name for name in extra if name.startswith(IMAGES)}
    return {name: tensors[name] for name in tensors if name in extra} | placed


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from telling what fstore's own messages tell."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
