"""What the detection reports share: what a detector reads, and what detectors reach in runs."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fstore.errors import DataError
from fstore.queries.cells.needs import Cell, Need, Reading
from fstore.queries.reports._classify import samples_of, spread
from fstore.queries.studies.bound import Bound
from fstore.store.parts import Samples

if TYPE_CHECKING:
    from fstore.queries.detection.run import DetectionResult, Interval
    from fstore.store import Store

__all__ = [
    "REPLICATES",
    "cell_draws",
    "chance",
    "detected",
    "detector_readings",
    "n_classes",
    "run_results",
]

REPLICATES = 1000
"""Draws of test images behind an interval."""


def detector_readings(
    store: "Store", bounds: Sequence[Bound], *, network: str, ckpt: str, layer: str, run: int = 0
) -> tuple[Reading, ...]:
    """Return what a detector reads: ground-truth boxes to learn from, and proposals of all parts.

    Parameters
    ----------
    store : Store
    bounds : sequence of Bound
        Data sets that count as one.
    network, ckpt, layer : str
        The features.
    run : int
        Which seed of the splits.

    Raises
    ------
    UnknownNameError
        A data set is not registered, or has no such split or no labelled boxes.
    """
    from fstore.queries.detection.run import tested_part

    # the splits of view proposal may not be there yet: they are those of the images
    images = samples_of(store, bounds, "image", run=run)
    tested = tested_part(images)
    objects = [s for s in samples_of(store, bounds, "gt", run=run) if s.part != tested]
    regions = [Samples(s.dataset, "proposal", s.split, s.seed, s.part) for s in images]
    return tuple(Reading(network, ckpt, layer, s) for s in (*objects, *regions))


def run_results(store: "Store", need: Need) -> "list[DetectionResult]":
    """Return what detectors reach in each run: readings of one checkpoint and one seed.

    Raises
    ------
    DataError
        The test images of a run show no object that can be found.
    """
    from fstore.queries.detection.run import detection_map

    of, results = dict(need.parameters), []
    for readings in _runs(need.readings):
        first = readings[0]
        result = detection_map(
            store,
            [reading.samples for reading in readings],
            network=first.network,
            ckpt=first.ckpt,
            layer=first.layer,
            ablation=str(of["ablation"]),
            shuffle_seed=int(of["shuffle_seed"]),
        )
        if result.evaluation.map_11 is None:
            raise DataError(
                f"the test images of {first.samples.dataset} show no object of a class that was "
                "learned: there is no average precision; use another split, or more proposals"
            )
        results.append(result)
    return results


def _runs(readings: Sequence[Reading]) -> list[list[Reading]]:
    """Divide readings into runs: one begins where another seed or checkpoint of its first does."""
    first = readings[0].samples
    runs: list[list[Reading]] = []
    for reading in readings:
        s = reading.samples
        if (s.dataset, s.view, s.part) == (first.dataset, first.view, first.part):
            runs.append([])
        runs[-1].append(reading)
    return runs


def detected(store: "Store", need: Need) -> list[Cell]:
    """Return a need's cells: mean and deviation (n - 1) over runs of mean AP in percent.

    Beside it: AP over all points, the classes in the mean, ``chance`` (the largest mean AP of what
    was found in 20 random orders) and, of a single run, the interval (95 %)
    of a bootstrap over the test images. The draws are those of the first run.
    """
    results = run_results(store, need)
    interval = results[0].interval(replicates=REPLICATES)
    values = {
        "": [100 * r.map_11 for r in results],
        "all_points": [100 * r.map_all for r in results],
        "classes": [float(n_classes(r)) for r in results],
        "chance": [chance(r) for r in results],
    }
    if len(results) == 1:
        values |= {"low": [100 * interval.low], "high": [100 * interval.high]}
    cells = [spread(need, name, own) for name, own in values.items()]
    return [replace(cells[0], draws=cell_draws(interval)), *cells[1:]]


def cell_draws(interval: "Interval") -> tuple[float, ...]:
    """Return what a cell carries of an interval's draws, in percent: as many as other cells."""
    from fstore.queries.methods.draws import DRAWS

    return tuple((100 * interval.drawn[:DRAWS]).tolist())


def chance(result: "DetectionResult") -> float:
    """Return the largest mean AP, in percent, of what was found in 20 random orders."""
    from fstore.queries.detection.voc_eval import by_chance

    return 100 * max(by_chance(result.evaluation))


def n_classes(result: "DetectionResult") -> int:
    """Return the number of classes in the mean."""
    return sum(c.ap_11 is not None for c in result.evaluation.classes)
