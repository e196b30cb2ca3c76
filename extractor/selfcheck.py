"""Checks before the first commit: taps are what a plain hook sees, a sample's values its own.

Both checks run a few samples. They leave the model's buffers and modes, and the random generators
of torch, NumPy and Python, as they were.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import cycle
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fstore import commands
from fstore.errors import DataError
from fstore.extractor.chance import check_chance
from fstore.extractor.devices import Runner
from fstore.extractor.leftovers import without_leftovers
from fstore.extractor.outputs import Output, items, read_output
from fstore.extractor.placing import Placed
from fstore.extractor.taps import Taps

__all__ = ["check_neighbours", "check_taps", "plain_responses", "same", "undisturbed"]

CLOSE = {"float32": 1e-3}
"""Largest difference, as a share of the largest response, between two ways to one value; other
algorithms for another batch size stay far below it. Other precisions: 2e-2."""


FEWEST = 6
"""Samples of the batch in which neighbours are tried, where those to come are smaller."""
CURE = (
    "Batch statistics and dropout must be off: model.eval(), "
    "F.dropout(..., training=self.training); nothing may be kept from one call to the next"
)


class _Enough(Exception):  # noqa: N818 - not an error: leaves the forward pass early
    """Every hook has seen its module."""


def check_taps(runner: Runner, x: Tensor, *, images: Tensor | None = None) -> list[str]:
    """Compare every layer's responses with an independent way to them.

    A module's output is compared with a plain forward hook on the untouched code. Of a node, that
    has no module, the traced graph that it lies in is run to its end, and must give what the code
    gives. Responses that are derived from stored ones are compared with those of the images.

    Parameters
    ----------
    runner : Runner
    x : Tensor
        The first samples, as the runner gets them: images or stored responses.
    images : Tensor of shape (n, 3, S, S) or None
        The same samples as images, where ``x`` are stored responses; None where they are not
        there.

    Returns
    -------
    list of str
        What could not be compared, and why.

    Raises
    ------
    DataError
        A layer is something else than its module's first output; it is named.
    """
    taps, model = runner.taps, runner.network.model
    derived = not taps.from_images
    source = images if derived else x
    if source is None:
        return ["derived layers were not compared with the network: the images are not there"]
    slack = 5e-2 if derived else _slack(runner)
    with undisturbed(model), runner.arithmetic():
        responses = taps.collect(x)
        expected = plain_responses(model, taps.placed, source)
        nodes = [p for p in taps.placed if p.tap not in taps.wiring.modules]
        if nodes and derived:
            whole = Taps(runner.network, [p.spec.name for p in nodes])
            expected |= whole.collect(source)
        notes = _check_graph(runner, x, slack) if nodes and not derived else []
    for placed in taps.placed:
        name = placed.spec.name
        if name in expected and not same(responses[name], expected[name], slack):
            raise DataError(
                f"layer {name!r} is not what a plain hook on module {placed.tap!r} sees: "
                f"{_difference(responses[name], expected[name])}; nothing was stored. "
                "Its code runs differently when it is traced"
                + (" or goes on from stored responses" if derived else "")
                + "; ask for it without node names beside it, or from the images"
            )
    return notes


def plain_responses(model: nn.Module, placed: Sequence[Placed], x: Tensor) -> dict[str, Tensor]:
    """Return what plain forward hooks see of the layers that are modules, arranged as layers.

    Parameters
    ----------
    model : torch.nn.Module
    placed : sequence of Placed
        Those that are nodes are passed over.
    x : Tensor of shape (n, 3, S, S)
    """
    modules = dict(model.named_modules())
    wanted = [p for p in placed if p.tap in modules]
    seen: dict[str, Tensor] = {}

    def hook(p: Placed) -> Callable[[nn.Module, Any, Any], None]:
        def note(module: nn.Module, _args: object, value: object) -> None:
            if p.spec.name not in seen:
                seen[p.spec.name] = p.read(read_output(value, module)).clone()
            if len(seen) == len(wanted):
                raise _Enough

        return note

    with ExitStack() as stack, torch.inference_mode():
        for p in wanted:
            stack.callback(modules[p.tap].register_forward_hook(hook(p)).remove)
        try:
            if wanted:
                model(x)
        except _Enough:
            pass
    return seen


def _check_graph(runner: Runner, x: Tensor, slack: float) -> list[str]:
    """Run the traced graph to its end; it must give what the network's own code gives."""
    taps, model = runner.taps, runner.network.model
    with torch.inference_mode():
        try:
            whole = model(x)
        except (RuntimeError, ValueError, TypeError) as exc:
            return [f"nodes were not compared: the network does not run to its end: {exc}"]
        traced = taps.wiring.run_whole_graph(x)
    ours, theirs = _all_tensors(traced), _all_tensors(whole)
    if ours.keys() != theirs.keys() or not all(same(ours[k], theirs[k], slack) for k in theirs):
        raise DataError(
            "the network's traced graph gives something else than its code, so its nodes are no "
            "layers of it; nothing was stored. Ask for modules only, which are among those of: "
            + commands.layers(None, runner.network.name)
        )
    return []


