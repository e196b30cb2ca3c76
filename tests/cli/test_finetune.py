"""``fstore train finetune``, ``evaluate``, ``plot``: rows on stdout, everything else on stderr."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from _scenes import PARENT, copy_store, make_scenes
from fstore.cli import app
from fstore.store import Store

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a store that tests do not change."""
    return make_scenes(tmp_path_factory.mktemp("scenes") / "store")


@pytest.fixture
def fstore(scenes: Store, tmp_path: Path) -> Run:
    """Run the program on a store of this test's own."""
    copy_store(scenes, tmp_path / "store")

    def run(*words: object) -> Any:  # noqa: ANN401 - typer's result
        return CliRunner().invoke(app, ["--store", str(tmp_path / "store"), *map(str, words)])

    return run


SHORT = ("train", "finetune", "--from", PARENT, "--split", "random", "--iterations", 3,
         "--batch-size", 4)  # fmt: skip
FINETUNE = (*SHORT, "--dataset", "rooms")


def test_from_checkpoint_to_numbers(fstore: Run, tmp_path: Path) -> None:
    """A checkpoint is fine-tuned, extracted, evaluated and drawn by four commands."""
    done = fstore(*FINETUNE, "--mode", "fc-ft", "--snapshots", "2", "--json")
    assert done.exit_code == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [(r["name"], r["iteration"]) for r in rows] == [
        (f"{PARENT}-rooms-fc-ft-2", 2),
        (f"{PARENT}-rooms-fc-ft", 3),
    ]
    assert all(0 <= r["accuracy"] <= 1 and r["loss"] > 0 and r["lr"] == 0.01 for r in rows)
    assert fstore(*FINETUNE, "--mode", "fc-ft", "--snapshots", "2", "--json").stdout == done.stdout
    evaluate = ("train", "evaluate", f"{PARENT}-rooms-fc-ft", "--dataset", "rooms",
                "--split", "random", "--json")  # fmt: skip
    missing = fstore(*evaluate)
    assert (missing.exit_code, missing.stdout) == (1, "")
    command = missing.stderr.split("make them with: fstore ")[1].split()
    assert fstore(*command).exit_code == 0
    (row,) = json.loads(fstore(*evaluate).stdout)
    assert (row["metric"], row["layer"], row["n_train"], row["n_test"]) == (
        "accuracy", "fc7", 14, 10,
    )  # fmt: skip
    assert 0 <= row["svm"] <= 1
    assert 0 <= row["classifier"] <= 1
    figure = tmp_path / "curves.png"
    drawn = fstore("train", "plot", f"{PARENT}-rooms-fc-ft", PARENT, "--plot", figure, "--log")
    assert drawn.stdout == f"{figure}\n"
    assert f"no curves are known of caffenet-mini/{PARENT}" in drawn.stderr
    assert figure.read_bytes().startswith(b"\x89PNG")
    lines = figure.with_suffix(".csv").read_text().splitlines()
    assert lines[0] == "network,ckpt,curve,iteration,value"
    assert len(lines) == 1 + 3 + 3  # loss and accuracy of three iterations
    refused = fstore("train", "plot", "--plot", figure)
    assert refused.exit_code == 1
    assert "add --overwrite" in refused.stderr


def test_recipes_come_from_a_file(fstore: Run, tmp_path: Path) -> None:
    """Entries of a TOML file count, options win over them, and the checkpoint keeps both."""
    file = tmp_path / "mine.toml"
    file.write_text("lr = 0.5\nstep = 2\nbatch_size = 8\n")
    done = fstore(*FINETUNE, "--recipe", file, "--lr", 0.002, "--name", "mine", "--trainval")
    assert done.exit_code == 0, done.stderr
    (row,) = json.loads(fstore("ckpt", "show", "mine", "--json").stdout)
    recipe = json.loads(row["recipe"])
    numbers = {name: recipe["recipe"][name] for name in ("lr", "step", "batch_size")}
    assert numbers == {"lr": 0.002, "step": 2, "batch_size": 4}
    assert recipe["trainval"] is True
    assert row["lr"] == pytest.approx(0.0002)  # after two iterations
    assert row["parent"] == PARENT


