"""Which classes a linear probe takes for which."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fstore.queries.analyses._api import analysis
from fstore.queries.analyses.probe import CLASSIFIERS, chosen, probe_of
from fstore.queries.figures.probe import plot_confusion
from fstore.queries.samples.asked_layers import AskedOne

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["confusion"]


@analysis(
    "confusion",
    title="What a linear probe confuses",
    source="Alain and Bengio 2016, arXiv:1610.01644 (probes); counts of test samples",
    columns=("rank", "class", "predicted", "n", "of", "share"),
    plot=plot_confusion,
)
def confusion(
    store: "Store",
    asked: AskedOne,
    *,
    classifier: str = "logistic",
    folds: int = 5,
) -> list[dict[str, Any]]:
    """Count the test samples of each class that a probe takes for each, most confused first.

    It is for samples of one class each: data sets of one class an image, or ground-truth boxes.

    Parameters
    ----------
    store : Store
        Where the activations are.
    asked : AskedOne
        Which layer, and which samples.
    classifier : str
        logistic (logistic regression, L2) or svm (the paper's, one a class against the rest).
    folds : int
        Of the cross-validation on train and val that chooses C.

    Returns
    -------
    list of dict
        A row for each two classes, ranked by ``n``, the samples of ``class`` that are taken for
        ``predicted``; then a row for each class and itself, without a rank: those that are right.
        ``of``: test samples of the class. ``share``: n of them, 0 to 1; None if there are none.

    Raises
    ------
    UnknownNameError
        Activations or the split are not there; the message has the command that makes them.
    DataError
        Samples show no class or several; no such classifier.
    """
    chosen(classifier, CLASSIFIERS, "classifier")
    (place,) = asked.places(store)
    problem = asked.problem(store, place)
    found = probe_of(store, asked, problem, classifier=classifier, measure="accuracy", folds=folds)
    truth = problem.Y[problem.splits[asked.seed].test].argmax(axis=1)
    k = len(problem.classes)
    counts = np.zeros((k, k), dtype=np.int64)
    np.add.at(counts, (truth, found.scores.argmax(axis=1)), 1)
    of = counts.sum(axis=1)
    pairs = sorted(((a, b) for a in range(k) for b in range(k) if a != b), key=lambda p: -counts[p])
    return [
        {
            "rank": rank, "class": problem.classes[a], "predicted": problem.classes[b],
            "n": int(counts[a, b]), "of": int(of[a]),
            "share": float(counts[a, b] / of[a]) if of[a] else None,
        }
        for rank, (a, b) in [*enumerate(pairs, 1), *((None, (c, c)) for c in range(k))]
    ]  # fmt: skip
