"""Follow what each dimension of a tensor means, from the image through a network's operations.

A convolution says which dimension its channels are, and so does a normalisation over the last one
where the others are places or tokens; arranging, merging and element-wise operations carry that
along, and with it the order of the places (:mod:`fstore.extractor.strips`). What an operation does
not say for certain is unknown: nothing is guessed from the sizes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from fstore.extractor.orders import grid_of
from fstore.extractor.probe import Recorder, operation_name
from fstore.extractor.strips import (
    CHANNEL,
    PLACE,
    SAMPLE,
    UNKNOWN,
    Axes,
    Axis,
    Woven,
    fresh,
    is_place,
    reshaped,
    resized,
    rolled,
)

__all__ = ["AxisLog"]

CONVOLUTIONS = {"conv1d", "conv2d", "conv3d"} | {f"conv_transpose{d}d" for d in (1, 2, 3)}
BATCH_NORMS = {"batch_norm", "instance_norm", "group_norm"}
# fmt: off
SAME = {
    "relu", "relu6", "hardtanh", "hardswish", "hardsigmoid", "silu", "gelu", "sigmoid",
    "tanh", "elu", "leaky_relu", "selu", "celu", "prelu", "rrelu", "softplus", "softsign",
    "mish", "threshold", "hardshrink", "softshrink", "tanhshrink", "logsigmoid", "dropout",
    "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout",
    "feature_alpha_dropout", "softmax", "log_softmax", "softmin", "glu", "nan_to_num",
    "local_response_norm", "normalize", "clamp", "clip", "clamp_min", "clamp_max", "exp",
    "log", "log1p", "sqrt", "rsqrt", "square", "pow", "neg", "abs", "erf", "sin", "cos",
    "sign", "contiguous", "clone", "detach", "to", "float", "half", "bfloat16", "double",
    "type", "type_as", "masked_fill", "pad", "repeat", "max_pool1d", "channel_shuffle",
    "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d",
    "max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices",
    "lp_pool1d", "lp_pool2d", "adaptive_avg_pool1d", "adaptive_avg_pool2d",
    "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "adaptive_max_pool3d", "adaptive_max_pool2d_with_indices", "interpolate", "upsample",
    "scaled_dot_product_attention", "transformer_encoder_layer_fwd",
}
# fmt: on
"""Operations whose result has the dimensions of their first tensor, in the same order."""
SHUFFLED = {"flip", "fliplr", "flipud", "index_select"}
"""The same, but that the places may be in another order."""
PIECES = {"chunk", "split", "split_with_sizes", "tensor_split", "narrow"}
"""The same, but that they give a piece, or several that follow one another."""
NORMS_OVER_LAST = {"layer_norm", "rms_norm"}
PRODUCTS = {"matmul", "bmm", "mm", "baddbmm", "addmm", "addbmm"}
PLANES = {"fold", "grid_sample", "pixel_shuffle", "pixel_unshuffle"}
"""Their result is (N, C, H, W)."""
# fmt: off
ALIGNED = {
    "add", "sub", "mul", "div", "truediv", "true_divide", "rsub", "radd", "rmul", "rdiv",
    "rtruediv", "iadd", "isub", "imul", "itruediv", "where", "maximum", "minimum", "lerp",
    "addcmul", "addcdiv", "expand", "expand_as", "broadcast_to",
}
# fmt: on
"""Operations whose tensors' dimensions are those of the result, counted from the last."""
RECURRENT = {"gru", "lstm", "rnn_tanh", "rnn_relu"}
"""Their first result has the dimensions of the input, but for the last."""
ATTENTION = {"multi_head_attention_forward", "native_multi_head_attention"}
"""Their first result has the dimensions of the query, the second is the weights."""
ARRANGED = {"permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "t"}
PROPERTIES = {"T.__get__", "mT.__get__", "H.__get__", "mH.__get__"}
RESHAPED = {"reshape", "view", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as"}
RESHAPED |= {"reshape_as"}
REDUCED = {"mean", "sum", "amax", "amin", "std", "var", "logsumexp", "max", "min"}


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
        rows, columns = x.shape[2:]
        self._set(x, (SAMPLE, CHANNEL, fresh("row", rows), fresh("column", columns)))

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
            outs = _tensors([result])
            for place, out in enumerate(outs):
                self._set(out, _meant(call, out, outs[:place]))
        return result

    def _set(self, tensor: Tensor, axes: Axes) -> None:
        self._axes[id(tensor)] = axes
        self._alive.append(tensor)


def _meant(call: _Call, out: Tensor, earlier: Sequence[Tensor]) -> Axes:
    """Return what the dimensions of one of a call's results mean."""
    carried = _carried(call, out, earlier)
    if not carried or len(carried) != out.dim():
        return (UNKNOWN,) * out.dim()
    return tuple(resized(axis, n) for axis, n in zip(carried, out.shape, strict=True))


def _carried(  # noqa: PLR0911 - one line a kind of operation
    call: _Call, out: Tensor, earlier: Sequence[Tensor]
) -> Axes | None:
    """Return what they mean but for their sizes; None if the operation does not say."""
    name = operation_name(call.func)
    plain = name if name in PROPERTIES else name.strip("_")
    axes, shape = call.axes[0], call.shapes[0]
    if plain in ATTENTION:
        return None if earlier else axes
    if plain in RECURRENT:
        return None if earlier else (*axes[:-1], UNKNOWN)
    if plain == "roll":
        return _rolled(call)
    if plain in CONVOLUTIONS:
        return _convolved(axes, out) if out.dim() == len(shape) else None
    if plain in PLANES and out.dim() == 4:
        return _convolved((axes[0],), out)
    if plain in BATCH_NORMS and UNKNOWN in axes and CHANNEL not in axes and len(axes) > 2:
        return (axes[0], CHANNEL, *[a if is_place(a) else PLACE for a in axes[2:]])
    if plain in SAME | BATCH_NORMS | SHUFFLED:
        same = tuple(_shuffled(a) for a in axes) if plain in SHUFFLED else axes
        return same if out.dim() == len(shape) else None
    if plain in RESHAPED:
        return reshaped(shape, axes, tuple(out.shape))
    return _rearranged(call, out, earlier) if plain not in NORMS_OVER_LAST else _normalised(call)


def _rearranged(  # noqa: PLR0911 - one line a kind of operation
    call: _Call, out: Tensor, earlier: Sequence[Tensor]
) -> Axes | None:
    """Return the same of operations that join, cut, multiply or move dimensions."""
    name = operation_name(call.func)
    plain, axes = name.strip("_"), call.axes[0]
    if plain == "linear":
        return (*axes[:-1], UNKNOWN if is_place(axes[-1]) else axes[-1])
    if plain in PIECES:
        return _piece(call, out, earlier)
    if plain in PRODUCTS:
        return _product(call)
    if plain in {"cat", "concat", "concatenate"}:
        return _joined(call, tuple(out.shape))
    if plain in ALIGNED:
        return _aligned(call.axes, call.shapes, tuple(out.shape))
    if plain in ARRANGED or name in PROPERTIES:
        return _arranged(call)
    if plain in REDUCED:
        return _reduced(call, out)
    if plain in {"unbind", "select"}:
        return _without(axes, _argument(call, 1, "dim", default=0))
    return _indexed(call) if plain == "getitem" else None


def _argument(call: _Call, at: int, name: str, *, default: object) -> Any:  # noqa: ANN401
    return call.args[at] if len(call.args) > at else call.kwargs.get(name, default)


def _convolved(axes: Axes, out: Tensor) -> Axes:
    """Return channels second, and the places where they are known, else as the operation has them.

    Two dimensions are rows and columns, one is a sequence.
    """
    if CHANNEL in axes[2:]:  # over channels as if they were places: what mixes is something else
        return (axes[0], UNKNOWN, *[a if a == CHANNEL else UNKNOWN for a in axes[2:]])
    sizes = tuple(out.shape[2:])
    along = {1: ("line",), 2: ("row", "column")}.get(len(sizes))
    places: list[Axis] = [resized(a, n) for a, n in zip(axes[2:], sizes, strict=False)]
    if along is not None and not (places and all(isinstance(a, Woven) for a in places)):
        places = [fresh(w, n) for w, n in zip(along, sizes, strict=True)]  # type: ignore[arg-type]
    return (axes[0], CHANNEL, *(places or [PLACE] * len(sizes)))


def _rolled(call: _Call) -> Axes:
    shifts, dims = _argument(call, 1, "shifts", default=0), _argument(call, 2, "dims", default=())
    axes = list(call.axes[0])
    by = dict(zip(_several(dims), _several(shifts), strict=False))
    if not by:  # all of it as one dimension
        return tuple(_shuffled(axis) for axis in axes)
    for dim, shift in by.items():
        axes[dim] = rolled(axes[dim], int(shift))
    return tuple(axes)


def _several(value: Any) -> list[Any]:  # noqa: ANN401 - a number, or several
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _shuffled(axis: Axis) -> Axis:
    return PLACE if is_place(axis) else axis


def _normalised(call: _Call) -> Axes:
    """Take the last dimension for channels if it is normalised alone, and what else it may be not.

    It is of (N, tokens, C), and of maps whose other dimensions are known to be places; of
    (N, heads, tokens, C) the heads are none.
    """
    axes, over = call.axes[0], _argument(call, 1, "normalized_shape", default=())
    others = axes[1:-1]
    plain = len(over) == 1 if isinstance(over, (list, tuple)) else True
    may_be = len(others) == 1 or (len(others) == 2 and all(is_place(a) for a in others))
    if plain and may_be and axes[-1] == UNKNOWN and CHANNEL not in axes:
        return (*axes[:-1], CHANNEL)
    return axes


def _piece(call: _Call, out: Tensor, earlier: Sequence[Tensor]) -> Axes:
    """Carry dimensions into a piece; what begins behind a prefix's tokens leaves the grid whole."""
    axes, shape = call.axes[0], call.shapes[0]
    if operation_name(call.func) == "narrow":
        start = int(_argument(call, 2, "start", default=0))
    else:
        cut = [at for at, n in enumerate(out.shape) if n != shape[at]]
        start = sum(t.shape[cut[0]] for t in earlier) if cut else 0
    return tuple(
        a if n == full else _sliced(a, full, slice(start, start + n))
        for a, n, full in zip(axes, out.shape, shape, strict=True)
    )


def _sliced(axis: Axis, size: int, piece: slice) -> Axis:
    start, stop, step = piece.indices(size)
    if isinstance(axis, Woven) and axis.prefix and (stop, step) == (size, 1):
        return replace(axis, prefix=axis.prefix - start) if start <= axis.prefix else PLACE
    return axis


def _product(call: _Call) -> Axes | None:
    """Carry rows of the first matrix and columns of the second, and what they have in common."""
    (*_, first, second), (*_, one, two) = call.axes, call.shapes
    if len(call.axes) < 2 or len(first) < 2 or len(second) < 2:
        return None
    longer = max(one[:-2], two[:-2], key=len)
    common = _aligned([first[:-2], second[:-2]], [one[:-2], two[:-2]], longer)
    return (*common, first[-2], second[-1])


def _joined(call: _Call, out: tuple[int, ...]) -> Axes:
    """Carry dimensions through joining; what comes before a grid of places is its prefix."""
    dim = int(_argument(call, 1, "dim", default=call.kwargs.get("axis", 0))) % len(out)
    others = [shape for shape in call.shapes if len(shape) == len(out)]
    axes = list(_aligned(call.axes, call.shapes, out))
    if len(others) != len(call.shapes) or sum(s[dim] for s in others) != out[dim]:
        return (UNKNOWN,) * len(out)
    joined = [(a[dim], s[dim]) for a, s in zip(call.axes, others, strict=True) if s[dim]]
    if len(joined) > 1 and any(is_place(a) for a, _ in joined):
        last, whole = joined[-1][0], [a for a, _ in joined if grid_of(a) is not None]
        before = sum(n for _, n in joined[:-1])
        only = isinstance(last, Woven) and whole == [last] and grid_of(last) is not None
        axes[dim] = replace(last, prefix=last.prefix + before) if only else PLACE  # type: ignore[type-var,union-attr]
    return tuple(axes)


def _tensors(values: Sequence[object]) -> list[Tensor]:
    tensors: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            tensors.append(value)
        elif isinstance(value, (list, tuple)):
            tensors += _tensors(value)
    return tensors


def _aligned(said: Sequence[Axes], shapes: Sequence[tuple[int, ...]], out: tuple[int, ...]) -> Axes:
    """Join what the tensors say of each dimension; where they contradict, it is unknown."""
    pairs = list(zip(said, shapes, strict=True))
    return tuple(
        _agreed(
            {
                axes[-back]
                for axes, shape in pairs
                if len(shape) >= back and (shape[-back] != 1 or out[-back] == 1)
            }
        )
        for back in range(len(out), 0, -1)
    )


def _agreed(said: set[Axis]) -> Axis:
    """Return what all say; places of which an order is said are in that order."""
    told = said - {UNKNOWN}
    if len(told) > 1 and all(is_place(axis) for axis in told):
        told = told - {PLACE} if len(told - {PLACE}) == 1 else {PLACE}
    return told.pop() if len(told) == 1 else UNKNOWN


def _arranged(call: _Call) -> Axes | None:
    """Do the same to a tensor whose sizes are all different, and see where they went."""
    axes = call.axes[0]
    sizes = range(2, 2 + len(axes))
    dummy = torch.empty(tuple(sizes), device="meta")
    if not call.args:
        return None
    moved = call.func(dummy, *call.args[1:], **call.kwargs)
    return tuple(axes[size - 2] for size in moved.shape)


def _reduced(call: _Call, out: Tensor) -> Axes | None:
    axes = call.axes[0]
    if out.dim() == len(axes):
        return axes
    dims = _argument(call, 1, "dim", default=call.kwargs.get("axis"))
    return None if dims is None or isinstance(dims, Tensor) else _without(axes, dims)


def _without(axes: Axes, dims: int | Sequence[int]) -> Axes:
    gone = {d % len(axes) for d in _several(dims)}
    return tuple(a for at, a in enumerate(axes) if at not in gone)


def _indexed(call: _Call) -> Axes | None:
    """Carry dimensions through numbers, slices, None and the ellipsis."""
    axes, shape, index = call.axes[0], call.shapes[0], call.args[1]
    wanted = list(index) if isinstance(index, tuple) else [index]
    if any(not (i is None or i is Ellipsis or isinstance(i, (int, slice))) for i in wanted):
        return None
    used = sum(1 for i in wanted if i is not None and i is not Ellipsis)
    if not any(i is Ellipsis for i in wanted):
        wanted.append(Ellipsis)
    carried: list[Axis] = []
    rest = list(zip(axes, shape, strict=True))
    for i in wanted:
        if i is None:
            carried.append(UNKNOWN)
        elif i is Ellipsis:
            carried += [rest.pop(0)[0] for _ in range(len(axes) - used)]
        else:
            axis, size = rest.pop(0)
            carried += [_sliced(axis, size, i)] if isinstance(i, slice) else []
    return tuple(carried)
