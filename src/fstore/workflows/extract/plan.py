"""What an extraction has to do: names looked up, identities checked, samples that are missing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore import commands
from fstore.engines import RayOptions
from fstore.errors import IdentityError, UnknownNameError
from fstore.types import CheckpointRecord, LayerSpec, Precision
from fstore.workflows.extract.memory import Room, kept_bytes, round_number

if TYPE_CHECKING:
    from fstore.extractor.networks import Network
    from fstore.store import Store
    from fstore.store.catalog import DatasetInfo
    from fstore.store.files import Identity, Partition

__all__ = ["Chosen", "ExtractionOptions", "LayerWork", "Meant", "Planner", "Start"]

SHARD_BYTES = 3 << 27  # 384 MiB of raw float32 over the network's declared layers
DEFAULT_VIEWS = ("image", "gt")  # proposals only when named: there are thousands an image


@dataclass(frozen=True, kw_only=True)
class ExtractionOptions:
    """How to extract; only ``precision``, ``compute`` and ``rectify`` change what is stored.

    Attributes
    ----------
    precision : {"tf32", "float32", "bfloat16", "bit"}
        What stored values are rounded to; ``bit``: 1 where a response is above 0, else 0, which
        only questions about binarized responses can use.
    compute : {"float32", "tf32", "bfloat16", "float16"}
        Arithmetic of the forward pass; all but float32 and bfloat16 need a GPU.
    rectify : bool
        Store max(x, 0) of every response, as a ReLU behind the layer would give it; NaN stays.
    device : str
        ``auto``, ``cpu``, ``cuda`` (all GPUs) or ``cuda:0,1``.
    batch_size : int or None
        Samples a forward pass; None: 32 on the CPU, 256 on a GPU, less for networks whose
        declared layers are large.
    workers : int or None
        Decoding threads; None: one a core, at most 16.
    encoders : int or None
        Threads that encode what is stored; None: half of the cores.
    max_bad : int
        More unreadable images than this end the run.
    shard_bytes : int
        Raw float32 bytes of a shard over the declared layers: what a killed run loses.
    memory : int or None
        Bytes that responses and inputs may take, of each worker of a cluster: shards and batches
        become smaller where they must. None: they have their usual sizes.
    ray : RayOptions or None
        The cluster whose workers compute the shards; None: this process does.
    """

    precision: Precision = "tf32"
    compute: str = "float32"
    rectify: bool = False
    device: str = "auto"
    batch_size: int | None = None
    workers: int | None = None
    encoders: int | None = None
    max_bad: int = 100
    shard_bytes: int = SHARD_BYTES
    memory: int | None = None
    ray: RayOptions | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """What an extraction was asked for; see :func:`fstore.workflows.extract.run.extract`."""

    layers: Sequence[str]
    ckpts: Sequence[str]
    datasets: Sequence[str] = ()
    views: Sequence[str] = ()
    network: str | None = None
    part: str | None = None
    from_stored: str | None = None


@dataclass(frozen=True)
class Meant:
    """Layers of a network.

    Attributes
    ----------
    declared, specs : tuple of LayerSpec
        Those that the network declares, and those that were asked for.
    words : mapping
        Of the latter, the word that meant each: a name, a pattern, a class, ``all``.
    """

    declared: tuple[LayerSpec, ...]
    specs: tuple[LayerSpec, ...]
    words: Mapping[str, str]


@dataclass(frozen=True)
class Start:
    """Stored responses that an extraction goes on from, in place of images."""

    layer: str
    partition: "Partition"
    fingerprint: str
    values: int


@dataclass(frozen=True)
class LayerWork:
    """One checkpoint on one view of a data set.

    Attributes
    ----------
    wanted : array of int64
        Samples that some layer lacks, ascending.
    missing : mapping of Partition to int
        How many samples each layer lacks.
    values : int
        Of one sample over the network's declared layers; shards and batches are cut by it.
    room : Room
        How much of it is in memory.
    start : Start or None
        Where the forward pass begins; None at the images.
    """

    record: CheckpointRecord
    dataset: "DatasetInfo"
    view: str
    specs: Sequence[LayerSpec]
    identities: "Mapping[Partition, Identity]"
    wanted: NDArray[np.int64]
    missing: "Mapping[Partition, int]"
    values: int
    shard_bytes: int
    room: Room
    start: Start | None = None

    @property
    def title(self) -> str:
        """Checkpoint and view, for people."""
        return f"{self.record.network}/{self.record.name} {self.dataset.name}.{self.view}"

    @property
    def shard_samples(self) -> int:
        """Samples of a shard: a round number, by the network's layers and the options."""
        return self.room.samples(round_number(self.shard_bytes // (4 * self.values)))

    def shards(self) -> Iterator[NDArray[np.int64]]:
        """Yield the wanted samples by shard; boundaries do not depend on which are missing."""
        _, starts = np.unique(self.wanted // self.shard_samples, return_index=True)
        yield from np.split(self.wanted, starts[1:])


class Planner:
    """Turns names into jobs; keeps the network of the last checkpoint that was asked for."""

    def __init__(self, store: "Store", chosen: Chosen, options: ExtractionOptions) -> None:
        self.store = store
        self.chosen = chosen
        self.options = options
        self.present = 0
        self.notes: list[str] = []
        self._meant: dict[tuple[str, str], Meant] = {}
        self._loaded: tuple[CheckpointRecord, Network] | None = None

    def jobs(self, *, register: bool = True) -> list[LayerWork]:
        """Check every name and identity, and find what is missing, before the first image is read.

        Parameters
        ----------
        register : bool
            Record the shapes of the layers in the store.
        """
        chosen, store = self.chosen, self.store
        records = [store.find_checkpoint(name, chosen.network) for name in chosen.ckpts]
        names = dict.fromkeys(chosen.datasets)
        datasets = [store.dataset(name) for name in names] or store.datasets()
        if not datasets:
            add = commands.dataset_add(store.place, "NAME", format="FORMAT")
            raise UnknownNameError(f"no data set is registered; add one with: {add}")
        strange = [v for v in chosen.views if not any(v in d.views for d in datasets)]
        if strange and not chosen.datasets:
            known_views = ", ".join(dict.fromkeys(v for d in datasets for v in d.views))
            raise UnknownNameError(
                f"no chosen data set has a view '{strange[0]}'; there are: {known_views}"
            )
        jobs = [
            self._job(record, dataset, view, register=register)
            for record in {(r.network, r.name): r for r in records}.values()
            for dataset in datasets
            for view in _views(store, dataset, chosen.views, named=bool(chosen.datasets))
        ]
        if not jobs:
            views = ", ".join(DEFAULT_VIEWS)
            raise UnknownNameError(f"no chosen data set has a view among {views}")
        return jobs

    def network(self, record: CheckpointRecord) -> "Network":
        """Return a checkpoint's network; one is kept at a time, for they are large."""
        from fstore.workflows.checkpoints import load_network

        if self._loaded is None or self._loaded[0] is not record:
            self._loaded = None  # frees the last one before the next is read
            self._loaded = record, load_network(self.store, record)
        return self._loaded[1]

    def meant(self, record: CheckpointRecord) -> Meant:
        """Return the layers of a checkpoint's network that were asked for; notes are kept."""
        from fstore.extractor.choosing import choose_layers
        from fstore.extractor.taps import layer_specs

        key = (record.network, record.name)
        if key not in self._meant:
            network = self.network(record)
            choice = choose_layers(network, self.chosen.layers)
            self.notes += choice.notes
            specs = layer_specs(network, list(choice.layers))
            declared = specs
            if set(choice.layers) != set(network.layers):
                declared = layer_specs(network)
            self._meant[key] = Meant(declared, specs, choice.layers)
        return self._meant[key]

    def _job(
        self, record: CheckpointRecord, dataset: "DatasetInfo", view: str, *, register: bool
    ) -> LayerWork:
        from fstore.extractor.images import refuse_upright_boxes
        from fstore.store.derived import refuse_derived
        from fstore.store.sink import missing_samples

        asked = [*self.chosen.layers, *filter(None, [self.chosen.from_stored])]
        refuse_derived(self.store.place, record.network, asked)
        meant = self.meant(record)
        if view != "image":
            refuse_upright_boxes(self.network(record).preprocess)
        declared, specs = meant.declared, meant.specs
        if register:
            new = (spec for spec in specs if spec not in declared)
            self.store.add_layers(record.network, [*declared, *new])
        start = self._start(record, dataset, view)
        identities = self._identities(record, dataset, view, specs=specs, start=start)
        wanted = self._wanted(dataset, view)
        missing = missing_samples(self.store.place, wanted, identities)
        self._check_signs(record, specs)
        todo = np.unique(np.concatenate(list(missing.values())))
        self.present += len(wanted) - len(todo)
        return LayerWork(
            record=record,
            dataset=dataset,
            view=view,
            specs=specs,
            identities=identities,
            wanted=todo if start is None else self._readable(start, todo),
            missing={partition: len(ids) for partition, ids in missing.items()},
            values=sum(spec.values for spec in declared or specs),
            shard_bytes=self.options.shard_bytes,
            room=self._room(record, specs, start),
            start=start,
        )

    def _room(
        self, record: CheckpointRecord, specs: Sequence[LayerSpec], start: Start | None
    ) -> Room:
        """Return what one sample takes, if batches fit; stored responses are read by the shard."""
        if start is not None:
            inputs = 4 * start.values
            kept = kept_bytes(specs) + 2 * inputs
        else:
            inputs = 4 * 3 * self.network(record).preprocess.size ** 2
            kept = kept_bytes(specs)
        room = Room(memory=self.options.memory, kept=kept, inputs=inputs)
        room.check_batch(self.options.batch_size)
        return room

    def _check_signs(self, record: CheckpointRecord, specs: Sequence[LayerSpec]) -> None:
        """Refuse to rectify a layer for one data set or view and not for another."""
        from fstore.store.files import drop_command

        stored = {
            file.partition.layer: file
            for file in self.store.files(network=record.network, ckpt=record.name)
            if not file.is_foreign
        }
        for file in (stored[spec.name] for spec in specs if spec.name in stored):
            if file.is_rectified != self.options.rectify:
                state = "rectified" if file.is_rectified else "with its negative responses"
                way = "give --rectify" if file.is_rectified else "leave --rectify out"
                raise IdentityError(
                    f"{file.partition} is stored {state}, and analyses join a layer's data sets "
                    f"and views; {way}, or make room with: {drop_command(file)}"
                )

    def _wanted(self, dataset: "DatasetInfo", view: str) -> NDArray[np.int64]:
        """Return the samples that are asked for, stored or not, ascending."""
        from fstore.store.parts import part_samples

        if self.chosen.part is None:
            return np.arange(dataset.counts[view], dtype=np.int64)
        return part_samples(self.store, dataset.name, view=view, part=self.chosen.part)

    def _identities(
        self,
        record: CheckpointRecord,
        dataset: "DatasetInfo",
        view: str,
        *,
        specs: Sequence[LayerSpec],
        start: Start | None,
    ) -> "dict[Partition, Identity]":
        from fstore.store.files import RECTIFIED, Identity, Partition

        common = {
            "weights": record.sha256,
            "preprocessing": self.network(record).preprocess.hash,
            "samples": dataset.views[view],
            "stored precision": self.options.precision,
            "compute precision": self.options.compute,
        }
        if self.options.rectify:
            common |= RECTIFIED
        if start is not None:
            common["derived from"] = f"{start.layer} {start.fingerprint}"
        return {
            Partition(record.network, record.name, dataset.name, view, spec.name): Identity(
                {**common, "definition": spec.definition}
            )
            for spec in specs
        }

    # Going on from stored responses

    def _start(self, record: CheckpointRecord, dataset: "DatasetInfo", view: str) -> Start | None:
        """Find the stored layer to go on from; it must come of the same weights and samples."""
        from fstore.extractor.taps import Taps, layer_specs
        from fstore.store.features import refuse_bits
        from fstore.store.files import Partition
        from fstore.store.remedies import extract_command

        layer = self.chosen.from_stored
        if layer is None:
            return None
        network = self.network(record)
        layers = list(self.meant(record).words)
        Taps(network, layers, start=layer)  # says what cannot be derived
        (spec,) = layer_specs(network, [layer])
        partition = Partition(record.network, record.name, dataset.name, view, layer)
        files = self.store.files(**partition.values)
        if not files:
            raise UnknownNameError(
                f"nothing to go on from: {partition} is not stored; make it with: "
                + extract_command(self.store.place, partition)
            )
        refuse_bits(files)
        parts = files[0].identity.parts
        if files[0].is_rectified:
            raise IdentityError(
                f"{partition} is stored without its negative responses, so nothing can be derived "
                "from it; run the network on the images, or start at another layer"
            )
        expected = self._identities(record, dataset, view, specs=[spec], start=None)[
            partition
        ].parts
        for part in ("weights", "definition", "preprocessing", "samples"):
            if parts[part] != expected[part]:
                raise IdentityError(f"{partition} is stored with other {part}; extract it anew")
        return Start(layer, partition, files[0].fingerprint, spec.values)

    def _readable(self, start: Start, todo: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the samples without those that could not be read when the start was extracted."""
        from fstore.queries.samples.labels import readable

        return readable(self.store, start.partition, todo) if len(todo) else todo


def _views(
    store: "Store", dataset: "DatasetInfo", views: Sequence[str], *, named: bool
) -> list[str]:
    """Return the views to extract; a view that was named must be there if its data set was."""
    from fstore.store.remedies import no_view

    if not views:
        return [v for v in DEFAULT_VIEWS if v in dataset.views]
    absent = [v for v in views if v not in dataset.views]
    if absent and named:
        raise UnknownNameError(no_view(store, dataset, absent[0]))
    return [v for v in dict.fromkeys(views) if v in dataset.views]
