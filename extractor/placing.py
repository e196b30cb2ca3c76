"""Where a network's layers are: the tap of each, what runs up to it, how its output is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from fstore.errors import DataError, FstoreError, UnknownNameError
from fstore.extractor.dry_runs import PREFIX, DryRuns, Sighting, Tap, find_tap
from fstore.extractor.layouts import (
    Evidence,
    Layout,
    arrange,
    channel_of,
    definition_of,
    find_layout,
    likely_tokens,
    not_a_response,
)
from fstore.extractor.networks import Beside, Network, StatedLayout, Tokens
from fstore.extractor.outputs import Output
from fstore.extractor.wiring import Wiring
from fstore.types import LayerSpec

__all__ = ["Placed", "place", "place_start"]

UNDECLARED = 1000
"""Added to the number of operations below an undeclared tap, to give its ``order``."""

BESIDE = ("sample", "channel", "place", "place")
"""What the dimensions of layers beside the network's own mean; networks promise it."""


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


def place(network: Network, wiring: Wiring, layers: Sequence[str] | None = None) -> list[Placed]:
    """Find layers in a network; in the order in which they run.

    Parameters
    ----------
    network : Network
    wiring : Wiring
        Of its model.
    layers : sequence of str or None
        Declared layers, module paths or node names; None for the declared layers.

    Raises
    ------
    UnknownNameError
        The network has no such layer.
    DataError
        A layer's output is not one response a sample and channel, or the forward pass fails.
    """
    wanted = list(network.layers) if layers is None else list(dict.fromkeys(layers))
    beside = {n: network.beside[n] for n in wanted if n in network.beside.keys() - network.layers}
    names = {n: _tap_name(network, n) for n in [*network.layers, *wanted]}
    names |= {name: extra.tap for name, extra in beside.items()}
    taps = _taps(network, wiring, names)
    runs = DryRuns(network, wiring)
    sightings = _sightings(runs, taps, beside)
    evidence = runs.evidence({n: taps[n] for n in wanted if n not in beside}, sightings)
    evidence |= {name: Evidence(sightings[name].shape, BESIDE) for name in beside}
    orders = _orders(network, sightings)
    placed = []
    for name in wanted:
        sighting, tap, extra = sightings[name], taps[name], beside.get(name)
        stated = _stated(network, name, names[name])
        layout = _layout(network, name, evidence=evidence[name], stated=stated)
        definition = definition_of(sighting.definition, layout, evidence[name])
        spec = _spec(name, evidence[name], layout=layout, order=orders[name], definition=definition)
        placed.append(
            Placed(
                spec,
                tap.name,
                tap.part,
                layout=layout,
                shape=sighting.shape,
                whole=sighting.whole,
                operation=None if extra is None else extra.operation,
            )
        )
    return sorted(placed, key=lambda p: (p.spec.order, p.spec.name))


def place_start(
    network: Network, wiring: Wiring, *, layer: str, wanted: Sequence[Placed]
) -> Placed:
    """Find the layer that a run goes on from, and check that the wanted ones follow from it.

    Raises
    ------
    UnknownNameError
        The network has no such layer.
    DataError
        A wanted layer does not follow from its response alone.
    """
    (start,) = place(network, wiring, [layer])
    arranged = not start.layout.is_as_it_stands
    if start.operation is not None or arranged or not start.whole:
        raise DataError(f"nothing can be derived from layer {layer!r}: its place was rearranged")
    if any((p.tap, p.part) == (start.tap, start.part) and p.operation is None for p in wanted):
        raise DataError(f"layer {layer!r} is stored already; name only layers that come after it")
    wiring.tail(start.tap, list(dict.fromkeys(p.tap for p in wanted)))
    return start


def _taps(network: Network, wiring: Wiring, names: Mapping[str, str]) -> dict[str, Tap]:
    """Look the layers' taps up in the network."""
    taps = {}
    for layer, name in names.items():
        tap = find_tap(wiring, name)
        if tap is None:
            raise UnknownNameError(
                f"no layer {layer!r} in network {network.name!r}; it has: {_offered(network)}"
            )
        taps[layer] = tap
    for name in network.layouts:
        if name not in network.layers and find_tap(wiring, name) is None:
            raise UnknownNameError(
                f"network {network.name!r} states a layout of {name!r}, which is no layer of it"
            )
    return taps


def _tap_name(network: Network, layer: str) -> str:
    """Return what a layer's name stands for: of a declared layer, the name of its tap."""
    base = layer.removesuffix(PREFIX)
    if layer in network.layers or base == layer:
        return network.layers.get(layer, layer)
    return network.layers.get(base, base) + PREFIX


