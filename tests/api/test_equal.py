"""The same features from SQL, the API and the export; the same score from scikit-learn."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fstore
from _cli import run
from _exports import READERS, read_npz
from _exports import features as exported
from _problems import scores_of
from fstore.cli.export import SUFFIXES
from fstore.errors import DataError

PART = ("--dataset", "digits", "--ckpt", "random")


@pytest.mark.parametrize("layer", ["conv5", "fc7"])
def test_sql_api_and_export_are_equal(digits: fstore.Store, tmp_path: Path, layer: str) -> None:
    """Rows of SQL stacked by hand, .X, and the exported .npy hold the same bits."""
    own = digits.features(layer, "random", "digits", part="test")
    out = tmp_path / "X.npy"
    done = run(digits, "export", "--layer", layer, *PART, "--part", "test", str(out))
    assert done.exit_code == 0, done.output
    assert np.array_equal(np.load(out), own.X)
    column = "map" if layer == "conv5" else "[act_max]"
    rows = digits.sql(
        f"SELECT sample_id, {column} AS value FROM activations WHERE layer = ? "
        "ORDER BY sample_id, channel",
        [layer],
    ).numpy()
    stacked = rows["value"].reshape(200, -1)[own.ids]
    assert np.array_equal(stacked, own.X)
    assert rows["sample_id"].reshape(200, -1)[:, 0].tolist() == list(range(200))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("layer", ["conv5", "fc7"])
def test_every_way_out_gives_the_same(
    digits: fstore.Store, tmp_path: Path, layer: str, suffix: str
) -> None:
    """The command's file, the object's file and the loader's batches hold what .X holds."""
    own = digits.features(layer, "random", "digits", part="test")
    by_command, by_object = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    words = ("--layer", layer, *PART, "--part", "test", str(by_command))
    assert run(digits, "export", *words).exit_code == 0
    assert np.array_equal(exported(by_command), own.X)
    own.export(by_object)
    assert np.array_equal(exported(by_object), own.X)
    if suffix in READERS:
        told = [READERS[suffix](path) for path in (by_command, by_object)]
        assert all(np.array_equal(t.sample_ids, own.ids) for t in told)
        assert all(np.array_equal(t.labels, own.Y) for t in told)
        assert told[0].provenance == told[1].provenance
    batches = list(digits.loader(layer, "random", "digits", part="test", batch_size=7))
    ids = np.concatenate([batch["ids"].numpy() for batch in batches])
    X = np.concatenate([batch["X"].flatten(1).numpy() for batch in batches])
    order = np.argsort(ids)
    assert np.array_equal(ids[order], own.ids)
    assert np.array_equal(X[order], own.X)


def test_features_in_any_order_are_exported_as_they_stand(
    digits: fstore.Store, tmp_path: Path
) -> None:
    """A slice backwards, pooled or ablated, is written as .X has it; none at all is refused."""
    ways: list[dict[str, Any]] = [{}, {"pool": "mean"}, {"ablation": "binarize"}, {"pool": "max"}]
    for taken in ways:
        own = digits.features("conv5", "random", "digits", part="test", **taken)[10:2:-2]
        file = read_npz(own.export(tmp_path / "x.npz", overwrite=True))
        assert len(file.features) == 4
        assert np.array_equal(file.features, own.X)
        assert file.sample_ids == own.ids.tolist()
        assert file.image_ids == own.images
        assert np.array_equal(file.labels, own.Y)
    with pytest.raises(DataError, match="no sample"):
        digits.features("conv5", "random", "digits", part="test")[:0].export(tmp_path / "y.npz")


def test_linear_svc_scores_as_the_analysis(digits: fstore.Store) -> None:
    """LinearSVC on (X, y) has the accuracy of ``fstore analyze accuracy``, digit by digit."""
    fitted = digits.features("conv5", "random", "digits", part="trainval")
    tested = digits.features("conv5", "random", "digits", part="test")
    X = np.concatenate([fitted.X, tested.X]).astype(np.float64)
    train, test = np.arange(len(fitted)), len(fitted) + np.arange(len(tested))
    Y = np.concatenate([fitted.Y, tested.Y])
    scores = np.stack([scores_of(X, Y[:, c], train, test) for c in range(10)], axis=1)
    right = float((scores.argmax(axis=1) == tested.y).mean())
    done = run(digits, "analyze", "accuracy", "--layer", "conv5", *PART, "--json")
    (row,) = json.loads(done.stdout)
    assert (row["n_train"], row["n_test"]) == (len(fitted), len(tested))
    assert 0.3 < right < 1
    assert row["overall"] == pytest.approx(right, abs=1.5 / len(tested))  # a tie may fall apart


def test_linear_svc_ranks_as_the_analysis(digits: fstore.Store) -> None:
    """Its scores have the average precision of ``fstore analyze classification``, by class."""
    from sklearn.metrics import average_precision_score

    fitted = digits.features("fc7", "random", "digits", part="trainval")
    tested = digits.features("fc7", "random", "digits", part="test")
    X = np.concatenate([fitted.X, tested.X]).astype(np.float64)
    train, test = np.arange(len(fitted)), len(fitted) + np.arange(len(tested))
    Y = np.concatenate([fitted.Y, tested.Y])
    done = run(digits, "analyze", "classification", "--layer", "fc7", *PART, "--json")
    rows = {row["class"]: row["ap_all"] for row in json.loads(done.stdout)}
    expected = {
        name: average_precision_score(Y[test, c] > 0, scores_of(X, Y[:, c], train, test))
        for c, name in enumerate(tested.classes)
    }
    for name, value in expected.items():
        assert rows[name] == pytest.approx(value, abs=0.02), name
    assert min(expected.values()) < 0.95  # the numbers could differ


def test_methods_and_commands_give_the_same_rows(digits: fstore.Store) -> None:
    """``store.analyze.accuracy`` gives the rows of the command."""
    rows = digits.analyze.accuracy("fc7", "random", "digits", ablation=["none", "binarize"])
    done = run(
        digits, "analyze", "accuracy", "--layer", "fc7", *PART, "--json",
        "--ablation", "none", "--ablation", "binarize",
    )  # fmt: skip
    assert list(rows) == json.loads(done.stdout)
