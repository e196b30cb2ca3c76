"""From a network's name to the network: registered, torchvision's, or the user's own."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from fstore.errors import DataError, UnknownNameError
from fstore.extractor.networks._api import NETWORKS, Network
from fstore.extractor.networks._libraries import LIBRARIES
from fstore.extractor.networks._own import call_own, current_folder, find_own, function_of
from fstore.names import network_name, own_file

__all__ = ["build_network", "network_names"]

LARGEST_CLASSES = 1_000_000
"""Outputs beyond which a number is taken for a mistake: the last layer alone has gigabytes."""


def network_names() -> list[str]:
    """Return every name that :func:`build_network` knows, registered ones first.

    Functions of the user's own (``file.py:function``) are not listed.
    """
    from fstore.extractor.networks._torchvision import torchvision_names

    return [entry.name for entry in NETWORKS] + torchvision_names()


def build_network(name: str, *, classes: int | None = None) -> Network:
    """Return the network of that name, with initial weights from torch's random generator.

    Parameters
    ----------
    name : str
        A registered name (``caffenet``), ``torchvision:NAME``, ``timm:NAME``, ``hf:FOLDER``,
        ``open_clip:NAME``, or, for a function of your own that returns a :class:`Network`,
        ``package.module:function`` (installed, or in the current folder) or
        ``path/to/file.py:function``. In the store it is known by this same text, a file by its
        absolute path.
    classes : int or None
        Outputs of the last layer; None for the network's own default. A function of your own
        gets it as ``classes=`` only when it is given here.

    Raises
    ------
    UnknownNameError
        No such network, module or function; what there is is listed.
    DataError
        Your function failed, or returned something else than a :class:`Network`; a number of
        classes that is none; a network that weights cannot be kept of.
    """
    if classes is not None and not 1 <= classes <= LARGEST_CLASSES:
        raise DataError(
            f"a network has from 1 to {LARGEST_CLASSES} classes, not {classes}; give another number"
        )
    options = {} if classes is None else {"classes": classes}
    name = network_name(name)
    import torch

    try:
        with torch.device("cpu"):  # whatever the default: on "meta" constructors read no values
            built = _built(name, options)
    except (RuntimeError, MemoryError) as exc:
        first = str(exc).strip().split("\n", 1)[0] or "out of memory"
        raise DataError(f"network {name!r} cannot be built: {first}") from exc
    _check_parameters(built)
    return built


def _built(name: str, options: dict[str, Any]) -> Network:
    from fstore.extractor.networks._torchvision import PREFIX, torchvision_network

    if name.startswith(PREFIX):
        return torchvision_network(name, **options)
    if (prefix := name.partition(":")[0]) in LIBRARIES and ":" in name:
        return LIBRARIES[prefix].function(name, **options)
    if ":" in name:
        return _own(name, options)
    if name not in NETWORKS:
        registered = ", ".join(sorted(entry.name for entry in NETWORKS))
        libraries = "".join(f", {e.name}:NAME ({e.meta['example']})" for e in LIBRARIES)
        raise UnknownNameError(
            f"no network {name!r}; there are: {registered}, torchvision:NAME "
            f"(torchvision:resnet18){libraries}, and package.module:function or "
            "path/to/file.py:function for your own"
        )
    return NETWORKS[name].function(**options)


def _own(name: str, options: dict[str, Any]) -> Network:
    file = own_file(name)
    if file is not None:
        return _in_file(file, name, options)
    with current_folder():
        return _checked(call_own(name, find_own(name), options), name)


def _in_file(path: Path, name: str, options: dict[str, Any]) -> Network:
    from fstore.extractor.networks._own_file import importable, load_file

    file = load_file(path, name=name)
    function = function_of(file.module, name.rpartition(":")[2], where=str(path))
    with importable(file):
        result = call_own(name, function, options)
    return replace(_checked(result, name), code=file.sha256)


def _checked(result: object, name: str) -> Network:
    if not isinstance(result, Network):
        raise DataError(
            f"{name} returned {type(result).__name__}; return a Network (from "
            "fstore.extractor.networks), for example Network('mine', model.eval(), "
            "Preprocess(size=224, resize=256), {'conv1': 'features.0'}) with Preprocess from "
            "fstore.extractor.preprocess"
        )
    result.model.eval()
    return replace(result, name=name)


def _check_parameters(network: Network) -> None:
    """Refuse networks whose state is no set of plain tensors: no file could give it back."""
    import torch
    from torch import Tensor
    from torch.nn.parameter import is_lazy

    for path, module in network.model.named_modules():
        named_tensors = [
            *module.named_parameters(recurse=False),
            *module.named_buffers(recurse=False),
        ]
        for name, tensor in named_tensors:
            if is_lazy(tensor):
                kind = type(module).__name__
                raise DataError(
                    f"network {network.name!r}: {path or 'the model'} ({kind}) takes the shape of "
                    f"{name} from its first input; state the shape (Conv2d for LazyConv2d), "
                    "or run one input in your function before it returns"
                )
    for name, value in network.model.state_dict().items():
        if not isinstance(value, Tensor) or value.is_quantized or value.layout != torch.strided:
            what = type(value).__name__ if not isinstance(value, Tensor) else str(value.layout)
            raise DataError(
                f"network {network.name!r}: its state {name} is no dense tensor ({what}); fstore "
                "keeps named tensors only: no extra state, no quantized or sparse weights"
            )
