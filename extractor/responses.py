"""From a tap's output to what is stored: rounding, then the summary columns, on the device.

Summaries are computed from the values as stored. On the CPU compiled loops round a map and
summarise it while it is in the cache, on a GPU torch does; both give the same numbers, sums up to
the order of their terms.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fstore.types import LayerResponses, Precision

__all__ = ["DeviceResponses", "round_to", "stored", "summarise"]

TF32_DROPPED_BITS = 13  # of float32's 23: a mantissa of 10 bits stays
SUMMARY: dict[str, Any] = {
    "act_max": np.float32,
    "act_sum": np.float64,
    "nnz": np.int32,
    "npos": np.int32,
    "argmax": np.int32,
}
THREAD_VALUES = 1 << 20  # that each thread gets at the least


def round_to(x: Tensor, precision: Precision) -> Tensor:
    """Return a contiguous float32 copy whose values are exact in ``precision``.

    Parameters
    ----------
    x : Tensor of any shape, floating point
    precision : {"float32", "tf32", "bfloat16", "bit"}
        ``tf32`` and ``bfloat16`` keep float32's exponent and 10 or 7 bits of mantissa; rounded
        to the nearest, ties to even. ``bit`` is 1 where a value is above 0, else 0; NaN stays.
    """
    if precision == "tf32" and x.device.type == "cpu":
        return _rounded_on_cpu(x)
    values = x.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
    if precision == "bit":
        return torch.where(values.isnan(), values, (values > 0).to(torch.float32))
    if precision == "bfloat16":
        return values.to(torch.bfloat16).to(torch.float32)
    return _round_to_tf32(values) if precision == "tf32" else values


def _rounded_on_cpu(x: Tensor) -> Tensor:
    from fstore.extractor.response_loops import round_rows

    out = torch.empty(x.shape, dtype=torch.float32)
    rows = _contiguous(x).reshape(1, -1), out.view(1, -1).numpy()
    round_rows(*rows)
    return out


def _contiguous(x: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = x.to(torch.float32).contiguous().numpy()
    return array


def _round_to_tf32(values: Tensor) -> Tensor:
    """Round in place on the bits; NaNs stay NaN whatever their payload, which could overflow."""
    nan = values.isnan()
    bits = values.view(torch.int32)
    half = bits >> TF32_DROPPED_BITS
    half.bitwise_and_(1).add_((1 << (TF32_DROPPED_BITS - 1)) - 1)
    bits.add_(half).bitwise_and_(-(1 << TF32_DROPPED_BITS))
    return values.masked_fill_(nan, float("nan"))


@dataclass(frozen=True, slots=True)
class DeviceResponses:
    """:class:`LayerResponses` as tensors that may be on a GPU still."""

    tensors: Mapping[str, Tensor]

    def to_host(self, copy: Callable[[Tensor], NDArray[Any]]) -> LayerResponses:
        """Return them as arrays; ``copy`` brings one tensor to the host."""
        return LayerResponses(**{name: copy(t) for name, t in self.tensors.items()})


def stored(output: Tensor, precision: Precision, *, rectify: bool = False) -> DeviceResponses:
    """Return what is stored of a layer's output; the output stays as it is.

    Parameters
    ----------
    output : Tensor of shape (N, C) or (N, C, H, W), floating point
    precision
        See :func:`round_to`.
    rectify : bool
        Whether max(x, 0) is stored; rounding changes no sign, and NaN stays.
    """
    on_cpu = output.device.type == "cpu"
    if on_cpu and precision == "tf32" and output.dim() > 2 and not rectify:
        n, channels, *_places = output.shape
        source = _contiguous(output).reshape(n * channels, -1)
        return _on_cpu(torch.empty((n, channels, source.shape[1])), source)
    values = round_to(output, precision)
    return summarise(values.clamp_min_(0) if rectify else values)


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
    return _on_cpu(maps) if maps.device.type == "cpu" else _on_gpu(maps)


def _on_cpu(maps: Tensor, source: NDArray[np.float32] | None = None) -> DeviceResponses:
    """Summarise maps, that are rounded from a source of shape (N * C, H * W) before, if given."""
    from fstore.extractor.response_loops import sum_order, summarise_rows

    shape, n_rows = maps.shape[:2], maps.shape[0] * maps.shape[1]
    rows = maps.view(n_rows, -1).numpy()
    source = rows[:, :0].copy() if source is None else source
    columns = tuple(np.empty(n_rows, kind) for kind in SUMMARY.values())
    order = sum_order(rows.shape[1])

    def work(part: slice) -> None:
        """Do some rows."""
        summarise_rows((source[part], rows[part]), order, tuple(c[part] for c in columns))

    n_threads = min(torch.get_num_threads(), -(-rows.size // THREAD_VALUES))
    step = max(1, -(-n_rows // n_threads))
    parts = [slice(start, start + step) for start in range(0, n_rows, step)]
    if len(parts) > 1:
        with ThreadPoolExecutor(len(parts), thread_name_prefix="fstore-summarise") as pool:
            list(pool.map(work, parts))
    else:
        work(slice(None))
    found = zip(SUMMARY, columns, strict=True)
    tensors = {name: torch.from_numpy(column).view(shape) for name, column in found}
    return DeviceResponses({**tensors, "maps": maps})


def _on_gpu(maps: Tensor) -> DeviceResponses:
    largest = maps.amax(-1)
    places = torch.arange(maps.shape[-1], device=maps.device, dtype=torch.int32)
    is_largest = (maps == largest[..., None]) | maps.isnan()
    first = torch.where(is_largest, places, maps.shape[-1]).amin(-1)
    columns = {
        "act_max": largest,
        "act_sum": maps.sum(-1, dtype=torch.float64),
        "nnz": (maps != 0).sum(-1, dtype=torch.int32),
        "npos": (maps > 0).sum(-1, dtype=torch.int32),
        "argmax": first.to(torch.int32),
    }
    return DeviceResponses({**columns, "maps": maps})
