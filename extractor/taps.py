"""Layer taps: which layers a network has, and copies-in-time of what they output.

A tap is a module path (``features.3``, ``layer1.0``) or a node name of the network's traced graph
as torchvision's feature extraction names them (``layer1.0.add``, ``layer1.0.relu_1``). A module
that runs several times means its first run; the later ones have node names. A declared name comes
first: caffenet's ``conv1`` is the response after pooling and normalisation, not the module of that
name. Next come the operations that the network names beside its own (squeezenet-v1.0's ``pool9``).
The output is handed out at the moment it exists, before anything downstream can overwrite it
in place.

What one sample's response is, by the dimensions of the output:

- ``(N, C)``, ``(N, C, 1, 1)``: one number a channel, kind ``fc``, handed out as ``(N, C)``;
- ``(N, C, H, W)``: maps, kind ``conv``;
- ``(N, H, W, C)``: maps of networks that keep their channels last (Swin, the inside of ConvNeXt),
  handed out as ``(N, C, H, W)``. They are told by a second run at twice the input size: the two
  places that grow are height and width. Where a network takes no other size, and for layers after
  one that does not, channels are taken to come first;
- ``(N, T, D)``: tokens of a transformer: channels are D, the T tokens are the places of a map
  T x 1, handed out as ``(N, D, T, 1)``;
- of a tuple or list, the first tensor counts (attention gives output and weights).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from fstore.errors import DataError, UnknownNameError
from fstore.extractor.networks._api import Beside, Network
from fstore.extractor.probe import OperationLog, run_on_meta
from fstore.extractor.wiring import Wiring
from fstore.types import LayerSpec

__all__ = ["Taps", "every_layer", "layer_specs"]

UNDECLARED = 1000
"""Added to the number of operations below an undeclared tap, to give its ``order``."""

Layout = Literal["vector", "first", "last", "tokens"]


@dataclass(frozen=True)
class _Found:
    """What a probe saw at a tap."""

    shape: tuple[int, ...]
    operations: int
    definition: str


@dataclass(frozen=True)
class _Placed:
    """A layer, where it is tapped, and how the tap's output is read."""

    spec: LayerSpec
    tap: str
    layout: Layout
    shape: tuple[int, ...]  # of the layer's output for one sample
    operation: nn.Module | None = None  # of a layer beside the network's own

    def read(self, output: Tensor) -> Tensor:
        """Return the layer's response from the tap's output."""
        return _arrange(output if self.operation is None else self.operation(output), self.layout)


class Taps:
    """Taps of a network, placed once and used for every batch.

    Parameters
    ----------
    network : Network
        Its model is used as it stands: device, weights and evaluation mode are the caller's. One
        forward pass at a time: threads need a copy of the model each.
    layers : sequence of str or None
        Declared layers, module paths or node names; None for the declared layers.
    start : str or None
        Layer whose stored responses are given in place of images: only what comes after it runs.

    Raises
    ------
    UnknownNameError
        The network has no such layer.
    DataError
        A layer's output is not one response a sample and channel, or does not follow from that of
        ``start`` alone.

    Attributes
    ----------
    specs : tuple of LayerSpec
        One a layer, in the order in which they run.
    """

    def __init__(
        self, network: Network, layers: Sequence[str] | None = None, *, start: str | None = None
    ) -> None:
        self._wiring = Wiring(network.model)
        placed = _place(network, self._wiring, layers)
        self._start = None if start is None else _start(network, self._wiring, start, placed)
        self.specs = tuple(p.spec for p in placed)
        self._at: dict[str, list[_Placed]] = {}
        for p in placed:
            self._at.setdefault(p.tap, []).append(p)

    def run(self, x: Tensor, visit: Callable[[str, Tensor], None]) -> None:
        """Run the forward pass up to the deepest tap, calling ``visit`` at each.

        Parameters
        ----------
        x : Tensor of shape (N, 3, S, S), float32
            On the model's device. With a ``start`` its responses, of shape (N, C, H * W).
        visit : function of (layer, Tensor)
            Called when the layer's output exists, with shape (N, C, H, W) or (N, C). The tensor
            may be a strided view and may be overwritten as soon as ``visit`` returns: copy what
            you keep.
        """

        def seen(tap: str, output: Tensor) -> None:
            for placed in self._at[tap]:
                visit(placed.spec.name, placed.read(output))

        with torch.inference_mode():
            if self._start is None:
                self._wiring.forward(x, list(self._at), seen)
            else:
                value = x.reshape(len(x), *self._start.shape[1:])
                self._wiring.forward_from(self._start.tap, value, list(self._at), seen)

    def collect(self, x: Tensor) -> dict[str, Tensor]:
        """Return contiguous copies of the layers' responses to a batch."""
        kept: dict[str, Tensor] = {}

        def keep(layer: str, output: Tensor) -> None:
            kept[layer] = output.clone(memory_format=torch.contiguous_format)

        self.run(x, keep)
        return kept


