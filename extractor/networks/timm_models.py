"""timm's networks, under ``timm:NAME``."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fstore.errors import UnknownNameError
from fstore.extractor.networks._api import Network, StatedLayout, Tokens
from fstore.extractor.networks._declared import declared_layers, output_shapes, with_class_tokens
from fstore.extractor.networks._libraries import (
    close_names,
    import_extra,
    library,
    unit_rgb,
    unsayable,
)
from fstore.extractor.preprocess import Preprocess

if TYPE_CHECKING:
    from torch import nn

__all__ = ["timm_network"]

REARRANGING = ("unroll",)
"""Hiera's module that puts tokens in another order and changes none."""
INTERPOLATIONS = ("bilinear", "bicubic", "lanczos", "nearest")


def _names() -> list[str]:
    """Return timm's architectures, and those with the tag of a training."""
    timm = import_extra("timm", "timm")
    return sorted({*timm.list_models(), *timm.list_pretrained()})


@library("timm", example="timm:resnet50.a1_in1k", names=_names)
def timm_network(name: str, *, classes: int | None = None) -> Network:
    """Return a network of timm: an architecture, with a tag that chooses its preprocessing.

    Parameters
    ----------
    name : str
        ``timm:resnet50`` or ``timm:resnet50.a1_in1k``. Weights are random; nothing is downloaded.
        Input is prepared as ``timm.data.resolve_data_config`` says for that tag.
    classes : int or None
        Outputs; None for the network's own number.

    Raises
    ------
    UnknownNameError
        timm has no such network, or no such tag of it; close names are listed.
    DataError
        Its preprocessing cannot be said by :class:`Preprocess`.
    MissingExtraError
        timm is not installed.
    """
    from fstore.extractor.networks._measured import as_its_library

    timm = import_extra("timm", "timm")
    short = name.partition(":")[2]
    _check_name(short)
    options: dict[str, Any] = {} if classes is None else {"num_classes": classes}
    model = timm.create_model(short, pretrained=False, **options).eval()
    config = timm.data.resolve_data_config({}, model=model)
    transform = timm.data.create_transform(**config)
    preprocess = as_its_library(name, _preprocess(name, config), transform)
    layers = declared_layers(model, preprocess.size, scores=[*_scores(model), *REARRANGING])
    shapes = output_shapes(model, preprocess.size)
    layouts = _layouts(model, preprocess.size, shapes)
    tokens = _tokens(model)
    return Network(
        name,
        model,
        preprocess,
        with_class_tokens(layers, shapes, tokens),
        layouts={layer: layouts[layer] for layer in layers if layer in layouts},
        tokens=tokens,
    )


def _check_name(short: str) -> None:
    import timm

    architecture, _, tag = short.partition(".")
    if not timm.is_model(architecture):
        near = close_names(architecture, timm.list_models())
        raise UnknownNameError(f"timm has no network {architecture!r}; near it: {near}")
    tags = [name.partition(".")[2] for name in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise UnknownNameError(
            f"timm's {architecture} has no tag {tag!r}; it has: {', '.join(sorted(tags)) or 'none'}"
        )


def _preprocess(name: str, config: Mapping[str, Any]) -> Preprocess:
    """Say timm's data configuration of an evaluation in fstore's words."""
    channels, height, width = config["input_size"]
    if channels != 3 or height != width:
        raise unsayable(name, f"makes inputs of {channels} x {height} x {width}")
    mode, interpolation = config["crop_mode"], config["interpolation"]
    if mode not in {"center", "squash"}:
        raise unsayable(name, f"crops by {mode!r} (crop_mode)")
    if interpolation not in INTERPOLATIONS:
        raise unsayable(name, f"resizes by {interpolation!r} (interpolation)")
    resize = math.floor(height / config["crop_pct"])
    if resize < height:
        raise unsayable(name, f"pads images of {resize} pixels to {height} (crop_pct)")
    return unit_rgb(
        height,
        resize,
        mode="warp" if mode == "squash" else "shorter",
        mean=config["mean"],
        std=config["std"],
        interpolation=interpolation,
    )


def _scores(model: "nn.Module") -> list[str]:
    """Return the modules that give class scores, with the heads that they are the end of."""
    config = getattr(model, "pretrained_cfg", None) or {}
    stated = config.get("classifier") or ()
    paths = [stated] if isinstance(stated, str) else list(stated)
    return [".".join(path.split(".")[:n]) for path in paths for n in range(1, path.count(".") + 2)]


def _tokens(model: "nn.Module") -> Tokens | None:
    """Return what a transformer states of its tokens: of one grid all the way up."""
    prefix = getattr(model, "num_prefix_tokens", None)
    grid = getattr(getattr(model, "patch_embed", None), "grid_size", None)
    if not isinstance(prefix, int) or not isinstance(grid, tuple | list) or len(grid) != 2:
        return None
    return Tokens(prefix, int(grid[0]), int(grid[1]))


def _layouts(
    model: "nn.Module", size: int, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, StatedLayout]:
    """Return where the channels are, from the widths and strides that timm states of stages."""
    stated: dict[str, StatedLayout] = {}
    for stage in getattr(model, "feature_info", ()) or ():
        path, channels, side = stage["module"], stage["num_chs"], size // stage["reduction"]
        shape = shapes.get(path, ())[1:]
        fits: dict[tuple[int, ...], StatedLayout] = {
            (channels, side, side): "channels_first",
            (side, side, channels): "channels_last",
        }
        if shape in fits and channels != side:
            stated[path] = fits[shape]
    return stated