def _all_tensors(value: object) -> dict[str, Tensor]:
    return {place: item for place, item in items(value) if isinstance(item, Tensor)}


def check_neighbours(runner: Runner, x: Tensor, *, size: int = 4) -> None:
    """Compare a sample's responses alone with those at places among others, and after others.

    Parameters
    ----------
    runner : Runner
    x : Tensor of shape (n, ...)
        Samples as the runner gets them; samples unlike them are put beside.
    size : int
        Samples of the batches to come: so many are tried, but at least :data:`FEWEST`.

    Raises
    ------
    DataError
        They differ, or random numbers are drawn; the message names the first module.
    """
    taps, model, slack = runner.taps, runner.network.model, _slack(runner)
    n = max(size, FEWEST)
    batch, places = _among_others(x, n)
    with undisturbed(model), runner.arithmetic():
        check_chance(taps, model, x[:1])
    with undisturbed(model), runner.arithmetic():
        with without_leftovers(model):
            alone = taps.collect(x[:1])
        for how, inputs, at in (
            (f"as one of {n}", batch, places),
            ("after others", x[:1], [0]),
        ):
            _compare(taps, model, alone=alone, batch=inputs, places=at, slack=slack, how=how)


def _among_others(x: Tensor, n: int) -> tuple[Tensor, list[int]]:
    """Return a batch of n with the first sample at some places, others between; and the places.

    Neither the first nor the last place is among them, nor are they mirror images of each other: so
    code that looks at the first sample of a batch, or that reverses a batch, is found too.
    """
    places = [1, 2, n - 2]
    others = cycle([2 * x[-1].flip(-1), -x[0], *x[1:]])
    return torch.stack([x[0] if at in places else next(others) for at in range(n)]), places


def _compare(
    taps: Taps,
    model: nn.Module,
    *,
    alone: Mapping[str, Tensor],
    batch: Tensor,
    places: Sequence[int],
    slack: float,
    how: str,
) -> None:
    """Refuse layers whose responses to the sample at some places of a batch are not those alone."""
    wrong: dict[str, tuple[int, str]] = {}

    def look(layer: str, output: Tensor) -> None:
        for at in places:
            if not same(output[at], alone[layer][0], slack):
                wrong.setdefault(layer, (at, _difference(output[at], alone[layer][0])))

    taps.run(batch, look)
    for layer, (at, difference) in wrong.items():
        first = batch[at : at + 1]
        where = _first_module(taps, model, alone=first, batch=batch, at=at, slack=slack)
        raise DataError(
            f"layer {layer!r} depends on the other samples of a batch, or on chance: one sample "
            f"alone and {how} gives {difference}; nothing was stored. {where}{CURE}"
        )


