"""Layer taps: which layers a network has, and copies-in-time of what they output.

A layer's name is, in this order: a declared name (caffenet's ``conv1`` is the response after
pooling and normalisation, not the module of that name); an operation that the network names beside
its own (squeezenet-v1.0's ``pool9``); a module path (``features.3``, ``layer1.0``), which means the
output of the module's first call; a node name of the network's traced graph
(``layer1.0.add``, ``layer1.0.relu_1``: the second call of ``layer1.0.relu``). Where an output has
several tensors, ``NAME.PART`` is one of them (``attention.1``, ``encoder.last_hidden_state``), and
``NAME`` alone is refused; but of torch's own attention and recurrent modules it is the first.
:mod:`fstore.extractor.wiring` finds a tap, :mod:`fstore.extractor.layouts` says where its
channels are. The output is handed out at the moment it exists, before anything downstream can
overwrite it in place.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from fstore.errors import DataError, FstoreError, UnknownNameError
from fstore.extractor.axes import AxisLog
from fstore.extractor.layouts import (
    Evidence,
    Layout,
    arrange,
    definition_of,
    find_layout,
    not_a_response,
)
from fstore.extractor.networks import Beside, Network, StatedLayout
from fstore.extractor.outputs import Output
from fstore.extractor.probe import OperationLog, Recorder, run_on_meta
from fstore.extractor.wiring import Wiring
from fstore.types import LayerSpec

__all__ = ["Placed", "Taps", "every_layer", "is_layer", "layer_specs"]

UNDECLARED = 1000
"""Added to the number of operations below an undeclared tap, to give its ``order``."""


@dataclass(frozen=True)
class _Tap:
    """Where a layer is taken: a module path or node name, and a part of its output."""

    tap: str
    part: str = ""


@dataclass(frozen=True)
class _Found:
    """What a probe saw at a tap; ``whole`` where the output is this one tensor."""

    shape: tuple[int, ...]
    operations: int
    definition: str
    whole: bool


@dataclass(frozen=True)
class Placed:
    """A layer, where it is tapped, and how the tap's output is read.

    Attributes
    ----------
    spec : LayerSpec
    tap, part : str
        Module path or node name, and the part of its output.
    layout : Layout
    shape : tuple of int
        Of the tap's output for one sample, after the operation.
    whole : bool
        Whether the tap's output is this tensor and nothing beside it.
    operation : torch.nn.Module or None
        Of a layer beside the network's own.
    """

    spec: LayerSpec
    tap: str
    part: str
    layout: Layout
    shape: tuple[int, ...]
    whole: bool
    operation: nn.Module | None = None

    def read(self, output: Output) -> Tensor:
        """Return the layer's response from the tap's output."""
        tensor = output.pick(self.part)
        if tensor is None:
            raise DataError(f"layer {self.spec.name!r} gave no tensor this time")
        if tensor.is_complex() or tensor.is_quantized or tensor.layout != torch.strided:
            kind = "quantized" if tensor.is_quantized else f"{tensor.dtype}, {tensor.layout}"
            raise DataError(
                f"layer {self.spec.name!r} gives numbers that are not stored as they are ({kind}); "
                "expected a dense tensor of real numbers: name a layer after their conversion"
            )
        return arrange(tensor if self.operation is None else self.operation(tensor), self.layout)


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
    placed : tuple of Placed
        Where each of them is.
    from_images : bool
        Whether runs begin at images, not at the responses of ``start``.
    wiring : Wiring
    """

    def __init__(
        self, network: Network, layers: Sequence[str] | None = None, *, start: str | None = None
    ) -> None:
        self.wiring = Wiring(network.model)
        self.placed = tuple(_place(network, self.wiring, layers))
        placed = self.placed
        self._start = None if start is None else _start(network, self.wiring, start, placed)
        self.from_images = start is None
        self.specs = tuple(p.spec for p in placed)
        self._at: dict[str, list[Placed]] = {}
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

        def seen(tap: str, output: Output) -> None:
            for placed in self._at[tap]:
                visit(placed.spec.name, placed.read(output))

        with torch.inference_mode():
            if self._start is None:
                self.wiring.forward(x, list(self._at), seen)
            else:
                value = x.reshape(len(x), *self._start.shape[1:])
                self.wiring.forward_from(self._start.tap, value, list(self._at), seen)

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

    Module paths that run, then node names of the traced graph where the network can be traced; of
    outputs with several tensors each part. Outputs that are no responses (shapes, attention
    windows), and those of which fstore cannot tell where their channels are, are left out.
    """
    wiring = Wiring(network.model)
    declared = set(network.layers.values())
    taps = {name: _Tap(name) for name in [*wiring.modules, *wiring.nodes]}
    for name, output in _outputs(network, wiring, taps).items():
        if output.pick("") is None:
            taps |= {f"{name}.{part}": _Tap(name, part) for part in output.parts}
    taps = {n: t for n, t in taps.items() if wiring.find(n) == (t.tap, t.part)}
    found = _probe(network, wiring, taps)
    evidence = _evidence(network, wiring, {n: taps[n] for n in found}, found)
    usable = [
        name
        for name, seen in evidence.items()
        if name not in declared | network.layers.keys() | network.beside.keys()
        and not not_a_response(seen)
        and find_layout(seen, network.layouts.get(name))
    ]
    names = [*network.layers, *network.beside, *usable]
    return tuple(p.spec for p in _place(network, wiring, names))


def is_layer(network: Network, name: str) -> bool:
    """Tell whether a network has a layer of that name, so far as that is known without a run."""
    known = name in network.layers or name in network.beside
    return known or Wiring(network.model).find(name) is not None


def _place(network: Network, wiring: Wiring, layers: Sequence[str] | None) -> list[Placed]:
    """Find the layers in the network; in the order in which they run."""
    wanted = list(network.layers) if layers is None else list(dict.fromkeys(layers))
    beside = {n: network.beside[n] for n in wanted if n in network.beside.keys() - network.layers}
    names = {n: network.layers.get(n, n) for n in [*network.layers, *wanted]}
    names |= {name: extra.tap for name, extra in beside.items()}
    taps = _taps(network, wiring, names)
    found = _find(network, wiring, taps, beside)
    declared = sorted(network.layers, key=lambda name: found[name].operations)
    orders = {name: place for place, name in enumerate(declared)}
    own = {name: taps[name] for name in wanted if name not in beside}
    evidence = _evidence(network, wiring, own, found)
    placed = []
    for name in wanted:
        seen, extra = found[name], beside.get(name)
        order = orders.get(name, UNDECLARED + seen.operations)
        known = evidence[name] if extra is None else Evidence(seen.shape, BESIDE)
        stated = network.layouts.get(name, network.layouts.get(names[name]))
        layout = _layout(network, name, known, stated)
        spec = _spec(name, known, layout, order, definition_of(seen.definition, layout, known))
        operation = None if extra is None else extra.operation
        placed.append(
            Placed(spec, taps[name].tap, taps[name].part, layout, seen.shape, seen.whole, operation)
        )
    return sorted(placed, key=lambda p: (p.spec.order, p.spec.name))


def _start(network: Network, wiring: Wiring, layer: str, wanted: Sequence[Placed]) -> Placed:
    """Find the layer that a run goes on from, and check that the wanted ones follow from it."""
    (start,) = _place(network, wiring, [layer])
    arranged = start.layout not in {"first", "vector", "sequence"}
    if start.operation is not None or arranged or not start.whole:
        raise DataError(f"nothing can be derived from layer {layer!r}: its place was rearranged")
    if any((p.tap, p.part) == (start.tap, start.part) and p.operation is None for p in wanted):
        raise DataError(f"layer {layer!r} is stored already; name only layers that come after it")
    wiring.tail(start.tap, list(dict.fromkeys(p.tap for p in wanted)))
    return start


def _taps(network: Network, wiring: Wiring, names: Mapping[str, str]) -> dict[str, _Tap]:
    """Look the layers' taps up in the network."""
    found = {}
    for layer, name in names.items():
        at = wiring.find(name)
        if at is None:
            raise UnknownNameError(
                f"no layer {layer!r} in network {network.name!r}; "
                f"it has: {', '.join([*network.layers, *network.beside])}"
            )
        found[layer] = _Tap(*at)
    for name in network.layouts:
        if name not in network.layers and wiring.find(name) is None:
            raise UnknownNameError(
                f"network {network.name!r} states a layout of {name!r}, which is no layer of it"
            )
    return found


