"""Evaluation of checkpoints: equal to scikit-learn on exported features, and to a forward pass."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from _problems import World, make, scores_of
from _scenes import PARENT, make_scenes
from fstore.errors import DataError, UnknownNameError
from fstore.extractor.datasets import FORMATS
from fstore.extractor.images import load_sample
from fstore.store import Store
from fstore.store.export import export_features
from fstore.store.files import Partition
from fstore.store.precision import voc_ap
from fstore.types import Box
from fstore.workflows import load_network
from fstore.workflows.extract.run import extract
from fstore.workflows.train.finetune import finetune
from fstore.workflows.train.judge import evaluate

POINT = 0.001  # a tenth of a point of 100


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return a store of features of samples with one class each."""
    return make(tmp_path_factory.mktemp("single") / "store", single=True)


@pytest.fixture(scope="module")
def multi(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return a store of features of samples with several classes each."""
    return make(tmp_path_factory.mktemp("multi") / "store")


def exported(
    world: World, folder: Path, layer: str = "fc"
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Return features and labels as ``fstore export`` writes them."""
    path = export_features(
        world.store, Partition("net", "5", "d", "image", layer), folder / "x.npz"
    )
    with np.load(path) as archive:
        return archive["features"].astype(np.float64), archive["labels"]


@pytest.mark.parametrize("split_seed", [0, 2])
def test_accuracy_is_scikit_learns(single: World, tmp_path: Path, split_seed: int) -> None:
    """Class-averaged accuracy is, within 0.1 point, that of LinearSVC on exported features."""
    X, Y = exported(single, tmp_path, "conv")
    train, test = single.rows(split_seed, "train", "val"), single.rows(split_seed, "test")
    scores = np.stack([scores_of(X, Y[:, c], train, test) for c in range(3)], axis=1)
    truth = Y[test].argmax(axis=1)
    right = scores.argmax(axis=1) == truth
    expected = np.mean([right[truth == c].mean() for c in range(3)])
    found = evaluate(single.store, "5", dataset="d", layer="conv", split="random",
                     split_seed=split_seed)  # fmt: skip
    assert (found.metric, found.n_train, found.n_test, found.classes) == ("accuracy", 40, 20, 3)
    assert found.svm == pytest.approx(expected, abs=POINT)
    assert 0.4 < found.svm < 1  # neither chance nor all right: the numbers could differ


def test_mean_ap_is_scikit_learns(multi: World, tmp_path: Path) -> None:
    """Mean AP is, within 0.1 point, that of the scores of LinearSVC on exported features."""
    X, Y = exported(multi, tmp_path)
    train, test = multi.rows(0, "train", "val"), multi.rows(0, "test")
    aps = [voc_ap(scores_of(X, Y[:, c], train, test), Y[test, c]) for c in range(3)]
    found = evaluate(multi.store, "5", dataset="d", layer="fc")
    assert found.metric == "mean AP"
    assert found.svm == pytest.approx(np.mean(np.array(aps, float)), abs=POINT)


def test_c_is_given_or_chosen(single: World) -> None:
    """Another C is used as it is; without one it is chosen on val from the grid."""
    options: dict[str, Any] = {"dataset": "d", "layer": "fc"}
    assert evaluate(single.store, "5", **options, c=0.5).C == 0.5
    assert evaluate(single.store, "5", **options, c=None).C in {1e-5, 1e-4, 1e-3, 1e-2, 1e-1}


def test_an_imported_checkpoint_has_no_classifier(single: World) -> None:
    """Where a checkpoint's classes are not known its own result is None, and a note says why."""
    found = evaluate(single.store, "5", dataset="d", layer="fc")
    assert found.classifier is None
    assert "which classes net/5 tells apart is not known" in found.note


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"ckpt": "6"}, UnknownNameError, "no checkpoint '6'"),
        ({"dataset": "e"}, UnknownNameError, "no data set 'e'"),
        ({"view": "gt"}, UnknownNameError, "no view 'gt'"),
        (
            {"layer": "fc7"},
            UnknownNameError,
            "make them with: fstore extract --layer fc7 --ckpt net/5 --dataset d --view image",
        ),
        (
            {"split_seed": 9, "split": "random"},
            UnknownNameError,
            "no part 'random:9:train'; it has",
        ),
        ({"c": -1.0}, DataError, "C must be above 0"),
    ],
)
def test_mistakes_are_named(
    single: World, given: dict[str, Any], error: type[Exception], message: str
) -> None:
    """What is not there is named; missing activations with the command that makes them."""
    usual: dict[str, Any] = {"ckpt": "5", "dataset": "d", "layer": "fc"}
    with pytest.raises(error, match=message):
        evaluate(single.store, **usual | given)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a store with checkpoints fine-tuned on images and on regions, and their features."""
    store = make_scenes(tmp_path_factory.mktemp("trained") / "store")
    usual: dict[str, Any] = {"mode": "ft", "parent": PARENT, "iterations": 6, "batch_size": 8}
    finetune(store, dataset="rooms", name="rooms", split="random", **usual)
    finetune(store, dataset="scenes", name="images", **usual)
    finetune(store, dataset="scenes", name="boxes", view="gt", **usual)
    places = [("rooms", "rooms", "image"), ("images", "scenes", "image")]
    for ckpt, dataset, view in [*places, *(("boxes", "scenes", v) for v in ("image", "gt"))]:
        extract(store, layers=["fc7"], ckpts=[ckpt], datasets=[dataset], views=[view])
    return store


def outputs(
    store: Store, ckpt: str, dataset: str, view: str, split: str = "official"
) -> tuple[NDArray[np.float32], NDArray[np.int8], list[bool]]:
    """Return a checkpoint's outputs for the test samples, one by one, labels, and difficulty."""
    network = load_network(store, store.find_checkpoint(ckpt))
    info = store.dataset(dataset)
    test = {
        r["sample_id"]
        for r in store.splits(dataset, view).to_pylist()
        if (r["split"], r["seed"], r["part"]) == (split, 0, "test")
    }
    rows = [r for r in store.samples(dataset, view).to_pylist() if r["sample_id"] in test]
    Y = np.full((len(rows), len(info.classes)), -1, np.int8)
    at = {r["sample_id"]: i for i, r in enumerate(rows)}
    for r in store.labels(dataset, view).to_pylist():
        if r["sample_id"] in at:
            Y[at[r["sample_id"]], info.classes.index(r["class"])] = r["label"]
    found = []
    for r in rows:
        box: Box | None = None if r["box"] is None else tuple(r["box"].values())
        x = load_sample(info.root, r["uri"], box, preprocess=network.preprocess)
        with torch.inference_mode():
            found.append(network.model(torch.from_numpy(x)[None])[0].numpy())
    return np.stack(found), Y, [bool(r["difficult"]) for r in rows]


