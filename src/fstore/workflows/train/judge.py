"""How good a checkpoint is: its features under linear SVMs, and its own classifier beside them.

The paper judges every network by the features of fc7 (sections 2.1 and 3): class-averaged accuracy
where a sample has one class, mean average precision where it may have several.
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore.queries.methods.classification import PAPER_C
from fstore.trust import check_consent
from fstore.types import CheckpointRecord
from fstore.workflows.train.data import BACKGROUND

if TYPE_CHECKING:
    from fstore.queries.methods.products import Products
    from fstore.queries.samples.problem import Problem, SplitRows
    from fstore.store import Store

__all__ = ["Evaluation", "evaluate"]

TOP_LAYER = "fc7"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a checkpoint is worth on the test part of a split.

    Attributes
    ----------
    network, ckpt, dataset, view, split, layer : str
    split_seed : int
    metric : str
        ``accuracy``: mean over classes of the share of their samples that are right; ``mean AP``:
        at 11 recalls, mean over the classes that can be trained and tested.
    svm : float
        0 to 1: linear SVMs on the layer's features, fitted on train and val.
    classifier : float or None
        The same of the checkpoint's own outputs; None where they are of other classes.
    note : str
        Why ``classifier`` is None.
    C : float
        Of the SVMs.
    n_train, n_test, classes : int
        Samples fitted and tested; classes that count.
    """

    network: str
    ckpt: str
    dataset: str
    view: str
    split: str
    split_seed: int
    layer: str
    metric: str
    svm: float
    classifier: float | None
    note: str
    C: float
    n_train: int
    n_test: int
    classes: int


def evaluate(
    store: "Store",
    ckpt: str,
    *,
    dataset: str,
    layer: str | None = None,
    view: str = "image",
    network: str | None = None,
    split: str = "official",
    split_seed: int = 0,
    c: float | None = PAPER_C,
    device: str = "auto",
) -> Evaluation:
    """Measure a checkpoint as the paper does, on activations that are stored.

    Parameters
    ----------
    store : Store
    ckpt : str
        NAME or NETWORK/NAME.
    dataset : str
        Registered data set; its task says whether accuracy or mean AP is measured.
    layer : str or None
        Whose responses are the features; None: fc7, or the network's last declared layer.
    view : {"image", "gt"}
        Whole images, or ground-truth boxes that are not difficult.
    network : str or None
        Where several have a checkpoint of this name.
    split, split_seed : str, int
        ``official``, or ``random`` and which.
    c : float or None
        Of the SVMs; None: chosen on val from 1e-5, 1e-4, ... 1e-1.
    device : str
        Where the network's own outputs are computed.

    Returns
    -------
    Evaluation

    Raises
    ------
    UnknownNameError
        No such checkpoint, data set, view or split; or activations are not stored: the message
        has the ``fstore extract`` command.
    DataError
        A class is absent from a part, or nothing can be trained and tested; an unreadable image.
    """
    from fstore.queries.methods.products import products
    from fstore.queries.samples.problem import problem, split_samples

    record = store.find_checkpoint(ckpt, network)
    check_consent(store.trusted, record.network)
    layer = layer or _top_layer(record.network)
    samples = split_samples(store, dataset, view, split=split, seed=split_seed)
    asked = problem(store, samples, network=record.network, ckpt=record.name, layer=layer)
    parts = asked.splits[split_seed]
    single = store.dataset(dataset).task == "single"
    measure = _svm_accuracy if single else _svm_mean_ap
    svm = measure(products(store, asked.rows, device=device), asked.Y, parts, c=c)
    note = _other_classes(store, record, asked.classes, view=view)
    scores = None if note else _own_scores(store, record, asked, parts=parts, device=device)
    own = None if scores is None else _own(scores, asked.Y, parts, single=single)
    return Evaluation(
        record.network, record.name, dataset, view, split, split_seed, layer,
        "accuracy" if single else "mean AP", svm.value, own, note,
        svm.C, len(parts.fitted), len(parts.test), svm.classes,
    )  # fmt: skip


def _top_layer(network: str) -> str:
    from fstore.extractor.networks import build_network

    declared = list(build_network(network).layers)
    return TOP_LAYER if TOP_LAYER in declared or not declared else declared[-1]


