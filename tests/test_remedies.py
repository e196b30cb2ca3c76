"""A suggested command works on the store at hand, or is not made: checks on real messages."""

import re
import shlex
from pathlib import Path

import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner, Result

from _build import add_dataset
from _scenes import PARENT, make_scenes
from fstore import commands
from fstore.cli import app
from fstore.errors import UnknownNameError
from fstore.queries.cells.noted import last_refresh
from fstore.queries.refresh.listing import states
from fstore.queries.studies.study import parse_study, set_study
from fstore.store import Store
from fstore.store.files import Partition
from fstore.store.remedies import how_to_make, weights_again


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Give a store of scenes with boxes, plain images without, and a checkpoint."""
    store = make_scenes(tmp_path_factory.mktemp("remedies") / "the store")
    add_dataset(store, "plain")
    return store


def fstore(*words: str) -> Result:
    """Run the program."""
    return CliRunner().invoke(app, list(words))


def suggested(result: Result) -> list[str]:
    """Return the words of the command that an error ends with; it has the store's place."""
    assert result.exit_code == 1, result.output
    found = re.search(r"with: (fstore .*--store .*)$", result.stderr.strip())
    assert found is not None, result.stderr
    return shlex.split(found[1])[1:]


def analyze(store: Store, name: str, *words: str, dataset: str) -> Result:
    """Ask an analysis about a layer of a checkpoint."""
    asked = ["--layer", "conv1", "--ckpt", PARENT, "--dataset", dataset, *words]
    return fstore("--store", str(store.path), "--quiet", "analyze", name, *asked)


def test_the_suggested_command_makes_what_was_missing(scenes: Store) -> None:
    """Typed as it stands in the error, it leaves nothing missing: a path with a space and all."""
    words = suggested(analyze(scenes, "top-images", "--channel", "0", dataset="scenes"))
    assert words[0] == "extract"
    done = fstore(*words)
    assert done.exit_code == 0, done.stderr
    assert analyze(scenes, "top-images", "--channel", "0", dataset="scenes").exit_code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("analyze", "selectivity"),
        ("analyze", "top-images", "--channel", "0", "--view", "gt"),
        ("extract", "--view", "gt"),
        ("export", "x.npz", "--view", "gt"),
    ],
)
def test_no_view_without_boxes_is_suggested(scenes: Store, words: tuple[str, ...]) -> None:
    """Of a data set without boxes the error says so and which views it has; it has no command."""
    asked = ["--layer", "conv1", "--ckpt", PARENT, "--dataset", "plain"]
    told = fstore("--store", str(scenes.path), "--quiet", *words, *asked)
    assert told.exit_code == 1
    assert told.stderr == (
        "error: data set 'plain' has no view 'gt'; it has no boxes; it has: image\n"
    )
    where = Partition("caffenet-mini", PARENT, "plain", "gt", "conv1")
    assert f"error: {how_to_make(scenes, where)}\n" == told.stderr


def test_a_missing_view_has_its_own_command(scenes: Store) -> None:
    """Proposals that were not searched are searched first: that command, and not ``extract``."""
    where = Partition("caffenet-mini", PARENT, "scenes", "proposal", "conv1")
    told = how_to_make(scenes, where)
    assert told.endswith(commands.proposals(scenes.path, dataset="scenes"))
    assert "extract" not in told


def test_names_that_are_not_there_are_not_suggested(scenes: Store) -> None:
    """An unknown data set or checkpoint gives the names there are, and no command."""
    for change in ({"dataset": "x"}, {"ckpt": "x"}, {"network": "x"}):
        named = {"network": "caffenet-mini", "ckpt": PARENT, "dataset": "scenes", **change}
        told = how_to_make(scenes, Partition(**named, view="image", layer="conv1"))
        assert re.match(
            "no (data set|checkpoint) .*'; there are: ", told.replace(" of network", "'")
        )
        assert "fstore" not in told


STUDY = """
name = "s"
network = "caffenet-mini"
layers = ["conv1"]
pretrained = "5"
[classification]
dataset = "rooms"
split = "random"
seeds = [4]
"""


def test_a_split_that_is_missing_is_added_by_the_suggestion(scenes: Store) -> None:
    """A study reads a random split that is not there: the command adds that one, and no other."""
    study = parse_study(STUDY)
    (state,) = states(scenes, study, ["table6"])
    assert "no part 'random:4:test'" in state.why
    (line,) = state.commands
    assert fstore(*shlex.split(line)[1:]).exit_code == 0
    seeds = set(scenes.splits("rooms", "image")["seed"].to_pylist())
    assert seeds == {0, 1, 4}
    (state,) = states(scenes, study, ["table6"])
    assert "no checkpoint" in state.why


def test_another_study_is_named_in_the_suggestion(scenes: Store) -> None:
    """``--study`` is in the command of a study that is not the one set last, only there."""
    set_study(scenes, STUDY)
    set_study(scenes, STUDY.replace('name = "s"', 'name = "last"'))
    for name, option in (("s", " --study s"), ("last", "")):
        line = commands.report_refresh(scenes.path) + option
        with pytest.raises(UnknownNameError) as caught:
            last_refresh(scenes, name)
        words = shlex.split(str(caught.value).split("with: ")[1])
        assert sorted(words) == sorted(shlex.split(line))


def test_drawn_weights_are_drawn_again(scenes: Store, tmp_path: Path) -> None:
    """The command that a damaged checkpoint's error has gives the same weights."""
    record = scenes.find_checkpoint(PARENT)
    line = weights_again(scenes.path, record).split(": ", 1)[1]
    words = shlex.split(line)[1:]
    assert words[:2] == ["ckpt", "init"]
    other = tmp_path / "other"
    assert fstore("init", "--store", str(other)).exit_code == 0
    words[words.index("--store") + 1] = str(other)
    assert fstore(*words).exit_code == 0
    again = Store.open(other)
    ours, theirs = (
        load_file(store.checkpoint_path(store.find_checkpoint(PARENT))) for store in (scenes, again)
    )
    assert {k: v.tobytes() for k, v in ours.items()} == {k: v.tobytes() for k, v in theirs.items()}


def test_a_store_that_is_not_there_is_made_by_the_suggestion(tmp_path: Path) -> None:
    """``no store at ...`` has the command that makes one at that place."""
    place = tmp_path / "it's new"
    words = suggested(fstore("status", "--store", str(place)))
    assert fstore(*words).exit_code == 0
    assert fstore("status", "--store", str(place)).exit_code == 0


def test_detect_suggests_what_is_stored(scenes: Store) -> None:
    """Without features of proposals, words in capitals stand for what is to be chosen."""
    line = commands.detect_train(scenes.path, layer="LAYER", ckpt="CKPT", datasets=["DATASET"])
    assert fstore("--store", str(scenes.path), "detect", "image", __file__).stderr == (
        f"error: no detector is trained yet; train one with: {line}\n"
    )
