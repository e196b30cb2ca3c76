"""Build a network whose weights will be replaced at once: everything for real but the drawing.

Networks are built again to hold the weights of a file. Drawing initial weights takes longer than
reading a file, so it is left out. The meta device would leave it out too, but loses every other
value that a constructor computes: a list of ``.item()``s, a plain tensor, a mask that is no part
of the state dict. Here tensors are real; only what is drawn *into a parameter* is left undrawn.

An undrawn parameter holds whatever its memory held. So that this is never seen, every torch
function that is given one is looked at: what only asks for its shape, and what draws or changes it
in place, may go on; anything else might read it, and the network is then built with all draws.
(torch's truncated normal reads what it draws, so ViT and its like are always built so.)
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

__all__ = ["build_undrawn"]

T = TypeVar("T")

SEED = 6_021_023
"""Of what a constructor draws beside its parameters: always the same. A network that depends on
such draws is refused when its weights are registered, since they come back other than they were."""

DRAWS = frozenset(
    (
        "uniform_",
        "normal_",
        "trunc_normal_",
        "xavier_uniform_",
        "xavier_normal_",
        "kaiming_uniform_",
        "kaiming_normal_",
        "exponential_",
        "cauchy_",
        "log_normal_",
    )
)
CHANGES = frozenset(
    (
        "erfinv_",
        "mul_",
        "div_",
        "add_",
        "sub_",
        "clamp_",
        "requires_grad_",
    )
)
"""What makes other draws of draws, in place; needless on an undrawn parameter."""

FILLS = frozenset(
    (
        "fill_",
        "zero_",
        "constant_",
        "ones_",
        "zeros_",
    )
)
"""What gives an undrawn parameter known values again."""

SHAPES = frozenset(
    (
        "size",
        "dim",
        "numel",
        "nelement",
        "stride",
        "element_size",
        "is_floating_point",
        "is_complex",
        "is_contiguous",
        "__len__",
        "__hash__",
        "empty_like",
        "zeros_like",
        "ones_like",
        "rand_like",
        "randn_like",
        "new_empty",
        "new_zeros",
        "new_ones",
        "_calculate_fan_in_and_fan_out",
        "requires_grad_",
        "get_device",
        "has_names",
        "is_parameter",
    )
)
PROPERTIES = frozenset(
    (
        "shape",
        "dtype",
        "device",
        "layout",
        "ndim",
        "requires_grad",
        "is_leaf",
        "grad",
        "grad_fn",
        "is_meta",
        "is_sparse",
        "is_quantized",
        "is_nested",
        "names",
        "is_cuda",
        "is_cpu",
        "is_mkldnn",
        "itemsize",
        "nbytes",
    )
)


class _ReadError(Exception):
    """The constructor may have read an undrawn parameter."""


def build_undrawn(build: Callable[[], T]) -> T:
    """Return what a function builds; parameters whose values would be drawn are left as they are.

    Parameters
    ----------
    build : function without arguments
        Called once; a second time, with all draws, if the first call may have read a parameter.
        torch's generator is kept.

    Returns
    -------
    object
        Of ``build``. Parameters that it does not draw, buffers and plain tensors are as always.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        try:
            with _Undrawn():
                return build()
        except Exception as exc:
            if not _caused_by_reading(exc):
                raise
        torch.manual_seed(SEED)
        return build()


def _caused_by_reading(exc: BaseException | None) -> bool:
    """Tell whether an error, or what it came from, is ours: builders translate errors."""
    while exc is not None:
        if isinstance(exc, _ReadError):
            return True
        exc = exc.__cause__ or exc.__context__
    return False


class _Undrawn(TorchFunctionMode):
    """Leave out drawing into parameters; stop at anything that may read such a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self._undrawn: dict[int, nn.Parameter] = {}  # keeps them alive: ids are not used again
        self._read = False

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,  # noqa: ANN401 - torch's protocol
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - torch's protocol
        """Run a torch function, unless it draws into a parameter."""
        keywords = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        target = args[0] if args else keywords.get("tensor", keywords.get("input"))
        if isinstance(target, nn.Parameter) and self._may_skip(target, name):
            return target
        if self._touches((args, keywords)) and not _only_asks(func, name):
            self._read = True
            raise _ReadError(name)
        return func(*args, **keywords)

    def __exit__(self, *about: object) -> None:
        """End; a constructor that caught our error has not been stopped by it."""
        super().__exit__(*about)  # type: ignore[no-untyped-call]
        if self._read:
            raise _ReadError("while building")

    def _may_skip(self, target: nn.Parameter, name: str) -> bool:
        if not target.is_leaf or target.grad is not None:
            return False
        if name in DRAWS:
            self._undrawn[id(target)] = target
            return True
        if name in FILLS:
            self._undrawn.pop(id(target), None)
        return name in CHANGES and name != "requires_grad_" and id(target) in self._undrawn

    def _touches(self, value: object) -> bool:
        """Tell whether an undrawn parameter is among arguments, however nested."""
        if isinstance(value, Tensor):
            return id(value) in self._undrawn
        if isinstance(value, Mapping):
            return any(map(self._touches, value.values()))
        if isinstance(value, tuple | list):
            return any(map(self._touches, value))
        return False


def _only_asks(func: Callable[..., Any], name: str) -> bool:
    if name in {"__get__", "__set__"}:  # of a property: torch gives its descriptor's method
        owner = getattr(getattr(func, "__self__", None), "__name__", "")
        return owner in PROPERTIES and (name == "__get__" or owner == "requires_grad")
    return name in SHAPES