def test_two_data_sets_are_learned_from_as_one(fstore: Run) -> None:
    """Boxes of two data sets: a checkpoint named after both, which says what it learned from."""
    more = ("dataset", "add", "other", "--format", "digit-scenes", "--images", 60, "--seed", 5)
    assert fstore(*more).exit_code == 0
    words = ("train", "finetune", "--from", PARENT, "--dataset", "scenes", "--dataset", "other",
             "--view", "gt", "--iterations", 2, "--batch-size", 4, "--trainval")  # fmt: skip
    done = fstore(*words, "--json")
    assert done.exit_code == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert row["name"] == f"{PARENT}-scenes+other-ft"
    assert fstore(*words, "--json").stdout == done.stdout
    (shown,) = json.loads(fstore("ckpt", "show", row["name"], "--json").stdout)
    recipe = json.loads(shown["recipe"])
    assert recipe["dataset"] == "scenes+other"
    assert len(recipe["classes"]) == 11


def test_scratch_needs_a_network(fstore: Run) -> None:
    """From scratch, --network is needed and --from is refused; both are named on stderr."""
    base = ("train", "finetune", "--dataset", "scenes", "--mode", "scratch", "--view", "gt")
    refused = fstore(*base)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == "error: mode scratch needs a network; name it with --network\n"
    refused = fstore(*base, "--from", PARENT)
    assert "leave out --from" in refused.stderr
    done = fstore(
        *base, "--network", "caffenet-mini", "--iterations", 1, "--batch-size", 4, "--csv"
    )
    assert done.exit_code == 0, done.stderr
    header, row = done.stdout.splitlines()
    assert header == "network,name,iteration,lr,loss,accuracy"
    assert row.startswith("caffenet-mini,scenes-scratch,1,0.01,")


@pytest.mark.parametrize(
    ("dataset", "words", "status", "message"),
    [
        ("rooms", ("--mode", "half"), 2, "half"),
        ("rooms", ("--view", "crop"), 2, "crop"),
        ("rooms", ("--from", "none"), 1, "error: no checkpoint 'none'; there are: "),
        ("scenes", ("--view", "proposal", "--split", "official"), 1, "--view gt"),
        ("alone", (), 1, "error: data set 'alone' has a single class"),
        ("rooms", ("--snapshots", "a"), 2, "--snapshots takes numbers"),
        (
            "rooms",
            ("--dataset", "scenes"),
            1,
            "error: data sets 'rooms' and 'scenes' cannot be used as one: only one of them has",
        ),
    ],
)
def test_mistakes(
    fstore: Run, dataset: str, words: tuple[str, ...], status: int, message: str
) -> None:
    """Mistakes are told on stderr, with status 2 for the command line and 1 for the rest."""
    own = {word for word in words if word.startswith("--") and word != "--dataset"}
    pairs = zip(SHORT[2::2], SHORT[3::2], strict=True)
    short = [word for pair in pairs if pair[0] not in own for word in pair]
    done = fstore(*SHORT[:2], *short, "--dataset", dataset, *words)
    assert (done.exit_code, done.stdout) == (status, "")
    assert message in done.stderr


def test_nothing_to_draw(fstore: Run, tmp_path: Path) -> None:
    """Without a checkpoint that was trained here there is no figure, and no file."""
    refused = fstore("train", "plot", "--plot", tmp_path / "x.png")
    assert refused.exit_code == 1
    assert "there are no curves to draw" in refused.stderr
    assert not (tmp_path / "x.png").exists()


def test_other_classes_have_no_result_of_their_own(fstore: Run) -> None:
    """Where the classifier is of other classes its cell is empty and stderr says why."""
    assert fstore(*FINETUNE).exit_code == 0
    ckpt = f"{PARENT}-rooms-ft"
    assert fstore("extract", "--layer", "fc7", "--ckpt", ckpt, "--dataset", "scenes",
                  "--view", "image").exit_code == 0  # fmt: skip
    done = fstore("train", "evaluate", ckpt, "--dataset", "scenes", "--json")
    (row,) = json.loads(done.stdout)
    assert row["classifier"] is None
    assert row["metric"] == "mean AP"
    assert done.stderr.endswith("tells other classes apart (2 of rooms)\n")
