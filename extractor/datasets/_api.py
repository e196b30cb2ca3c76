"""What a data-set format is to fstore, and the table of the formats that it reads."""

import inspect
from collections.abc import Callable

from fstore.registry import Registry
from fstore.types import DatasetManifest

__all__ = ["FORMATS", "dataset_format", "format_options"]

FORMATS: Registry[Callable[..., DatasetManifest]] = Registry("data-set format")
"""Readers: ``reader(name, root, *, seeds=(), fractions=None, <options>) -> DatasetManifest``."""

SHARED = ("name", "root", "seeds", "fractions", "on_progress", "on_note")
"""What readers are called with, whatever the format; all else in a signature is its option."""


def dataset_format(
    name: str, *, generated: bool = False
) -> Callable[[Callable[..., DatasetManifest]], Callable[..., DatasetManifest]]:
    """Register a reader; ``generated`` formats write their own files under the root first."""
    return FORMATS.register(name, generated=generated)


def format_options(name: str) -> dict[str, inspect.Parameter]:
    """Return a format's own options, as its reader's signature states them.

    Raises
    ------
    UnknownNameError
        No such format.
    """
    parameters = inspect.signature(FORMATS[name].function).parameters
    return {option: p for option, p in parameters.items() if option not in SHARED}
