"""Which places of a network's maps depend on which pixels: marks that spread through its code.

A pixel is marked by making it NaN. NaN survives every operation that reads it: a product with a
weight of 0, a ReLU that is closed, a maximum that is elsewhere. So one forward pass tells exactly
which places read a pixel, whatever the weights are, and there is nothing to differentiate.

Convolutions and full connections are replaced by the union of what they read, which is what they
do to marks, without their arithmetic; libraries that convolve tile by tile (Winograd) would mark
the neighbours, too. In a *thin* pass their outputs have one channel in place of all: much
quicker, and possible where the rest of the code does not count channels.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - as everybody calls it
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fstore.extractor.probe import operation_name

__all__ = ["Marking"]

POOLING = frozenset(
    {
        *("adaptive_avg_pool2d", "adaptive_max_pool2d", "avg_pool2d", "max_pool2d", "lp_pool2d"),
        *("mean", "sum", "amax", "amin", "max", "min", "std", "var", "var_mean", "std_mean"),
        *("norm", "vector_norm", "logsumexp"),
    }
)
"""Operations that may make one number of a whole map."""


SCALING = frozenset({"mul", "__mul__", "__rmul__", "add", "__add__", "__radd__"})
"""Operations that leave marks where they are, if one of two operands is a parameter."""


class Marking(TorchFunctionMode):
    """Runs a network's operations on marks.

    Parameters
    ----------
    thin : bool
        Whether what convolutions and full connections give has one channel.
    frozen : bool
        Whether what is pooled over a whole map loses its marks, as if it were given.

    Attributes
    ----------
    pooled : int
        How many operations pooled over whole maps.
    """

    def __init__(self, *, thin: bool, frozen: bool) -> None:
        super().__init__()
        self.thin = thin
        self.frozen = frozen
        self.pooled = 0
        self._instead: dict[Callable[..., Any], Callable[..., Tensor]] = {
            F.conv2d: self._convolve,
            F.linear: self._connect,
            F.layer_norm: self._layer_norm,
            F.group_norm: partial(self._normalize, F.group_norm),
            F.instance_norm: partial(self._normalize, F.instance_norm),
        }
        if thin:
            self._instead[F.batch_norm] = _unscaled  # its parameters are one a channel
            self._instead[F.local_response_norm] = _unscaled  # reads the channels of a place

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,  # noqa: ANN401 - torch's signature
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Run an operation, or what it does to marks."""
        kwargs = dict(kwargs or {})
        instead = self._instead.get(func)
        if instead is not None:
            return instead(*args, **kwargs)
        if self.thin and operation_name(func) in SCALING and len(args) == 2:
            others = [arg for arg in args if not isinstance(arg, nn.Parameter)]
            if len(others) == 1 and isinstance(others[0], Tensor):
                return others[0].clone()  # a factor or an offset a channel
        result = func(*args, **kwargs)
        if operation_name(func) in POOLING and args and _is_pooled(args[0], result):
            self.pooled += 1
            return _without_marks(result) if self.frozen else result
        return result

    def _convolve(self, input: Tensor, weight: Tensor, *rest: Any, **named: Any) -> Tensor:  # noqa: A002, ANN401 - as torch calls it
        told = dict(zip(("bias", "stride", "padding", "dilation", "groups"), rest, strict=False))
        told |= named
        stride, padding = told.get("stride", 1), told.get("padding", 0)
        groups, dilation = told.get("groups", 1), told.get("dilation", 1)
        x = input if input.dim() == 4 else input[None]
        groups, channels = (1, 1) if self.thin else (groups, len(weight))
        if groups < x.shape[1]:
            n, _, *sides = x.shape
            x = x.reshape(n, groups, -1, *sides).amax(2)  # (N, groups, H, W)
        kernel, dilation = weight.shape[2:], _pair(dilation)
        x = F.pad(x, _padding(padding, kernel, dilation))
        for at in (0, 1):
            x = _union(x, at + 2, taps=kernel[at], step=_pair(stride)[at], apart=dilation[at])
        x = x.repeat_interleave(channels // groups, dim=1)
        return x if input.dim() == 4 else x[0]

    def _connect(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:  # noqa: A002, ARG002
        union = input.amax(-1, keepdim=True)
        return union if self.thin else union.repeat_interleave(len(weight), dim=-1)

    def _layer_norm(
        self,
        input: Tensor,  # noqa: A002
        normalized_shape: Sequence[int],
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> Tensor:
        if len(normalized_shape) > 1:  # over places, too
            return self._normalize(F.layer_norm, input, normalized_shape, *args, **kwargs)
        return input.amax(-1, keepdim=True).expand(input.shape).contiguous()

    def _normalize(
        self,
        func: Callable[..., Tensor],
        x: Tensor,
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> Tensor:
        """Normalise over places: each depends on all, unless their statistics are given."""
        self.pooled += 1
        if self.frozen:
            return x.clone()
        if self.thin:
            return x + x.flatten(1).sum(1).reshape(-1, *[1] * (x.dim() - 1))
        return func(x, *args, **kwargs)


def _unscaled(x: Tensor, *_: object, **__: object) -> Tensor:
    return x.clone()


def _union(x: Tensor, dim: int, *, taps: int, step: int, apart: int) -> Tensor:
    """Return along one side what a kernel reads, all taps in one."""
    stop = x.shape[dim] - apart * (taps - 1)
    begin = [slice(None)] * dim
    union = x[*begin, slice(0, stop, step)]
    for tap in range(1, taps):  # maximum keeps NaN, and is quicker than torch's own pooling
        union = torch.maximum(union, x[*begin, slice(tap * apart, tap * apart + stop, step)])
    return union


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _padding(
    padding: int | str | Sequence[int], kernel: Sequence[int], dilation: Sequence[int]
) -> list[int]:
    """Return what is added left, right, above and below."""
    if padding == "valid":
        return [0, 0, 0, 0]
    if isinstance(padding, str):  # same: what is odd comes behind
        all_of = [apart * (size - 1) for size, apart in zip(kernel, dilation, strict=True)]
        before = [n // 2 for n in all_of]
        return [before[1], all_of[1] - before[1], before[0], all_of[0] - before[0]]
    down, across = _pair(padding)
    return [across, across, down, down]


def _is_pooled(source: object, result: object) -> bool:
    """Whether one number a sample and channel was made of maps or of tokens."""
    if isinstance(result, tuple):
        return bool(result) and _is_pooled(source, result[0])
    if not isinstance(source, Tensor) or not isinstance(result, Tensor) or source.dim() < 3:
        return False
    left = [size for size in result.shape[1:] if size != 1]
    places = source[0].numel() // max(1, result[0].numel()) if result.dim() else 0
    return result.dim() > 1 and len(result) == len(source) and len(left) <= 1 < places


def _without_marks(result: Any) -> Any:  # noqa: ANN401
    if isinstance(result, tuple):
        return type(result)(_without_marks(list(result)))
    if isinstance(result, list):
        return [_without_marks(part) for part in result]
    return result.nan_to_num() if result.is_floating_point() else result
