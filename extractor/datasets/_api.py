"""What a data-set format is to fstore, and the table of the formats that it reads."""

from collections.abc import Callable

from fstore.registry import Registry
from fstore.types import DatasetManifest

__all__ = ["FORMATS", "dataset_format"]

FORMATS: Registry[Callable[..., DatasetManifest]] = Registry("data-set format")
"""Readers: ``reader(name, root, *, seeds=(), fractions=None, <options>) -> DatasetManifest``."""


def dataset_format(
    name: str, *, generated: bool = False
) -> Callable[[Callable[..., DatasetManifest]], Callable[..., DatasetManifest]]:
    """Register a reader; ``generated`` formats write their own files under the root first."""
    return FORMATS.register(name, generated=generated)
