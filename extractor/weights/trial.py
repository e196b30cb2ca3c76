"""Run one image through a network, and through the same one built again from its file."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from fstore.errors import DataError, FstoreError
from fstore.extractor.networks import Network, place_of
from fstore.extractor.weights.checkpoints import with_weights

__all__ = ["compare", "one_image"]

SEED = 1
TOLERANCE = 1e-4
"""Of the largest response: float32 sums in another order stay far below, another value does not."""


def compare(network: Network, weights: Mapping[str, Tensor], again: Network) -> str:
    """Say what one image gives; the two networks must agree on it.

    Parameters
    ----------
    network : Network
        As it was built to be initialised or trained.
    weights : mapping of name to Tensor
        To run it with.
    again : Network
        Built anew, with weights from the file.

    Returns
    -------
    str
        ``10 values from -0.3 to 0.7``.

    Raises
    ------
    DataError
        The network fails, gives no tensor, or the two differ: it holds values outside its state
        dict that are other ones each time that it is built.
    """
    expected = one_image(with_weights(network, weights, source="the checkpoint"))
    rebuilt = one_image(again)
    if not _agree(expected, rebuilt):
        raise DataError(
            f"network {network.name!r} gives other values when it is built again with the same "
            "weights: it holds numbers outside its state dict that are new each time (a plain "
            "tensor drawn at random, values of its initial weights); register them with "
            "register_buffer, or draw them from a fixed seed"
        )
    return _summary(rebuilt.outputs)


@dataclass(frozen=True)
class Trial:
    """What one image gave.

    Attributes
    ----------
    outputs : list of Tensor
        Of the network.
    sums : list of (str, float, float)
        Of every tensor that a module gave, in order: the module's path, the sum of its values
        and of their sizes. A last layer of zeros would hide what comes before it.
    """

    outputs: list[Tensor]
    sums: list[tuple[str, float, float]]


def one_image(network: Network) -> Trial:
    """Run one image of noise, always the same, on the CPU.

    Raises
    ------
    DataError
        The network fails, or gives no tensor.
    """
    size = network.preprocess.size
    generator = torch.Generator().manual_seed(SEED)
    sums: list[tuple[str, float, float]] = []
    handles = _watched(network.model, sums)
    try:
        x = torch.randn(1, 3, size, size, generator=generator)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(SEED)  # of dropout that stays on in evaluation
            outputs = [t.detach().cpu() for t in _tensors(network.model(x))]
    except FstoreError:
        raise
    except Exception as exc:  # code of anyone's modules
        raise DataError(
            f"network {network.name!r} fails on one image of {size} x {size} pixels: "
            f"{place_of(exc)}; it gets float32 of shape (n, 3, {size}, {size}): is that what "
            "its Preprocess(size=...) and its weights' precision (model.float()) are for?"
        ) from exc
    finally:
        for handle in handles:
            handle.remove()
    if not outputs:
        raise DataError(f"network {network.name!r} gives no tensor for one image")
    return Trial(outputs, sums)


def _watched(model: nn.Module, sums: list[tuple[str, float, float]]) -> list[RemovableHandle]:
    """Note the sums of what each module gives; scripted modules take no hooks."""

    def hook(path: str) -> Any:  # noqa: ANN401 - torch's hook type
        def note(_module: nn.Module, _args: object, output: object) -> None:
            for tensor in _tensors(output):
                if tensor.is_floating_point():
                    total, size = (
                        tensor.sum(dtype=torch.float64),
                        tensor.abs().sum(dtype=torch.float64),
                    )
                    sums.append((path, float(total), float(size)))

        return note

    return [
        module.register_forward_hook(hook(path))
        for path, module in model.named_modules()
        if not isinstance(module, torch.jit.ScriptModule)
    ]


def _agree(a: Trial, b: Trial) -> bool:
    if len(a.outputs) != len(b.outputs) or not all(map(_close, a.outputs, b.outputs)):
        return False
    if [path for path, *_ in a.sums] != [path for path, *_ in b.sums]:
        return False
    return all(
        math.isclose(x, y, rel_tol=0, abs_tol=TOLERANCE * size) or not math.isfinite(size)
        for (_, x, size), (_, y, _) in zip(a.sums, b.sums, strict=True)
    )


def _tensors(value: object) -> Iterator[Tensor]:
    """Yield the tensors of an output, however nested."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _tensors(inner)
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from _tensors(inner)
    elif is_dataclass(value):
        for entry in fields(value):
            yield from _tensors(getattr(value, entry.name))


def _close(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if not a.is_floating_point():
        return torch.equal(a, b)
    finite = a[torch.isfinite(a)].double()
    scale = float(finite.abs().max()) if finite.numel() else 1.0
    return torch.allclose(a.double(), b.double(), rtol=0, atol=TOLERANCE * scale, equal_nan=True)


def _summary(tensors: list[Tensor]) -> str:
    real = [t.reshape(-1).to(torch.float64) for t in tensors if not t.is_complex()]
    values = torch.cat([torch.zeros(0, dtype=torch.float64), *real])
    finite = values[torch.isfinite(values)]
    if not len(finite):
        return f"{len(values)} values, none finite"
    odd = len(values) - len(finite)
    more = f", {odd} not finite" if odd else ""
    return f"{len(values)} values from {float(finite.min()):.4g} to {float(finite.max()):.4g}{more}"
