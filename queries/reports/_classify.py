"""What the classification reports share: which samples they read, and their cells."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fstore.queries.cells.needs import BESIDE, Cell, Need, Reading
from fstore.queries.samples.ablations import PAPER, parse_ablation
from fstore.queries.studies.bound import Bound
from fstore.queries.studies.study import Study
from fstore.store.parts import Samples

if TYPE_CHECKING:
    from fstore.queries.methods.products import Products
    from fstore.queries.samples.problem import Problem, SplitRows
    from fstore.store import Store

__all__ = [
    "PERMUTATIONS",
    "Measure",
    "Measured",
    "ablations_of",
    "accuracies",
    "classification_need",
    "classified",
    "mean_aps",
    "positions",
    "samples_of",
    "spread",
]

PERMUTATIONS = 5
"""Of sp-shuffle, each with SVMs of its own: a cell is their mean."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Numbers of one run, by the name of the column that they stand in; "" is the main one.

    ``draws`` is the main one in draws of the test samples.
    """

    values: dict[str, float]
    draws: NDArray[np.float64]


Measure: TypeAlias = "Callable[[Products, NDArray[np.int8], SplitRows], Measured]"


def samples_of(
    store: "Store", bounds: Sequence[Bound], view: str, *, run: int | None = None
) -> list[Samples]:
    """Return the parts of the data sets that play one part in a study: of one run, or of all."""
    from fstore.queries.samples.problem import split_samples

    alone = len(bounds) == 1
    return [
        samples
        for b in bounds
        for seed in (b.seeds if run is None else (b.seed(run),))
        for samples in split_samples(
            store, b.dataset, view, split=b.split, seed=seed, parts=b.parts, alone=alone
        )
    ]


def positions(store: "Store", network: str) -> dict[str, int]:
    """Return the number of places in a map of each layer on record."""
    rows = store.rows("layers", network=network).to_pylist()
    return {row["layer"]: row["height"] * row["width"] for row in rows}


def ablations_of(places: int | None) -> list[str]:
    """Return the paper's ablations of a layer; fully connected ones have nothing spatial."""
    return [a for a in PAPER if places != 1 or not a.startswith("sp_")]


def classification_need(
    row: str,
    col: str,
    study: Study,
    *,
    samples: Sequence[Samples],
    ckpt: str,
    layer: str,
    ablation: str,
) -> Need:
    """Return the need of one cell: a layer's responses, ablated, to all parts of the splits."""
    readings = tuple(Reading(study.network, ckpt, layer, s) for s in samples)
    # the permutations are the same in every split, from the first seed on: the split varies alone
    parameters: tuple[tuple[str, str | int], ...] = (("ablation", ablation),)
    parameters += (("shuffle_seed", study.seeds[0]),)
    if parse_ablation(ablation).shuffles:
        parameters += (("permutations", PERMUTATIONS),)
    return Need(row, col, readings, parameters)


def classified(store: "Store", need: Need, measure: Measure) -> list[Cell]:
    """Return a need's cells: mean and deviation (n - 1) of a measure over its runs.

    A run is a seed of the split; readings of several checkpoints are runs of their own. Where
    places are permuted, a run's numbers are means over permutations, and ``permutations_std`` is
    the deviation of the main one over these. The draws are those of the first run.
    """
    groups: dict[str, list[Reading]] = {}
    for reading in need.readings:
        groups.setdefault(reading.ckpt, []).append(reading)
    runs = [
        run for g in groups.values() for run in _runs(store, g, need.parameters, measure=measure)
    ]
    cells = [spread(need, name, [run.values[name] for run in runs]) for name in runs[0].values]
    return [replace(cells[0], draws=tuple(runs[0].draws.tolist())), *cells[1:]]


def _runs(
    store: "Store",
    readings: Sequence[Reading],
    parameters: Sequence[tuple[str, str | float | int]],
    *,
    measure: Measure,
) -> list[Measured]:
    """Return what is measured in each split of one checkpoint's responses."""
    from fstore.queries.methods.products import products
    from fstore.queries.samples.problem import problem

    first, of = readings[0], dict(parameters)
    samples = [reading.samples for reading in readings]
    asked = problem(store, samples, network=first.network, ckpt=first.ckpt, layer=first.layer)
    ablation, seed = str(of["ablation"]), int(of["shuffle_seed"])
    seeds = range(seed, seed + int(of.get("permutations", 1)))
    drawn = [
        _measured(products(store, asked.rows, ablation=ablation, seed=s), asked, measure)
        for s in seeds
    ]
    return [_over_permutations(of_split) for of_split in zip(*drawn, strict=True)]


def _measured(kernel: "Products", asked: "Problem", measure: Measure) -> list[Measured]:
    return [measure(kernel, asked.Y, split) for split in asked.splits.values()]


def _over_permutations(drawn: Sequence[Measured]) -> Measured:
    """Return the means of a split's numbers, and the deviation of the main one."""
    if len(drawn) == 1:
        return drawn[0]
    means = {name: fmean(one.values[name] for one in drawn) for name in drawn[0].values}
    means["permutations_std"] = stdev(one.values[""] for one in drawn)
    draws = np.mean([one.draws for one in drawn], axis=0)
    return replace(drawn[0], values=means, draws=draws)


def mean_aps(kernel: "Products", Y: "NDArray[np.int8]", split: "SplitRows") -> Measured:
    """Return mean AP in percent: C = 1e-3, and C chosen on val, at 11 recalls and over all points.

    ``classes`` counts those that are in the mean; one without a positive to learn from or to test
    on is not. ``no_direction`` counts those of them whose best weights are exactly 0: their AP is
    the prior. ``gap`` is the largest duality gap of the SVMs at C = 1e-3.
    """
    from fstore.queries.methods.classification import average_precisions, drawn_mean_ap, mean_ap

    plain = average_precisions(kernel, Y, split, draw=True)
    at_11, at_all, classes = mean_ap(plain)
    values = {"": 100 * at_11, "all_points": 100 * at_all, "classes": float(classes)}
    values["no_direction"] = float(sum(r.no_direction for r in plain))
    values["gap"] = max(r.gap for r in plain if r.gap is not None)
    if len(split.val):
        results = average_precisions(kernel, Y, split, C=None)
        at_11, at_all, _ = mean_ap(results)
        chosen = {"chosen_c": 100 * at_11, "chosen_c_all_points": 100 * at_all, "C": results[0].C}
        values |= chosen
    return Measured(values, 100 * drawn_mean_ap(plain))


def accuracies(kernel: "Products", Y: "NDArray[np.int8]", split: "SplitRows") -> Measured:
    """Return class-averaged accuracy in percent: C = 1e-3, and C chosen on val."""
    from fstore.queries.methods.classification import accuracy

    result = accuracy(kernel, Y, split)
    values = {"": 100 * result.class_averaged, "overall": 100 * result.overall}
    values |= {"no_direction": float(result.no_direction), "gap": result.gap}
    if len(split.val):
        chosen = accuracy(kernel, Y, split, C=None)
        values |= {"chosen_c": 100 * chosen.class_averaged, "C": chosen.C}
    return Measured(values, 100 * result.drawn)


def spread(need: Need, name: str, values: Sequence[float]) -> Cell:
    """Return the cell of some runs' numbers; ``name`` is that of a column beside the need's."""
    col = need.col + (BESIDE + name if name else "")
    deviation = stdev(values) if len(values) > 1 else None
    return Cell(need.row, col, fmean(values), deviation, len(values))
