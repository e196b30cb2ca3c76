"""From a tap's output to what is stored: rounding, then the summary columns, on the device.

Summaries are computed from the values as stored. On the CPU NumPy is the quicker one for some of
them, on a GPU torch computes all; both give the same numbers, sums up to the order of their terms.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fstore.types import LayerResponses, Precision

__all__ = ["DeviceResponses", "round_to", "summarise"]

TF32_DROPPED_BITS = 13  # of float32's 23: a mantissa of 10 bits stays


def round_to(x: Tensor, precision: Precision) -> Tensor:
    """Return a contiguous float32 copy whose values are exact in ``precision``.

    Parameters
    ----------
    x : Tensor of any shape, floating point
    precision : {"float32", "tf32", "bfloat16", "bit"}
        ``tf32`` and ``bfloat16`` keep float32's exponent and 10 or 7 bits of mantissa; rounded
        to the nearest, ties to even. ``bit`` is 1 where a value is above 0, else 0; NaN stays.
    """
    values = x.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
    if precision == "bit":
        return torch.where(values.isnan(), values, (values > 0).to(torch.float32))
    if precision == "bfloat16":
        return values.to(torch.bfloat16).to(torch.float32)
    return _round_to_tf32(values) if precision == "tf32" else values


def _round_to_tf32(values: Tensor) -> Tensor:
    """Round in place on the bits; NaNs stay NaN whatever their payload, which could overflow."""
    nan = values.isnan() if _may_hold_nan(values) else None
    bits = values.view(torch.int32)
    half = bits >> TF32_DROPPED_BITS
    half.bitwise_and_(1).add_((1 << (TF32_DROPPED_BITS - 1)) - 1)
    bits.add_(half).bitwise_and_(-(1 << TF32_DROPPED_BITS))
    return values if nan is None else values.masked_fill_(nan, float("nan"))


def _may_hold_nan(values: Tensor) -> bool:
    """Look on the CPU, where it is quick; a GPU would have to be waited for."""
    return values.device.type != "cpu" or bool(values.amax().isnan())


@dataclass(frozen=True, slots=True)
class DeviceResponses:
    """:class:`LayerResponses` as tensors that may be on a GPU still."""

    tensors: Mapping[str, Tensor]

    def to_host(self, copy: Callable[[Tensor], NDArray[Any]]) -> LayerResponses:
        """Return them as arrays; ``copy`` brings one tensor to the host."""
        return LayerResponses(**{name: copy(t) for name, t in self.tensors.items()})


def summarise(values: Tensor) -> DeviceResponses:
    """Return one layer's responses with their summaries.

    Parameters
    ----------
    values : Tensor of shape (N, C) or (N, C, H, W), float32, contiguous, as stored

    Returns
    -------
    DeviceResponses
        ``act_max`` alone for shape (N, C); else all of :class:`LayerResponses`, maps of shape
        (N, C, H * W). A map with a NaN has NaN as its largest response and as its sum.
    """
    if values.dim() == 2:
        return DeviceResponses({"act_max": values})
    maps = values.flatten(2)  # (N, C, H, W) -> (N, C, H*W)
    columns = _on_cpu(maps) if maps.device.type == "cpu" else _on_gpu(maps)
    return DeviceResponses({**columns, "maps": maps})


def _on_cpu(maps: Tensor) -> dict[str, Tensor]:
    array = maps.numpy()
    nnz, npos = _counts(maps)
    with np.errstate(invalid="ignore"):  # infinities of both signs have no sum: NaN
        total = array.sum(-1, dtype=np.float64)
    return {
        "act_max": maps.amax(-1),
        "act_sum": torch.from_numpy(total),
        "nnz": nnz,
        "npos": npos,
        "argmax": torch.from_numpy(array.argmax(-1).astype(np.int32)),
    }


def _on_gpu(maps: Tensor) -> dict[str, Tensor]:
    largest = maps.amax(-1)
    places = torch.arange(maps.shape[-1], device=maps.device, dtype=torch.int32)
    is_largest = (maps == largest[..., None]) | maps.isnan()
    first = torch.where(is_largest, places, maps.shape[-1]).amin(-1)
    return {
        "act_max": largest,
        "act_sum": maps.sum(-1, dtype=torch.float64),
        "nnz": (maps != 0).sum(-1, dtype=torch.int32),
        "npos": (maps > 0).sum(-1, dtype=torch.int32),
        "argmax": first.to(torch.int32),
    }


def _counts(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Count responses that are not 0 and that are above 0; sums of signs are exact and quicker."""
    if bool(maps.amin() >= 0):  # after a ReLU, as most layers are; False where a NaN is
        nnz = maps.sign().sum(-1).to(torch.int32)
        return nnz, nnz
    positive = (maps > 0).sum(-1, dtype=torch.int32)
    return (maps != 0).sum(-1, dtype=torch.int32), positive
