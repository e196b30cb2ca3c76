"""From a report that lacks everything to its cells, by the commands that it names."""

import json
import re
import shlex
from pathlib import Path

import pytest

import fstore.cli  # all commands
from _cli import run
from fstore import workflows
from fstore.store import Store

assert fstore.cli.__doc__

STUDY = """
name = "boxes"
network = "caffenet-mini"
layers = ["conv5"]
mid_layer = "conv5"
top_layer = "conv5"
pretrained = "random"
tuned = [{ task = "detection_more", mode = "ft", parent = "random", ckpts = ["tuned"] }]

[detection]
dataset = "scenes"

[[detection_more]]
dataset = "scenes"
[[detection_more]]
dataset = "others"
parts = ["train", "val"]
"""
MAKE = """
[[make.proposals]]
dataset = "scenes"
method = "components"
max_proposals = 6
[[make.proposals]]
dataset = "others"
method = "components"
max_proposals = 6
split = "trainval"
"""


def commands(text: str) -> list[list[str]]:
    """Return the commands that messages name, once each."""
    found = re.findall(r"make it with: (fstore [^;\n]*)", text)
    return [shlex.split(line)[1:] for line in dict.fromkeys(found)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a store with two sets of scenes, two untrained checkpoints and a study."""
    store = Store.create(tmp_path / "s")
    for seed, name in enumerate(("scenes", "others")):
        workflows.add_dataset(store, name, "digit-scenes", root=None, images=60, seed=seed)
    for seed, name in enumerate(("random", "tuned")):
        workflows.init_checkpoint(store, network="caffenet-mini", name=name, seed=seed)
    file = tmp_path / "boxes.toml"
    file.write_text(STUDY + MAKE)
    assert run(store, "study", "set", str(file)).exit_code == 0
    return store


@pytest.mark.slow
def test_the_commands_that_are_named_make_the_cells(store: Store) -> None:
    """Proposals first, then features: what a report says it lacks, done, makes it complete."""
    done = []
    for _ in range(3):
        shown = run(store, "report", "show", "table1", "--json")
        if shown.exit_code == 0:
            break
        assert "has nothing to show" in shown.stderr
        for words in commands(shown.stderr):
            done.append(words[0])
            result = run(store, *words)
            assert result.exit_code == 0, result.stderr
    assert done[:2] == ["proposals", "proposals"]
    assert set(done[2:]) == {"extract"}
    rows = json.loads(shown.stdout)
    cells = {(r["row"], r["col"]): r["value"] for r in rows}
    row = "detection with more data on scenes + others"
    assert list(cells) == [(row, "pretrain"), (row, "finetune")]
    assert all(0 <= value <= 100 for value in cells.values())
    assert rows[1]["paper"] == 59.2
    again = run(store, "report", "show", "table1", "--json")
    assert (json.loads(again.stdout), again.stderr) == (rows, "")
    assert run(store, "report", "show", "table8").exit_code == 0
    shown = run(store, "report", "show", "table2", "--plot", str(store.path / "t.png"))
    assert shown.exit_code == 0
    assert (store.path / "t.png").exists()
