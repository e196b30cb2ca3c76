"""``FstoreFeatures``: a scikit-learn step that reads what is stored and extracts the rest."""

import inspect
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.utils import get_tags

import fstore
from fstore.errors import DataError, UnknownNameError

TF32 = 2**-10
"""Largest relative error of rounding to ten bits of mantissa, and a little more."""


@pytest.fixture
def own(digits: fstore.Store, tmp_path: Path) -> fstore.Store:
    """Return a copy of the store of digits, which a test may change."""
    return fstore.open(shutil.copytree(digits.path, tmp_path / "store"))


def new_image(path: Path, seed: int = 0) -> Path:
    """Write an image that no data set has."""
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32), dtype=np.uint8)
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.fromarray(pixels).save(path)
    return path


def test_stored_responses_come_out(digits: fstore.Store) -> None:
    """Files of a data set give the rows that features() has, in the order of the files."""
    stored = digits.features("conv5", "random", "digits", part="val")
    step = fstore.FstoreFeatures(digits, "conv5", "random")
    assert np.array_equal(step.fit_transform(stored.paths), stored.X)
    back = [str(path) for path in stored.paths[::-1]]
    assert np.array_equal(step.transform(back), stored.X[::-1])
    twice = np.array([back[0], back[0]])[:, None]  # as a column of a table
    assert np.array_equal(step.transform(twice), stored.X[[-1, -1]])
    pooled = fstore.FstoreFeatures(digits, "conv5", "random", pool="mean").transform(stored.paths)
    assert np.array_equal(
        pooled, digits.features("conv5", "random", "digits", part="val", pool="mean").X
    )


def test_ids_of_a_data_set(digits: fstore.Store) -> None:
    """Images may be named by their ids where a data set is named."""
    stored = digits.features("fc7", "random", "digits", part="val")
    step = fstore.FstoreFeatures(digits, "fc7", "random", dataset="digits")
    assert np.array_equal(step.transform(stored.images), stored.X)
    assert np.array_equal(step.transform([stored.images[0], stored.paths[1]]), stored.X[:2])
    bare = fstore.FstoreFeatures(digits, "fc7", "random")
    with pytest.raises(DataError, match="cannot read the image file"):
        bare.transform(stored.images)
    with pytest.raises(DataError, match="has no image of that id"):
        step.transform(["nine"])


def test_other_files_are_extracted_and_stored(own: fstore.Store, tmp_path: Path) -> None:
    """New images get what the network gives, and the next time they are read, wherever they are."""
    known = own.features("fc7", "random", "digits")
    a, b = new_image(tmp_path / "x" / "a.png", 1), new_image(tmp_path / "y" / "b.png", 2)
    step = fstore.FstoreFeatures(own, "fc7", "random")
    X = step.transform([b, known.paths[7], a, b])
    direct = own.network("random")([a, b], "fc7")["fc7"]
    assert np.allclose(X[[2, 0]], direct, rtol=TF32, atol=1e-6)
    assert np.array_equal(X[1], known.X[7])
    assert np.array_equal(X[0], X[3])
    sets = [d.name for d in own.datasets()]
    assert len(sets) == 2
    moved = shutil.copy(b, tmp_path / "elsewhere.png")
    b.unlink()
    assert np.array_equal(step.transform([moved]), X[[0]])
    assert [d.name for d in own.datasets()] == sets
    stored = {(p["dataset"], p["layer"]) for p in own.partitions()}
    assert (sets[1], "fc7") in stored
    assert (sets[1], "conv5") not in stored


def test_precision_of_new_files_is_that_of_the_stored(own: fstore.Store, tmp_path: Path) -> None:
    """The digits are stored as float32, so are new files; another precision has its own rows."""
    image = new_image(tmp_path / "a.png")
    direct = own.network("random")([image], "fc7")["fc7"]
    same = fstore.FstoreFeatures(own, "fc7", "random").transform([image])
    assert np.allclose(same, direct, rtol=1e-5, atol=1e-7)
    coarse = new_image(tmp_path / "b.png", 1)
    rounded = fstore.FstoreFeatures(own, "fc7", "random", precision="bfloat16").transform([coarse])
    assert not np.any(rounded.view(np.uint32) & 0xFFFF)  # bfloat16 has the upper half
    with pytest.raises(DataError, match="other stored precision"):
        fstore.FstoreFeatures(own, "fc7", "random").transform([coarse])