def _stated(network: Network, layer: str, tap: str) -> StatedLayout | Tokens | None:
    """Return what a network states of a layer, by its name or its tap, with or without prefix."""
    names = [layer, tap, layer.removesuffix(PREFIX), tap.removesuffix(PREFIX)]
    return next((network.layouts[n] for n in names if n in network.layouts), None)


def _offered(network: Network) -> str:
    return ", ".join([*network.layers, *network.beside])


def _sightings(
    runs: DryRuns, taps: Mapping[str, Tap], beside: Mapping[str, Beside]
) -> dict[str, Sighting]:
    """Run up to the layers; to each beside the network's own in a run of its own."""
    sightings = runs.sightings({n: t for n, t in taps.items() if n not in beside})
    for name, extra in beside.items():
        sightings |= runs.sightings({name: taps[name]}, extra.operation)
    for name, tap in taps.items():
        if name not in sightings:
            raise _unseen(runs, name, tap)
    return sightings


def _unseen(runs: DryRuns, name: str, tap: Tap) -> FstoreError:
    """Say why a tap that the network has gave nothing to take."""
    network = runs.network
    output = runs.outputs({name: Tap(tap.name)}).get(tap.name)
    has = f"it has: {_offered(network)}"
    if output is None or not output.parts:
        return UnknownNameError(
            f"layer {name!r} of network {network.name!r} never runs, or gives no tensor; {has}"
        )
    if list(output.parts) == [""]:
        return UnknownNameError(
            f"no layer {name!r} in network {network.name!r}: {tap.name!r} is there, but returns "
            f"one tensor without parts; {has}"
        )
    ways = ", ".join(f"{tap.name}.{part}" for part in output.parts)
    if tap.part:
        return UnknownNameError(
            f"no layer {name!r} in network {network.name!r}: of {tap.name!r} there are: {ways}"
        )
    return DataError(
        f"layer {name!r} returns {len(output.parts)} tensors; say which is meant: {ways} "
        "(as --layer, or as the tap in the network's layers)"
    )


def _orders(network: Network, sightings: Mapping[str, Sighting]) -> dict[str, int]:
    """Return each layer's place among the declared ones, and behind them those of the others."""
    orders = {name: UNDECLARED + seen.operations for name, seen in sightings.items()}
    declared = sorted(network.layers, key=lambda name: sightings[name].operations)
    return orders | {name: position for position, name in enumerate(declared)}


def _layout(
    network: Network,
    name: str,
    *,
    evidence: Evidence,
    stated: StatedLayout | Tokens | None,
) -> Layout:
    if problem := not_a_response(evidence):
        raise DataError(f"layer {name!r} {problem}")
    layout = find_layout(evidence, stated, tokens=network.tokens)
    if layout is None:
        raise DataError(_unknown(network, name, evidence))
    if evidence.prefix and (layout.tokens is None or not layout.tokens.prefix):
        raise DataError(
            f"layer {name!r} is not there: {name.removesuffix(PREFIX)!r} has no class or register "
            f"tokens before those of the image (it gives {evidence.shape} for one sample)"
        )
    return layout


def _unknown(network: Network, name: str, evidence: Evidence) -> str:
    """Say what of an output is not known, and how to state it."""
    gives = f"layer {name!r} gives {evidence.shape} for one sample, and"
    at = f"state it where {network.name!r} is made: Network(..., "
    base = name.removesuffix(PREFIX)
    if channel_of(evidence) == 0 or len(evidence.shape) == 4:
        ways = "channels_first or channels_last"
        ways = ways if len(evidence.shape) == 4 else "channels_first, tokens or Tokens(...)"
        return (
            f"{gives} neither the network's operations nor a run at another input size tell which "
            f"of these are the channels; {at}layouts={{{base!r}: ...}}) with {ways}"
        )
    tokens = likely_tokens(evidence, network.tokens) or Tokens(prefix=1, height=14, width=14)
    return (
        f"{gives} the network's operations do not tell which places of the image its tokens are; "
        f"{at}tokens={tokens}) if these are class tokens first, then the image row by row, or "
        f"layouts={{{base!r}: {tokens}}} for this layer alone; layouts={{{base!r}: 'tokens'}} "
        "stores tokens that are no grid"
    )


def _spec(
    name: str, evidence: Evidence, *, layout: Layout, order: int, definition: str
) -> LayerSpec:
    response = arrange(torch.empty(evidence.shape, device="meta"), layout)
    channels, height, width = (*response.shape[1:], 1, 1)[:3]
    kind: Literal["conv", "fc"] = "fc" if response.dim() == 2 else "conv"
    return LayerSpec(name, channels, height, width, kind, order, definition)
