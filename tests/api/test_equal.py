"""The same features from SQL, the API and the export; the same score from scikit-learn."""

import json
from pathlib import Path

import numpy as np
import pytest

import fstore
from _cli import run
from _problems import scores_of

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
