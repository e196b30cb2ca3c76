"""A network's modules as a tree, and its layers as a list, with the shape of what each gives."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from fstore.extractor.dry_runs import PREFIX
from fstore.extractor.networks import Network
from fstore.extractor.placing import place
from fstore.extractor.taps import every_layer, layer_specs
from fstore.extractor.wiring import Wiring
from fstore.types import LayerSpec

__all__ = ["Leaf", "layer_tree", "listed_layers"]


@dataclass(frozen=True)
class Leaf:
    """A row of the tree.

    Attributes
    ----------
    label : str
        The last word of a module's path; of a node or a part of an output what comes after the
        path of the module that it lies in.
    depth : int
        0 is the network itself.
    module : str
        Class; empty of what is no module.
    spec : LayerSpec or None
        None of what cannot be stored: it never runs, or its output is no response.
    layers : sequence of str
        The declared layers that are taken here, and those beside the network's own.
    """

    label: str
    depth: int
    module: str
    spec: LayerSpec | None = None
    layers: Sequence[str] = ()


def layer_tree(
    network: Network, *, everything: bool = False, depth: int | None = None
) -> list[Leaf]:
    """Return a network's modules in the order of its code, each under the one that it lies in.

    Parameters
    ----------
    network : Network
    everything : bool
        Also nodes of the traced graph and parts of outputs; else only those that are declared.
    depth : int or None
        Levels below the network that are listed; None for all.
    """
    tree = _Tree(network, everything=everything)
    return [leaf for leaf in tree.leaves() if depth is None or leaf.depth <= depth]


def listed_layers(
    network: Network, *, everything: bool = False
) -> list[tuple[LayerSpec, str | None, bool]]:
    """Return a network's layers: each with the class of its module, and whether it is declared.

    Parameters
    ----------
    network : Network
    everything : bool
        Also every other place that can be tapped; see :func:`fstore.extractor.taps.every_layer`.

    Returns
    -------
    list of (LayerSpec, str or None, bool)
        In the order in which they run, the declared ones first. The class is None of what is no
        module.
    """
    wiring = Wiring(network.model)
    specs = every_layer(network) if everything else layer_specs(network)
    taps = {spec.name: network.layers.get(spec.name, spec.name) for spec in specs}
    classes = {name: _class_of(wiring, tap) for name, tap in taps.items()}
    classes |= {n: type(extra.operation).__name__ for n, extra in network.beside.items()}
    return [(spec, classes[spec.name], spec.name in network.layers) for spec in specs]


def _class_of(wiring: Wiring, path: str) -> str | None:
    return type(wiring.modules[path]).__name__ if path in wiring.modules else None


class _Tree:
    """The places of a network by what they lie in, and what each gives."""

    def __init__(self, network: Network, *, everything: bool) -> None:
        self.network = network
        self.wiring = Wiring(network.model)
        self.layers: dict[str, list[str]] = {}
        for layer, tap in network.layers.items():
            self.layers.setdefault(tap, []).append(layer)
        taps = [*self.layers, *(extra.tap for extra in network.beside.values())]
        more = [spec.name for spec in every_layer(network)] if everything else []
        more = [n for n in more if n not in network.layers and n not in network.beside]
        names = list(dict.fromkeys([*self.wiring.modules, *taps, *more]))
        placed = place(_bare(network), self.wiring, names, refused={})
        self.specs = {p.spec.name: p.spec for p in placed}
        extra = [name for name in self.specs if name not in self.wiring.modules]
        self.inner: dict[str, list[str]] = {}
        for name in [*self.wiring.modules, *extra]:
            self.inner.setdefault(self._holder(name), []).append(name)

    def leaves(self) -> Iterator[Leaf]:
        """Yield the network, then what lies in it."""
        yield Leaf(self.network.name, 0, type(self.network.model).__name__)
        yield from self._below("", 1)

    def _holder(self, name: str) -> str:
        """Return the path of the innermost module that something lies in.

        Class tokens lie in the module that gives them beside its places.
        """
        if name.removesuffix(PREFIX) != name and name.removesuffix(PREFIX) in self.wiring.modules:
            return name.removesuffix(PREFIX)
        while name:
            name = name.rpartition(".")[0]
            if name in self.wiring.modules:
                break
        return name

    def _below(self, path: str, depth: int) -> Iterator[Leaf]:
        for name in self.inner.get(path, ()):
            label = name[len(path) :].removeprefix(".")
            kind = _class_of(self.wiring, name) or ""
            yield Leaf(label, depth, kind, self.specs.get(name), self.layers.get(name, ()))
            for layer, beside in self.network.beside.items():
                if beside.tap == name:
                    (spec,) = layer_specs(self.network, [layer])
                    yield Leaf(layer, depth + 1, type(beside.operation).__name__, spec, [layer])
            if name in self.wiring.modules:
                yield from self._below(name, depth + 1)


def _bare(network: Network) -> Network:
    """Return a network without names of its own: each name is a module path or a node."""
    layouts = {network.layers.get(name, name): layout for name, layout in network.layouts.items()}
    return replace(network, layers={}, beside={}, layouts=layouts)
