"""What a forward pass leaves behind in a model, and putting it back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from torch import nn

__all__ = ["without_leftovers"]

Container: TypeAlias = list[Any] | dict[Any, Any] | set[Any]
REGISTRIES = frozenset({"_parameters", "_buffers", "_modules"})


@contextmanager
def without_leftovers(model: nn.Module) -> Iterator[None]:
    """Put what a network's code keeps on its modules back as it was, modes and caches included.

    What a dry run would leave there, tensors without values, breaks the runs that follow. Lists and
    mappings are put back with what was in them; the values of buffers are the caller's.
    """
    held = [(module, _kept(vars(module))) for module in model.modules()]
    inner = [(value, value.copy()) for module, _ in held for value in _containers(module)]
    try:
        yield
    finally:
        for container, before in inner:
            _refill(container, before)
        for module, kept in held:
            now = vars(module)
            for name in _kept(now).keys() - kept.keys():
                del now[name]
            now.update(kept)


def _kept(attributes: dict[str, object]) -> dict[str, object]:
    return {k: v for k, v in attributes.items() if k not in REGISTRIES and "_hooks" not in k}


def _containers(module: nn.Module) -> Iterator[Container]:
    for name, value in vars(module).items():
        if type(value) in {list, dict, set} and "_hooks" not in name:
            yield value


def _refill(container: Container, before: Container) -> None:
    container.clear()
    if isinstance(container, list):
        container.extend(before)
    else:
        container.update(before)
