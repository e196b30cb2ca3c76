"""torchvision's classification networks, under ``torchvision:NAME``."""

import difflib
from collections.abc import Mapping
from typing import Any

from fstore.errors import UnknownNameError
from fstore.extractor.networks._api import Network
from fstore.extractor.networks._declared import declared_layers
from fstore.extractor.preprocess import Preprocess

__all__ = ["PREFIX", "torchvision_names", "torchvision_network"]

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


def torchvision_names() -> list[str]:
    """Return the names of torchvision's classification networks, with the prefix."""
    from torchvision import models

    return [PREFIX + name for name in models.list_models(module=models)]


def torchvision_network(name: str, *, classes: int | None = None) -> Network:
    """Return a network of torchvision with random weights; nothing is downloaded.

    Parameters
    ----------
    name : str
        ``torchvision:resnet18``. Input is prepared as torchvision's default weights of that
        network expect: RGB, shorter side resized, centre crop, its mean and standard deviation.
        Networks whose weights were made with bicubic resizing get bilinear.
    classes : int or None
        Outputs; None for the network's own number, 1000.

    Raises
    ------
    UnknownNameError
        torchvision has no such classification network; close names are listed.
    """
    from torchvision import models

    short = name.removeprefix(PREFIX)
    names = models.list_models(module=models)
    if short not in names:
        close = difflib.get_close_matches(short, names, n=5, cutoff=0.5) or names
        raise UnknownNameError(
            f"torchvision has no classification network {short!r}; near it: {', '.join(close)}"
        )
    options: dict[str, Any] = {} if classes is None else {"num_classes": classes}
    if short in {"googlenet", "inception_v3"}:
        options |= {"init_weights": True, "transform_input": True}  # as their weights expect
    preprocess = _preprocess(short)
    if short.startswith("vit_"):
        options |= {"image_size": preprocess.size}
    model = models.get_model(short, weights=None, **options).eval()
    layers = {layer: layer for layer in declared_layers(model, preprocess.size)}
    return Network(name, model, preprocess, layers, RECIPE)


def _preprocess(short: str) -> Preprocess:
    from torchvision import models

    transform = models.get_model_weights(short).DEFAULT.transforms()
    return Preprocess(
        size=transform.crop_size[0],
        resize=max(transform.resize_size[0], transform.crop_size[0]),
        resize_mode="shorter",
        order="RGB",
        scale=1 / 255,
        mean=tuple(transform.mean),
        std=tuple(transform.std),
    )
