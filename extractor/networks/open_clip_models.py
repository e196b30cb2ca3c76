"""The image towers of open_clip's networks, under ``open_clip:NAME``."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fstore.errors import DataError, UnknownNameError
from fstore.extractor.networks._api import Network, Tokens
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
    from collections.abc import Mapping

    from torch import Tensor, nn

__all__ = ["open_clip_network"]

SMALL_TEXT = {"context_length": 8, "vocab_size": 16, "width": 8, "heads": 1, "layers": 1}
"""A text tower in place of the network's own, which is not used: some are downloaded."""
TOWER = "visual."
"""What the names of the image tower's tensors begin with in files."""
INTERPOLATIONS = ("bilinear", "bicubic")
STATED = ("mean", "std", "interpolation", "resize_mode")
"""What open_clip states of a training's preprocessing."""


def _names() -> list[str]:
    """Return open_clip's networks, and those with the tag of a training."""
    open_clip = import_extra("open_clip", "open_clip")
    tagged = [f"{model}.{tag}" for model, tag in open_clip.list_pretrained()]
    return sorted({*open_clip.list_models(), *tagged})


def _tensors(network: Network, tensors: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """Return the image tower's tensors of a file of both towers.

    Raises
    ------
    DataError
        The network's name does not say whose weights they are, and some of its trainings have
        another activation: nothing in a file tells.
    """
    short, _, tag = network.name.partition(":")[2].partition(".")
    if not tag and (others := _other_activation(short)):
        raise DataError(
            f"network {network.name!r}: a file does not tell which activation its weights were "
            f"trained with; say whose weights these are: open_clip:{short}.TAG, or for "
            f"{', '.join(others)}: open_clip:{_twin(short)}.TAG"
        )
    tower = {n.removeprefix(TOWER): t for n, t in tensors.items() if n.startswith(TOWER)}
    return tower if set(tower) & set(network.model.state_dict()) else dict(tensors)


@library("open_clip", example="open_clip:ViT-B-32", names=_names, tensors=_tensors)
def open_clip_network(name: str, *, classes: int | None = None) -> Network:
    """Return the image tower of a network of open_clip.

    Parameters
    ----------
    name : str
        ``open_clip:ViT-B-32``, or with the tag of a training
        ``open_clip:ViT-L-14.laion2b_s32b_b82k``, which chooses the preprocessing. Weights are
        random; nothing is downloaded.
    classes : int or None
        Only None: the tower gives an embedding, no classes.

    Raises
    ------
    UnknownNameError
        open_clip has no such network, or no such training of it; what there is is listed.
    DataError
        Classes; no tag where the trainings differ in preprocessing; a tag of a training with
        another activation; preprocessing that cannot be said by :class:`Preprocess`.
    MissingExtraError
        open_clip is not installed.
    """
    from fstore.extractor.networks._measured import as_its_library

    open_clip = import_extra("open_clip", "open_clip")
    short, _, tag = name.partition(":")[2].partition(".")
    if short not in open_clip.list_models():
        near = close_names(short, open_clip.list_models())
        raise UnknownNameError(f"open_clip has no network {short!r}; near it: {near}")
    if classes is not None:
        raise DataError(f"network {name!r} gives an embedding, no classes: leave them out")
    stated = _training(name, short, tag)
    with _quiet():
        clip = open_clip.create_model(
            short, pretrained=None, pretrained_text=False, text_cfg=dict(SMALL_TEXT)
        )
    model = clip.visual.eval()
    config = open_clip.get_model_preprocess_cfg(clip) | stated
    transform = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(**config), is_train=False
    )
    preprocess = as_its_library(name, _preprocess(name, config), transform)
    layers = declared_layers(model, preprocess.size, scores=())
    tokens = _tokens(model)
    declared = with_class_tokens(layers, output_shapes(model, preprocess.size), tokens)
    return Network(name, model, preprocess, declared, tokens=tokens)


def _other_activation(short: str) -> list[str]:
    """Return the tags of a network's trainings with the other activation than its own."""
    import open_clip

    quick = bool(open_clip.get_model_config(short).get("quick_gelu"))
    tags = open_clip.list_pretrained_tags_by_model(short)
    return [
        t for t in tags if bool(open_clip.get_pretrained_cfg(short, t).get("quick_gelu")) != quick
    ]


def _twin(short: str) -> str:
    """Return the network that is the same but for its activation."""
    plain = short.removesuffix("-quickgelu")
    return plain if plain != short else f"{short}-quickgelu"


def _training(name: str, short: str, tag: str) -> dict[str, Any]:
    """Return the preprocessing of a training; without a tag that of all of the network's."""
    import open_clip

    quick = bool(open_clip.get_model_config(short).get("quick_gelu"))
    tags = open_clip.list_pretrained_tags_by_model(short)
    if tag and tag not in tags:
        raise UnknownNameError(
            f"open_clip's {short} has no training {tag!r}; it has: {', '.join(tags) or 'none'}"
        )
    stated = {t: open_clip.get_pretrained_cfg(short, t) for t in tags}
    fitting = {t: c for t, c in stated.items() if bool(c.get("quick_gelu")) == quick}
    if tag and tag not in fitting:
        raise DataError(
            f"network {name!r}: {tag} was trained with {'GELU' if quick else 'QuickGELU'}, and "
            f"{short} has the other; use open_clip:{_twin(short)}.{tag}"
        )
    chosen = [fitting[tag]] if tag else list(fitting.values())
    configs = [{key: c[key] for key in STATED if key in c} for c in chosen]
    if any(config != configs[0] for config in configs):
        raise DataError(
            f"network {name!r}: its trainings differ in their preprocessing; say whose weights it "
            f"will get: {', '.join(f'open_clip:{short}.{t}' for t in fitting)}"
        )
    return configs[0] if configs else {}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep open_clip from warning that weights are random, and from setting logging up for it."""
    root, nothing = logging.getLogger(), logging.NullHandler()
    before = logging.root.manager.disable
    root.addHandler(nothing)
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
        root.removeHandler(nothing)


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
    return unit_rgb(
        height,
        height,
        mode="warp" if mode == "squash" else "shorter",
        mean=config["mean"],
        std=config["std"],
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
