"""torchvision's networks, under ``torchvision:NAME``: those of images."""

import difflib
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fstore.errors import DataError, UnknownNameError
from fstore.extractor.networks._api import Network
from fstore.extractor.networks._declared import declared_layers
from fstore.extractor.networks._torchvision_dense import (
    detection_backbone,
    preset,
    segmentation_network,
)
from fstore.extractor.networks.torchvision_listed import KINDS, listed
from fstore.extractor.preprocess import Preprocess

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["PREFIX", "prepared_as", "torchvision_names", "torchvision_network"]

PREFIX = "torchvision:"
RECIPE: Mapping[str, object] = {
    "lr": 0.1,
    "batch_size": 256,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "step": 100_000,
    "gamma": 0.1,
    "mirror": True,
}


REFUSED = {
    "quantization": "is quantized, and fstore keeps float32 weights: use {plain}, the plain one",
    "video": "takes films, fstore single images: use a network of images, such as {plain}",
    "optical_flow": "takes pairs of images, fstore single ones: there is no response to one image",
}
"""Kinds of torchvision's networks that fstore cannot extract from, and why."""


def torchvision_names() -> list[str]:
    """Return the names of torchvision's networks of images, with the prefix.

    Those of classification, then of segmentation, then detectors, of which the backbone is meant.
    """
    return [PREFIX + name for kind in KINDS for name in listed(kind) or _registered(kind)]


def _registered(kind: str) -> list[str]:
    """Return the names of a kind as torchvision's own registry has them."""
    from torchvision import models

    return list(models.list_models(module=getattr(models, kind) if kind else models))


def torchvision_network(name: str, *, classes: int | None = None) -> Network:
    """Return a network of torchvision with random weights; nothing is downloaded.

    Parameters
    ----------
    name : str
        ``torchvision:resnet18``. Input is prepared as the transforms of torchvision's default
        weights of that network say. Of a network of segmentation see :func:`segmentation_network`;
        of a detector it is the backbone, see :func:`detection_backbone`.
    classes : int or None
        Outputs; None for the network's own number, 1000.

    Raises
    ------
    UnknownNameError
        torchvision has no such network; close names are listed.
    DataError
        It has, and it is of a kind that fstore cannot extract from.
    """
    from torchvision import models

    short = name.removeprefix(PREFIX)
    if short in models.list_models(module=models.segmentation):
        return segmentation_network(name, short, classes=classes)
    if short in models.list_models(module=models.detection):
        return detection_backbone(name, short, classes=classes)
    if short not in models.list_models(module=models):
        raise _refusal(short)
    return _classifier(name, short, {} if classes is None else {"num_classes": classes})


def _classifier(name: str, short: str, options: dict[str, Any]) -> Network:
    from torchvision import models

    if short in {"googlenet", "inception_v3"}:
        options |= {"init_weights": True, "transform_input": True}  # as their weights expect
    preprocess = prepared_as(models.get_model_weights(short).DEFAULT.transforms())
    if short.startswith("vit_"):
        options |= {"image_size": preprocess.size}
    model = models.get_model(short, weights=None, **options).eval()
    layers = {layer: layer for layer in declared_layers(model, preprocess.size)}
    before = replace(preprocess, interpolation="bilinear")  # as the first versions prepared all
    formerly = () if before == preprocess else (before,)
    return Network(name, model, preprocess, layers, RECIPE, formerly=formerly)


def prepared_as(transform: Any) -> Preprocess:  # noqa: ANN401 - torchvision's preset
    """Say the transforms of a set of torchvision's weights for classification in fstore's words."""
    return preset(
        transform, transform.crop_size[0], max(transform.resize_size[0], transform.crop_size[0])
    )


def _refusal(short: str) -> Exception:
    """Return the error for a name that is none of a network of images."""
    from torchvision import models

    kinds: dict[str, ModuleType] = {kind: getattr(models, kind) for kind in REFUSED}
    for kind, module in kinds.items():
        if short in models.list_models(module=module):
            plain = short.removeprefix("quantized_") if kind == "quantization" else "resnet50"
            return DataError(f"torchvision's {short} {REFUSED[kind].format(plain=PREFIX + plain)}")
    names = [name.removeprefix(PREFIX) for name in torchvision_names()]
    close = difflib.get_close_matches(short, names, n=5, cutoff=0.5) or names
    return UnknownNameError(f"torchvision has no network {short!r}; near it: {', '.join(close)}")
