"""Reach the places inside a network: modules by hooks, nodes by its traced graph."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torchvision
from torch import Tensor, fx, nn
from torchvision.models.feature_extraction import NodePathTracer

from fstore.errors import DataError

__all__ = ["Seen", "Wiring"]

Seen = Callable[[str, Tensor], None]


class _Stop(Exception):  # noqa: N818 - not an error: leaves the forward pass early
    """The deepest tap has been seen."""


@dataclass(frozen=True)
class _Graph:
    """A traced network: its nodes by name, and the nodes that give its containers' outputs."""

    graph: fx.Graph
    nodes: Mapping[str, fx.Node]
    containers: Mapping[str, fx.Node]


@dataclass(frozen=True)
class _Tail:
    """A part of a traced network: its only input is a tap's output.

    ``names`` are the taps of its nodes, ``at_start`` those that are its input itself.
    """

    graph: fx.Graph
    names: Mapping[fx.Node, list[str]]
    at_start: tuple[str, ...]


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
        self._tails: dict[tuple[str, ...], _Tail] = {}

    @property
    def nodes(self) -> list[str]:
        """Node names that are no module paths, in the order in which they run."""
        if self._graph is None:
            return []
        return [name for name in self._graph.nodes if name not in self.modules]

    def has(self, tap: str) -> bool:
        """Tell whether a tap of that name exists."""
        return tap in self.modules or (self._graph is not None and tap in self._graph.nodes)

    def by_kind(self, taps: Sequence[str]) -> tuple[list[str], list[str]]:
        """Split taps into module paths and node names."""
        modules = [tap for tap in taps if tap in self.modules]
        return modules, [tap for tap in taps if tap not in self.modules]

    def forward(self, x: Tensor, taps: Sequence[str], seen: Seen) -> None:
        """Run the model up to the deepest tap; ``seen`` gets each tap's first output at once."""
        if not taps:
            return
        modules, nodes = self.by_kind(taps)
        watch = _Watch(set(taps), seen)
        try:
            if nodes:
                self._interpret(x, taps, watch)
            else:
                self._call(x, modules, watch)
        except _Stop:
            pass

    def forward_from(self, start: str, value: Tensor, taps: Sequence[str], seen: Seen) -> None:
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
        watch = _Watch(set(taps), seen)
        try:
            for tap in tail.at_start:
                watch.note(tap, value)
            interpreter = _Interpreter(self.model, tail.graph, tail.names, watch)
            try:
                interpreter.run(value)
            finally:
                interpreter.env.clear()
        except _Stop:
            pass

    def tail(self, start: str, taps: Sequence[str]) -> "_Tail":
        """Return the part of the traced network between a tap and others.

        Raises
        ------
        DataError
            The network cannot be traced, or a tap needs more than the output of ``start``.
        """
        key = (start, *taps)
        if key not in self._tails:
            self._tails[key] = self._cut(start, taps)
        return self._tails[key]

    def _cut(self, start: str, taps: Sequence[str]) -> "_Tail":
        places = {tap: self._node(tap) for tap in (start, *taps)}
        first = places[start]
        needed: set[fx.Node] = set()
        for tap in taps:
            needed |= _between(first, places[tap], start, tap)
        graph = fx.Graph()
        copies = {first: graph.placeholder("stored")}
        for node in first.graph.nodes:
            if node in needed:
                copies[node] = graph.node_copy(node, copies.__getitem__)
        names: dict[fx.Node, list[str]] = {}
        for tap in taps:
            if places[tap] is not first:
                names.setdefault(copies[places[tap]], []).append(tap)
        return _Tail(graph, names, tuple(tap for tap in taps if places[tap] is first))

    def _node(self, tap: str) -> fx.Node:
        graph = self._graph
        node = None if graph is None else graph.containers.get(tap) or graph.nodes.get(tap)
        if node is None:
            raise DataError(
                f"the network's code cannot be traced at {tap!r}, so nothing can be derived from "
                "stored responses there; run it on the images"
            )
        return node

    def _call(self, x: Tensor, modules: Sequence[str], watch: "_Watch") -> None:
        with ExitStack() as stack:
            for path in modules:
                handle = self.modules[path].register_forward_hook(watch.hook(path))
                stack.callback(handle.remove)
            self.model(x)

    def _interpret(self, x: Tensor, taps: Sequence[str], watch: "_Watch") -> None:
        assert self._graph is not None  # noqa: S101 - node names come from it
        names: dict[fx.Node, list[str]] = {}
        hooked = []
        for tap in taps:
            node = self._graph.containers.get(tap) or self._graph.nodes.get(tap)
            if node is None:
                hooked.append(tap)  # a module inside one that tracing does not look into
            else:
                names.setdefault(node, []).append(tap)
        with ExitStack() as stack:
            for path in hooked:
                handle = self.modules[path].register_forward_hook(watch.hook(path))
                stack.callback(handle.remove)
            interpreter = _Interpreter(self.model, self._graph.graph, names, watch)
            stack.callback(interpreter.env.clear)
            interpreter.run(x)

    @cached_property
    def _graph(self) -> _Graph | None:
        """The traced network; None if its code cannot be traced."""
        tracer = _Tracer()
        try:
            graph = tracer.trace(self.model)
        except Exception:  # noqa: BLE001 - tracing runs any code on stand-ins for tensors
            return None
        nodes = {name: node for node, name in tracer.node_to_qualname.items()}
        return _Graph(graph, nodes, tracer.containers)


