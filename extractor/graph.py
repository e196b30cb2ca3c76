"""A network's traced graph: its nodes by name, and when each of its modules first returns."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn

from fstore.errors import DataError

__all__ = ["Graph", "Moment", "Tail", "cut", "run_graph"]


@dataclass(frozen=True)
class Moment:
    """When an output exists, and where it is.

    Attributes
    ----------
    after : fx.Node
        The last node that runs before: what works in place later is not in the output.
    parts : mapping of place to Node or value
        As in :class:`fstore.extractor.outputs.Output`; a node stands for what it gives.
    """

    after: fx.Node
    parts: Mapping[str, object]

    @property
    def nodes(self) -> list[fx.Node]:
        """The nodes that the output is made of."""
        return [part for part in self.parts.values() if isinstance(part, fx.Node)]


@dataclass(frozen=True)
class Graph:
    """A traced network.

    Attributes
    ----------
    graph : fx.Graph
    nodes : mapping of node name to Moment
        Names that are no module path.
    returns : mapping of module path to Moment
        Of modules that tracing looks into; where their first call ends.
    calls : mapping of module path to Moment
        Of modules that are one node; their first call.
    """

    graph: fx.Graph
    nodes: Mapping[str, Moment]
    returns: Mapping[str, Moment]
    calls: Mapping[str, Moment]

    def find(self, tap: str) -> Moment | None:
        """Return the moment of a module path's first output, or of a node."""
        return self.returns.get(tap) or self.calls.get(tap) or self.nodes.get(tap)


@dataclass(frozen=True)
class Tail:
    """A part of a traced network whose only input is a tap's output.

    ``moments`` are those of the taps in it; ``at_start`` are the taps that are its input.
    """

    graph: fx.Graph
    moments: Mapping[str, Moment]
    at_start: tuple[str, ...]


def run_graph(
    model: nn.Module,
    graph: fx.Graph,
    x: Tensor,
    *,
    moments: Mapping[str, Moment],
    note: Callable[[str, object], None],
) -> object:
    """Run a graph node by node; ``note`` gets each tap's output at its moment.

    Returns
    -------
    object
        What the network returns; None of a graph without an end.
    """
    interpreter = _Interpreter(model, graph, moments=moments, note=note)
    try:
        return interpreter.run(x)
    finally:
        interpreter.env.clear()


def cut(model: nn.Module, graph: Graph, *, start: str, taps: Sequence[str]) -> Tail:
    """Return the part of a graph from a tap's output to other taps.

    What runs after the output exists and follows from it alone is in the part, whether its result
    is used or not: it may work in place.

    Raises
    ------
    DataError
        A tap needs more than that output, or a tap is not in the graph.
    """
    places = {tap: _moment(graph, tap) for tap in (start, *taps)}
    first, moment = _start_of(places[start], start)
    order = {node: at for at, node in enumerate(graph.graph.nodes)}
    end = max(order[places[tap].after] for tap in taps)
    following = _following(model, graph.graph, first, begin=order[moment], end=end)
    for tap in taps:
        early = order[places[tap].after] < order[moment]
        if early or any(node not in following for node in places[tap].nodes):
            raise DataError(
                f"{tap!r} does not follow from {start!r} alone: the network reaches it from its "
                "input on another way, too; start at another layer, or run it on the images"
            )
    part = fx.Graph()
    copies = {first: part.placeholder("stored")}
    for node in following:
        if node is not first:
            copies[node] = part.node_copy(node, copies.__getitem__)
    moments = {tap: _copied(places[tap], copies, order) for tap in taps}
    begin = copies[first]
    at_start = [t for t, m in moments.items() if m.after is begin and m.parts == {"": begin}]
    return Tail(part, {t: m for t, m in moments.items() if t not in at_start}, tuple(at_start))


def _moment(graph: Graph, tap: str) -> Moment:
    moment = graph.find(tap)
    if moment is None:
        raise DataError(
            f"the network's code cannot be traced at {tap!r}, so nothing can be derived from "
            "stored responses there; run it on the images"
        )
    return moment


