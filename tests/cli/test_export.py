"""``fstore export``: responses as an analysis reads them, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from _build import Built, build, put, relu
from fstore.cli import app
from fstore.store.permutation import permutation


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build a store with a checkpoint, and one whose responses are stored as bits."""
    built = build(tmp_path_factory.mktemp("export") / "s")
    bits = np.sign(relu(0, 6, 3, 4))
    put(built.store, built.partition("conv1", "b"), bits, identity={"stored precision": "bit"})
    return built


def export(built: Built, out: Path, *words: str, ckpt: str = "5") -> Result:
    """Run the command on layer ``conv1``, three channels of 2 x 2."""
    where = ["--layer", "conv1", "--ckpt", ckpt, "--dataset", "d"]
    command = ["--store", str(built.store.path), "export", str(out), *where, *words]
    return CliRunner().invoke(app, command)


def test_pooled(built: Built, tmp_path: Path) -> None:
    """Where an ablation leaves one value of a map, the file has a column a channel."""
    out = tmp_path / "x.npz"
    done = export(built, out, "--ablation", "sp_mean", "--part", "trainval")
    assert (done.exit_code, done.stdout) == (0, f"{out}\n")
    with np.load(out) as z:
        want = built.values["conv1"][:3].mean(axis=2, dtype=np.float64).astype(np.float32)
        np.testing.assert_array_equal(z["features"], want)
        assert z["shape"].tolist() == [3, 1, 1]
        told = json.loads(str(z["provenance"]))
    assert (told["ablation"], told["what"]) == ("sp_mean", "map")
    assert (told["split"], told["part"], "shuffle_seed" in told) == ("official", "trainval", False)


def test_shuffled(built: Built, tmp_path: Path) -> None:
    """Places are permuted by the seed, which the file tells."""
    out = tmp_path / "x.npz"
    assert export(built, out, "--ablation", "sp_shuffle", "--shuffle-seed", "7").exit_code == 0
    with np.load(out) as z:
        assert z["shape"].tolist() == [3, 2, 2]
        assert json.loads(str(z["provenance"]))["shuffle_seed"] == 7
        X = z["features"].reshape(6, 3, 4)
    for n, maps in enumerate(built.values["conv1"]):
        order = permutation(4, seed=7, view="image", sample_id=n)
        np.testing.assert_array_equal(X[n], maps[:, order])


def test_none_is_as_they_are(built: Built, tmp_path: Path) -> None:
    """``--ablation none`` gives what is stored, of bits too; of bits no mean is given."""
    out = tmp_path / "x.npy"
    assert export(built, out, "--ablation", "none", ckpt="b").exit_code == 0
    assert set(np.unique(np.load(out))) == {0, 1}
    done = export(built, tmp_path / "y.npy", "--ablation", "sp_mean", ckpt="b")
    assert done.exit_code == 1
    assert "stored as bits" in done.stderr
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--ablation", "sp_min"), 1, "no ablation 'sp_min'; there are: none, binarize"),
        (("--ablation", "sp_mean", "--what", "sp_max"), 2, "leave one of the two out"),
    ],
)
def test_refused(
    built: Built, tmp_path: Path, words: tuple[str, ...], code: int, says: str
) -> None:
    """What cannot be meant is refused in words, and nothing is written."""
    done = export(built, tmp_path / "x.npy", *words)
    assert (done.exit_code, done.stdout) == (code, "")
    assert says in " ".join(done.stderr.replace("│", " ").split())
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_read_before_the_name_is_checked(built: Built, tmp_path: Path) -> None:
    """An ending that is no format is refused, whatever the ablation; the endings are listed."""
    for ablation in ("none", "binarize"):
        done = export(built, tmp_path / "x.mat", "--ablation", ablation)
        assert done.exit_code == 1
        assert "must end in .h5, .lance, .npy, .npz, .parquet, .safetensors" in done.stderr
