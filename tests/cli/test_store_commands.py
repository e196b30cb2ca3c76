"""The commands on the store itself: what they print, where, and how they end."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from _build import Built, build
from fstore.cli import app


@pytest.fixture
def built(tmp_path: Path) -> Built:
    """Build a store with two checkpoints."""
    return build(tmp_path / "s", ("5", "15"))


def run(root: Path, *words: str, typed: str | None = None) -> Result:
    """Run ``fstore --store ROOT WORDS``."""
    return CliRunner().invoke(app, ["--store", str(root), *words], input=typed)


def test_init(tmp_path: Path) -> None:
    """Init makes a store, prints its path, and does no harm to one that is there."""
    root = tmp_path / "new"
    for _ in range(2):
        done = run(root, "init")
        assert (done.exit_code, done.stdout) == (0, f"{root}\n")
    assert run(root, "status", "--json").stdout == "[]\n"


def test_init_refuses_a_full_folder(tmp_path: Path) -> None:
    """A folder with other things in it is not made a store."""
    (tmp_path / "thesis.tex").write_text("")
    done = run(tmp_path, "init")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")
    assert "thesis.tex" in done.stderr


def test_status(built: Built) -> None:
    """A row a partition on stdout, the totals on stderr."""
    done = run(built.store.path, "status", "--json")
    rows = json.loads(done.stdout)
    assert done.exit_code == 0
    assert [(r["ckpt"], r["layer"]) for r in rows] == [
        ("15", "conv1"), ("15", "fc"), ("5", "conv1"), ("5", "fc"),
    ]  # fmt: skip
    assert list(rows[0]) == [
        "network", "ckpt", "dataset", "view", "layer", "samples", "rows", "bytes", "raw_bytes",
    ]  # fmt: skip
    assert done.stderr.startswith("4 partitions, 84 rows, ")
    as_csv = list(csv.DictReader(io.StringIO(run(built.store.path, "status", "--csv").stdout)))
    assert [r["rows"] for r in as_csv] == ["18", "24", "18", "24"]


def test_status_without_a_store(tmp_path: Path) -> None:
    """Without a store the error says how to make one."""
    done = run(tmp_path / "none", "status")
    assert done.exit_code == 1
    assert "init" in done.stderr
    assert done.stdout == ""


def test_drop_asks(built: Built) -> None:
    """Drop shows what goes and asks; anything but yes leaves all as it was."""
    done = run(built.store.path, "drop", "--ckpt", "5", typed="n\n")
    assert done.exit_code == 1
    assert "net/5" not in done.stdout
    assert "net/5 d.image conv1  18 rows" in done.stderr
    assert "Remove all this?" in done.stderr
    assert len(built.store.files()) == 4
    assert run(built.store.path, "drop", "--ckpt", "5", typed="y\n").exit_code == 0
    assert len(built.store.files()) == 2


def test_drop_without_a_terminal(built: Built) -> None:
    """Where nobody can answer nothing is removed, unless --yes is there."""
    assert run(built.store.path, "drop", "--ckpt", "5", typed="").exit_code == 1
    assert len(built.store.files()) == 4
    done = run(built.store.path, "drop", "--ckpt", "5", "--layer", "fc", "--yes")
    assert done.exit_code == 0
    assert "removed 24 rows" in done.stderr
    assert len(built.store.files()) == 3


def test_drop_needs_a_selector(built: Built) -> None:
    """Drop without a selector, or with one that fits nothing, is refused."""
    assert "at least one of --network" in run(built.store.path, "drop", "--yes").stderr
    done = run(built.store.path, "drop", "--layer", "fc9", "--yes")
    assert (done.exit_code, len(built.store.files())) == (1, 4)


def test_drop_checkpoint(built: Built) -> None:
    """--checkpoint removes record and weights as well."""
    words = ("drop", "--network", "net", "--ckpt", "5", "--checkpoint", "--yes")
    assert run(built.store.path, *words).exit_code == 0
    assert [r.name for r in built.store.checkpoints()] == ["15"]


def test_gc(built: Built) -> None:
    """Gc lists what it deleted; young files stay unless asked for."""
    left = Path(built.store.files()[0].uri).with_name(f"{12 * 'a'}.parquet.tmp")
    left.write_bytes(b"123")
    assert run(built.store.path, "gc", "--json").stdout == "[]\n"
    rows = json.loads(run(built.store.path, "gc", "--older-than", "0", "--json").stdout)
    assert rows == [{"file": str(left.relative_to(built.store.path)), "bytes": 3}]
    assert not left.exists()


def test_verify(built: Built) -> None:
    """Verify ends with 0 and no row if all is well, with 1 and rows if not."""
    done = run(built.store.path, "verify", "--json")
    assert (done.exit_code, done.stdout) == (0, "[]\n")
    Path(built.store.files(ckpt="5", layer="fc")[0].uri).unlink()
    done = run(built.store.path, "verify", "--json")
    (row,) = json.loads(done.stdout)
    assert done.exit_code == 1
    assert (row["ckpt"], row["layer"], row["problem"]) == ("5", "fc", "the file is missing")
    assert "1 problem" in done.stderr


def test_export(built: Built, tmp_path: Path) -> None:
    """Export prints the path alone, writes the part asked for, and does not overwrite."""
    out = tmp_path / "x.npz"
    words = ["export", "--layer", "conv1", "--ckpt", "5", "--dataset", "d", "--part", "test"]
    done = run(built.store.path, *words, "--what", "sp_max", str(out))
    assert (done.exit_code, done.stdout) == (0, f"{out}\n")
    with np.load(out) as z:
        want = built.values["conv1"][3:].max(axis=2)
        np.testing.assert_array_equal(z["features"], want)
    again = run(built.store.path, *words, str(out))
    assert again.exit_code == 1
    assert "--overwrite" in again.stderr
    assert run(built.store.path, *words, str(out), "--overwrite").exit_code == 0


def test_export_of_what_is_not_there(built: Built, tmp_path: Path) -> None:
    """A layer that is not stored is an error that lists what is."""
    out = tmp_path / "x.npy"
    words = ["export", "--layer", "fc", "--ckpt", "25", "--dataset", "d", str(out)]
    done = run(built.store.path, *words)
    assert done.exit_code == 1
    assert "net/15, net/5" in done.stderr
    assert not out.exists()


def test_import_is_light() -> None:
    """Importing the command line loads no heavy library."""
    heavy = ("torch", "duckdb", "pyarrow", "altair", "deltalake", "polars", "numpy")
    code = f"import sys, fstore.cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
