"""The image towers of open_clip's networks, under ``open_clip:NAME``."""

from typing import TYPE_CHECKING, Any

from fstore.errors import DataError, UnknownNameError
from fstore.extractor.networks._api import Network, Tokens
from fstore.extractor.networks._declared import declared_layers
from fstore.extractor.networks._libraries import close_names, import_extra, library, unsayable
from fstore.extractor.preprocess import Preprocess

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

__all__ = ["open_clip_network"]

SMALL_TEXT = {"context_length": 8, "vocab_size": 16, "width": 8, "heads": 1, "layers": 1}
"""A text tower in place of the network's own, which is not used: some are downloaded."""
INTERPOLATIONS = ("bilinear", "bicubic")


def _names() -> list[str]:
    names: list[str] = import_extra("open_clip", "open_clip").list_models()
    return names


@library("open_clip", example="open_clip:ViT-B-32", names=_names)
def open_clip_network(name: str, *, classes: int | None = None) -> Network:
    """Return the image tower of a network of open_clip.

    Parameters
    ----------
    name : str
        ``open_clip:ViT-B-32``. Weights are random; nothing is downloaded. Input is prepared as
        the network's configuration says.
    classes : int or None
        Only None: the tower gives an embedding, no classes.

    Raises
    ------
    UnknownNameError
        open_clip has no such network; close names are listed.
    DataError
        Classes, or preprocessing that cannot be said by :class:`Preprocess`.
    MissingExtraError
        open_clip is not installed.
    """
    open_clip = import_extra("open_clip", "open_clip")
    short = name.partition(":")[2]
    if short not in open_clip.list_models():
        near = close_names(short, open_clip.list_models())
        raise UnknownNameError(f"open_clip has no network {short!r}; near it: {near}")
    if classes is not None:
        raise DataError(f"network {name!r} gives an embedding, no classes: leave them out")
    clip = open_clip.create_model(
        short, pretrained=None, pretrained_text=False, text_cfg=dict(SMALL_TEXT)
    )
    model = clip.visual.eval()
    preprocess = _preprocess(name, open_clip.get_model_preprocess_cfg(clip))
    layers = declared_layers(model, preprocess.size, scores=())
    return Network(
        name, model, preprocess, {layer: layer for layer in layers}, tokens=_tokens(model)
    )


def _preprocess(name: str, config: "Mapping[str, Any]") -> Preprocess:
    """Say open_clip's preprocessing of an evaluation in fstore's words."""
    size = config["size"]
    height, width = size if isinstance(size, tuple | list) else (size, size)
    if height != width:
        raise unsayable(name, f"makes inputs of {height} x {width}")
    mode, interpolation = config["resize_mode"], config["interpolation"]
    if mode not in {"shortest", "squash"}:
        raise unsayable(name, f"pads images ({mode!r}, resize_mode)")
    if interpolation not in INTERPOLATIONS:
        raise unsayable(name, f"resizes by {interpolation!r} (interpolation)")
    return Preprocess(
        size=height,
        resize=height,
        resize_mode="warp" if mode == "squash" else "shorter",
        order="RGB",
        scale=1 / 255,
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation=interpolation,
    )


def _tokens(model: "nn.Module") -> Tokens | None:
    """Return what a ViT of open_clip, or of timm inside it, states of its tokens."""
    trunk = getattr(model, "trunk", None)
    if trunk is not None:
        prefix = getattr(trunk, "num_prefix_tokens", None)
        grid = getattr(getattr(trunk, "patch_embed", None), "grid_size", None)
    else:
        prefix = 1 if hasattr(model, "class_embedding") else None
        grid = getattr(model, "grid_size", None)
    if prefix is None or grid is None:
        return None
    return Tokens(prefix, int(grid[0]), int(grid[1]))
