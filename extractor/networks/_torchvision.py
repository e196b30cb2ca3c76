"""torchvision's classification networks, under ``torchvision:NAME``."""

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fstore.errors import UnknownNameError
from fstore.extractor.networks._api import Network
from fstore.extractor.preprocess import Preprocess

if TYPE_CHECKING:
    from torch import nn

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
    layers = {layer: layer for layer in _declared(model, preprocess.size)}
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


def _declared(model: "nn.Module", size: int) -> list[str]:
    """Choose the layers that ``--layer all`` means: stages, in the order in which they run.

    From the top-level modules downwards: a module that holds nine tenths of the feature part is
    replaced by its children, a plain chain of several weight layers by its links. Of links, those
    whose response an activation or a normalisation still changes, and dropout, are left out; so
    is the last layer, the class scores, whose width depends on the data set.
    """
    dims = _output_dims(model, size)
    chosen = _feature_stages(model, dims)
    paths = [link for path in chosen for link in _links(model, path)]
    paths = [path for path in paths if path in dims]
    paths.sort(key=list(dims).index)
    kept = []
    for path, following in zip(paths, [*paths[1:], ""], strict=True):
        settled = not (_is_linear(model, path) and following and _is_pointwise(model, following))
        if settled and not _is_identity(model, path):
            kept.append(path)
    return kept[:-1]


def _output_dims(model: "nn.Module", size: int) -> dict[str, int]:
    """Return the dimensions of every module's first output, in order of completion."""
    from torch import Tensor

    from fstore.extractor.probe import run_on_meta

    dims: dict[str, int] = {}

    def hook(path: str) -> "Any":  # noqa: ANN401 - torch's hook type
        def note(_module: "nn.Module", _args: object, output: object) -> None:
            if isinstance(output, Tensor):
                dims.setdefault(path, output.ndim)

        return note

    handles = [m.register_forward_hook(hook(p)) for p, m in model.named_modules() if p]
    try:
        run_on_meta(model, size)
    finally:
        for handle in handles:
            handle.remove()
    return dims


def _feature_stages(model: "nn.Module", dims: Mapping[str, int]) -> list[str]:
    paths = [path for path, _ in model.named_children()]
    while True:
        weights = {p: _weight_layers(model, p) for p in paths if dims.get(p, 3) > 2}
        whole = [p for p in paths if weights.get(p, 0) >= 0.9 * sum(weights.values())]
        silent = [p for p in paths if p not in dims]
        replace = [p for p in whole + silent if _children(model, p)]
        if not replace:
            return paths
        paths = [c for p in paths for c in (_children(model, p) if p in replace else [p])]


def _children(model: "nn.Module", path: str) -> list[str]:
    return [f"{path}.{name}" for name, _ in model.get_submodule(path).named_children()]


def _weight_layers(model: "nn.Module", path: str) -> int:
    modules = model.get_submodule(path).modules()
    return sum(1 for m in modules if next(m.parameters(recurse=False), None) is not None)


def _links(model: "nn.Module", path: str) -> list[str]:
    from torch import nn

    module = model.get_submodule(path)
    children = list(module.children())
    plain = type(module) is nn.Sequential and not any(list(c.children()) for c in children)
    several = sum(1 for c in children if isinstance(c, (nn.Linear, nn.Conv2d))) > 1
    return _children(model, path) if plain and several else [path]


def _is_linear(model: "nn.Module", path: str) -> bool:
    from torch import nn

    return isinstance(model.get_submodule(path), (nn.Conv2d, nn.Linear, nn.BatchNorm2d))


def _is_pointwise(model: "nn.Module", path: str) -> bool:
    from torch import nn

    kinds = (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU, nn.GELU, nn.BatchNorm2d)
    return isinstance(model.get_submodule(path), kinds)


def _is_identity(model: "nn.Module", path: str) -> bool:
    """Tell modules that change no value: dropout, and what only arranges values anew."""
    from torch import nn
    from torchvision.ops import Permute

    kinds = (nn.Dropout, nn.Identity, nn.Flatten, Permute)
    return isinstance(model.get_submodule(path), kinds)