def _find(
    network: Network, wiring: Wiring, taps: Mapping[str, _Tap], beside: Mapping[str, Beside]
) -> dict[str, _Found]:
    """Probe the layers; each beside the network's own in a run of its own, behind its tap."""
    found = _probe(network, wiring, {n: t for n, t in taps.items() if n not in beside})
    for name, extra in beside.items():
        found |= _probe(network, wiring, {name: taps[name]}, extra.operation)
    for name, at in taps.items():
        if name not in found:
            raise _not_found(network, wiring, name, at)
    return found


def _not_found(network: Network, wiring: Wiring, name: str, at: _Tap) -> FstoreError:
    """Say why a tap that is there gave nothing to take."""
    output = _outputs(network, wiring, {name: _Tap(at.tap)}).get(at.tap)
    has = f"it has: {', '.join([*network.layers, *network.beside])}"
    if output is None or not output.parts:
        return UnknownNameError(
            f"layer {name!r} of network {network.name!r} never runs, or gives no tensor; {has}"
        )
    if list(output.parts) == [""]:
        return UnknownNameError(
            f"no layer {name!r} in network {network.name!r}: {at.tap!r} is there, but returns one "
            f"tensor without parts; {has}"
        )
    ways = ", ".join(f"{at.tap}.{part}" for part in output.parts)
    if at.part:
        return UnknownNameError(
            f"no layer {name!r} in network {network.name!r}: of {at.tap!r} there are: {ways}"
        )
    return DataError(
        f"layer {name!r} returns {len(output.parts)} tensors; say which is meant: {ways} "
        "(as --layer, or as the tap in the network's layers)"
    )


