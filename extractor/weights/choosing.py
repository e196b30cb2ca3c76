"""Which of the sets of tensors in a file is meant; where several may be, that is a question."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from torch import Tensor

from fstore.errors import DataError
from fstore.extractor.networks import Network
from fstore.extractor.weights.names import candidates, named
from fstore.extractor.weights.readers import key_problem

__all__ = ["choose_state"]

Choices: TypeAlias = Mapping[str, Mapping[str, Tensor]]
"""State dicts by their key."""


def choose_state(
    states: Choices,
    network: Network,
    path: Path,
    *,
    key: str | None = None,
) -> tuple[str, Mapping[str, Tensor]]:
    """Return the state dict of a file that is meant, and its key.

    Parameters
    ----------
    states : dict of key to state dict
        Of ``path``.
    network : Network
        Decides by its names: optimizers and the like hold tensors too.
    key : str or None
        The user's choice.

    Raises
    ------
    DataError
        No such key; or several state dicts could be meant: averaged weights beside the last ones,
        a teacher beside a student.
    """
    if key is not None:
        return key, _named_state(states, network, path, key=key)
    options = _options(states, network, path)
    if len(options) == 1:
        return next(iter(options.items()))
    if len(states) == 1 and not options:
        return next(iter(states.items()))  # fitting it will tell what is wrong
    raise DataError(key_problem(path, options or states, None))


def _named_state(
    states: Choices, network: Network, path: Path, *, key: str
) -> Mapping[str, Tensor]:
    """Return the state dict of a key, or the part of one that a prefix tells apart."""
    inside: dict[str, Mapping[str, Tensor]] = {}
    for name, tensors in states.items():
        inside |= _inside(name, tensors, network, path=path)
    if key not in states:
        chosen = inside.get(key) or _behind(states, key)
        if not chosen:
            raise DataError(key_problem(path, {**states, **inside}, key))
        return chosen
    parts = _inside(key, states[key], network, path=path)
    if len(parts) > 1 and key not in parts:
        raise DataError(key_problem(path, parts, None))
    return parts[key] if len(parts) > 1 else states[key]


def _behind(states: Choices, key: str) -> Mapping[str, Tensor]:
    """Return the tensors behind a prefix that was asked for; fitting them tells what is wrong."""
    for name, tensors in states.items():
        prefix = f"{key.removeprefix(f'{name}.' if name else '')}."
        within = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        if within and (not name or key.startswith(f"{name}.")):
            return within
    return {}


def _options(states: Choices, network: Network, path: Path) -> Choices:
    """Return the state dicts that fit a network, each by its key."""
    options: dict[str, Mapping[str, Tensor]] = {}
    for key, tensors in states.items():
        parts = _inside(key, tensors, network, path=path)
        options |= parts if len(parts) > 1 else {}
        if len(parts) <= 1 and _fits(tensors, network, path):
            options[key] = tensors
    return options


def _fits(tensors: Mapping[str, Tensor], network: Network, path: Path) -> bool:
    try:
        return named(tensors, network, str(path)) is not None
    except DataError:  # two names that become one
        return False


def _inside(key: str, tensors: Mapping[str, Tensor], network: Network, *, path: Path) -> Choices:
    """Return the parts of a state dict that each could be the network, by key and prefix."""
    try:
        parts = candidates(tensors, network, str(path))
    except DataError:  # two names that become one
        return {}
    return {".".join(filter(None, (key, prefix))): part for prefix, part in parts.items()}
