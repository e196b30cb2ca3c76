"""The options that choose a split and a part of it: the same of every command."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from fstore import workflows
from fstore.cli import app
from fstore.store import Store
from fstore.store.parts import Split
from fstore.types import DatasetManifest, SampleRecord, ViewManifest
from fstore.types import Split as Registered

FEATURES = ("--layer", "fc7", "--ckpt", "random", "--dataset", "d")
COMMANDS: dict[str, tuple[str, ...]] = {
    "analyze ablate-filters": FEATURES,
    "analyze accuracy": FEATURES,
    "analyze classification": FEATURES,
    "analyze cka": (*FEATURES, "--other", "random", "--part", "test"),
    "analyze confusion": FEATURES,
    "analyze dimension": (*FEATURES, "--part", "test"),
    "analyze dissection": (*FEATURES, "--part", "test"),
    "analyze entropy-curve": (*FEATURES, "--channel", "0"),
    "analyze filter-change": (*FEATURES, "--other", "random", "--part", "test"),
    "analyze filter-curves": FEATURES,
    "analyze filter-overlap": FEATURES,
    "analyze filter-subsets": FEATURES,
    "analyze nearest": (*FEATURES, "--sample", "0", "--part", "test"),
    "analyze probe": FEATURES,
    "analyze proposal-recall": ("--dataset", "d", "--part", "test"),
    "analyze retrieval": FEATURES,
    "analyze rsa": (*FEATURES, "--other", "random", "--part", "test"),
    "analyze selectivity": FEATURES,
    "analyze single-filters": FEATURES,
    "analyze top-images": (*FEATURES, "--channel", "0", "--part", "test"),
    "dataset show": ("d",),
    "detect eval": ("x", "--dataset", "d"),
    "detect export": ("x", "out", "--dataset", "d"),
    "detect train": FEATURES,
    "export": (*FEATURES, "--part", "test", "x.npy"),
    "extract": (*FEATURES, "--part", "test", "--device", "cpu"),
    "proposals": ("--dataset", "d", "--part", "test", "--method", "components"),
    "train evaluate": ("random", "--dataset", "d"),
    "train finetune": ("--from", "random", "--dataset", "d"),
    "train pretrain": ("--network", "caffenet-mini", "--dataset", "d", "--iterations", "1"),
}
"""Every command that takes a split, with what it needs beside."""


def add(store: Store, name: str, *splits: Split) -> None:
    """Register six images with some splits: two train, one val, three test."""
    samples = tuple(
        SampleRecord(f"i{n}", f"{n}.png", f"{n:032x}", 8, 8, {"a": 1}) for n in range(6)
    )
    parts: Any = ("train", "train", "val", "test", "test", "test")
    own = tuple(Registered(s.name, s.seed, parts) for s in splits)  # type: ignore[arg-type]
    view = ViewManifest("image", samples, own)
    store.register_dataset(DatasetManifest(name, "single", ("a", "b"), store.path / "x", (view,)))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Give a store with a checkpoint and data sets of several splits, none of them official."""
    store = Store.create(tmp_path_factory.mktemp("splits") / "s")
    workflows.init_checkpoint(store, network="caffenet-mini", name="random", seed=0)
    add(store, "d", Split("random", 0), Split("random", 1))
    add(store, "only", Split("random", 3))
    add(store, "official", Split("random", 3), Split())
    return store


