"""``fstore export --portable``: what is copied, and what is refused."""

from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from conftest import Known
from fstore.cli import app


def export(known: Known, out: Path | str, *words: str) -> Result:
    """Run the command on the known store."""
    command = ["--store", str(known.store.path), "export", "--portable", str(out), *words]
    return CliRunner().invoke(app, command)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], {(ckpt, la) for ckpt in ("5", "005") for la in ("conv1", "fire2/concat", "fc7")}),
        (["--layer", "fc7"], {("5", "fc7"), ("005", "fc7")}),
        (["--layer", "fire2/concat", "--ckpt", "005"], {("005", "fire2/concat")}),
        (["--ckpt", "tiny-net/5", "--dataset", "d", "--view", "image"], "5"),
        (["--network", "tiny-net", "--layer", "conv1"], {("5", "conv1"), ("005", "conv1")}),
    ],
)
def test_what_is_chosen(
    known: Known, tmp_path: Path, words: list[str], wanted: set[tuple[str, str]] | str
) -> None:
    """Options choose partitions, each one that is not given fits all; the folder is printed."""
    if isinstance(wanted, str):
        wanted = {(wanted, layer) for layer in ("conv1", "fire2/concat", "fc7")}
    network = known.store.files()[0].partition.network
    done = export(known, tmp_path / "copy", *(w.replace("tiny-net", network) for w in words))
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path / 'copy'}\n")
    assert f"of {len(wanted)} partitions in {len(wanted)} files" in done.stderr
    rows = pl.scan_delta(str(tmp_path / "copy")).select("ckpt", "layer").unique().collect()
    assert set(rows.rows()) == wanted


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--layer", "conv9"], "nothing is stored of layer 'conv9'; there are: conv1, fc7, fire2"),
        (["--ckpt", "6"], "nothing is stored of checkpoint '6'; there are: "),
        (["--view", "gt"], "nothing is stored of view 'gt'; there are: image"),
        (["--part", "test"], "--part does not go with --portable"),
        (["--shuffle-seed", "0"], "--shuffle-seed does not go with --portable"),
        (["--overwrite"], "--overwrite does not go with --portable"),
    ],
)
def test_what_is_refused(known: Known, tmp_path: Path, words: list[str], message: str) -> None:
    """A name of which nothing is stored, and an option of features, are named; nothing is left."""
    done = export(known, tmp_path / "copy", *words)
    assert done.exit_code != 0
    told = " ".join((done.stderr + str(done.exception)).split())
    assert message in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("s3://bucket/copy", "only a store may be elsewhere"),
        ("activations/copy", "among the store's own files"),
    ],
)
def test_where_no_copy_goes(known: Known, out: str, message: str) -> None:
    """A copy is a local folder, outside of what the store keeps."""
    place = out if out.startswith("s3") else known.store.path / out
    done = export(known, place)
    assert done.exit_code != 0
    assert message in " ".join((done.stderr + str(done.exception)).split())


def test_features_still_need_their_names(known: Known, tmp_path: Path) -> None:
    """Without ``--portable``, a layer, a checkpoint and a data set must be said."""
    where = ["--store", str(known.store.path), "export", str(tmp_path / "x.npz")]
    done = CliRunner().invoke(app, [*where, "--layer", "fc7", "--dataset", "d"])
    assert done.exit_code == 2
    assert "--ckpt is missing; only --portable goes without it" in " ".join(done.stderr.split())