def _first_module(
    taps: Taps, model: nn.Module, *, alone: Tensor, batch: Tensor, at: int, slack: float
) -> str:
    """Name the first module whose output for the sample differs between two runs."""
    if not taps.from_images:
        return ""
    with without_leftovers(model):
        first = _outputs(model, alone)
    second = _outputs(model, batch)
    for path, (input_, output) in first.items():
        if path not in second:
            continue
        other_input, other_output = second[path]
        if _differ(output, other_output, n=len(batch), at=at, slack=slack):
            before = _differ(input_, other_input, n=len(batch), at=at, slack=slack)
            cause = ", whose input differs already: see the code that runs before it" * before
            return f"The first module that differs is {path!r} ({_kind(model, path)}){cause}. "
    return "No module differs: it is in the code between them. "


def _kind(model: nn.Module, path: str) -> str:
    return type(model.get_submodule(path)).__name__


def _outputs(model: nn.Module, x: Tensor) -> dict[str, tuple[Output, Output]]:
    """Return every module's first input and output, in the order in which they end."""
    seen: dict[str, tuple[Output, Output]] = {}
    inputs: dict[str, Output] = {}

    def keep(value: object) -> Output:
        return Output({k: t.clone() for k, t in read_output(value).parts.items()})

    def before(path: str) -> Callable[[nn.Module, Any], None]:
        def note(_m: nn.Module, args: object) -> None:
            if path not in inputs:
                inputs[path] = keep(args)

        return note

    def after(path: str) -> Callable[[nn.Module, Any, Any], None]:
        def note(_m: nn.Module, _args: object, value: object) -> None:
            if path not in seen:
                seen[path] = inputs[path], keep(value)

        return note

    with ExitStack() as stack, torch.inference_mode():
        for path, module in model.named_modules():
            if path:
                stack.callback(module.register_forward_pre_hook(before(path)).remove)
                stack.callback(module.register_forward_hook(after(path)).remove)
        model(x)
    return seen


def _differ(alone: Output, many: Output, *, n: int, at: int, slack: float) -> bool:
    """Tell whether a sample's tensors differ; those that are not one a sample are passed over."""
    for place, tensor in alone.parts.items():
        other = many.parts.get(place)
        if other is None or len(tensor) != 1 or tuple(other.shape) != (n, *tensor.shape[1:]):
            continue
        if not same(tensor[0], other[at], slack):
            return True
    return False


def same(actual: Tensor, expected: Tensor, slack: float) -> bool:
    """Tell whether two tensors are equal up to a share of the largest absolute value expected."""
    if actual.shape != expected.shape:
        return False
    if torch.equal(actual, expected):
        return True
    a, b = actual.detach().double(), expected.detach().double()
    unlike = ~((a == b) | (a.isnan() & b.isnan()))
    if not bool(unlike.any()):
        return True
    finite = b[b.isfinite()].abs()
    scale = float(finite.max()) if finite.numel() else 0.0
    return bool(((a - b).abs()[unlike] <= slack * scale).all())


def _difference(actual: Tensor, expected: Tensor) -> str:
    if actual.shape != expected.shape:
        return f"shape {tuple(actual.shape)} and not {tuple(expected.shape)}"
    gap = float((actual.double() - expected.double()).abs().nan_to_num().max())
    return f"values that differ by {gap:.3g}, where the largest is {float(expected.max()):.3g}"


def _slack(runner: Runner) -> float:
    return CLOSE.get(runner.compute, 2e-2)


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Put buffers, training modes and random generators back as they were."""
    buffers: Mapping[str, Tensor] = {n: b.clone() for n, b in model.named_buffers()}
    numbers, python = np.random.get_state(), random.getstate()  # noqa: NPY002 - users' code may
    devices = sorted({b.device.index for b in model.parameters() if b.device.type == "cuda"})
    try:
        with torch.random.fork_rng(devices=devices), without_leftovers(model):
            yield
    finally:
        now = dict(model.named_buffers())
        with torch.no_grad():
            for name, value in buffers.items():
                if name in now and now[name].shape == value.shape:
                    now[name].copy_(value)
        np.random.set_state(numbers)  # noqa: NPY002
        random.setstate(python)
