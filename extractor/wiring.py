"""Reach the places inside a network: modules by hooks, nodes by its traced graph.

The rule, kept here alone: **a module path means the output of that module's first call, at the
moment when a plain forward hook would see it**. Where only modules are asked for, plain hooks
take it. Where a node is asked for beside them, the traced graph runs in place of the code: modules
that are one node of it, or lie inside one, are taken by the same hooks; a module that tracing looks
into returns when the last node of its code has run, and is taken then. A name that is a module
path is never looked up among the nodes (:mod:`fstore.extractor.graph` names them).

``NAME.PART`` is one tensor of an output that has several: ``attention.1``, ``encoder.logits``.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from fstore.errors import DataError
from fstore.extractor.graph import Graph, Moment, Tail, cut, run_graph
from fstore.extractor.outputs import Output, read_output

__all__ = ["Seen", "Wiring"]

Seen = Callable[[str, Output], None]


class _Stop(Exception):  # noqa: N818 - not an error: leaves the forward pass early
    """The deepest tap has been seen."""


class Wiring:
    """The taps that a model offers, and forward passes that stop at some of them.

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode; it is used, not copied. Its code is traced when a node name is asked
        for, so that it may hold no condition on values then.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.modules = {path: module for path, module in model.named_modules() if path}
        self._tails: dict[tuple[str, ...], Tail] = {}

    @property
    def nodes(self) -> list[str]:
        """Node names, in the order in which they run."""
        return [] if self._graph is None else list(self._graph.nodes)

    def find(self, name: str) -> tuple[str, str] | None:
        """Split a layer's name into a tap and the part of its output that is meant.

        The longest module path or node name that the name begins with is the tap; None if there
        is none. The part is empty as a rule; whether the output has it, only a run can tell.
        """
        if name in self.modules:
            return name, ""
        cuts = [at for at, sign in enumerate(name) if sign == "."]
        for at in (len(name), *reversed(cuts)):
            tap, part = name[:at], name[at + 1 :]
            if tap in self.modules or (self._graph is not None and tap in self._graph.nodes):
                return tap, part
        return None

    def by_kind(self, taps: Sequence[str]) -> tuple[list[str], list[str]]:
        """Split taps into module paths and node names."""
        modules = [tap for tap in taps if tap in self.modules]
        return modules, [tap for tap in taps if tap not in self.modules]

    def forward(self, x: Tensor, taps: Sequence[str], seen: Seen) -> None:
        """Run the model up to the deepest tap; ``seen`` gets each tap's first output at once."""
        if not taps:
            return
        modules, nodes = self.by_kind(taps)
        watch = _Watch(self, taps, seen)
        try:
            if nodes:
                self._interpret(x, taps, watch)
            else:
                self._call(x, modules, watch)
        except _Stop:
            pass

    def forward_from(self, start: str, value: Tensor, *, taps: Sequence[str], seen: Seen) -> None:
        """Run what comes after a tap, given its output, up to the deepest of some taps.

        Parameters
        ----------
        start : str
            Tap whose output ``value`` is.
        value : Tensor
        taps, seen
            As for :meth:`forward`; ``start`` itself may be among the taps.

        Raises
        ------
        DataError
            As :meth:`tail`.
        """
        tail = self.tail(start, taps)
        watch = _Watch(self, taps, seen)
        try:
            for tap in tail.at_start:
                watch.note(tap, value)
            run_graph(self.model, tail.graph, value, moments=tail.moments, note=watch.note)
        except _Stop:
            pass

    def tail(self, start: str, taps: Sequence[str]) -> Tail:
        """Return the part of the traced network between a tap and others.

        Raises
        ------
        DataError
            The network cannot be traced, or a tap needs more than the output of ``start``.
        """
        key = (start, *taps)
        if key not in self._tails:
            if self._graph is None:
                raise DataError(
                    "the network's code cannot be traced, so nothing can be derived from stored "
                    "responses; run it on the images"
                )
            self._tails[key] = cut(self.model, self._graph, start=start, taps=taps)
        return self._tails[key]

    def run_whole_graph(self, x: Tensor) -> object:
        """Run the traced graph to its end and return what the network returns."""
        if self._graph is None:
            raise DataError("the network's code cannot be traced")
        return run_graph(self.model, self._graph.graph, x, moments={}, note=lambda *_: None)

    def _call(self, x: Tensor, modules: Sequence[str], watch: "_Watch") -> None:
        with ExitStack() as stack:
            self._hook(modules, watch, stack)
            self.model(x)

    def _hook(self, paths: Sequence[str], watch: "_Watch", stack: ExitStack) -> None:
        for path in paths:
            handle = self.modules[path].register_forward_hook(watch.hook(path))
            stack.callback(handle.remove)

    def _interpret(self, x: Tensor, taps: Sequence[str], watch: "_Watch") -> None:
        assert self._graph is not None  # noqa: S101 - node names come from it
        returns, nodes = self._graph.returns, self._graph.nodes
        moments: dict[str, Moment] = {
            tap: returns[tap] if tap in self.modules else nodes[tap]
            for tap in taps
            if tap not in self.modules or tap in returns
        }
        with ExitStack() as stack:
            self._hook([tap for tap in taps if tap not in moments], watch, stack)
            run_graph(self.model, self._graph.graph, x, moments=moments, note=watch.note)

    @cached_property
    def _graph(self) -> Graph | None:
        """The traced network; None if its code cannot be traced."""
        from fstore.extractor.tracing import trace

        return trace(self.model)


class _Watch:
    """Hands each awaited tap's first output on; leaves the forward pass after the last."""

    def __init__(self, wiring: Wiring, taps: Sequence[str], seen: Seen) -> None:
        self._modules = wiring.modules
        self._awaited = set(taps)
        self._seen = seen

    def note(self, tap: str, value: object) -> None:
        if tap not in self._awaited:
            return
        self._awaited.discard(tap)
        self._seen(tap, read_output(value, self._modules.get(tap)))
        if not self._awaited:
            raise _Stop

    def hook(self, tap: str) -> Callable[[nn.Module, Any, Any], None]:
        def note(_module: nn.Module, _args: object, output: object) -> None:
            self.note(tap, output)

        return note
