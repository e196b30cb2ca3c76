"""Help shows commands by purpose and words in the place of types; a shell completes names."""

import re
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import typer
from typer.testing import CliRunner

from fstore.cli import app
from fstore.cli.help import PURPOSES
from fstore.store import Store
from fstore.types import LayerSpec

Group: TypeAlias = Any
"""Of typer's own click."""

PROGRAM: Group = typer.main.get_command(app)


def commands(group: Group, words: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the words of all commands and groups."""
    found = [words]
    if hasattr(group, "list_commands"):
        for name in group.list_commands(None):
            found += commands(group.get_command(None, name), (*words, name))
    return found


def shown(*words: str) -> str:
    """Return a command's help."""
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0, result.output
    return result.stdout


def completed(line: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what bash is offered for the last word of a line."""
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
    result = CliRunner().invoke(
        app, [], env={"_FSTORE_COMPLETE": "complete_bash"}, prog_name="fstore"
    )
    assert result.exit_code == 0, result.output
    return result.stdout.split()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Give a store with two layers on record."""
    store = Store.create(tmp_path / "s")
    specs = [
        LayerSpec(name, 1, 1, 1, kind="fc", order=order, definition="0" * 64)
        for order, name in enumerate(("conv1", "fc6"))
    ]
    store.add_layers("net", specs)
    return tmp_path / "s"


def test_every_command_has_a_purpose() -> None:
    """Each command of the program is listed once, under what it is for, and in whole lines."""
    listed = [name for names in PURPOSES.values() for name in names]
    assert sorted(listed) == sorted(PROGRAM.list_commands(None))
    text = shown()
    assert [line[:-1] for line in text.splitlines() if re.fullmatch(r"\w[^:]*:", line)] == [
        "Options",
        *PURPOSES,
    ]
    assert "..." not in text.split("Start:")[1]


def test_a_group_lists_its_commands() -> None:
    """Also where they are made when they are asked for."""
    assert re.search(r"^  selectivity +Area", shown("analyze"), re.MULTILINE)


@pytest.mark.parametrize("words", commands(PROGRAM), ids=" ".join)
def test_types_are_words(words: tuple[str, ...]) -> None:
    """No help shows a type of Python, and no usage has braces."""
    text = shown(*words)
    assert not re.search(r"<(?:str|int|float|path|list\[|bool|int range)", text)
    assert "{" not in text.splitlines()[0]


def test_words_of_options() -> None:
    """Lists end in ..., choices are listed, numbers are N, files are PATH."""
    text = shown("extract")
    for line in ("--layer LAYER,...", "--batch-size N ", "--precision float32|tf32|bfloat16|bit"):
        assert line in text
    assert "fstore sql [OPTIONS] [STATEMENT]" in shown("sql")
    assert "--file PATH" in shown("sql")
    assert "fstore export [OPTIONS] OUT" in shown("export")


def test_names_are_completed(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the store that the line names, before or after the command; in lists too."""
    assert completed(f"fstore --store {store} extract --layer c", monkeypatch) == ["conv1"]
    assert completed(f"fstore extract --store={store} --layer ", monkeypatch) == [
        "all",
        "conv1",
        "fc6",
    ]
    line = f"fstore extract --store {store} --layer conv1,"
    assert completed(line, monkeypatch) == ["conv1,all", "conv1,fc6"]
    line = f"fstore analyze selectivity --store {store} --network "
    assert completed(line, monkeypatch) == ["net"]


def test_without_a_store_nothing_is_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is no store is no error while a line is typed."""
    assert completed(f"fstore --store {tmp_path} extract --layer ", monkeypatch) == []
    assert completed("fstore re", monkeypatch) == ["reproduce", "report"]
