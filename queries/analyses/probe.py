"""Linear probes over layers and checkpoints."""

from typing import TYPE_CHECKING, Any, Literal

from fstore.errors import DataError
from fstore.queries.analyses._api import analysis
from fstore.queries.figures.probe import plot_probe
from fstore.queries.samples.asked_layers import AskedSplit, image_numbers
from fstore.queries.samples.asked_two import called
from fstore.types import OnProgress

if TYPE_CHECKING:
    from fstore.queries.methods.probes import Probe
    from fstore.queries.samples.problem import Problem
    from fstore.store import Store

__all__ = ["CLASSIFIERS", "MEASURES", "chosen", "measure_of", "probe_of", "probes"]

CLASSIFIERS = ("logistic", "svm")
MEASURES = ("accuracy", "ap")


@analysis(
    "probe",
    title="Linear probes by layer",
    source="Alain and Bengio 2016, arXiv:1610.01644",
    columns=(
        "ckpt", "layer", "measure", "value", "prior", "validation", "C", "at_end", "classes",
        "n_train", "n_test",
    ),
    plot=plot_probe,
)  # fmt: skip
def probes(
    store: "Store",
    asked: AskedSplit,
    *,
    classifier: str = "logistic",
    measure: str | None = None,
    folds: int = 5,
    on_progress: OnProgress | None = None,
) -> list[dict[str, Any]]:
    """Train a linear classifier on each layer of each checkpoint, and score it on test.

    Parameters
    ----------
    store : Store
        Where the activations are.
    asked : AskedSplit
        Which layers of which checkpoints, and which samples.
    classifier : str
        logistic (logistic regression, L2) or svm (the paper's, one a class against the rest).
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
        A row a layer; ``value``, ``prior`` (what knowing nothing gives) and ``validation`` (in
        cross-validation) from 0 to 1. ``at_end``: C is the first or last that was tried.

    Raises
    ------
    UnknownNameError
        Activations or the split are not there; the message has the command that makes them.
    DataError
        No such classifier or measure; no class can be learned and tested.
    """
    chosen(classifier, CLASSIFIERS, "classifier")
    scale = measure_of(store, asked, measure)
    rows, places = [], asked.places(store)
    for at, place in enumerate(places):
        problem = asked.problem(store, place)
        found = probe_of(store, asked, problem, classifier=classifier, measure=scale, folds=folds)
        parts = problem.splits[asked.seed]
        rows.append(
            {
                "ckpt": called(place), "layer": place.layer, "measure": scale,
                "value": found.value, "prior": found.prior, "validation": found.validation,
                "C": found.C, "at_end": found.at_end, "classes": found.classes,
                "n_train": len(parts.fitted), "n_test": len(parts.test),
            }
        )  # fmt: skip
        if on_progress is not None:
            on_progress("probes", at + 1, len(places), f"{called(place)} {place.layer}")
    return rows


def chosen(given: str, known: tuple[str, ...], what: str) -> None:
    """Refuse a word that is none of those that are known.

    Raises
    ------
    DataError
    """
    if given not in known:
        raise DataError(f"no {what} '{given}'; there are: {', '.join(known)}")


def measure_of(store: "Store", asked: AskedSplit, measure: str | None) -> Literal["accuracy", "ap"]:
    """Return the measure that is asked for, or that suits the data set as it is registered.

    Raises
    ------
    DataError
        No such measure.
    """
    if measure is not None:
        chosen(measure, MEASURES, "measure")
        return "accuracy" if measure == "accuracy" else "ap"
    one_class = asked.view == "gt" or store.dataset(asked.dataset).task == "single"
    return "accuracy" if one_class else "ap"


def probe_of(
    store: "Store",
    asked: AskedSplit,
    problem: "Problem",
    *,
    classifier: str,
    measure: Literal["accuracy", "ap"],
    folds: int,
) -> "Probe":
    """Return the probe of one layer."""
    from fstore.queries.methods import probes as engine
    from fstore.queries.methods.products import products
    from fstore.queries.samples.blocks import whole_layer

    Y = problem.Y
    if classifier == "svm":
        scorer = engine.svm_scorer(products(store, problem.rows, ablation=asked.ablation), Y)
    else:
        X = whole_layer(store, problem.rows, ablation=asked.ablation)
        scorer = engine.logistic_scorer(X.reshape(len(X), -1), Y, measure=measure)
    (rows,) = problem.rows
    return engine.probe(
        scorer,
        Y,
        problem.splits[asked.seed],
        images=image_numbers(store, rows.partition, rows.ids),
        grid=engine.SVM_GRID if classifier == "svm" else engine.LOGISTIC_GRID,
        measure=measure,
        folds=folds,
    )