def layer_specs(network: Network, layers: Sequence[str] | None = None) -> tuple[LayerSpec, ...]:
    """Shapes, order and definitions of a network's layers, in the order in which they run.

    Parameters
    ----------
    network : Network
        The values of its weights play no part.
    layers : sequence of str or None
        Declared layers, module paths or node names; None for the declared layers.

    Returns
    -------
    tuple of LayerSpec
        ``order`` counts from 0 over the declared layers; of an undeclared tap it is 1000 plus the
        number of operations that run up to it, so it comes after the declared ones and depends on
        the network only. ``definition`` is the sha256 of the operations that the network's code
        calls from the input up to the tap, with their arguments and shapes, for one sample; the
        values of the weights and what comes after the tap do not enter.

    Raises
    ------
    UnknownNameError
        The network has no such layer.
    DataError
        A layer's output is not one response a sample and channel, or the forward pass fails.
    """
    return tuple(p.spec for p in _place(network, Wiring(network.model), layers))


def every_layer(network: Network) -> tuple[LayerSpec, ...]:
    """Specs of the declared layers and of every other tap that a network offers.

    Module paths that run, then node names of the traced graph where the network can be traced.
    Outputs that are no responses (shapes, attention windows) are left out.
    """
    wiring = Wiring(network.model)
    declared = set(network.layers.values())
    found = _probe(network, wiring, [*wiring.modules, *wiring.nodes])
    usable = [n for n, f in found.items() if n not in declared and _layout(f.shape) is not None]
    names = [*network.layers, *network.beside, *usable]
    return tuple(p.spec for p in _place(network, wiring, names))


def _place(network: Network, wiring: Wiring, layers: Sequence[str] | None) -> list[_Placed]:
    """Find the layers in the network; in the order in which they run."""
    wanted = list(network.layers) if layers is None else list(dict.fromkeys(layers))
    beside = {n: network.beside[n] for n in wanted if n in network.beside.keys() - network.layers}
    taps = {n: network.layers.get(n, n) for n in [*network.layers, *wanted]}
    taps |= {name: extra.tap for name, extra in beside.items()}
    _check_names(network, wiring, taps)
    found = _find(network, wiring, taps, beside)
    declared = sorted(network.layers, key=lambda name: found[name].operations)
    orders = {name: place for place, name in enumerate(declared)}
    own = {taps[n]: found[n].shape for n in wanted if n not in beside}
    last = _channels_last(network, wiring, own)
    placed = []
    for name in wanted:
        seen, extra = found[name], beside.get(name)
        layout = _layout(seen.shape, channels_last=extra is None and taps[name] in last)
        order = orders.get(name, UNDECLARED + seen.operations)
        operation = None if extra is None else extra.operation
        placed.append(_placed(name, taps[name], seen, order, layout, operation=operation))
    return sorted(placed, key=lambda p: (p.spec.order, p.spec.name))


def _start(network: Network, wiring: Wiring, layer: str, wanted: Sequence[_Placed]) -> _Placed:
    """Find the layer that a run goes on from, and check that the wanted ones follow from it."""
    (start,) = _place(network, wiring, [layer])
    if start.operation is not None or start.layout not in {"first", "vector"}:
        raise DataError(f"nothing can be derived from layer {layer!r}: its place was rearranged")
    if any(p.tap == start.tap and p.operation is None for p in wanted):
        raise DataError(f"layer {layer!r} is stored already; name only layers that come after it")
    wiring.tail(start.tap, list(dict.fromkeys(p.tap for p in wanted)))
    return start


