"""Classification from stored features (sections 2.1 and 5): linear SVMs, AP or accuracy."""

from typing import TYPE_CHECKING, Any

from fstore.queries.analyses._api import analysis
from fstore.queries.figures.classification import MEAN, plot_accuracy, plot_classification
from fstore.queries.samples.asked import Asked, AskedWithDifficult
from fstore.types import OnProgress

if TYPE_CHECKING:
    from fstore.queries.methods.products import Products
    from fstore.queries.samples.problem import Problem
    from fstore.store import Store

__all__ = [
    "accuracy",
    "classification",
]

COLUMNS = (
    "class", "ap_11", "ap_all", "C", "positives_train", "positives_test", "gap", "no_direction",
)  # fmt: skip


@analysis(
    "classification",
    title="Average precision of linear SVMs, class by class",
    source="sections 2.1 and 5, Tables 3 and 7",
    columns=COLUMNS,
    plot=plot_classification,
)
def classification(
    store: "Store",
    asked: AskedWithDifficult,
    *,
    ablation: str = "none",
    shuffle_seed: int = 0,
    c: float = 1e-3,
    choose_c: bool = False,
    on_progress: OnProgress | None = None,
) -> list[dict[str, Any]]:
    """Train a linear SVM a class on a layer's features and give its average precision on test.

    Fitted on train and val: L1 hinge, positives weigh 2, bias feature 10 that is regularised too,
    features scaled by one factor to a mean norm of 20.

    Parameters
    ----------
    store : Store
        Where the activations are.
    asked : AskedWithDifficult
        Which responses of which samples.
    ablation : str
        What is taken from the responses first.
    shuffle_seed : int
        Of the permutations of sp_shuffle.
    c : float
        Weight of the loss against the norm of the weights.
    choose_c : bool
        Choose C on the val part instead: 1e-5, 1e-4, ... 1e-1, one for all classes.
    on_progress : callable or None
        Told of long work.

    Returns
    -------
    list of dict
        A row a class, and one for the mean. AP from 0 to 1, at 11 recalls and over all points;
        None for a class without a positive to learn from or to test on, which is not in the mean.
        ``gap``: the SVM's duality gap relative to its objective. ``no_direction``: its best weights
        are exactly 0, so that its AP is the prior; in the row of the mean, how many are such.

    Raises
    ------
    UnknownNameError
        Activations or the split are not there; the message has the command that makes them.
    DataError
        No class can be trained and tested; activations are not finite; C cannot be chosen.
    """
    from fstore.queries.methods.classification import average_precisions, mean_ap

    problem = asked.problem(store, difficult=asked.difficult)
    kernel = _kernel(store, problem, ablation=ablation, seed=shuffle_seed, on_progress=on_progress)
    parts = problem.splits[asked.seed]
    results = average_precisions(kernel, problem.Y, parts, C=None if choose_c else c)
    rows: list[dict[str, Any]] = [
        {
            "class": problem.classes[r.column],
            "ap_11": r.ap_11,
            "ap_all": r.ap_all,
            "C": r.C,
            "positives_train": r.positives_train,
            "positives_test": r.positives_test,
            "gap": r.gap,
            "no_direction": r.no_direction,
        }
        for r in results
    ]
    at_11, at_all, _ = mean_ap(results)
    gap, none = (
        max(r.gap for r in results if r.gap is not None),
        sum(r.no_direction for r in results),
    )
    n_train, n_test = len(parts.fitted), len(parts.test)
    mean = {"class": MEAN, "ap_11": at_11, "ap_all": at_all, "C": results[0].C, "gap": gap}
    mean["no_direction"] = none
    return [*rows, {**mean, "positives_train": n_train, "positives_test": n_test}]


@analysis(
    "accuracy",
    title="Class-averaged accuracy of one-against-rest linear SVMs",
    source="sections 2.1 and 5.2",
    columns=("ablation", "class_averaged", "overall", "C", "n_train", "n_test", "classes", "gap"),
    plot=plot_accuracy,
    sweep="ablation",
)
def accuracy(
    store: "Store",
    asked: Asked,
    *,
    ablation: tuple[str, ...] = ("none",),
    shuffle_seed: int = 0,
    c: float = 1e-3,
    choose_c: bool = False,
    on_progress: OnProgress | None = None,
) -> list[dict[str, Any]]:
    """Train a linear SVM for each class against the rest and give the share of right answers.

    It is for data sets with one class a sample.

    Parameters
    ----------
    store : Store
        Where the activations are.
    asked : Asked
        Which responses of which samples.
    ablation : tuple of str
        What is taken from the responses first; a row each.
    shuffle_seed : int
        Of the permutations of sp_shuffle.
    c : float
        Weight of the loss against the norm of the weights.
    choose_c : bool
        Choose C on the val part instead: 1e-5, 1e-4, ... 1e-1.
    on_progress : callable or None
        Told of long work.

    Returns
    -------
    list of dict
        A row an ablation; accuracies from 0 to 1. ``gap``: the largest duality gap of its SVMs,
        relative to the objective.

    Raises
    ------
    UnknownNameError
        Activations or the split are not there; the message has the command that makes them.
    DataError
        A sample shows no class or several; a class is absent from a part.
    """
    from fstore.queries.methods import classification as engine

    problem = asked.problem(store)
    parts, rows = problem.splits[asked.seed], []
    for name in ablation:
        kernel = _kernel(store, problem, ablation=name, seed=shuffle_seed, on_progress=on_progress)
        result = engine.accuracy(kernel, problem.Y, parts, C=None if choose_c else c)
        rows.append(
            {
                "ablation": name,
                "class_averaged": result.class_averaged,
                "overall": result.overall,
                "C": result.C,
                "n_train": len(parts.fitted),
                "n_test": result.n_test,
                "classes": len(problem.classes),
                "gap": result.gap,
            }
        )
    return rows


def _kernel(
    store: "Store",
    problem: "Problem",
    *,
    ablation: str,
    seed: int,
    on_progress: OnProgress | None,
) -> "Products":
    from fstore.queries.methods.products import products

    return products(store, problem.rows, ablation=ablation, seed=seed, on_progress=on_progress)