@dataclass(frozen=True, slots=True)
class _Svm:
    value: float
    C: float
    classes: int


def _svm_accuracy(
    kernel: "Products", Y: NDArray[np.int8], parts: "SplitRows", *, c: float | None
) -> _Svm:
    from fstore.queries.methods.classification import accuracy

    result = accuracy(kernel, Y, parts, C=c)
    return _Svm(result.class_averaged, result.C, Y.shape[1])


def _svm_mean_ap(
    kernel: "Products", Y: NDArray[np.int8], parts: "SplitRows", *, c: float | None
) -> _Svm:
    from fstore.queries.methods.classification import average_precisions, mean_ap

    results = average_precisions(kernel, Y, parts, C=c)
    value, _, classes = mean_ap(results)
    return _Svm(value, results[0].C, classes)


def _other_classes(
    store: "Store", record: CheckpointRecord, classes: tuple[str, ...], *, view: str
) -> str:
    """Say why a checkpoint's own outputs say nothing of the samples; empty if they do."""
    recipe = json.loads(record.recipe)
    own = recipe.get("classes")
    if own is None and recipe.get("kind") == "pretrain":
        classes_of = {d.name: d.classes for d in store.datasets()}
        own = classes_of.get(recipe["dataset"])
    name = f"{record.network}/{record.name}"
    if own is None:
        return f"which classes {name} tells apart is not known (it was not trained here)"
    regions = list(own[-1:]) == [BACKGROUND]
    if sorted(own[: -1 if regions else None]) != sorted(classes):
        return f"{name} tells other classes apart ({len(own)} of {recipe.get('dataset')})"
    if regions != (view != "image"):
        kinds = ["regions", "whole images"][:: 1 if regions else -1]
        return f"{name} was trained on {kinds[0]}, not on {kinds[1]}"
    return ""


def _own_scores(
    store: "Store", record: CheckpointRecord, asked: "Problem", *, parts: "SplitRows", device: str
) -> NDArray[np.float64]:
    """Return scores of the test samples, (n_test, n_classes); background is left out.

    Where classes exclude one another: log-probabilities. Where each has its own sigmoid: the
    network's outputs, which rank samples as the sigmoids do, without their ties near 1.
    """
    from fstore.extractor.loading import InputSample
    from fstore.extractor.scores import output_scores
    from fstore.workflows.checkpoints import load_network

    rows = asked.rows[0]
    place = rows.partition
    columns = ["sample_id", "uri", "digest", "box"]
    table = store.samples(place.dataset, place.view, columns).take(rows.ids[parts.test])
    samples = [
        InputSample(r["sample_id"], r["uri"], r["digest"], r["box"] and tuple(r["box"].values()))
        for r in table.to_pylist()
    ]
    root = store.dataset(place.dataset).root
    scores = output_scores(load_network(store, record), root, samples, device=device)
    own = scores.astype(np.float64)
    recipe = json.loads(record.recipe)
    if "held_out_mean_ap" not in recipe:  # trained with a softmax
        own -= own.max(axis=1, keepdims=True)
        own -= np.log(np.exp(own).sum(axis=1, keepdims=True))
    outputs = recipe.get("classes", asked.classes)
    return own[:, [outputs.index(name) for name in asked.classes]]


def _own(
    scores: NDArray[np.float64], Y: NDArray[np.int8], parts: "SplitRows", *, single: bool
) -> float:
    """Return class-averaged accuracy, or mean AP over the classes that the SVMs have too."""
    from fstore.store.precision import voc_ap

    labels = Y[parts.test]
    if single:
        truth, right = labels.argmax(axis=1), scores.argmax(axis=1) == labels.argmax(axis=1)
        return float(np.mean([right[truth == c].mean() for c in np.unique(truth)]))
    fitted = Y[parts.fitted]
    usable = (fitted.max(axis=0) > 0) & (fitted.min(axis=0) < 0) & (labels.max(axis=0) > 0)
    aps = [voc_ap(scores[:, c], labels[:, c]) for c in np.flatnonzero(usable)]
    return float(np.mean([value for value in aps if value is not None]))
