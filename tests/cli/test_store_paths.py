"""Whatever the folders above a store are named, commands answer the same, or refuse in words."""

import json
import shlex
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from _build import STUDY, build
from fstore.cli import app
from fstore.queries.studies.study import set_study

ALPHABET = "ab .ü漢é\u0301🙂#?%[]{}()\"'`$&+=:;,!@~^|\\*<>-_0F\n\t"
"""What people and programs put into the names of folders, and what some library gives a meaning."""

COMMANDS = [
    ["status", "--json"],
    ["dataset", "list", "--json"],
    ["dataset", "show", "d", "--json"],
    ["ckpt", "list", "--json"],
    ["ckpt", "show", "5", "--json"],
    ["sql", "SELECT ckpt, layer, sum(nnz) AS z FROM activations GROUP BY ALL ORDER BY 2",
     "--json"],
    ["sql", "SELECT count(*) AS n FROM all_labels WHERE label = 1", "--json"],
    ["verify", "--no-recompute", "--json"],
    ["study", "show", "--json"],
    ["report", "list", "--json"],
    ["gc", "--older-than", "0", "--json"],
    ["drop", "--layer", "conv1", "--yes"],
    ["status", "--json"],
]  # fmt: skip


def answers(store: Path) -> list[tuple[int, str]]:
    """Return each command's status and what it prints, the store's own path left out."""
    found = []
    for words in COMMANDS:
        result = CliRunner().invoke(app, ["--store", str(store), "--quiet", *words])
        assert result.exit_code in {0, 1, 2}, (words, result.exception)
        text = result.stdout.replace(json.dumps(shlex.quote(str(store)))[1:-1], "STORE")
        text = text.replace(json.dumps(str(store))[1:-1], "STORE")
        found.append((result.exit_code, text))
    return found


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a small store with a study."""
    built = build(tmp_path_factory.mktemp("sound") / "s")
    set_study(built.store, STUDY, source="test")
    return built.store.path


@pytest.fixture(scope="module")
def expected(sound: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, str]]:
    """Return what the commands answer below a plain folder."""
    place = tmp_path_factory.mktemp("plain") / "s"
    shutil.copytree(sound, place)
    return answers(place)


names = st.text(ALPHABET, min_size=1, max_size=6).filter(lambda n: n not in {".", ".."})
columns = st.sampled_from(["ckpt=7", "layer=all", "dataset=x", "view=", "sample_id=3", "a=b=c"])


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(folders=st.lists(names | columns, min_size=1, max_size=2))
def test_commands_answer_the_same_below_any_folder(
    sound: Path, expected: list[tuple[int, str]], tmp_path_factory: pytest.TempPathFactory,
    folders: list[str],
) -> None:  # fmt: skip
    """Every command gives what it gives elsewhere, or all of them refuse the folder's name."""
    place = tmp_path_factory.mktemp("odd").joinpath(*folders) / "s"
    shutil.copytree(sound, place)
    result = CliRunner().invoke(app, ["--store", str(place), "status"])
    if result.exit_code:
        assert "rename the folder" in result.stderr
        done = [
            words
            for words, (status, _) in zip(COMMANDS, answers(place), strict=True)
            if status == 0
        ]
        assert done == [["report", "list", "--json"]]  # which lists reports without a store, too
    else:
        assert answers(place) == expected
