"""How much single filters matter to a linear probe."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fstore.queries.analyses._api import analysis
from fstore.queries.analyses.probe import chosen, measure_of, probe_of
from fstore.queries.figures.probe import plot_ablated_filters
from fstore.queries.samples.asked_layers import AskedOne
from fstore.queries.samples.blocks import whole_layer
from fstore.types import OnProgress

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["FILLS", "ablated_filters"]

FILLS = ("zero", "mean")


@analysis(
    "ablate-filters",
    title="Filters that a linear probe rests on",
    source="Morcos et al. 2018, arXiv:1803.06959 (ablation of single directions)",
    columns=(
        "rank", "channel", "measure", "drop", "value", "whole", "worst_class", "worst_drop", "n",
    ),
    plot=plot_ablated_filters,
)  # fmt: skip
def ablated_filters(
    store: "Store",
    asked: AskedOne,
    *,
    fill: str = "zero",
    measure: str | None = None,
    folds: int = 5,
    on_progress: OnProgress | None = None,
) -> list[dict[str, Any]]:
    """Rank filters by what a probe loses on test when the features of one are replaced.

    The probe is fitted once, on all filters. Its scores are sums over features, so those of a
    filter are taken off exactly. It is not fitted again without the filter: another one that
    says the same could then stand in for it.

    Parameters
    ----------
    store : Store
        Where the activations are.
    asked : AskedOne
        Which layer, and which samples.
    fill : str
        What stands in for a filter's features: zero, or mean (over train and val).
    measure : str or None
        accuracy or ap (the mean over classes of the all-points average precision). Default:
        accuracy for data sets of one class an image and for boxes, else ap.
    folds : int
        Of the cross-validation on train and val that chooses C.
    on_progress : callable or None
        Told of long work.

    Returns
    -------
    list of dict
        A row a filter, largest ``drop`` first, from ``whole`` (all filters) to ``value``; below 0
        where the probe does better without it. ``worst_class``: the class that loses most, in the
        share of its samples that are right or in AP. Values are from 0 to 1.

    Raises
    ------
    UnknownNameError
        Activations or the split are not there; the message has the command that makes them.
    DataError
        No such filling or measure; no class can be learned and tested.
    """
    from fstore.queries.methods.importance import class_values, scores_without
    from fstore.queries.methods.probes import fit_logistic, worth

    chosen(fill, FILLS, "filling")
    scale = measure_of(store, asked, measure)
    (place,) = asked.places(store)
    problem = asked.problem(store, place)
    found = probe_of(store, asked, problem, classifier="logistic", measure=scale, folds=folds)
    X, Y = whole_layer(store, problem.rows, ablation=asked.ablation), problem.Y
    parts = problem.splits[asked.seed]
    learned, test = X[parts.fitted], X[parts.test]
    (model,) = fit_logistic(
        learned.reshape(len(learned), -1), Y[parts.fitted], Cs=[found.C], measure=scale
    )
    instead = learned.mean(axis=0, dtype=np.float64) * (fill == "mean")
    before = class_values(found.scores, Y[parts.test], scale)
    rows: list[dict[str, Any]] = []
    for channel, scores in enumerate(scores_without(model, test, instead)):
        value = worth(scores, Y[parts.test], scale)
        lost = before - class_values(scores, Y[parts.test], scale)
        worst = int(np.nanargmax(lost))
        rows.append(
            {
                "channel": channel, "measure": scale, "drop": found.value - value, "value": value,
                "whole": found.value, "worst_class": problem.classes[worst],
                "worst_drop": float(lost[worst]), "n": len(parts.test),
            }
        )  # fmt: skip
        if on_progress is not None:
            on_progress("filters", channel + 1, X.shape[1], place.layer)
    return [{"rank": i, **r} for i, r in enumerate(sorted(rows, key=lambda r: -r["drop"]), 1)]
