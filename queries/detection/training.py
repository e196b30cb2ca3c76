"""Train a detector on what is stored: which boxes, which features, and a record of it all."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError, IdentityError, UnknownNameError
from fstore.queries.detection.detector import (
    Detector,
    detector_names,
    load_detector,
    save_detector,
)
from fstore.queries.detection.features import feature_rows, n_features, norm_sum, scale_of
from fstore.queries.detection.mining import Block, Mined, MiningOptions, full_objectives, mine
from fstore.queries.detection.regions import (
    DetectionSet,
    Objects,
    detection_set,
    near_objects,
    set_parts,
)
from fstore.store.files import RECTIFIED, Partition
from fstore.store.locks import naming
from fstore.store.parts import Samples, Split
from fstore.store.runs import recorded
from fstore.types import OnProgress

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["Features", "default_name", "train_detector"]

PRECISION = {"stored precision": "tf32", "compute precision": "float32"}
"""Parts of an identity that say how features are computed, and their defaults."""

NORM_IMAGES = 200
"""Images whose boxes the features' scale is taken from, evenly spaced; R-CNN takes as many."""


@dataclass(frozen=True, slots=True)
class Features:
    """Which features of a box: a layer of a checkpoint, ablated."""

    network: str
    ckpt: str
    layer: str
    ablation: str = "none"
    shuffle_seed: int = 0

    def partition(self, dataset: str, view: str) -> Partition:
        """Return where they are stored."""
        return Partition(self.network, self.ckpt, dataset, view, self.layer)

    def rows(
        self, store: "Store", dataset: str, view: str, *, ids: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield the features of samples; see :func:`fstore.queries.detection.features`."""
        return feature_rows(
            store,
            self.partition(dataset, view),
            ids,
            ablation=self.ablation,
            seed=self.shuffle_seed,
        )


def default_name(store: "Store", features: Features, parts: Sequence[Samples]) -> str:
    """Return the name of a detector that is given none: data sets, checkpoint, layer, ablation.

    Where it leaves out the train or the val part of a data set, the part it learns from is named.
    """
    own: dict[tuple[str, str, int], list[str]] = {}
    for p in parts:
        own.setdefault((p.dataset, p.split, p.seed), []).append(p.part)
    datasets = []
    for (dataset, split, seed), learned in own.items():
        used = set_parts(store, [dataset], split=Split(split, seed), wanted=("train", "val"))
        words = [dataset] if split == "official" else [dataset, f"{split}{seed}"]
        words += [] if {s.part for s in used} <= set(learned) else learned
        datasets.append(".".join(words))
    what = (features.network, features.ckpt, features.layer, features.ablation)
    return "-".join(["+".join(datasets), *what])


def train_detector(
    store: "Store",
    parts: Sequence[Samples],
    features: Features,
    *,
    name: str | None = None,
    classes: Sequence[str] = (),
    options: MiningOptions | None = None,
    verify: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
) -> Detector:
    """Train one SVM a class with mined hard negatives, and keep the detector in the store.

    Positives are all ground-truth boxes of the images, negatives of a class the proposals that
    overlap each of its boxes by less than 0.3. Images without proposals are left out.

    Parameters
    ----------
    store : Store
    parts : sequence of Samples
        Parts of splits to learn from; their view is not asked.
    features : Features
    name : str or None
        None: :func:`default_name`. A detector of that name that was trained the same way on the
        same boxes and labels is returned as it is.
    classes : sequence of str
        Which to train; none named: all.
    options : MiningOptions or None
    verify : bool
        Read the proposals once more at the end, to record how far the SVMs may be from those on
        all negatives.
    overwrite : bool
        Replace a detector of that name that is another one.
    on_progress : callable or None

    Returns
    -------
    Detector
        A class without a positive or a negative is not in it; its record lists it.

    Raises
    ------
    UnknownNameError
        A part, proposals, activations or a class are not there.
    DataError
        No class can be trained; the cache is too small; features are all 0 or not finite.
    IdentityError
        The name stands for another detector.
    """
    name = name or default_name(store, features, parts)
    job = _Fitting(
        store,
        detection_set(store, parts),
        features,
        tuple(classes),
        options or MiningOptions(),
        on_progress or (lambda *_: None),
    )
    about = job.identity(parts)
    trained = _same(store, name, about, overwrite=overwrite)
    if trained is not None and (not verify or trained.record["verified"]):
        return trained
    with recorded(store, "detector", {"name": name, **about}, libraries=("numpy",)) as run:
        run.fingerprints, run.samples = about["activations"], len(job.images.images)
        detector = job.run(name, about, verify=verify)
        with naming(store.place):  # another process may have trained one of this name meanwhile
            _same(store, name, about, overwrite=overwrite)
            save_detector(store, detector)
    return detector


def _same(store: "Store", name: str, about: dict[str, Any], *, overwrite: bool) -> Detector | None:
    """Return the detector of a name if it is this one."""
    if name not in detector_names(store):
        return None
    trained = load_detector(store, name)
    if trained.record["fingerprint"] == about["fingerprint"]:
        return trained
    if overwrite:
        return None
    differ = [k for k, v in about.items() if k != "fingerprint" and trained.record.get(k) != v]
    raise IdentityError(
        f"detector '{name}' is another one: it differs in {', '.join(differ)}; choose another "
        "--name, or add --overwrite"
    )


@dataclass(frozen=True)
class _Fitting:
    """One training: what is read, and by which rules."""

    store: "Store"
    images: DetectionSet
    features: Features
    wanted: tuple[str, ...]
    options: MiningOptions
    on_progress: OnProgress

    @property
    def labels(self) -> list[int]:
        """Places of the wanted classes."""
        strange = [c for c in self.wanted if c not in self.images.classes]
        if strange:
            raise UnknownNameError(
                f"no class '{strange[0]}'; there are: {', '.join(self.images.classes)}"
            )
        return [i for i, c in enumerate(self.images.classes) if c in (self.wanted or (c,))]

    def identity(self, parts: Sequence[Samples]) -> dict[str, Any]:
        """Return what decides the detector, and a fingerprint of it."""
        from fstore.queries.cells.code import code_version
        from fstore.queries.samples.ablations import ablation_module
        from fstore.store.versions import partition_version

        partitions = [
            self.features.partition(o.dataset, view)
            for o in self.images.objects
            for view in ("gt", "proposal")
        ]
        about: dict[str, Any] = {
            "features": asdict(self.features),
            "trained_on": [asdict(p) for p in parts],
            "images": hashlib.sha256(json.dumps(self.images.images).encode()).hexdigest()[:16],
            "labels": {
                o.dataset: self.store.dataset(o.dataset).labels["gt"] for o in self.images.objects
            },
            "only": [self.images.classes[i] for i in self.labels],
            "options": asdict(replace(self.options, cache_bytes=0)),  # changes nothing else
            "activations": {
                str(p): partition_version(self.store.files(**p.values)) for p in partitions
            },
            "code_version": code_version(__name__, ablation_module(self.features.ablation)),
        }
        text = json.dumps(about, sort_keys=True)
        about = json.loads(text)  # as it will be read again
        return {**about, "fingerprint": hashlib.sha256(text.encode()).hexdigest()[:16]}

    def run(self, name: str, about: dict[str, Any], *, verify: bool) -> Detector:
        """Train."""
        began = perf_counter()
        scale = self._scale()
        mined, full = self._mined(scale, verify=verify)
        names = [self.images.classes[i] for i in self.labels]
        learnt = {c: m for c, m in zip(names, mined, strict=True) if m is not None}
        record = {
            **about,
            "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(perf_counter() - began, 1),
            "n_images": len(self.images.images),
            **self._precision(),
            "left_out": [c for c in names if c not in learnt],
            "classes": _counts(names, mined, full),
            "verified": verify,
        }
        return Detector(
            name,
            **asdict(self.features),
            classes=tuple(learnt),
            W=np.stack([m.w for m in learnt.values()], axis=1),
            b=np.array([m.b for m in learnt.values()], dtype=np.float32),
            scale=scale,
            record=record,
        )

    def _mined(
        self, scale: float, *, verify: bool
    ) -> tuple[Sequence[Mined | None], NDArray[np.float64] | None]:
        """Return what each class learns and, to verify, its objective on all negatives."""
        near = [
            near_objects(self.store, r, self.images.classes)[:, self.labels]
            for r in self.images.regions
        ]
        positives = self._positives(scale)

        def blocks() -> Iterator[Block]:
            return self._blocks(scale, near)

        mined = mine(positives, blocks, self.options)
        if all(m is None for m in mined):
            raise DataError(
                f"none of {len(mined)} classes has a box and a negative proposal in the "
                f"{len(self.images.images)} training images: there is nothing to learn"
            )
        return mined, full_objectives(
            mined, positives, blocks, options=self.options
        ) if verify else None

    def _precision(self) -> dict[str, str]:
        """Return what the features were rounded to and computed in, to do the same to others."""
        first = self.features.partition(self.images.objects[0].dataset, "proposal")
        parts = self.store.files(**first.values)[0].identity.parts
        rectify = {part: value for part, value in parts.items() if part in RECTIFIED}
        return {key: parts.get(key, default) for key, default in PRECISION.items()} | rectify

    def _scale(self) -> float:
        """Return the factor of the features, from boxes of evenly spaced images."""
        n = len(self.images.images)
        chosen = np.unique(np.linspace(0, n - 1, min(n, NORM_IMAGES)).astype(int))
        total, count = 0.0, 0
        for regions in self.images.regions:
            ids = regions.ids[np.isin(regions.image, chosen)]
            if len(ids) == 0:
                continue
            for read, X in self.features.rows(self.store, regions.dataset, "proposal", ids=ids):
                total, count = total + norm_sum(X), count + len(read)
                self.on_progress("mean norm", count, len(ids), regions.dataset)
        return scale_of(total, count)

    def _positives(self, scale: float) -> list[NDArray[np.float32]]:
        """Return the scaled features of the boxes of each class."""
        first = self.images.objects[0].dataset
        width = n_features(self.store, self.features.partition(first, "gt"), self.features.ablation)
        positives: list[list[NDArray[np.float32]]] = [[] for _ in self.labels]
        for objects in self.images.objects:
            for ids, X in self._object_rows(objects):
                label = objects.label[np.searchsorted(objects.ids, ids)]
                for at, wanted in enumerate(self.labels):
                    positives[at].append(X[label == wanted] * np.float32(scale))
        none = np.empty((0, width), dtype=np.float32)
        return [np.concatenate([none, *parts]) for parts in positives]

    def _object_rows(
        self, objects: Objects
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        if len(objects.ids) == 0:
            return iter(())
        return self.features.rows(self.store, objects.dataset, "gt", ids=objects.ids)

    def _blocks(self, scale: float, near: Sequence[NDArray[np.bool_]]) -> Iterator[Block]:
        """Yield the scaled features of all proposals."""
        total = sum(len(r.ids) for r in self.images.regions)
        first = 0
        done = 0
        for regions, close in zip(self.images.regions, near, strict=True):
            if len(regions.ids) == 0:
                continue
            for ids, X in self.features.rows(
                self.store, regions.dataset, "proposal", ids=regions.ids
            ):
                at = np.searchsorted(regions.ids, ids)
                yield Block(first + at, regions.image[at], X * np.float32(scale), ~close[at])
                done += len(ids)
                self.on_progress("mining", done, total, regions.dataset)
            first += len(regions.ids)


def _counts(
    names: Sequence[str], mined: Sequence[Mined | None], full: NDArray[np.float64] | None
) -> list[dict[str, Any]]:
    """Return what is recorded of each class."""
    rows = []
    for i, (name, m) in enumerate(zip(names, mined, strict=True)):
        if m is None:
            continue
        row = {k: v for k, v in asdict(m).items() if k not in {"w", "b"}}
        objective = m.objective if full is None else float(full[i])
        gap = (objective - m.dual) / objective
        rows.append({"class": name, **row, "objective": objective, "gap": gap})
    return rows
