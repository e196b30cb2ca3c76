"""Libraries whose networks have a name here, ``PREFIX:NAME``: one file each registers itself."""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from fstore.errors import DataError, MissingExtraError, UnknownNameError
from fstore.extractor.networks._api import Network
from fstore.extractor.preprocess import Preprocess
from fstore.pixels.warps import ResizeMode
from fstore.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    Tensors: TypeAlias = Mapping[str, Tensor]

__all__ = [
    "LIBRARIES",
    "close_names",
    "import_extra",
    "library",
    "library_names",
    "library_tensors",
    "unit_rgb",
    "unsayable",
]

LIBRARIES: Registry[Callable[..., Network]] = Registry("library of networks")


def library(
    prefix: str,
    *,
    example: str,
    names: Callable[[], Sequence[str]],
    tensors: Callable[[Network, "Tensors"], "Tensors"] | None = None,
) -> Callable[[Callable[..., Network]], Callable[..., Network]]:
    """Register a function that builds ``PREFIX:NAME``; it takes the whole name and ``classes``.

    Parameters
    ----------
    prefix : str
    example : str
        A name with its prefix, for messages.
    names : callable
        Gives the names that the library has, without the prefix. It may import the library.
    tensors : function of the network and a file's tensors by name, or None
        Gives those of the network, under the names of its state dict.
    """
    return LIBRARIES.register(prefix, example=example, names=names, tensors=tensors)


def library_tensors(network: Network, tensors: "Tensors", *, training: str = "") -> "Tensors":
    """Return a file's tensors as the library of a network would name them in memory.

    Of a network that is of no library, or of one whose files have the names of its modules, these
    are the tensors as they are.

    Parameters
    ----------
    network : Network
    tensors : mapping of name to Tensor
    training : str
        Tag of the training that they are of, where that is known and the network's name has none.

    Raises
    ------
    DataError
        The library cannot put them in their places, or a tag is needed for that.
    """
    prefix = network.name.partition(":")[0]
    if training:
        network = replace(network, name=f"{network.name}.{training}")
    if ":" not in network.name or prefix not in LIBRARIES:
        return tensors
    translate = LIBRARIES[prefix].meta["tensors"]
    return tensors if translate is None else translate(network, tensors)


def library_names(prefix: str, pattern: str = "*") -> list[str]:
    """Return the names of a library that fit a pattern (``resnet*``), with the prefix.

    Raises
    ------
    UnknownNameError
        No such library.
    MissingExtraError
        The library is not installed.
    """
    if prefix not in LIBRARIES:
        libraries = ", ".join(sorted(["torchvision", *(entry.name for entry in LIBRARIES)]))
        raise UnknownNameError(f"no library {prefix!r} of networks; there are: {libraries}")
    names = LIBRARIES[prefix].meta["names"]()
    pattern = pattern.removeprefix(f"{prefix}:")
    return [f"{prefix}:{name}" for name in names if fnmatchcase(name, pattern)]


def import_extra(module: str, extra: str) -> ModuleType:
    """Return an optional library.

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as exc:
        raise MissingExtraError(
            f'{extra}: networks need {exc.name or module}: pip install "fstore[{extra}]"'
        ) from exc


def close_names(name: str, names: Sequence[str]) -> str:
    """Return the names nearest to one that is not there, for a message."""
    return ", ".join(difflib.get_close_matches(name, names, n=5, cutoff=0.5)) or "none"


def unit_rgb(
    size: int,
    resize: int,
    *,
    mode: ResizeMode,
    mean: Iterable[float],
    std: Iterable[float],
    **how: Any,  # noqa: ANN401 - fields of Preprocess
) -> Preprocess:
    """Say what libraries do as a rule: pixels from 0 to 1, RGB, less a mean, by a deviation.

    Parameters
    ----------
    size, resize, mode
        Of the input's side and of the resizing, as ``size``, ``resize`` and ``resize_mode`` of
        :class:`Preprocess`.
    mean, std : three floats
    **how
        ``interpolation`` and ``antialias``.
    """
    red, green, blue = mean
    r, g, b = std
    return Preprocess(
        size=size, resize=resize, resize_mode=mode, order="RGB", scale=1 / 255,
        mean=(red, green, blue), std=(r, g, b), **how,
    )  # fmt: skip


def unsayable(name: str, what: str) -> DataError:
    """Return the error for preprocessing that :class:`Preprocess` cannot say."""
    return DataError(
        f"network {name!r}: its own preprocessing {what}, which fstore's Preprocess cannot say. "
        "Write a function that builds the network and returns "
        "Network(name, model, Preprocess(...), layers) with the nearest preprocessing that suits "
        "you, and name it: package.module:function"
    )