def _between(first: fx.Node, last: fx.Node, start: str, tap: str) -> set[fx.Node]:
    """Return the nodes after ``first`` that ``last`` needs, itself among them."""
    needed: set[fx.Node] = set()
    ahead = [last]
    while ahead:
        node = ahead.pop()
        if node is first or node in needed:
            continue
        if node.op == "placeholder":
            raise DataError(
                f"{tap!r} does not follow from {start!r} alone: the network reaches it from its "
                "input on another way, too; start at another layer, or run it on the images"
            )
        needed.add(node)
        ahead += node.all_input_nodes
    return needed


@dataclass
class _Watch:
    """Hands each awaited tap's first output on; leaves the forward pass after the last."""

    awaited: set[str]
    seen: Seen

    def note(self, tap: str, output: object) -> None:
        if tap not in self.awaited:
            return
        self.awaited.discard(tap)
        tensor = next((t for t in _flat(output) if isinstance(t, Tensor)), None)
        if tensor is not None:
            self.seen(tap, tensor)
        if not self.awaited:
            raise _Stop

    def hook(self, tap: str) -> Callable[[nn.Module, Any, Any], None]:
        def note(_module: nn.Module, _args: object, output: object) -> None:
            self.note(tap, output)

        return note


class _Interpreter(fx.Interpreter):
    """Runs the graph node by node, telling the watch of those that are taps."""

    def __init__(
        self,
        model: nn.Module,
        graph: fx.Graph,
        names: Mapping[fx.Node, list[str]],
        watch: _Watch,
    ) -> None:
        super().__init__(model, graph=graph)
        self.extra_traceback = False
        self._names = names
        self._watch = watch

    def run_node(self, n: fx.Node) -> Any:  # noqa: ANN401 - torch's signature
        """Run one node."""
        result = super().run_node(n)
        for tap in self._names.get(n, ()):
            self._watch.note(tap, result)
        return result


class _Tracer(NodePathTracer):  # type: ignore[misc] # torchvision has no types
    """torchvision's tracer, which also remembers which node is a container's output."""

    def __init__(self) -> None:
        ops = [vars(torchvision.ops)[name] for name in torchvision.ops.__all__]
        leaves = [op for op in ops if isinstance(op, type) and issubclass(op, nn.Module)]
        super().__init__(autowrap_modules=(math, torchvision.ops), leaf_modules=leaves)
        self.containers: dict[str, fx.Node] = {}

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:  # noqa: ANN401 - torch's signature
        """Trace a module's call and note what it returned."""
        result = super().call_module(m, forward, args, kwargs)
        proxy = next((p for p in _flat(result) if isinstance(p, fx.Proxy)), None)
        if proxy is not None and not self.is_leaf_module(m, self.path_of_module(m)):
            self.containers.setdefault(self.path_of_module(m), proxy.node)
        return result


def _flat(value: object) -> Iterator[object]:
    """Yield the items of nested tuples and lists."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _flat(item)
    else:
        yield value