@pytest.fixture(autouse=True)
def _detector(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let there be a detector of any name, and files go to a folder of their own."""
    import fstore.cli.detectors as commands

    names = {"network": "n", "ckpt": "c", "layer": "fc7"}
    detector = SimpleNamespace(name="x", record={"trained_on": []}, classes=("a", "b"), **names)
    monkeypatch.setattr(commands, "find_detector", lambda _store, _name: detector)
    monkeypatch.chdir(tmp_path)


def run(store: Store, command: str, *words: str, dataset: str = "d") -> Result:
    """Run a command with what it needs, on a data set."""
    needed = [dataset if word == "d" else word for word in COMMANDS[command]]
    where = ["--store", str(store.path), *command.split()]
    return CliRunner().invoke(app, [*where, *needed, *words])


def commands(
    group: Any,  # noqa: ANN401 - typer's own copy of click
    *names: str,
) -> Iterator[tuple[str, Any]]:
    """Yield the name and the parameters of every command."""
    context = typer.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            yield from commands(command, *names, name)
        else:
            yield " ".join([*names, name]), {p.name: p for p in command.params}


def test_every_command_is_tried_here() -> None:
    """These are the commands that take a split; help shows one way only to give its seed."""
    taken = {
        name: params for name, params in commands(typer.main.get_command(app)) if "split" in params
    }
    assert set(taken) == set(COMMANDS)
    shown = {params["split"].help for params in taken.values()}
    assert len(shown) == 1
    for name, params in taken.items():
        assert params["split"].opts == ["--split"]
        assert params["split"].default is None
        seed = params.get("split_seed") if name.startswith("train") else params.get("seed")
        assert seed is None or seed.hidden


@pytest.mark.parametrize("command", COMMANDS)
def test_several_splits(store: Store, command: str) -> None:
    """Where several would do and none is official, an error has the options that choose one."""
    result = run(store, command)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "error: data set 'd' has no official split, but several others; add: --split random:0; or "
        "--split random:1\n"
    )


ASKED = {"extract", "proposals", "dataset show"}
"""Commands that may be about several data sets, or print the split, and do not note it."""


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ASKED])
def test_the_only_split(store: Store, command: str) -> None:
    """Where there is one split it is taken, and that is said; an official one goes without."""
    note = "split random:3: the only one of data set 'only'\n"
    assert run(store, command, dataset="only").stderr.startswith(note)
    named = run(store, command, "--split", "random:3", dataset="only").stderr
    official = run(store, command, dataset="official").stderr
    assert "the only one" not in named + official
    assert "no official split" not in official


def test_the_only_split_of_a_command_that_shows_it(store: Store) -> None:
    """``dataset show`` counts by the only split, else by the official one."""
    (only, *_) = json.loads(run(store, "dataset show", "--json", dataset="only").stdout)
    assert (only["split"], only["seed"], only["train"]) == ("random", 3, 2)
    (official, *_) = json.loads(run(store, "dataset show", "--json", dataset="official").stdout)
    assert (official["split"], official["seed"]) == ("official", 0)


OLD = [
    ("dataset show", "--split random --seed 1", "--split random:1"),
    ("dataset show", "--seed 1", "--split random:1"),
    ("export", "--split random --seed 1", "--split random:1"),
    ("analyze classification", "--split random --seed 1", "--split random:1"),
    ("analyze top-images", "--seed 0", "--split random:0"),
    ("detect train", "--split random --seed 1", "--split random:1"),
    ("detect eval", "--split random --seed 1", "--split random:1"),
    ("train evaluate", "--split random --split-seed 1", "--split random:1"),
    ("train finetune", "--split random --split-seed 1 --seed 5", "--split random:1"),
    ("train pretrain", "--split-seed 1", "--split random:1"),
]


@pytest.mark.parametrize(("command", "old", "new"), OLD)
def test_earlier_spellings(store: Store, command: str, old: str, new: str) -> None:
    """They do what the new one does, and a line on stderr has it; stdout is the same."""
    seed = ["--seed", "5"] if command == "train finetune" else []
    before, after = run(store, command, *old.split()), run(store, command, *new.split(), *seed)
    given = old.removesuffix(" --seed 5") if seed else old
    warning = f"warning: {given} will not be read in the next release; use: {new}\n"
    # several processes search for proposals: any of the images may be the first that is not there
    told, expected = (re.sub(r"\d\.png", "N.png", t) for t in (before.stderr, after.stderr))
    assert told == warning + expected
    assert (before.exit_code, before.stdout) == (after.exit_code, after.stdout)


@pytest.mark.parametrize("command", ["extract", "proposals"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("random:0:test", "--split random:0 --part test"),
        ("random:trainval", "--split random:0 --part trainval"),
        ("official:test", "--split official --part test"),
        ("test", "--part test"),
    ],
)
def test_a_part_in_the_place_of_a_split(store: Store, command: str, old: str, new: str) -> None:
    """``--split random:0:test`` is read as it was, and a line on stderr has the new options."""
    words = [word for word in COMMANDS[command] if word not in {"--part", "test"}]
    where = ["--store", str(store.path), "--quiet", command, *words]
    before = CliRunner().invoke(app, [*where, "--split", old])
    after = CliRunner().invoke(app, [*where, *new.split()])
    warning = f"warning: --split {old} will not be read in the next release; use: {new}\n"
    # several processes search for proposals: any of the images may be the first that is not there
    told, expected = (re.sub(r"\d\.png", "N.png", t) for t in (before.stderr, after.stderr))
    assert told == warning + expected
    assert (before.exit_code, before.stdout) == (after.exit_code, after.stdout)


def test_a_seed_of_pretraining_beside_an_official_split(store: Store) -> None:
    """``train pretrain --split-seed`` counts, as it did, only where no split is official."""
    result = run(store, "train pretrain", "--split-seed", "3", dataset="official")
    assert "--split-seed 3 will not be read in the next release; use: --split official" in (
        result.stderr
    )


@pytest.mark.parametrize("command", ["analyze top-images", "export", "extract", "proposals"])
def test_a_split_without_a_part(store: Store, command: str) -> None:
    """Where a part may be left out, a split alone would not count and is refused."""
    words = [word for word in COMMANDS[command] if word not in {"--part", "test"}]
    where = ["--store", str(store.path), *command.split(), *words]
    result = CliRunner().invoke(app, [*where, "--split", "random:0"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "add --part" in result.stderr


@pytest.mark.parametrize(
    ("command", "words", "code", "says"),
    [
        ("analyze accuracy", "--split random:0 --seed 1", 2, "leave the seed 1 out"),
        ("analyze accuracy", "--split random:0:test", 1, "'random:0:test' names no split"),
        ("analyze accuracy", "--seed 7", 1, "add: --split random:0; or --split random:1"),
        ("extract", "--split random:0:test", 2, "names a part, and so does --part test"),
        ("proposals", "--split random:x", 1, "'random:x' names no split"),
        ("dataset show", "--split random:7", 1, "no split 'random:7'; it has: random:0, random:1"),
    ],
)
def test_wrong_words(store: Store, command: str, words: str, code: int, says: str) -> None:
    """What cannot be meant is refused in words."""
    result = run(store, command, *words.split())
    assert result.exit_code == code
    assert says in " ".join(result.stderr.replace("│", " ").split())