def _find(
    network: Network, wiring: Wiring, taps: Mapping[str, str], beside: Mapping[str, Beside]
) -> dict[str, _Found]:
    """Probe the layers; each beside the network's own in a run of its own, behind its tap."""
    own = [tap for name, tap in taps.items() if name not in beside]
    probed = _probe(network, wiring, list(dict.fromkeys(own)))
    found = {name: probed.get(tap) for name, tap in taps.items() if name not in beside}
    for name, extra in beside.items():
        found[name] = _probe(network, wiring, [extra.tap], extra.operation).get(extra.tap)
    for name, seen in found.items():
        if seen is None:
            raise UnknownNameError(
                f"layer {name!r} of network {network.name!r} never runs, or gives no tensor; "
                f"it has: {', '.join(network.layers)}"
            )
    return {name: seen for name, seen in found.items() if seen is not None}


def _placed(
    name: str,
    tap: str,
    seen: _Found,
    order: int,
    layout: Layout | None,
    *,
    operation: nn.Module | None,
) -> _Placed:
    if layout is None:
        raise DataError(
            f"layer {name!r} gives {seen.shape} for one sample; expected (1, channels), "
            "(1, channels, height, width) or (1, tokens, channels)"
        )
    shape = tuple(_arrange(torch.empty(seen.shape, device="meta"), layout).shape)
    channels, height, width = (*shape[1:], 1, 1)[:3]
    kind: Literal["conv", "fc"] = "fc" if layout == "vector" else "conv"
    spec = LayerSpec(name, channels, height, width, kind, order, seen.definition)
    return _Placed(spec, tap, layout, seen.shape, operation)


def _check_names(network: Network, wiring: Wiring, taps: Mapping[str, str]) -> None:
    for layer, tap in taps.items():
        if not wiring.has(tap):
            raise UnknownNameError(
                f"no layer {layer!r} in network {network.name!r}; "
                f"it has: {', '.join([*network.layers, *network.beside])}"
            )


def _layout(shape: tuple[int, ...], *, channels_last: bool = False) -> Layout | None:
    """Say how one sample's output of that shape is read; None if it is no response."""
    if len(shape) not in {2, 3, 4} or shape[0] != 1:
        return None
    if len(shape) == 2 or shape[2:] == (1, 1):
        return "vector"
    if len(shape) == 3:
        return "tokens"
    return "last" if channels_last else "first"


def _arrange(output: Tensor, layout: Layout) -> Tensor:
    if layout == "vector":
        return output.flatten(start_dim=1)  # (N, C, 1, 1) -> (N, C)
    if layout == "tokens":
        return output.transpose(1, 2).unsqueeze(-1)  # (N, T, D) -> (N, D, T, 1)
    return output.permute(0, 3, 1, 2) if layout == "last" else output


def _probe(
    network: Network, wiring: Wiring, taps: Sequence[str], operation: nn.Module | None = None
) -> dict[str, _Found]:
    """Run one sample on no data; ``operation`` is done on the taps' outputs first.

    Modules are always reached by hooks and nodes by the graph, whatever else is asked for, so
    that a tap's definition depends on the tap alone.
    """
    found: dict[str, _Found] = {}
    log = OperationLog()

    def note(tap: str, output: Tensor) -> None:
        output = output if operation is None else operation(output)
        found[tap] = _Found(tuple(output.shape), log.count, log.digest(output))

    size = network.preprocess.size
    for group in filter(None, wiring.by_kind(taps)):

        def call(x: Tensor, group: Sequence[str] = group) -> None:
            wiring.forward(x, group, note)

        try:
            run_on_meta(network.model, size, call=call, mode=log)
        except (RuntimeError, ValueError, TypeError, AssertionError) as exc:
            raise DataError(
                f"network {network.name!r} fails on one image of {size}x{size} pixels: {exc}"
            ) from exc
    return found


def _channels_last(
    network: Network, wiring: Wiring, shapes: Mapping[str, tuple[int, ...]]
) -> set[str]:
    """Return the taps whose last dimension, not the second, stays when the input grows."""
    larger: dict[str, tuple[int, ...]] = {}

    def note(tap: str, output: Tensor) -> None:
        larger[tap] = tuple(output.shape)

    maps = [tap for tap, shape in shapes.items() if len(shape) == 4 and shape[2:] != (1, 1)]
    try:
        run_on_meta(
            network.model,
            2 * network.preprocess.size,
            call=lambda x: wiring.forward(x, maps, note),
            compute=False,
        )
    except Exception:  # noqa: BLE001 - a network may refuse another size in any way
        maps = list(larger)
    grown = {tap: (larger[tap], shapes[tap]) for tap in maps if len(larger[tap]) == 4}
    return {t for t, (b, a) in grown.items() if b[3] == a[3] and b[1] > a[1] and b[2] > a[2]}
