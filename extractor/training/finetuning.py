"""What fine-tuning does to a network: a new classifier, and what of the rest may learn.

The classifier is the last linear layer or 1x1 convolution that runs. Fully connected layers are
those with parameters that run after the last one whose response is a map: fc6, fc7 and the
classifier of CaffeNet.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import torch
from msgspec import structs
from torch import Tensor, nn

from fstore.errors import DataError
from fstore.extractor.networks import Network
from fstore.extractor.probe import run_on_meta
from fstore.extractor.training.examples import random_seed
from fstore.extractor.training.recipe import Multiplier, Recipe

__all__ = [
    "MODES",
    "Mode",
    "classifier_path",
    "default_iterations",
    "finetuning_recipe",
    "fully_connected",
    "with_new_classifier",
]

Mode: TypeAlias = Literal["ft", "fc-ft", "scratch"]
MODES: tuple[Mode, ...] = get_args(Mode)

CLASSIFIER_STD = 0.01
STEP = 20_000
REGION_BATCH = 128


def classifier_path(network: Network) -> str:
    """Return the module path of a network's classifier.

    Raises
    ------
    DataError
        It has no linear layer and no 1x1 convolution.
    """
    classifiers = [layer.path for layer in _weight_layers(network) if _is_classifier(layer.module)]
    if not classifiers:
        raise DataError(
            f"network {network.name!r} has no linear layer and no 1x1 convolution: it has no "
            "classifier to replace"
        )
    return classifiers[-1]


def fully_connected(network: Network) -> list[str]:
    """Return the module paths of the fully connected layers, the classifier last.

    Raises
    ------
    DataError
        The classifier is the only one, or works on maps: nothing would be fine-tuned but it.
    """
    layers = list(_weight_layers(network))
    maps = [i for i, layer in enumerate(layers) if layer.dims > 2]
    paths = [layer.path for layer in layers[maps[-1] + 1 if maps else 0 :]]
    last = classifier_path(network)
    if not set(paths) - {last}:
        raise DataError(
            f"network {network.name!r} has no fully connected layer below its classifier "
            f"({last}), so fc-ft would train the classifier alone; use --mode ft"
        )
    return paths


def with_new_classifier(fresh: Network, parent: Network, *, seed: int) -> Network:
    """Return a network with the parent's weights and preprocessing, and a new classifier.

    Parameters
    ----------
    fresh : Network
        The parent's network with the number of outputs wanted; its weights are replaced, except
        where the number of outputs changes their shape (auxiliary classifiers).
    parent : Network
    seed : int
        Of the classifier's weights, from N(0, 0.01); its biases are 0.
    """
    path = classifier_path(fresh)
    learnt = parent.model.state_dict()
    for name, tensor in fresh.model.state_dict().items():
        if not name.startswith(f"{path}.") and learnt[name].shape == tensor.shape:
            tensor.copy_(learnt[name])
    with torch.no_grad():
        for name, parameter in fresh.model.get_submodule(path).named_parameters(recurse=False):
            parameter.copy_(_drawn(parameter, seed) if name == "weight" else torch.tensor(0.0))
    return replace(fresh, preprocess=parent.preprocess)


def finetuning_recipe(network: Network, mode: Mode, *, regions: bool, **changes: object) -> Recipe:
    """Return the numbers of fine-tuning, or of training from scratch for comparison.

    A tenth of the network's learning rate (CaffeNet: 0.001), times 0.1 every 20,000 iterations;
    the classifier learns ten times as fast, its biases twenty times. Batches of regions have 128.
    From scratch: the network's own learning rate, and the classifier's is that of the others. A
    network may state its own numbers under ``finetune`` and ``scratch`` of its recipe.

    Parameters
    ----------
    network : Network
        With its new classifier.
    mode : {"ft", "fc-ft", "scratch"}
        ``fc-ft``: nothing but the fully connected layers learns.
    regions : bool
        Whether it learns from regions, not from whole images.
    **changes
        Entries that differ; None keeps the default.

    Raises
    ------
    DataError
        The network states no recipe and a number is not given; or it has no fully connected
        layers.
    """
    defaults = {**network.recipe, "step": STEP}
    if regions:
        defaults["batch_size"] = REGION_BATCH
    if mode != "scratch" and "lr" in network.recipe:
        defaults["lr"] = float(str(network.recipe["lr"])) / 10
    recipe = Recipe.from_defaults(defaults | _own(network, mode), **changes)
    if mode == "scratch":
        return recipe
    return replace(recipe, multipliers=_multipliers(network, mode, recipe))


def default_iterations(network: Network, mode: Mode, *, regions: bool) -> int:
    """Return how long a network is fine-tuned if nothing is said.

    Raises
    ------
    DataError
        The network does not say.
    """
    stated = _own(network, mode)
    iterations = stated.get("iterations")
    iterations = stated.get("region_iterations", iterations) if regions else iterations
    if not isinstance(iterations, int):
        raise DataError(
            f"network {network.name!r} does not say how long it is fine-tuned; give --iterations"
        )
    return iterations


def _own(network: Network, mode: Mode) -> dict[str, Any]:
    """Return what a network states of fine-tuning itself; scratch overrides finetune."""
    stated: Any = network.recipe.get("finetune", {})
    of_scratch: Any = network.recipe.get("scratch", {}) if mode == "scratch" else {}
    lr = {"lr": network.recipe["lr"]} if mode == "scratch" and "lr" in network.recipe else {}
    return {**stated, **lr, **of_scratch}


def _multipliers(network: Network, mode: Mode, recipe: Recipe) -> tuple[Multiplier, ...]:
    """Return the classifier's factors, then those of the others."""
    path = classifier_path(network)
    new = (Multiplier(f"{path}.weight", 10.0, 1.0), Multiplier(f"{path}.bias", 20.0, 0.0))
    if mode == "ft":
        return (*new, *recipe.multipliers)
    below = [name for name in fully_connected(network) if name != path]
    kept = [
        structs.replace(recipe.multiplier(f"{layer}.{name}"), pattern=f"{layer}.{name}")
        for layer in below
        for name, _ in network.model.get_submodule(layer).named_parameters(recurse=False)
    ]
    return (*new, *kept, Multiplier("*", 0.0, 0.0))


def _drawn(like: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(random_seed(seed, 0))  # iterations count from 1
    return CLASSIFIER_STD * torch.randn(like.shape, generator=generator)


@dataclass(frozen=True)
class _Layer:
    """A module with parameters and no modules in it, and the dimensions of its response."""

    path: str
    module: nn.Module
    dims: int


def _is_classifier(module: nn.Module) -> bool:
    pointwise = isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1)
    return pointwise or isinstance(module, nn.Linear)


def _weight_layers(network: Network) -> Iterator[_Layer]:
    """Yield the modules with parameters in the order in which they run."""
    layers: list[_Layer] = []
    handles = []
    for path, module in network.model.named_modules():
        first_parameter = next(module.parameters(recurse=False), None)
        if first_parameter is not None and not any(module.children()):
            handles.append(module.register_forward_hook(_noting(layers, path)))
    try:
        run_on_meta(network.model, network.preprocess.size)
    finally:
        for handle in handles:
            handle.remove()
    yield from layers


def _noting(layers: list[_Layer], path: str) -> Any:  # noqa: ANN401 - torch's hook type
    def note(module: nn.Module, _args: object, output: object) -> None:
        if isinstance(output, Tensor):
            layers.append(_Layer(path, module, output.ndim))

    return note
