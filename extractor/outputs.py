"""What a module or an operation returned: its tensors, each under the name of its place."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass

from torch import Tensor, nn

__all__ = ["Output", "items", "read_output"]

FIRST_OF = (nn.MultiheadAttention, nn.RNNBase)
"""torch's own modules that return their response first and something beside it second."""


@dataclass(frozen=True, slots=True)
class Output:
    """The tensors of one output.

    Attributes
    ----------
    parts : mapping of place to Tensor
        The place is empty where the output is a tensor itself; else ``0``, ``1.0``, or a key.
    main : str or None
        Which of several is meant by the tap's own name; None where nothing says so.
    """

    parts: Mapping[str, Tensor]
    main: str | None = None

    def pick(self, part: str) -> Tensor | None:
        """Return the tensor at a place; without a place the only one, or the main one.

        None where there is no such place, or where it is not said which of several is meant:
        the first is never taken because it is the first.
        """
        if part:
            return self.parts.get(part)
        if len(self.parts) == 1:
            return next(iter(self.parts.values()))
        return None if self.main is None else self.parts.get(self.main)


def read_output(value: object, module: nn.Module | None = None) -> Output:
    """Return the tensors of a module's output, or of a node's, for which ``module`` is None."""
    parts = {place: item for place, item in items(value) if isinstance(item, Tensor)}
    return Output(parts, "0" if isinstance(module, FIRST_OF) else None)


def items(value: object, place: str = "") -> Iterator[tuple[str, object]]:
    """Yield what nested tuples, lists, mappings and data classes hold, with the places."""
    held: Mapping[object, object]
    if isinstance(value, (list, tuple)):
        held = dict(enumerate(value))
    elif isinstance(value, Mapping):
        held = value
    elif is_dataclass(value) and not isinstance(value, type):
        held = {f.name: getattr(value, f.name) for f in fields(value)}
    else:
        yield place, value
        return
    for key, item in held.items():
        yield from items(item, f"{place}.{key}" if place else str(key))
