"""From stored activations to mean average precision: train, detect, evaluate."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fstore.queries.detection.detector import Detector
from fstore.queries.detection.mining import Options
from fstore.queries.detection.regions import detection_set
from fstore.queries.detection.scoring import detect, evaluate_set, store_detections
from fstore.queries.detection.training import Features, default_name, train_detector
from fstore.queries.detection.voc_eval import Evaluation, bootstrap
from fstore.queries.samples import Samples
from fstore.types import OnProgress

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["DetectionResult", "Interval", "detection_map"]


@dataclass(frozen=True, slots=True)
class Interval:
    """Where mean AP lies when test images are drawn again: 95 % of the draws, and deviation."""

    low: float
    high: float
    std: float


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
        there = drawn[~np.isnan(drawn)]
        if len(there) < 2:
            return Interval(*[float("nan")] * 3)
        low, high = np.percentile(there, [2.5, 97.5])
        return Interval(float(low), float(high), float(there.std(ddof=1)))


def detection_map(
    store: "Store",
    samples: Sequence[Samples],
    *,
    network: str,
    ckpt: str,
    layer: str,
    ablation: str = "none",
    shuffle_seed: int = 0,
    options: Options | None = None,
    on_progress: OnProgress | None = None,
) -> DetectionResult:
    """Train a detector on train and val, detect on test, and evaluate by the rules of VOC.

    The detector stays in the store, and a later call on the same activations uses it again; what
    it finds goes to table ``detections``.

    Parameters
    ----------
    store : Store
    samples : sequence of Samples
        Parts of one split, of one or several data sets that count as one; their view is not asked.
    network, ckpt, layer, ablation : str
        The features.
    shuffle_seed : int
        Of the permutations of sp-shuffle.
    options : Options or None
        Of the training.
    on_progress : callable or None

    Raises
    ------
    UnknownNameError
        Proposals or activations are not there; the message has the command that makes them.
    DataError
        Nothing can be learned, or the cache of hard negatives is too small.
    """
    features = Features(network, ckpt, layer, ablation, shuffle_seed)
    parts = list(
        dict.fromkeys(Samples(s.dataset, "image", s.split, s.seed, s.part) for s in samples)
    )
    learned = [p for p in parts if p.part != "test"]
    detector = train_detector(
        store,
        learned,
        features,
        name=default_name(features, learned),
        options=options,
        overwrite=True,
        on_progress=on_progress,
    )
    images = detection_set(store, [p for p in parts if p.part == "test"])
    found = detect(store, detector, images, on_progress=on_progress)
    store_detections(store, detector.name, images, detector.classes, found)
    return DetectionResult(detector, evaluate_set(images, detector.classes, found))
