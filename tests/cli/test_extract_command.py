"""``fstore extract``: what is stored, what is said, and with which exit code."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import fstore.cli.extract  # adds the command
from fstore import workflows
from fstore.cli.app import app
from fstore.store import Store

Run = Callable[..., Result]
CHANNELS = {"conv1": 16, "conv2": 48, "conv3": 64, "conv4": 64, "conv5": 48, "fc6": 256, "fc7": 256}

assert fstore.cli.extract.__doc__


def write_images(folder: Path, n: int) -> Path:
    """Write n small images of noise in two class folders."""
    random = np.random.default_rng(3)
    for i in range(n):
        path = folder / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (20, 20, 3), np.uint8)).save(path)
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give a store with two data sets of images and two checkpoints of initial weights."""
    store = Store.create(tmp_path / "store")
    for name, n in (("one", 4), ("two", 3)):
        folder = write_images(tmp_path / name, n)
        workflows.add_dataset(store, name, "imagefolder", root=folder, seeds=[0])
    for seed, name in enumerate(("random", "other")):
        workflows.init_checkpoint(store, network="caffenet-mini", name=name, seed=seed)
    return store


@pytest.fixture
def run(store: Store) -> Run:
    """Give a function that runs ``fstore extract ...`` on the store."""

    def invoke(*words: str, before: tuple[str, ...] = ()) -> Result:
        where = ["--store", str(store.path), *before, "extract", "--workers", "1"]
        return CliRunner().invoke(app, [*where, *words])

    return invoke


def stored(store: Store) -> set[tuple[str, str, str, int]]:
    """Return (dataset, ckpt, layer, rows) of what is stored."""
    rows = store.sql(
        "SELECT dataset, ckpt, layer, count(*) AS n FROM activations GROUP BY ALL"
    ).arrow()
    return {(r["dataset"], r["ckpt"], r["layer"], r["n"]) for r in rows.to_pylist()}


def refused(result: Result, code: int, *says: str) -> None:
    """Check an exit code, that stdout is empty, and that one line of stderr says what is wrong."""
    assert result.exit_code == code
    assert result.stdout == ""
    if code == 1:
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
    for text in says:
        assert text in result.stderr


def test_one_layer_of_all_data_sets(run: Run, store: Store) -> None:
    """``extract --layer conv5 --ckpt random`` fills every data set; the summary is on stderr."""
    result = run("--layer", "conv5", "--ckpt", "random")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "7 samples extracted, 0 already there, 0 quarantined" in result.stderr
    assert f"{7 * 48} rows, " in result.stderr
    assert "MB as raw float32, 0." in result.stderr
    assert " s on cpu, " in result.stderr
    assert stored(store) == {
        ("one", "random", "conv5", 4 * 48),
        ("two", "random", "conv5", 3 * 48),
    }
    again = run("--layer", "conv5", "--ckpt", "random")
    assert again.exit_code == 0
    assert "0 samples extracted, 7 already there" in again.stderr


def test_all_layers_of_several_checkpoints(run: Run, store: Store) -> None:
    """``--layer all`` means the declared layers, for each ``--ckpt`` and ``--dataset``."""
    words = (
        "--layer",
        "all",
        "--ckpt",
        "random",
        "--ckpt",
        "caffenet-mini/other",
        "--dataset",
        "two",
    )
    assert run(*words).exit_code == 0
    assert stored(store) == {
        ("two", ckpt, layer, 3 * n) for ckpt in ("random", "other") for layer, n in CHANNELS.items()
    }


def test_a_part_of_a_split(run: Run, store: Store) -> None:
    """``--split random:0 --part test`` extracts that part's samples alone."""
    words = ("--layer", "fc7", "--ckpt", "random", "--dataset", "one")
    assert run(*words, "--split", "random:0", "--part", "test").exit_code == 0
    parts = store.splits("one", "image").to_pylist()
    n = sum(r["part"] == "test" for r in parts)
    assert 0 < n < 4
    assert stored(store) == {("one", "random", "fc7", n * 256)}
    official = ("--split", "official", "--part", "test")
    refused(run(*words, *official), 1, "has no part 'official:test'", "random:0:test")
    assert run(*words, "--part", "test").exit_code == 0
    assert stored(store) == {("one", "random", "fc7", n * 256)}


def test_views(run: Run) -> None:
    """``--view`` chooses a view; one that a named data set lacks is an error."""
    words = ("--layer", "fc7", "--ckpt", "random")
    assert run(*words, "--view", "image").exit_code == 0
    refused(
        run(*words, "--view", "gt", "--dataset", "one"),
        1,
        "no view 'gt'; it has no boxes; it has: image",
    )
    refused(run(*words, "--view", "proposal"), 1, "no chosen data set has a view 'proposal'")
    refused(run(*words, "--view", "image", "--view", "typo"), 1, "view 'typo'; there are: image")


def test_shards_are_commits(run: Run, store: Store) -> None:
    """``--shard-mib 1`` cuts the work into commits of at most a MiB of raw float32."""
    words = ("--layer", "fc7", "--ckpt", "random", "--dataset", "one", "--batch-size", "1")
    assert run(*words, "--shard-mib", "1").exit_code == 0
    layers = store.rows("layers").to_pylist()
    sample = 4 * sum(r["channels"] * r["height"] * r["width"] for r in layers)
    files = store.files()
    assert sum(f.n_samples for f in files) == 4
    assert all(f.n_samples * sample <= 1 << 20 for f in files)


def test_memory_makes_shards_smaller(run: Run, store: Store) -> None:
    """``--memory`` takes a number and a unit; two shards fit into three quarters of it."""
    words = ("--layer", "fc7", "--ckpt", "random", "--dataset", "one")
    assert run(*words, "--memory", "6K", "--encoders", "2").exit_code == 0
    assert [f.n_samples for f in store.files()] == [2, 2]  # 4 x 256 bytes a sample; 4.5 KiB


