"""Find out what a network computes without computing it: shapes and operations, on no data."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fstore.extractor.leftovers import without_leftovers

__all__ = ["OperationLog", "Recorder", "operation_name", "run_on_meta"]


class _Holder(nn.Module):
    """Holds a model, so that its parameters can be exchanged whatever is called of it."""

    def __init__(self, model: nn.Module, call: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.model = model
        self.call = call

    def forward(self, x: Tensor) -> object:
        return self.call(x)


def run_on_meta(
    model: nn.Module,
    size: int,
    *,
    call: Callable[[Tensor], object] | None = None,
    mode: "Recorder | None" = None,
    compute: bool = True,
    samples: int = 1,
) -> None:
    """Run a forward pass of one sample for its side effects: hooks, the operation log.

    Parameters and input are on torch's meta device, so nothing is computed or allocated. A
    network that needs values on its way (a condition on a tensor) gets zero images on its own
    device instead. Neither the model's buffers nor torch's random generator is changed.

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode.
    size : int
        Side of the square input, pixels.
    call : function of the input, or None
        Called in place of the model; may use its modules.
    mode : Recorder or None
        Records the operations.
    compute : bool
        Whether the batch of zeros may be tried.
    samples : int
        Of the batch.
    """
    call = call or model.__call__
    tensors = [*_named_tensors(model)]
    stands_for = {id(t): torch.empty_like(t, device="meta") for _, t in tensors}  # one for tied
    meta = {name: stands_for[id(t)] for name, t in tensors}
    try:
        x = torch.empty(samples, 3, size, size, device="meta")
        _run(model, call, x=x, tensors=meta, mode=mode)
    except (RuntimeError, NotImplementedError):
        if not compute:
            raise
        if mode is not None:
            mode.clear()
        device = tensors[0][1].device if tensors else torch.device("cpu")
        own = {id(t) for t in model.buffers()}
        held = {name: t.clone() if id(t) in own else t for name, t in tensors}
        x = torch.zeros(samples, 3, size, size, device=device)
        _run(model, call, x=x, tensors=held, mode=mode)


def _named_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield parameters, then buffers; those of a module that lies in two places once.

    Exchanged under both names they could not be put back.
    """
    modules = list(model.named_modules())
    for path, module in modules:
        for name, tensor in module.named_parameters(recurse=False, remove_duplicate=False):
            yield f"{path}.{name}" if path else name, tensor
    for path, module in modules:
        for name, buffer in module.named_buffers(recurse=False, remove_duplicate=False):
            yield f"{path}.{name}" if path else name, buffer


def _run(
    model: nn.Module,
    call: Callable[[Tensor], object],
    *,
    x: Tensor,
    tensors: Mapping[str, Tensor],
    mode: "Recorder | None",
) -> None:
    holder = _Holder(model, call)
    held = {f"model.{name}": tensor for name, tensor in tensors.items()}
    with (
        without_leftovers(model),
        torch.random.fork_rng(devices=[]),
        torch.no_grad(),
        _recording(mode, x, tensors),
    ):
        holder.eval()
        torch.func.functional_call(holder, held, (x,), tie_weights=False)


@contextmanager
def _recording(mode: "Recorder | None", x: Tensor, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    if mode is None:
        yield
        return
    mode.begin(x, tensors)
    with mode:
        yield


class Recorder(TorchFunctionMode):
    """Sees every operation of a forward pass as the network's code calls it."""

    def clear(self) -> None:
        """Forget everything, as before the first operation."""

    def begin(self, x: Tensor, tensors: Mapping[str, Tensor]) -> None:  # noqa: ARG002
        """Learn which tensors are there before the first operation."""
        self.clear()


class OperationLog(Recorder):
    """Hash the operations of a forward pass, as the network's code calls them.

    Recorded of each operation that gives or changes a tensor: its name, its plain arguments, and
    for each tensor where it came from (the input, a parameter by name, the result of an earlier
    operation by number) and its shape and dtype. Values of parameters, the batch size asked for
    at extraction, and the device do not enter.

    Parameters
    ----------
    code : str
        :attr:`fstore.extractor.networks.Network.code`, which enters too.
    """

    def __init__(self, code: str = "") -> None:
        super().__init__()
        self._code = code
        self.clear()

    def clear(self) -> None:
        """Forget everything, as before the first operation."""
        self.count = 0
        self._hash = hashlib.sha256(self._code.encode())
        self._origin: dict[int, str] = {}
        self._alive: list[object] = []  # ids are only unique among living objects

    def begin(self, x: Tensor, tensors: Mapping[str, Tensor]) -> None:
        """Name the tensors that are there before the first operation."""
        self.clear()
        for name, tensor in tensors.items():
            self._name(tensor, f"parameter {name}")
        self._name(x, "input")
        self._hash.update(self._describe(x).encode())

    def digest(self, output: Tensor) -> str:
        """Return the sha256 of all operations so far, and of which of their results is meant."""
        state = self._hash.copy()
        state.update(self._describe(output).encode())
        return state.hexdigest()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,  # noqa: ANN401 - torch's signature
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Run an operation and record it."""
        kwargs = kwargs or {}
        text = f"{operation_name(func)}{self._describe(args)}{self._describe(dict(kwargs))}"
        result = func(*args, **kwargs)
        results = [r for r in _flat(result) if isinstance(r, Tensor)]
        if results or operation_name(func).endswith("__setitem__"):
            self._hash.update(text.encode() + b"\n")
            for place, tensor in enumerate(results):
                self._name(tensor, f"result {self.count}.{place}")
            self.count += 1
        return result

    def _name(self, tensor: Tensor, origin: str) -> None:
        self._origin[id(tensor)] = origin
        self._alive.append(tensor)

    def _describe(self, value: object) -> str:
        """Return a text of an argument that is the same in every process."""
        if isinstance(value, Tensor):
            origin = self._origin.get(id(value)) or f"constant {_content(value)}"
            return f"<{origin} {tuple(value.shape)} {value.dtype}>"
        if isinstance(value, (list, tuple)):
            return f"({', '.join(self._describe(v) for v in value)})"
        if isinstance(value, dict):
            items = sorted(value.items(), key=lambda item: str(item[0]))
            return f"{{{', '.join(f'{k}={self._describe(v)}' for k, v in items)}}}"
        if isinstance(value, slice):
            return f"slice{self._describe((value.start, value.stop, value.step))}"
        if isinstance(value, (str, int, float, complex, bool, type(None), torch.dtype)):
            return repr(value)
        return type(value).__name__


def operation_name(func: Callable[..., Any]) -> str:
    """Return an operation's name as the network's code calls it."""
    owner = getattr(getattr(func, "__self__", None), "__name__", "")  # property: Tensor.T.__get__
    name = getattr(func, "__name__", type(func).__name__)
    return f"{owner}.{name}" if owner and name == "__get__" else name


def _content(tensor: Tensor) -> str:
    """Name a tensor that is neither parameter nor result by what is in it."""
    if tensor.device.type == "meta":
        return "meta"
    values = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    return hashlib.sha256(values.tobytes()).hexdigest()


def _flat(value: object) -> Iterator[object]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _flat(item)
    else:
        yield value
