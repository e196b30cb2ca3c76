"""Follow what each dimension of a tensor means, from the image through a network's operations.

A convolution says which dimension its channels are; arranging, merging and element-wise operations
carry that along. What an operation does not say for certain is unknown: nothing is guessed from
the sizes.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from fstore.extractor.probe import Recorder, operation_name

__all__ = ["CHANNEL", "PLACE", "SAMPLE", "UNKNOWN", "Axes", "AxisLog", "reshaped"]

SAMPLE, CHANNEL, PLACE, UNKNOWN = "sample", "channel", "place", "unknown"
Axes: TypeAlias = tuple[str, ...]

CONVOLUTIONS = {"conv1d", "conv2d", "conv3d"} | {f"conv_transpose{d}d" for d in (1, 2, 3)}
BATCH_NORMS = {"batch_norm", "instance_norm", "group_norm"}
# fmt: off
SAME = {
    "relu", "relu6", "hardtanh", "hardswish", "hardsigmoid", "silu", "gelu", "sigmoid",
    "tanh", "elu", "leaky_relu", "selu", "celu", "prelu", "rrelu", "softplus", "softsign",
    "mish", "threshold", "hardshrink", "softshrink", "tanhshrink", "logsigmoid", "dropout",
    "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout",
    "feature_alpha_dropout", "softmax", "log_softmax", "softmin", "layer_norm", "rms_norm",
    "local_response_norm", "normalize", "clamp", "clip", "clamp_min", "clamp_max", "exp",
    "log", "log1p", "sqrt", "rsqrt", "square", "pow", "neg", "abs", "erf", "sin", "cos",
    "sign", "contiguous", "clone", "detach", "to", "float", "half", "bfloat16", "double",
    "type", "type_as", "roll", "flip", "masked_fill", "linear", "pad", "repeat", "max_pool1d",
    "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d",
    "max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices",
    "lp_pool1d", "lp_pool2d", "adaptive_avg_pool1d", "adaptive_avg_pool2d",
    "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "adaptive_max_pool3d", "adaptive_max_pool2d_with_indices", "interpolate", "upsample",
    "chunk", "split", "tensor_split", "narrow", "index_select",
    "scaled_dot_product_attention",
}
# fmt: on
"""Operations whose result has the dimensions of their first tensor, in the same order."""
# fmt: off
ALIGNED = {
    "add", "sub", "mul", "div", "truediv", "true_divide", "rsub", "radd", "rmul", "rdiv",
    "rtruediv", "iadd", "isub", "imul", "itruediv", "where", "maximum", "minimum", "lerp",
    "addcmul", "addcdiv", "cat", "concat", "concatenate", "expand", "expand_as",
    "broadcast_to",
}
# fmt: on
"""Operations whose tensors' dimensions are those of the result, counted from the last."""
ATTENTION = {"multi_head_attention_forward", "native_multi_head_attention"}
"""Their first result has the dimensions of the query, the second is the weights."""
ARRANGED = {"permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "t"}
PROPERTIES = {"T.__get__", "mT.__get__", "H.__get__", "mH.__get__"}
RESHAPED = {"reshape", "view", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as"}
REDUCED = {"mean", "sum", "amax", "amin", "std", "var", "logsumexp"}


@dataclass(frozen=True)
class _Call:
    """An operation as the network calls it, and the tensors among its arguments, before it runs.

    An operation in place may change shapes, so they are kept.
    """

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    axes: Sequence[Axes]
    shapes: Sequence[tuple[int, ...]]


class AxisLog(Recorder):
    """Keeps the meaning of every tensor's dimensions during a forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.clear()

    def clear(self) -> None:
        """Forget everything, as before the first operation."""
        self._axes: dict[int, Axes] = {}
        self._alive: list[object] = []  # ids are only unique among living objects

    def begin(self, x: Tensor, tensors: Mapping[str, Tensor]) -> None:
        """Say what the image's dimensions are; parameters have no meaning of their own."""
        self.clear()
        self._alive += tensors.values()
        self._set(x, (SAMPLE, CHANNEL, PLACE, PLACE))

    def of(self, tensor: Tensor) -> Axes:
        """Return what a tensor's dimensions mean."""
        return self._axes.get(id(tensor), (UNKNOWN,) * tensor.dim())

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,  # noqa: ANN401 - torch's signature
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Run an operation and carry the meaning of dimensions along."""
        kwargs = kwargs or {}
        tensors = _tensors([*args, *kwargs.values()])
        axes, shapes = [self.of(t) for t in tensors], [tuple(t.shape) for t in tensors]
        call = _Call(func, args, kwargs, axes=axes, shapes=shapes)
        result = func(*args, **kwargs)
        if tensors:
            for place, out in enumerate(_tensors([result])):
                carried = _carried(call, out, place)
                same = carried is not None and len(carried) == out.dim()
                self._set(out, carried if carried and same else (UNKNOWN,) * out.dim())
        return result

    def _set(self, tensor: Tensor, axes: Axes) -> None:
        self._axes[id(tensor)] = axes
        self._alive.append(tensor)


def _carried(  # noqa: PLR0911 - one line a kind of operation
    call: _Call, out: Tensor, place: int
) -> Axes | None:
    """Return what the dimensions of a call's result mean; None if the operation does not say."""
    name = operation_name(call.func)
    plain = name if name in PROPERTIES else name.strip("_")
    axes, shape = call.axes[0], call.shapes[0]
    if plain in ATTENTION:
        return axes if place == 0 else None
    if plain in CONVOLUTIONS:
        return (axes[0], CHANNEL, *[PLACE] * (out.dim() - 2)) if out.dim() == len(shape) else None
    if plain in BATCH_NORMS and UNKNOWN in axes and len(axes) > 2:
        return (axes[0], CHANNEL, *[PLACE] * (out.dim() - 2))
    if plain in SAME | BATCH_NORMS:
        return axes if out.dim() == len(shape) else None
    if plain in ALIGNED:
        return _aligned(call, tuple(out.shape))
    if plain in ARRANGED or name in PROPERTIES:
        return _arranged(call)
    if plain in RESHAPED:
        return reshaped(shape, axes, tuple(out.shape))
    if plain in REDUCED:
        return _reduced(call, out)
    return _indexed(axes, call.args[1]) if plain == "getitem" else None


def _tensors(values: Sequence[object]) -> list[Tensor]:
    tensors: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            tensors.append(value)
        elif isinstance(value, (list, tuple)):
            tensors += _tensors(value)
    return tensors


def _aligned(call: _Call, out: tuple[int, ...]) -> Axes:
    """Join what the tensors say of each dimension; where they contradict, it is unknown."""
    joined = []
    for back in range(len(out), 0, -1):
        said = {
            axes[-back]
            for axes, shape in zip(call.axes, call.shapes, strict=True)
            if len(shape) >= back and (shape[-back] != 1 or out[-back] == 1)
        } - {UNKNOWN}
        joined.append(said.pop() if len(said) == 1 else UNKNOWN)
    return tuple(joined)


def _arranged(call: _Call) -> Axes | None:
    """Do the same to a tensor whose sizes are all different, and see where they went."""
    axes = call.axes[0]
    sizes = range(2, 2 + len(axes))
    dummy = torch.empty(tuple(sizes), device="meta")
    if not call.args:
        return None
    moved = call.func(dummy, *call.args[1:], **call.kwargs)
    return tuple(axes[size - 2] for size in moved.shape)


def reshaped(shape: tuple[int, ...], axes: Axes, out: tuple[int, ...]) -> Axes:
    """Say what dimensions mean after a reshape that keeps the values in their order.

    Parameters
    ----------
    shape, axes : tuple
        Sizes before, and what they mean.
    out : tuple of int
        Sizes after.
    """
    before = [(n, a) for n, a in zip(shape, axes, strict=True) if n != 1]
    ones = [a for n, a in zip(shape, axes, strict=True) if n == 1]
    named: list[str] = []
    rest = [n for n in out if n != 1]
    while before and rest:
        taken, made = [before.pop(0)], [rest.pop(0)]
        while (left := math.prod(n for n, _ in taken)) != (right := math.prod(made)):
            if left < right and before:
                taken.append(before.pop(0))
            elif right < left and rest:
                made.append(rest.pop(0))
            else:
                return (UNKNOWN,) * len(out)
        kinds = {a for _, a in taken}
        whole = len(taken) == len(made) == 1 or kinds == {PLACE}
        named += [kinds.pop() if whole else UNKNOWN] * len(made)
    kept = ones if len(ones) == sum(n == 1 for n in out) else [UNKNOWN] * len(out)
    return tuple(kept.pop(0) if n == 1 else named.pop(0) for n in out)


def _reduced(call: _Call, out: Tensor) -> Axes | None:
    axes, args, kwargs = call.axes[0], call.args, call.kwargs
    if out.dim() == len(axes):
        return axes
    dims = args[1] if len(args) > 1 else kwargs.get("dim", kwargs.get("axis"))
    if dims is None:
        return None
    gone = {d % len(axes) for d in (dims if isinstance(dims, (list, tuple)) else [dims])}
    return tuple(a for at, a in enumerate(axes) if at not in gone)


def _indexed(axes: Axes, index: object) -> Axes | None:
    """Carry dimensions through numbers, slices, None and the ellipsis."""
    wanted = list(index) if isinstance(index, tuple) else [index]
    if any(not (i is None or i is Ellipsis or isinstance(i, (int, slice))) for i in wanted):
        return None
    used = sum(1 for i in wanted if i is not None and i is not Ellipsis)
    if not any(i is Ellipsis for i in wanted):
        wanted.append(Ellipsis)
    carried: list[str] = []
    rest = list(axes)
    for i in wanted:
        if i is None:
            carried.append(UNKNOWN)
        elif i is Ellipsis:
            carried += [rest.pop(0) for _ in range(len(axes) - used)]
        else:
            kept = rest.pop(0)
            carried += [kept] if isinstance(i, slice) else []
    return tuple(carried)
