"""Layer taps: which layers a network has, and copies-in-time of what they output.

A layer's name is, in this order: a declared name (caffenet's ``conv1`` is the response after
pooling and normalisation, not the module of that name); an operation that the network names beside
its own (squeezenet-v1.0's ``pool9``); a module path (``features.3``, ``layer1.0``), which means the
output of the module's first call; a node name of the network's traced graph
(``layer1.0.add``, ``layer1.0.relu_1``: the second call of ``layer1.0.relu``). Where an output has
several tensors, ``NAME.PART`` is one of them (``attention.1``, ``encoder.last_hidden_state``), and
``NAME`` alone is refused; but of torch's own attention and recurrent modules it is the first.
:mod:`fstore.extractor.wiring` finds a tap, :mod:`fstore.extractor.placing` what runs up to it and
how its output is read. The output is handed out at the moment it exists, before anything
downstream can overwrite it in place.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from fstore.extractor.dry_runs import PREFIX, DryRuns, Tap, find_tap
from fstore.extractor.layouts import Evidence, find_layout, not_a_response
from fstore.extractor.networks import Network
from fstore.extractor.outputs import Output
from fstore.extractor.placing import Placed, place, place_start
from fstore.extractor.wiring import Wiring
from fstore.types import LayerSpec

__all__ = ["Taps", "every_layer", "is_layer", "layer_specs"]


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
        self.placed = placed = tuple(place(network, self.wiring, layers))
        self._start: Placed | None = None
        if start is not None:
            self._start = place_start(network, self.wiring, layer=start, wanted=placed)
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
                self.wiring.forward_from(self._start.tap, value, taps=list(self._at), seen=seen)

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
    return tuple(p.spec for p in place(network, Wiring(network.model), layers))


def every_layer(network: Network) -> tuple[LayerSpec, ...]:
    """Specs of the declared layers and of every other tap that a network offers.

    Module paths that run, then node names of the traced graph where the network can be traced; of
    outputs with several tensors each part. Outputs that are no responses (shapes, attention
    windows), and those of which fstore cannot tell where their channels are, are left out.
    """
    wiring = Wiring(network.model)
    runs = DryRuns(network, wiring)
    taps = _every_tap(runs)
    sightings = runs.sightings(taps)
    evidence = runs.evidence({name: taps[name] for name in sightings}, sightings)
    usable = [
        layer
        for name, told in evidence.items()
        if name not in network.beside
        for layer in _layers_of(network, name, told)
    ]
    layers = dict.fromkeys([*network.layers, *network.beside, *usable])
    named = set(network.layers.values()) - set(network.layers)
    return tuple(p.spec for p in place(network, wiring, [n for n in layers if n not in named]))


def _layers_of(network: Network, name: str, evidence: Evidence) -> list[str]:
    """Return the names of the layers that a tap gives: itself, its tokens that are no places."""
    if not_a_response(evidence):
        return []
    declared = {tap: layer for layer, tap in network.layers.items()}
    layer = declared.get(name, name)
    stated = network.layouts.get(layer, network.layouts.get(name))
    layout = find_layout(evidence, stated, tokens=network.tokens)
    if layout is None:
        return []
    has_prefix = layout.tokens is not None and layout.tokens.prefix > 0
    return [layer, *[layer + PREFIX] * has_prefix]


def _every_tap(runs: DryRuns) -> dict[str, Tap]:
    """Return the taps of all modules, nodes and parts of outputs, by the name that finds them."""
    wiring = runs.wiring
    taps = {name: Tap(name) for name in [*wiring.modules, *wiring.nodes]}
    for name, output in runs.outputs(taps).items():
        if output.pick("") is None:
            taps |= {f"{name}.{part}": Tap(name, part) for part in output.parts}
    return {n: tap for n, tap in taps.items() if wiring.find(n) == (tap.name, tap.part)}


def is_layer(network: Network, name: str) -> bool:
    """Tell whether a network has a layer of that name, so far as that is known without a run."""
    is_named = name in network.layers or name in network.beside
    is_named = is_named or name.removesuffix(PREFIX) in network.layers
    return is_named or find_tap(Wiring(network.model), name) is not None