def test_what_is_no_image_is_refused(own: fstore.Store, tmp_path: Path) -> None:
    """Unreadable files, a text alone, numbers and an empty list each have their error."""
    step = fstore.FstoreFeatures(own, "fc7", "random")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"broken\.png cannot be read as an image"):
        step.transform([broken])
    with pytest.raises(DataError, match="cannot read the image file"):
        step.transform([tmp_path / "absent.png"])
    for X, match in (
        ("a.png", "takes a list"),
        ([3], "is no image"),
        ([], "at least one"),
        (np.zeros((2, 2)), "one dimension"),
    ):
        with pytest.raises(DataError, match=match):
            step.transform(X)
    with pytest.raises(UnknownNameError, match="no checkpoint"):
        fstore.FstoreFeatures(own, "fc7", "other").fit([])
    with pytest.raises(DataError, match="depends on"):
        fstore.FstoreFeatures(own, "fc7", "random", ablation="l2_columns").fit([])


def test_a_pipeline_learns(digits: fstore.Store) -> None:
    """In a pipeline with LinearSVC it scores as LinearSVC does on the same matrix."""
    train = digits.features("conv5", "random", "digits", part="trainval")
    test = digits.features("conv5", "random", "digits", part="test")
    step = fstore.FstoreFeatures(str(digits.path), "conv5", "random")
    probe = make_pipeline(step, LinearSVC(C=1e-3, random_state=0)).fit(train.paths, train.y)
    alone = LinearSVC(C=1e-3, random_state=0).fit(train.X, train.y)
    assert probe.score(test.paths, test.y) == alone.score(test.X, test.y) > 0.3


def test_parameters_are_searched(digits: fstore.Store) -> None:
    """A grid search sets the layer and the pool like any other parameter."""
    train = digits.features("fc7", "random", "digits", part="trainval")
    probe = make_pipeline(fstore.FstoreFeatures(digits, "fc7", "random"), LinearSVC())
    grid = {"fstorefeatures__layer": ["conv5", "fc7"], "linearsvc__C": [1e-3]}
    search = GridSearchCV(probe, grid, cv=2).fit(np.array(train.paths), train.y)
    assert len(search.cv_results_["params"]) == 2


def test_it_is_an_estimator(digits: fstore.Store) -> None:
    """Parameters are those of the constructor, kept as given; clones and pickles do the same."""
    step = fstore.FstoreFeatures(digits, "fc7", "random", pool="max")
    names = list(inspect.signature(fstore.FstoreFeatures).parameters)
    assert sorted(step.get_params()) == sorted(names)
    assert step.get_params()["store"] is digits
    path = digits.features("fc7", "random", "digits").paths[0]
    expected = step.transform([path])
    for other in (clone(step), pickle.loads(pickle.dumps(step))):  # noqa: S301 - our own
        assert other.get_params()["pool"] == "max"
        assert np.array_equal(other.transform([path]), expected)
    assert step.set_params(layer="conv5").transform([path]).shape == (1, 48)
    assert not get_tags(step).requires_fit
    assert get_tags(step).input_tags.string


def test_columns_have_names(digits: fstore.Store) -> None:
    """Frames come out where they are asked for, a column a channel and place."""
    stored = digits.features("conv5", "random", "digits")
    step = fstore.FstoreFeatures(digits, "conv5", "random").set_output(transform="pandas")
    frame = step.fit_transform(pd.Series(map(str, stored.paths[:3])))
    assert isinstance(frame, pd.DataFrame)
    assert frame.loc[1, "conv5_5_2_1"] == stored.maps[1, 5, 2, 1]
    pooled = fstore.FstoreFeatures(digits, "conv5", "random", pool="max")
    polars = pooled.set_output(transform="polars").transform(stored.paths[:3])
    assert polars.columns[5] == "conv5_5"
    assert polars["conv5_5"].to_list() == stored.maps[:3, 5].max((1, 2)).tolist()
