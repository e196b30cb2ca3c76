"""From stored activations or results to mean average precision: train, detect, evaluate."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore import commands
from fstore.errors import UnknownNameError
from fstore.queries.detection.detector import Detector
from fstore.queries.detection.mining import MiningOptions
from fstore.queries.detection.regions import DetectionSet, detection_set
from fstore.queries.detection.results_files import read_results, write_results
from fstore.queries.detection.scoring import (
    Keep,
    detect,
    evaluate_set,
    read_detections,
    store_detections,
)
from fstore.queries.detection.training import Features, default_name, train_detector
from fstore.queries.detection.voc_eval import Evaluation, Scored, bootstrap
from fstore.queries.samples.labels import check_apart
from fstore.store.parts import Samples, is_there
from fstore.store.runs import recorded
from fstore.types import OnProgress

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = [
    "DetectionResult",
    "Evaluated",
    "Interval",
    "detection_map",
    "evaluate_detector",
    "evaluate_results",
    "export_results",
    "tested_part",
]


@dataclass(frozen=True, slots=True)
class Interval:
    """Where mean AP lies when test images are drawn again: 95 % of the draws, and deviation.

    ``drawn`` are the draws, 0 to 1; NaN of one without an object.
    """

    low: float
    high: float
    std: float
    drawn: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DetectionResult:
    """A detector and how well it does on the test images."""

    detector: Detector
    evaluation: Evaluation

    @property
    def map_11(self) -> float:
        """Mean 11-point AP, 0 to 1; NaN if no class has an object to find."""
        value = self.evaluation.map_11
        return float("nan") if value is None else value

    @property
    def map_all(self) -> float:
        """Mean all-points AP, 0 to 1; NaN likewise."""
        value = self.evaluation.map_all
        return float("nan") if value is None else value

    def interval(self, *, replicates: int = 1000, seed: int = 0) -> Interval:
        """Return the spread of the mean 11-point AP over draws of test images."""
        drawn, _ = bootstrap(self.evaluation, replicates=replicates, seed=seed)
        defined = drawn[~np.isnan(drawn)]
        if len(defined) < 2:
            nan = float("nan")
            return Interval(nan, nan, nan, drawn)
        low, high = np.percentile(defined, [2.5, 97.5])
        return Interval(float(low), float(high), float(defined.std(ddof=1)), drawn)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """An evaluation, and what it leaves out.

    ``unsearched`` counts images without proposals, which are not evaluated; ``absent`` are classes
    without a results file, of which nothing counts as found; ``gone`` are data sets that were
    learned from and are not in the store any more, with that part: they may share images with those
    that are tested on. ``own`` are the parts tested on that it learned from.
    """

    evaluation: Evaluation
    unsearched: int = 0
    absent: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    own: tuple[str, ...] = ()


def evaluate_detector(
    store: "Store",
    detector: Detector,
    parts: Sequence[Samples],
    *,
    keep: Keep | None = None,
    on_progress: OnProgress | None = None,
) -> Evaluated:
    """Detect in the proposals of some parts, store what is found, and evaluate it.

    Parameters
    ----------
    store : Store
    detector : Detector
    parts : sequence of Samples
        Their view is not asked. A part that it learned from says how well it knows its own images.
    keep : Keep or None
        None: do not detect, evaluate what is stored.
    on_progress : callable or None

    Raises
    ------
    UnknownNameError
        Proposals, activations or stored detections are not there.
    DataError
        The detector learned from some of these images in another part, split or data set.
    """
    parts = [replace(p, view="image") for p in parts]
    learned = [replace(Samples(**p), view="image") for p in detector.record.get("trained_on", ())]
    stored = [p for p in learned if is_there(store, p)]
    remedy = (
        f"test '{detector.name}' on images that it did not learn from (another --dataset, "
        "--split or --part), or train a detector without these"
    )
    check_apart(store, stored, [p for p in parts if p not in stored], remedy=remedy)
    result = _evaluated(store, detector, parts, keep=keep, on_progress=on_progress)
    gone = dict.fromkeys(p.dataset for p in learned if p not in stored)
    own = [f"{p.dataset} ({p.part})" for p in parts if p in stored]
    return replace(result, gone=tuple(gone), own=tuple(own))


def _evaluated(
    store: "Store",
    detector: Detector,
    parts: Sequence[Samples],
    *,
    keep: Keep | None,
    on_progress: OnProgress | None,
) -> Evaluated:
    images = detection_set(store, parts)
    if keep is None:
        stored = _stored(store, detector, images)
    else:
        used = [asdict(part) for part in parts]
        asked = {"detector": detector.name, "parts": used, "keep": asdict(keep)}
        with recorded(store, "detect", asked, libraries=("numpy",)) as run:
            run.samples = len(images.images)
            stored = detect(store, detector, images, keep=keep, on_progress=on_progress)
            store_detections(
                store, detector.name, images, classes=detector.classes, detections=stored
            )
    return Evaluated(evaluate_set(images, detector.classes, stored), images.unsearched)


def evaluate_results(store: "Store", folder: Path, parts: Sequence[Samples]) -> Evaluated:
    """Evaluate a devkit results folder on all images of a part of one data set.

    Raises
    ------
    DataError
        As :func:`fstore.queries.detection.results_files.read_results`.
    """
    images = detection_set(store, parts, searched=False)
    names = [name for _, name in images.images]
    detections, absent = read_results(folder, images.classes, names, part=parts[0].part)
    return Evaluated(evaluate_set(images, images.classes, detections), absent=tuple(absent))


def export_results(
    store: "Store",
    detector: Detector,
    part: Samples,
    *,
    folder: Path,
    competition: str = "comp3",
    overwrite: bool = False,
) -> list[Path]:
    """Write stored detections in the images of a part as a devkit results folder.

    Raises
    ------
    UnknownNameError
        None are stored.
    DataError
        A file exists, or an image's name does not fit the format.
    """
    images = detection_set(store, [part])
    return write_results(
        folder,
        detector.classes,
        _stored(store, detector, images),
        image_ids=[name for _, name in images.images],
        part=part.part,
        competition=competition,
        overwrite=overwrite,
    )


def _stored(store: "Store", detector: Detector, images: DetectionSet) -> list[Scored]:
    detections = read_detections(store, detector.name, images, classes=detector.classes)
    if not sum(len(of_class.image) for of_class in detections):
        raise UnknownNameError(
            f"no detections of '{detector.name}' in these images are stored; make them with: "
            + commands.detect_eval(store.place, detector.name)
        )
    return detections


def tested_part(parts: Sequence[Samples]) -> str:
    """Return the part of some data sets that detectors are tested on, and do not learn from."""
    return "test" if any(p.part == "test" for p in parts) else "val"


def detection_map(
    store: "Store",
    samples: Sequence[Samples],
    *,
    network: str,
    ckpt: str,
    layer: str,
    ablation: str = "none",
    shuffle_seed: int = 0,
    options: MiningOptions | None = None,
    on_progress: OnProgress | None = None,
) -> DetectionResult:
    """Train a detector on train and val, detect on test, and evaluate by the rules of VOC.

    Where none of the parts is a ``test``, ``val`` is what is tested on.

    The detector stays in the store, and a later call on the same activations and labels uses it
    again; what it finds goes to table ``detections``. Its name, ``report-`` and the default one, is
    that of no detector that users train, unless they name it so: it replaces one of that name.

    Parameters
    ----------
    store : Store
    samples : sequence of Samples
        Parts of one split, of one or several data sets that count as one; their view is not asked.
    network, ckpt, layer, ablation : str
        The features.
    shuffle_seed : int
        Of the permutations of sp-shuffle.
    options : MiningOptions or None
        Of the training.
    on_progress : callable or None

    Raises
    ------
    UnknownNameError
        Proposals or activations are not there; the message has the command that makes them.
    DataError
        Nothing can be learned, or the cache of hard negatives is too small; test images of one data
        set are training images of another.
    """
    features = Features(network, ckpt, layer, ablation, shuffle_seed)
    parts = list(
        dict.fromkeys(Samples(s.dataset, "image", s.split, s.seed, s.part) for s in samples)
    )
    tested = [p for p in parts if p.part == tested_part(parts)]
    learned = [p for p in parts if p not in tested]
    check_apart(store, learned, tested)
    detector = train_detector(
        store,
        learned,
        features,
        name=f"report-{default_name(store, features, learned)}",
        options=options,
        overwrite=True,
        on_progress=on_progress,
    )
    evaluated = _evaluated(store, detector, tested, keep=Keep(), on_progress=on_progress)
    return DetectionResult(detector, evaluated.evaluation)