def _start_of(place: Moment, start: str) -> tuple[fx.Node, fx.Node]:
    """Return the node whose value is stored, and the one after which it was taken."""
    node = place.parts.get("")
    if not isinstance(node, fx.Node):
        raise DataError(
            f"nothing can be derived from {start!r}: it returns more than one tensor; "
            "start at another layer, or run the network on the images"
        )
    return node, place.after


def _following(
    model: nn.Module, graph: fx.Graph, first: fx.Node, *, begin: int, end: int
) -> dict[fx.Node, None]:
    """Return, in order, ``first`` and what can be computed from it after place ``begin``."""
    following: dict[fx.Node, None] = {first: None}
    derived = {first}
    for at, node in enumerate(graph.nodes):
        if at > end or node.op in {"placeholder", "output"} or node is first:
            continue
        inputs = node.all_input_nodes
        uses = [n for n in inputs if n in derived]
        if all(n in following for n in inputs) and (at > begin or not uses):
            following[node] = None
            if uses:
                derived.add(node)
        elif uses and at > begin and _may_write(node, model):
            raise DataError(
                f"{node.name!r} writes into what follows from the stored responses, and needs more "
                "than them; start at another layer, or run the network on the images"
            )
    return following


def _may_write(node: fx.Node, model: nn.Module) -> bool:
    """Tell whether a node may change its input in place."""
    if node.kwargs.get("inplace") or "out" in node.kwargs:
        return True
    if node.op == "call_module":
        modules = model.get_submodule(str(node.target)).modules()
        return any(getattr(module, "inplace", False) for module in modules)
    name = getattr(node.target, "__name__", str(node.target))
    named_in_place = name.endswith("_") and not name.endswith("__")
    return (
        named_in_place or node.target in _WRITING or name in {"__setitem__", "__iadd__", "__imul__"}
    )


_WRITING = {operator.setitem, operator.iadd, operator.isub, operator.imul, operator.itruediv}


def _copied(
    place: Moment, copies: Mapping[fx.Node, fx.Node], order: Mapping[fx.Node, int]
) -> Moment:
    """Return a moment in a copied graph: after the last copied node that ran before it."""
    before = [node for node in copies if order[node] <= order[place.after]]
    after = copies[max(before, key=order.__getitem__)]
    parts = {k: copies[v] if isinstance(v, fx.Node) else v for k, v in place.parts.items()}
    return Moment(after, parts)


class _Interpreter(fx.Interpreter):
    """Runs the graph node by node, and tells of the outputs that are taps."""

    def __init__(
        self,
        model: nn.Module,
        graph: fx.Graph,
        *,
        moments: Mapping[str, Moment],
        note: Callable[[str, object], None],
    ) -> None:
        super().__init__(model, graph=graph)
        self.extra_traceback = False
        self._note = note
        self._due: dict[fx.Node, list[str]] = {}
        for tap, moment in moments.items():
            self._due.setdefault(moment.after, []).append(tap)
        self._moments = moments
        self._held: dict[fx.Node, list[str]] = {}  # which taps still need a node's value
        for tap, moment in moments.items():
            for node in moment.nodes:
                self._held.setdefault(node, []).append(tap)
        self._values: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:  # noqa: ANN401 - torch's signature
        """Run one node."""
        result = super().run_node(n)
        if n in self._held:
            self._values[n] = result
        for tap in self._due.get(n, ()):
            self._tell(tap)
        return result

    def _tell(self, tap: str) -> None:
        moment = self._moments[tap]
        output = {
            place: self._values[part] if isinstance(part, fx.Node) else part
            for place, part in moment.parts.items()
        }
        for node in moment.nodes:
            self._held[node].remove(tap)
            if not self._held[node]:
                self._values.pop(node, None)
        self._note(tap, output[""] if list(output) == [""] else output)