def test_bad_images_are_told(run: Run, store: Store, tmp_path: Path) -> None:
    """An unreadable image is named in the summary; more than ``--max-bad`` end the run."""
    folder = write_images(tmp_path / "bad", 4)
    for path in sorted(folder.rglob("*.png"))[:2]:
        path.write_bytes(b"")
    workflows.add_dataset(store, "bad", "imagefolder", root=folder)
    words = ("--layer", "fc7", "--ckpt", "random", "--dataset", "bad")
    refused(run(*words, "--max-bad", "1"), 1, "at most 1 are allowed (--max-bad)")
    result = run(*words, "--max-bad", "2")
    assert result.exit_code == 0
    assert result.stderr.count("quarantined: ") == 2
    assert "2 samples extracted, 0 already there, 2 quarantined" in result.stderr
    runs = sorted(store.rows("runs").to_pylist(), key=lambda r: r["started_at"])
    assert [r["exit"] for r in runs] == ["failed", "ok"]


def test_quiet_says_nothing(run: Run, store: Store) -> None:
    """``fstore --quiet extract`` writes to neither stream."""
    result = run("--layer", "fc7", "--ckpt", "random", before=("--quiet",))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert len(stored(store)) == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--layer", "conv9", "--ckpt", "random"), ("no layer 'conv9'", "conv1, conv2")),
        (("--layer", "fc7", "--ckpt", "305k"), ("no checkpoint '305k'", "caffenet-mini/random")),
        (
            ("--layer", "fc7", "--ckpt", "random", "--dataset", "voc"),
            ("no data set 'voc'", "one, two"),
        ),
        (("--layer", "fc7", "--ckpt", "random", "--device", "gpu"), ("unknown device 'gpu'",)),
        (
            ("--layer", "fc7", "--ckpt", "random", "--device", "cpu", "--compute", "tf32"),
            ("needs a GPU",),
        ),
    ],
)
def test_named_errors_are_one_line(run: Run, words: tuple[str, ...], says: tuple[str, ...]) -> None:
    """What the user can put right is one line on stderr, exit 1, that lists what there is."""
    refused(run(*words), 1, *says)


@pytest.mark.parametrize(
    "words",
    [
        ("--ckpt", "random"),
        ("--layer", "fc7"),
        ("--layer", "fc7", "--ckpt", "random", "--precision", "int8"),
        ("--layer", "fc7", "--ckpt", "random", "--batch-size", "0"),
        ("--layer", "fc7", "--ckpt", "random", "--shard-mib", "0"),
        ("--layer", "fc7", "--ckpt", "random", "--max-bad", "-1"),
        ("--layer", "fc7", "--ckpt", "random", "--memory", "much"),
        ("--layer", "fc7", "--ckpt", "random", "--memory", "0G"),
        ("--layer", "fc7", "--ckpt", "random", "--encoders", "0"),
        ("--layer", "fc7", "--ckpt", "random", "surplus"),
    ],
)
def test_wrong_usage(run: Run, store: Store, words: tuple[str, ...]) -> None:
    """A missing or impossible option is exit 2, and nothing is done."""
    refused(run(*words), 2, "Usage")
    assert store.rows("runs").num_rows == 0


def test_another_precision_is_refused(run: Run) -> None:
    """The same layer with another precision: exit 1, with the part that differs and the way out."""
    words = ("--layer", "fc7", "--ckpt", "random", "--dataset", "one")
    assert run(*words).exit_code == 0
    refused(run(*words, "--precision", "float32"), 1, "differs in: stored precision", "fstore drop")


def test_a_run_is_recorded_with_what_was_asked(run: Run, store: Store) -> None:
    """Table ``runs`` says which layers, checkpoints and views a run was asked for."""
    run("--layer", "fc7", "--ckpt", "random", "--dataset", "one", "--view", "image")
    (row,) = store.rows("runs").to_pylist()
    assert json.loads(row["parameters"]) == {
        "layers": ["fc7"],
        "ckpts": ["random"],
        "datasets": ["one"],
        "views": ["image"],
        "network": None,
        "part": None,
        "from_stored": None,
    }


def test_without_a_store(tmp_path: Path) -> None:
    """Where there is no store, the error names the command that makes one."""
    words = ["--store", str(tmp_path / "none"), "extract", "--layer", "fc7", "--ckpt", "c"]
    refused(CliRunner().invoke(app, words), 1, "no store at", "init")


@pytest.mark.parametrize(
    ("words", "listed"),
    [
        (["--library", "timm", "resnet1?.tv_in1k"], "timm:resnet18.tv_in1k"),
        (["timm:vit_tiny_patch16_224*"], "timm:vit_tiny_patch16_224"),
        (["--library", "open_clip", "ViT-B-32*"], "open_clip:ViT-B-32"),
        (["--library", "torchvision", "resnet18"], "torchvision:resnet18"),
        (["caffe*"], "caffenet"),
    ],
)
def test_networks_are_listed_by_library_and_pattern(words: list[str], listed: str) -> None:
    """A pattern finds names with and without the prefix; only a library that is named is read."""
    for library in ("timm", "open_clip"):
        pytest.importorskip(library)
    done = CliRunner().invoke(app, ["networks", *words, "--csv"])
    assert done.exit_code == 0, done.output
    assert any(line.split(",")[0] == listed for line in done.stdout.splitlines())


def test_a_library_that_is_none() -> None:
    """The libraries that there are are named."""
    done = CliRunner().invoke(app, ["networks", "--library", "keras"])
    assert done.exit_code == 1
    assert "there are: hf, open_clip, timm, torchvision" in done.stderr