def _layout(network: Network, name: str, evidence: Evidence, stated: StatedLayout | None) -> Layout:
    if problem := not_a_response(evidence):
        raise DataError(f"layer {name!r} {problem}")
    layout = find_layout(evidence, stated)
    if layout is None:
        ways = "channels_first or channels_last"
        ways = ways if len(evidence.shape) == 4 else "channels_first or tokens"
        raise DataError(
            f"layer {name!r} gives {evidence.shape} for one sample, and neither the network's "
            "operations nor a run at another input size tell which of these are the channels; "
            f"state it where {network.name!r} is made: "
            f"Network(..., layouts={{{name!r}: ...}}) with {ways}"
        )
    return layout


def _spec(name: str, evidence: Evidence, layout: Layout, order: int, definition: str) -> LayerSpec:
    shape = tuple(arrange(torch.empty(evidence.shape, device="meta"), layout).shape)
    channels, height, width = (*shape[1:], 1, 1)[:3]
    kind: Literal["conv", "fc"] = "fc" if layout == "vector" else "conv"
    return LayerSpec(name, channels, height, width, kind, order, definition)


# Probing

BESIDE = ("sample", "channel", "place", "place")
"""What the dimensions of layers beside the network's own mean; networks promise it."""


def _probe(
    network: Network,
    wiring: Wiring,
    taps: Mapping[str, _Tap],
    operation: nn.Module | None = None,
) -> dict[str, _Found]:
    """Run one sample on no data; ``operation`` is done on the taps' outputs first.

    Modules are always reached by hooks and nodes by the graph, whatever else is asked for, so
    that a tap's definition depends on the tap alone. Returned by layer; those are left out whose
    tap never runs or has no such part.
    """
    found: dict[str, _Found] = {}
    log = OperationLog()

    def note(name: str, output: Output) -> None:
        tensor = output.pick(taps[name].part)
        if tensor is not None:
            tensor = tensor if operation is None else operation(tensor)
            whole = list(output.parts) == [""]
            found[name] = _Found(tuple(tensor.shape), log.count, log.digest(tensor), whole)

    _run(network, wiring, taps, note, mode=log)
    return found


def _outputs(network: Network, wiring: Wiring, taps: Mapping[str, _Tap]) -> dict[str, Output]:
    """Return the whole outputs of taps, on no data, by tap."""
    found: dict[str, Output] = {}

    def note(name: str, output: Output) -> None:
        found[taps[name].tap] = output

    _run(network, wiring, taps, note)
    return found


def _evidence(
    network: Network, wiring: Wiring, taps: Mapping[str, _Tap], found: Mapping[str, _Found]
) -> dict[str, Evidence]:
    """Find out what tells of the dimensions of layers' outputs, each of which one run has seen."""
    log = AxisLog()
    two: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] = {}
    larger: dict[str, tuple[int, ...]] = {}

    def see_axes(name: str, output: Output) -> None:
        tensor = output.pick(taps[name].part)
        if tensor is not None:
            two[name] = tuple(tensor.shape), log.of(tensor)

    def see_size(name: str, output: Output) -> None:
        tensor = output.pick(taps[name].part)
        if tensor is not None:
            larger[name] = tuple(tensor.shape)

    samples = 2
    try:
        _run(network, wiring, taps, see_axes, mode=log, samples=2)
    except DataError:  # one sample at a time, then
        samples = 1
        two.clear()
        _run(network, wiring, taps, see_axes, mode=log)
    maps = {name: at for name, at in taps.items() if len(found[name].shape) in {3, 4}}
    size = 2 * network.preprocess.size
    with suppress(DataError):  # a network may refuse another size
        _run(network, wiring, maps, see_size, size=size, compute=False)
    return {
        name: Evidence(
            found[name].shape,
            axes=two[name][1] if name in two else (),
            larger=larger.get(name, ()),
            two=two[name][0] if samples == 2 and name in two else (),
        )
        for name in taps
    }


def _run(
    network: Network,
    wiring: Wiring,
    taps: Mapping[str, _Tap],
    note: Callable[[str, Output], None],
    *,
    mode: Recorder | None = None,
    size: int | None = None,
    samples: int = 1,
    compute: bool = True,
) -> None:
    """Run samples on no data, modules and nodes apart; ``note`` gets each layer's output."""
    size = size or network.preprocess.size
    layers: dict[str, list[str]] = {}
    for name, at in taps.items():
        layers.setdefault(at.tap, []).append(name)

    def seen(tap: str, output: Output) -> None:
        for name in layers[tap]:
            note(name, output)

    for group in filter(None, wiring.by_kind(list(layers))):

        def call(x: Tensor, group: Sequence[str] = group) -> None:
            wiring.forward(x, group, seen)

        try:
            run_on_meta(network.model, size, call=call, mode=mode, compute=compute, samples=samples)
        except FstoreError:
            raise
        except Exception as exc:
            raise DataError(
                f"network {network.name!r} fails on one image of {size}x{size} pixels: {exc}"
            ) from exc
