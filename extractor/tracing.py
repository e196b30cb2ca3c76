"""Tracing a network's code: apart, as it imports torchvision, which takes a second."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torchvision
from torch import fx, nn
from torchvision.models.feature_extraction import NodePathTracer

from fstore.extractor.graph import Graph, Moment
from fstore.extractor.outputs import items

__all__ = ["trace"]


def trace(model: nn.Module) -> Graph | None:
    """Trace a network; None if its code cannot be traced."""
    tracer = _Tracer()
    try:
        with torch.random.fork_rng(devices=[]):  # code without the input runs while it is traced
            graph = tracer.trace(model)
    except Exception:  # noqa: BLE001 - tracing runs any code on stand-ins for tensors
        return None
    modules = {path for path, _ in model.named_modules()}
    calls: dict[str, Moment] = {}
    for node in graph.nodes:
        if node.op == "call_module":
            calls.setdefault(str(node.target), Moment(node, {"": node}))
    named = _named(tracer.node_to_qualname, modules)
    nodes = {name: Moment(node, {"": node}) for name, node in named.items()}
    return Graph(graph, nodes, tracer.returns, calls)


def _named(qualnames: Mapping[fx.Node, str], modules: set[str]) -> dict[str, fx.Node]:
    """Name the nodes as torchvision does, but for what it would confuse with a module.

    torchvision drops a trailing ``_N`` from every name and counts anew, so that the module
    ``conv_1`` becomes ``conv`` and ``conv_2`` becomes ``conv_1``. Here a module path is never a
    node's name, and a module whose own name ends in ``_N`` keeps it: its further calls are
    ``conv_1_1``, ``conv_1_2``.
    """
    named: dict[str, fx.Node] = {}
    calls: dict[str, int] = {}
    further: dict[str, fx.Node] = {}
    for node, name in qualnames.items():
        target = str(node.target)
        if node.op != "call_module" or not re.search(r"_[0-9]+$", target):
            if name not in modules:
                named[name] = node
            continue
        calls[target] = calls.get(target, 0) + 1
        if calls[target] > 1:
            further[f"{target}_{calls[target] - 1}"] = node
    return named | {n: f for n, f in further.items() if n not in named and n not in modules}


class _Tracer(NodePathTracer):  # type: ignore[misc] # torchvision has no types
    """torchvision's tracer, which also remembers when each module that it looks into returns."""

    def __init__(self) -> None:
        ops: Iterable[object] = [vars(torchvision.ops)[n] for n in torchvision.ops.__all__]
        leaves = [op for op in ops if isinstance(op, type) and issubclass(op, nn.Module)]
        super().__init__(autowrap_modules=(math, torchvision.ops), leaf_modules=leaves)
        self.returns: dict[str, Moment] = {}

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:  # noqa: ANN401 - torch's signature
        """Trace a module's call, and note what it returned when."""
        path = self.path_of_module(m)
        result = super().call_module(m, forward, args, kwargs)
        if not self.is_leaf_module(m, path) and path not in self.returns:
            parts: dict[str, object] = {
                place: part.node if isinstance(part, fx.Proxy) else part
                for place, part in items(result)
            }
            self.returns[path] = Moment(next(iter(reversed(self.graph.nodes))), parts)
        return result
