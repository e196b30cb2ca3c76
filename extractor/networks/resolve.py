"""From a network's name to the network: registered, torchvision's, or the user's own."""

import importlib
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fstore.errors import DataError, UnknownNameError
from fstore.extractor.networks._api import NETWORKS, Network

__all__ = ["build_network", "network_names"]


def network_names() -> list[str]:
    """Return every name that :func:`build_network` knows, registered ones first.

    Functions of the user's own (``package.module:function``) are not listed.
    """
    from fstore.extractor.networks._torchvision import torchvision_names

    return [entry.name for entry in NETWORKS] + torchvision_names()


def build_network(name: str, *, classes: int | None = None) -> Network:
    """Return the network of that name, with initial weights from torch's random generator.

    Parameters
    ----------
    name : str
        A registered name (``caffenet``), ``torchvision:NAME``, or ``package.module:function``
        for a function of your own that returns a :class:`Network`; in the store it is then
        known by this same text.
    classes : int or None
        Outputs of the last layer; None for the network's own default. A function of your own
        gets it as ``classes=`` only when it is given here.

    Raises
    ------
    UnknownNameError
        No such network, module or function; what there is is listed.
    DataError
        Your function returned something else than a :class:`Network`.
    """
    from fstore.extractor.networks._torchvision import PREFIX, torchvision_network

    if name.startswith(PREFIX):
        return torchvision_network(name, classes=classes)
    options = {} if classes is None else {"classes": classes}
    if ":" in name:
        return _own(name, options)
    if name not in NETWORKS:
        known = ", ".join(sorted(entry.name for entry in NETWORKS))
        raise UnknownNameError(
            f"no network {name!r}; there are: {known}, torchvision:NAME (torchvision:resnet18) "
            "and package.module:function for your own"
        )
    return NETWORKS[name].function(**options)


def _own(name: str, options: dict[str, Any]) -> Network:
    function = _find(name)
    result = function(**options)
    if not isinstance(result, Network):
        raise DataError(
            f"{name} returned a {type(result).__name__}; return fstore's Network(name, model, "
            "preprocess, layers), for example Network('mine', model.eval(), "
            "Preprocess(size=224, resize=256), {'conv1': 'features.0'})"
        )
    result.model.eval()
    return replace(result, name=name)


def _find(name: str) -> Callable[..., Any]:
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError) as exc:
        raise UnknownNameError(
            f"cannot import {module_name!r} for network {name!r}: {exc}; "
            "is it installed, or its folder on PYTHONPATH?"
        ) from exc
    function = getattr(module, attribute, None)
    if not callable(function):
        own = [n for n, f in inspect.getmembers(module, inspect.isfunction) if n[0] != "_"]
        raise UnknownNameError(
            f"no function {attribute!r} in {module_name}; it has: {', '.join(own) or 'none'}"
        )
    return function  # type: ignore[no-any-return]
