"""What ``fstore demo`` would do; ``test_demo_figures.py`` does it."""

import importlib
import os
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fstore.cli import app
from fstore.queries.studies.study import parse_study
from fstore.store import Store

demo = importlib.import_module("fstore.cli.demo")  # fstore.cli.demo is the command, once imported


def test_statements_name_checkpoints_that_the_study_makes() -> None:
    """Every number in quotes in the demo's SQL is a checkpoint of its study's sweep."""
    study = parse_study(Path(demo.STUDY).read_text())
    for statement in (demo.DENSITY, demo.BEST_FILTERS, demo.TOP_IMAGES):
        named = set(re.findall(r"'(\d+)'", statement))
        assert named
        assert named <= set(study.sweep)
    assert f"ckpt = '{study.pretrained}'" in demo.BEST_FILTERS


@pytest.mark.parametrize("command", [words for _, words in demo.STEPS], ids=lambda w: w[0])
def test_steps_are_commands(tmp_path: Path, command: tuple[str, ...]) -> None:
    """Each step is a command that exists; statements run, also where nothing is stored yet."""
    store = Store.create(tmp_path / "s")
    words = command if command[0] == "sql" else (*command, "--help")
    done = CliRunner().invoke(app, ["--store", str(store.path), *words])
    assert done.exit_code == 0, done.output


def test_next_steps_are_typed_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They name the program and the store by full paths, whatever is in the store's name."""
    monkeypatch.chdir(tmp_path)
    steps = demo._next_steps("my store; x")
    assert len(steps) == 3
    for _, line in steps:
        words = shlex.split(line)
        assert os.access(words[0], os.X_OK)
        assert Path(words[0]).is_absolute()
        assert words[words.index("--store") + 1] == str(tmp_path / "my store; x")
    assert "explore" in steps[0][1]
    assert "--store s3://bucket/demo" in demo._next_steps("s3://bucket/demo")[0][1]
