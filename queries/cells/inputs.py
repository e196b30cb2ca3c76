"""What the store has of what reports read: versions of partitions and samples, and what lacks."""

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from fstore.errors import UnknownNameError
from fstore.queries.cells.needs import Need, Own, Reading, Weights
from fstore.queries.cells.own_inputs import OwnInputs
from fstore.store.parts import Samples

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fstore.store import Store
    from fstore.store.files import Partition, StoredFile

__all__ = ["NO_PROPOSALS", "NO_RESPONSES", "Inputs", "Lack", "partition_of"]

NO_PROPOSALS = "no proposals"
"""What a cell lacks if the images that it reads were not searched."""

NO_RESPONSES = "no activations"
"""What a cell lacks if its statement reads activations, and none are there that it asks for."""

Lack: TypeAlias = tuple[Reading | Weights | Own, str]
"""What a cell reads and the store does not have, and what exactly is not there."""


@dataclass
class Inputs:
    """What the store has of what reports read; each thing is looked up once."""

    store: "Store"
    _files: dict[tuple[str, str], "dict[Partition, list[StoredFile]]"] = field(default_factory=dict)
    _samples: dict[Samples, "NDArray[np.int64]"] = field(default_factory=dict)
    _lacks: dict[Reading, str] = field(default_factory=dict)
    _versions: dict[Samples, str] = field(default_factory=dict)
    _unreadable: dict[tuple[str, str], set[int]] | None = None
    _checkpoints: dict[Weights, str] | None = None

    @classmethod
    def now(cls, store: "Store") -> "Inputs":
        """Return the inputs that a store has at this moment."""
        from fstore.store.snapshot import FrozenStore

        return cls(FrozenStore(store.place))

    @cached_property
    def own(self) -> OwnInputs:
        """What the store has of what reports of the study's own read."""
        return OwnInputs(self.store)

    def lacks(self, need: Need) -> list[Lack]:
        """Return what a cell reads and the store lacks."""
        for reading in need.readings:
            if reading not in self._lacks:
                self._lacks[reading] = self.lack(reading)
        if need.own is not None:
            return [] if self.own.has_responses(need) else [(need.own, NO_RESPONSES)]
        lacks: list[Lack] = [(reading, self._lacks[reading]) for reading in need.readings]
        lacks += [(w, "" if self._sha256(w) else "no checkpoint") for w in need.weights]
        return [(what, lack) for what, lack in lacks if lack]

    def described(self, need: Need) -> dict[str, object]:
        """Return what a cell depends on: versions of partitions and samples, and parameters."""
        if need.own is not None:
            return self.own.described(need)
        from fstore.store.versions import partition_version

        partitions = {str(partition_of(r)): partition_version(self.files(r)) for r in need.readings}
        samples = {
            " ".join((s.dataset, s.view, s.split, str(s.seed), s.part)): self._version(s)
            for s in dict.fromkeys(r.samples for r in need.readings)
        }
        described = {
            "partitions": partitions,
            "samples": samples,
            "parameters": dict(need.parameters),
        }
        if need.labels:
            views = dict.fromkeys((r.samples.dataset, r.samples.view) for r in need.readings)
            described["labels"] = {
                f"{name}.{view}": self._labels(name, view) for name, view in views
            }
        weights = {f"{w.network}/{w.ckpt}": self._sha256(w) for w in need.weights}
        return described | ({"weights": weights} if weights else {})

    def files(self, reading: Reading) -> "list[StoredFile]":
        """Return the committed files of the partition that a reading is from."""
        key = (reading.network, reading.ckpt)
        if key not in self._files:
            by_partition: dict[Partition, list[StoredFile]] = defaultdict(list)
            for file in self.store.files(network=reading.network, ckpt=reading.ckpt):
                by_partition[file.partition].append(file)
            self._files[key] = by_partition
        return self._files[key].get(partition_of(reading), [])

    def lack(self, reading: Reading) -> str:
        """Say what a reading lacks; samples whose image cannot be read are not missed."""
        import numpy as np

        from fstore.store.files import present

        wanted, files = self._wanted(reading.samples), self.files(reading)
        if not len(wanted):
            return NO_PROPOSALS
        if not files:
            return "no activations"
        absent = set(np.setdiff1d(wanted, present(files)).tolist())
        absent -= self._bad(reading.samples)
        if not absent:
            return ""
        return f"activations of {len(wanted) - len(absent)} of {len(wanted)} samples only"

    def _wanted(self, samples: Samples) -> "NDArray[np.int64]":
        """Return the samples of a part of a split, ascending; no proposals if there are none."""
        import numpy as np

        from fstore.store.parts import sample_ids

        if samples not in self._samples:
            ids = np.empty(0, dtype=np.int64)
            try:
                ids = sample_ids(self.store, samples, difficult=True)
            except UnknownNameError:
                if samples.view != "proposal":
                    raise
            self._samples[samples] = ids
        return self._samples[samples]

    def _sha256(self, weights: Weights) -> str:
        """Return the hash of a checkpoint's weights, or nothing."""
        if self._checkpoints is None:
            records = self.store.checkpoints()
            self._checkpoints = {Weights(r.network, r.name): r.sha256 for r in records}
        return self._checkpoints.get(weights, "")

    def _labels(self, dataset: str, view: str) -> str:
        """Return a hash of what the samples of a view show, and of the classes that they may.

        Proposals have their labels from the ground-truth boxes that they overlap.
        """
        info = self.store.dataset(dataset)
        labels = info.labels.get("gt" if view == "proposal" else view, "")
        text = json.dumps([info.classes, labels])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _version(self, samples: Samples) -> str:
        if samples not in self._versions:
            digest = hashlib.sha256(self._wanted(samples).tobytes())
            self._versions[samples] = digest.hexdigest()[:16]
        return self._versions[samples]

    def _bad(self, samples: Samples) -> set[int]:
        """Return the samples of a view whose images cannot be read."""
        if self._unreadable is None:
            from fstore.store.unreadable import unreadable

            self._unreadable = unreadable(self.store)
        return self._unreadable.get((samples.dataset, samples.view), set())


def partition_of(reading: Reading) -> "Partition":
    """Return the partition that a reading is from."""
    from fstore.store.files import Partition

    samples = reading.samples
    where = (reading.network, reading.ckpt, samples.dataset, samples.view, reading.layer)
    return Partition(*where)
