"""Runs of a network on no data: what its taps give, and what tells the meaning of dimensions."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from torch import Tensor, nn

from fstore.errors import DataError, FstoreError
from fstore.extractor.axes import AxisLog
from fstore.extractor.layouts import Evidence
from fstore.extractor.networks import Network
from fstore.extractor.outputs import Output
from fstore.extractor.probe import OperationLog, Recorder, run_on_meta
from fstore.extractor.strips import Axes
from fstore.extractor.wiring import Wiring

__all__ = ["PREFIX", "DryRuns", "Sighting", "Tap", "find_tap"]

PREFIX = "/cls"
"""Ends the name of a layer of class and register tokens."""


@dataclass(frozen=True)
class Tap:
    """Where a layer is taken.

    Attributes
    ----------
    name : str
        A module path or node name.
    part : str
        Of its output.
    prefix : bool
        Whether the tokens before those of the image's places are meant.
    """

    name: str
    part: str = ""
    prefix: bool = False


def find_tap(wiring: Wiring, name: str) -> Tap | None:
    """Return the tap that a layer's name means; None if there is none."""
    rest = name.removesuffix(PREFIX)
    tap = find_tap(wiring, rest) if rest != name else None  # blocks.0/cls is no part of blocks
    if tap is not None:
        return replace(tap, prefix=True)
    place = wiring.find(name)
    return None if place is None else Tap(*place)


@dataclass(frozen=True)
class Sighting:
    """What a run saw at a tap.

    Attributes
    ----------
    shape : tuple of int
        For one sample, after the layer's operation if it has one.
    operations : int
        How many ran up to it.
    definition : str
        Hash of these.
    whole : bool
        Whether the tap's output is this one tensor.
    """

    shape: tuple[int, ...]
    operations: int
    definition: str
    whole: bool


@dataclass(frozen=True)
class DryRuns:
    """Runs of a network on no data.

    Modules are always reached by hooks and nodes by the graph, whatever else is asked for, so
    that a tap's definition depends on the tap alone.

    Attributes
    ----------
    network : Network
    wiring : Wiring
        Of the network's model.
    """

    network: Network
    wiring: Wiring

    def outputs(self, taps: Mapping[str, Tap]) -> dict[str, Output]:
        """Return the whole outputs of taps, by tap."""
        outputs: dict[str, Output] = {}

        def note(name: str, output: Output) -> None:
            outputs[taps[name].name] = output

        self._run(taps, note)
        return outputs

    def sightings(
        self, taps: Mapping[str, Tap], operation: nn.Module | None = None
    ) -> dict[str, Sighting]:
        """Return what taps give for one sample; ``operation`` is done on their outputs first.

        Returned by layer; those are left out whose tap never runs or has no such part.
        """
        sightings: dict[str, Sighting] = {}
        log = OperationLog(self.network.code)

        def note(name: str, output: Output) -> None:
            tensor = output.pick(taps[name].part)
            if tensor is not None:
                tensor = tensor if operation is None else operation(tensor)
                whole = list(output.parts) == [""]
                shape = tuple(tensor.shape)
                sightings[name] = Sighting(shape, log.count, log.digest(tensor), whole=whole)

        self._run(taps, note, mode=log)
        return sightings

    def evidence(
        self, taps: Mapping[str, Tap], sightings: Mapping[str, Sighting]
    ) -> dict[str, Evidence]:
        """Return what tells the meaning of the dimensions of layers that one run has seen."""
        axes, two = self._of_two_samples(taps)
        maps = {name: tap for name, tap in taps.items() if len(sightings[name].shape) in {3, 4}}
        larger = self._larger(maps)
        return {
            name: Evidence(
                sightings[name].shape,
                axes=axes.get(name, ()),
                larger=larger.get(name, ()),
                two=two.get(name, ()),
                prefix=tap.prefix,
            )
            for name, tap in taps.items()
        }

    def _of_two_samples(
        self, taps: Mapping[str, Tap]
    ) -> tuple[dict[str, Axes], dict[str, tuple[int, ...]]]:
        """Return what the operations say of dimensions, and the shapes for two samples.

        There are no such shapes where the network takes one sample at a time.
        """
        log = AxisLog()
        axes: dict[str, Axes] = {}
        shapes: dict[str, tuple[int, ...]] = {}

        def note(name: str, output: Output) -> None:
            tensor = output.pick(taps[name].part)
            if tensor is not None:
                axes[name], shapes[name] = log.of(tensor), tuple(tensor.shape)

        try:
            self._run(taps, note, mode=log, samples=2)
        except DataError:
            axes.clear()
            self._run(taps, note, mode=log)
            shapes.clear()
        return axes, shapes

    def _larger(self, taps: Mapping[str, Tap]) -> dict[str, tuple[int, ...]]:
        """Return the outputs' shapes at twice the input size, as far as the network takes it."""
        shapes: dict[str, tuple[int, ...]] = {}

        def note(name: str, output: Output) -> None:
            tensor = output.pick(taps[name].part)
            if tensor is not None:
                shapes[name] = tuple(tensor.shape)

        with suppress(DataError):  # a network may refuse another size
            self._run(taps, note, size=2 * self.network.preprocess.size, compute=False)
        return shapes

    def _run(
        self,
        taps: Mapping[str, Tap],
        note: Callable[[str, Output], None],
        *,
        mode: Recorder | None = None,
        size: int | None = None,
        samples: int = 1,
        compute: bool = True,
    ) -> None:
        """Run samples on no data, modules and nodes apart; ``note`` gets each layer's output."""
        model, size = self.network.model, size or self.network.preprocess.size
        layers: dict[str, list[str]] = {}
        for name, tap in taps.items():
            layers.setdefault(tap.name, []).append(name)

        def seen(tap: str, output: Output) -> None:
            for name in layers[tap]:
                note(name, output)

        for group in filter(None, self.wiring.by_kind(list(layers))):

            def call(x: Tensor, group: Sequence[str] = group) -> None:
                self.wiring.forward(x, group, seen)

            with self._failures_told(size):
                run_on_meta(model, size, call=call, mode=mode, compute=compute, samples=samples)

    @contextmanager
    def _failures_told(self, size: int) -> Iterator[None]:
        """Say which network failed, at which input size."""
        try:
            yield
        except FstoreError:
            raise
        except Exception as exc:
            raise DataError(
                f"network {self.network.name!r} fails on one image of {size}x{size} pixels: {exc}"
            ) from exc