def test_own_accuracy_is_a_forward_pass(trained: Store) -> None:
    """The classifier's result is the class-averaged accuracy of one forward pass a test image."""
    scores, Y, _ = outputs(trained, "rooms", "rooms", "image", "random")
    truth, right = Y.argmax(axis=1), scores.argmax(axis=1) == Y.argmax(axis=1)
    expected = np.mean([right[truth == c].mean() for c in (0, 1)])
    found = evaluate(trained, "rooms", dataset="rooms", split="random")
    assert (found.layer, found.metric, found.note) == ("fc7", "accuracy", "")
    assert found.classifier == pytest.approx(expected)


def test_classes_in_another_order(trained: Store) -> None:
    """A data set that has the classes in another order gets the same result."""
    root = trained.dataset("rooms").root
    manifest = FORMATS["imagefolder"].function("turned", root, seeds=[0])
    assert trained.register_dataset(replace(manifest, classes=manifest.classes[::-1]))
    extract(trained, layers=["fc7"], ckpts=["rooms"], datasets=["turned"], views=["image"])
    found, usual = (evaluate(trained, "rooms", dataset=d, split="random")
                    for d in ("turned", "rooms"))  # fmt: skip
    assert found.note == ""
    assert found.classifier == pytest.approx(usual.classifier)


def test_own_mean_ap_is_a_forward_pass(trained: Store) -> None:
    """For several classes an image it is the mean AP of the outputs, as sigmoids rank them."""
    scores, Y, _ = outputs(trained, "images", "scenes", "image")
    aps = [voc_ap(scores[:, c], Y[:, c]) for c in range(10)]
    found = evaluate(trained, "images", dataset="scenes")
    assert found.metric == "mean AP"
    # outputs of one by one and of batches differ in the last bits, and may swap near ties
    assert found.classifier == pytest.approx(np.mean([a for a in aps if a is not None]), abs=POINT)


def test_own_result_on_boxes(trained: Store) -> None:
    """On plain boxes it is the mean AP of the softmax probabilities, background among them."""
    scores, Y, difficult = outputs(trained, "boxes", "scenes", "gt")
    kept = ~np.array(difficult)
    chance = torch.softmax(torch.from_numpy(scores[kept]).double(), dim=1).numpy()
    aps = [voc_ap(chance[:, c], Y[kept][:, c]) for c in range(10)]
    found = evaluate(trained, "boxes", dataset="scenes", view="gt")
    assert chance.shape[1] == 11
    assert found.classifier == pytest.approx(np.mean([a for a in aps if a is not None]), abs=POINT)


def test_a_classifier_of_boxes_says_nothing_of_images(trained: Store) -> None:
    """What was trained on regions has no result of its own on whole images; a note says why."""
    found = evaluate(trained, "boxes", dataset="scenes")
    assert found.classifier is None
    assert found.note == "caffenet-mini/boxes was trained on regions, not on whole images"
    assert 0 < found.svm < 1
