"""Random numbers in a forward pass: found where they are drawn, however seldom they matter."""

import random
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from fstore.errors import DataError
from fstore.extractor.leftovers import without_leftovers
from fstore.extractor.taps import Taps

__all__ = ["check_chance"]

State: TypeAlias = tuple[object, ...]
"""Of every generator."""


def check_chance(taps: Taps, model: nn.Module, x: Tensor) -> None:
    """Refuse a network that draws random numbers up to its taps; the generators are seeded anew.

    Dropout of one in a million shows in no comparison of a few samples; that it draws numbers does.
    Code that seeds the generator itself gives the same every time, and is left alone.

    Parameters
    ----------
    taps : Taps
    model : torch.nn.Module
        That of the taps.
    x : Tensor
        One sample, as the taps get it.

    Raises
    ------
    DataError
        Random numbers are drawn; the message names the first module that does.
    """
    one, seeded, first = _drawn(taps, model, x, seed=1)
    if one == seeded:
        return
    other, _, second = _drawn(taps, model, x, seed=2)  # a seed of its own gives the same again
    if not any(a not in (before, b) for a, b, before in zip(one, other, seeded, strict=True)):
        return
    where = first or second or "in its own code"
    raise DataError(
        f"the network draws random numbers {where}, so a sample's responses depend on chance; "
        "nothing was stored. Dropout and stochastic depth must be off: model.eval(), "
        "F.dropout(..., training=self.training)"
    )


def _drawn(taps: Taps, model: nn.Module, x: Tensor, *, seed: int) -> tuple[State, State, str]:
    """Run from a seed; return the generators' states after and before, and who drew first."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - users' code may draw from it
    random.seed(seed)
    seeded = _text(_state())
    last = [seeded]
    first: list[str] = []

    def look(where: str) -> None:
        state = _text(_state())
        if state != last[0]:
            first.append(where)
            last[0] = state

    def enter(path: str, kind: str) -> Callable[[nn.Module, Any], None]:
        return lambda *_: look(f"in the code that runs before {path!r} ({kind})")

    def leave(path: str, kind: str) -> Callable[[nn.Module, Any, Any], None]:
        return lambda *_: look(f"in module {path!r} ({kind})" if path else "in its own code")

    with ExitStack() as stack, without_leftovers(model):
        for path, module in model.named_modules():
            kind = type(module).__name__
            stack.callback(module.register_forward_pre_hook(enter(path, kind)).remove)
            stack.callback(module.register_forward_hook(leave(path, kind)).remove)
        taps.run(x, lambda *_: None)
    return _text(_state()), seeded, first[0] if first else ""


def _state() -> tuple[Any, ...]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return torch.get_rng_state(), cuda, np.random.get_state(), random.getstate()  # noqa: NPY002


def _text(state: tuple[Any, ...]) -> State:
    cpu, cuda, numbers, python = state
    devices = tuple(t.numpy().tobytes() for t in cuda)
    return cpu.numpy().tobytes(), devices, (numbers[1].tobytes(), numbers[2:]), python
