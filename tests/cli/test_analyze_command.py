"""``fstore analyze``: a command for each analysis, made from its signature."""

import inspect
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from _problems import CLASSES, World, make
from fstore.cli import app
from fstore.docstrings import parameter_help
from fstore.queries.analyses import ANALYSES, ask, asked_types, option_help, options_of
from fstore.queries.samples.asked import Asked
from fstore.registry import Entry

WHERE = ("--layer", "conv", "--ckpt", "5", "--dataset", "d")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return a store of samples of several classes."""
    return make(tmp_path_factory.mktemp("world") / "s")


def run(world: World, *words: str) -> Result:
    """Run ``fstore --store ROOT analyze WORDS``."""
    return CliRunner().invoke(app, ["--store", str(world.store.path), "analyze", *words])


@pytest.mark.parametrize("entry", list(ANALYSES), ids=lambda entry: entry.name)
def test_every_analysis(entry: "Entry[Any]") -> None:
    """It says what it gives and where from, describes every option, and has a runnable help."""
    assert entry.summary.endswith(".")
    assert entry.meta["title"]
    assert entry.meta["source"]
    assert entry.meta["columns"]
    options, asked = options_of(entry.function), asked_types(entry.function)
    assert {"store", *options} <= set(option_help(entry.function))
    parameters = inspect.signature(entry.function).parameters
    assert {"store", *asked} == {n for n, p in parameters.items() if p.kind is not p.KEYWORD_ONLY}
    if entry.meta["plot"] is not None:
        assert list(inspect.signature(entry.meta["plot"]).parameters) == ["rows", "title"]
    shown = CliRunner().invoke(app, ["analyze", entry.name, "--help"]).stdout
    assert f"Example: fstore analyze {entry.name}" in " ".join(shown.split())
    for name in set(options) - {"seed"}:  # --split says the seed
        assert "--" + name.rstrip("_").replace("_", "-") in shown


@dataclass(frozen=True, kw_only=True)
class AskedOften(Asked):
    """The same, often.

    Parameters
    ----------
    view : str
        Another text.
    times : int
        How often.
    """

    view: str = "gt"
    times: int = 2


def repeated(store: object, asked: AskedOften, *, word: str, on_progress: None = None) -> None:
    """Say it.

    Parameters
    ----------
    word : str
        What is said.
    """


def test_fields_are_options() -> None:
    """Fields of the object are options, of its base too; the nearest class says the default."""
    options, told = options_of(repeated), option_help(repeated)
    needed = [name for name, p in options.items() if p.default is p.empty]
    assert needed == list(options)[: len(needed)] == ["layer", "ckpt", "dataset", "word"]
    assert set(options) - set(options_of(Asked)) == {"times", "word"}
    assert {name: options[name].default for name in ("view", "split", "times")} == {
        "view": "gt",
        "split": "official",
        "times": 2,
    }
    assert (told["view"], told["times"], told["word"]) == (
        "Another text.",
        "How often.",
        "What is said.",
    )
    assert told["ckpt"] == option_help(ANALYSES["retrieval"].function)["ckpt"]


def test_ask(world: World) -> None:
    """By name in Python the rows are those of the command; an option of others is refused."""
    where: dict[str, Any] = {"layer": "conv", "ckpt": "5", "dataset": "d"}
    steps: list[int] = []
    rows = ask(
        world.store, "retrieval", **where, on_progress=lambda _, done, *__: steps.append(done)
    )
    assert rows == json.loads(run(world, "retrieval", *WHERE, "--json").stdout)
    assert steps
    assert "difficult" not in options_of(ANALYSES["retrieval"].function)
    with pytest.raises(TypeError, match="difficult"):
        ask(world.store, "retrieval", **where, difficult=True)


def test_list(world: World) -> None:
    """The help of the group lists every analysis with its first line."""
    shown = run(world, "--help").stdout
    for entry in ANALYSES:
        assert entry.name in shown


def test_json_and_csv(world: World) -> None:
    """Rows have the declared columns; the last row is the mean over classes."""
    rows = json.loads(run(world, "classification", *WHERE, "--json").stdout)
    assert list(rows[0]) == list(ANALYSES["classification"].meta["columns"])
    assert [row["class"] for row in rows] == [*CLASSES, "(mean)"]
    mean = sum(row["ap_11"] for row in rows[:-1]) / 3
    assert rows[-1]["ap_11"] == pytest.approx(mean)
    csv = run(world, "classification", *WHERE, "--csv").stdout
    assert csv.splitlines()[0] == ",".join(ANALYSES["classification"].meta["columns"])


def test_options_that_repeat(world: World, tmp_path: Path) -> None:
    """An option of several values makes several rows; options of any type reach the analysis."""
    single = make(tmp_path / "s", single=True)
    words = ("accuracy", *WHERE, "--ablation", "none", "--ablation", "sp_max", "--choose-c")
    rows = json.loads(run(single, *words, "--split", "random:2", "--json").stdout)
    assert [row["ablation"] for row in rows] == ["none", "sp_max"]
    assert rows[0]["n_test"] == 20
    plain = json.loads(run(world, "classification", *WHERE, "--c", "0.1", "--json").stdout)
    assert {row["C"] for row in plain} == {0.1}


def test_plot(world: World, tmp_path: Path) -> None:
    """A plot is drawn with its numbers beside it, and not over a file that is there."""
    out = tmp_path / "a.png"
    done = run(world, "classification", *WHERE, "--plot", str(out))
    assert done.stdout == f"{out}\n"
    assert out.read_bytes().startswith(b"\x89PNG")
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 5
    again = run(world, "classification", *WHERE, "--plot", str(out))
    assert again.exit_code == 1
    assert "add --overwrite" in again.stderr
    assert run(world, "classification", *WHERE, "--plot", str(out), "--overwrite").exit_code == 0


def test_no_plot(world: World, tmp_path: Path) -> None:
    """Exactly the analyses that can be drawn offer it; of another the option is wrong usage."""
    for entry in ANALYSES:
        told = run(world, entry.name, "--help").stdout
        assert ("--plot" in told) == ("--overwrite" in told) == (entry.meta["plot"] is not None)
    done = run(world, "nearest", *WHERE, "--sample", "0", "--plot", str(tmp_path / "a.png"))
    assert (done.exit_code, done.stdout) == (2, "")
    assert not (tmp_path / "a.png").exists()


def test_errors(world: World) -> None:
    """A layer that is not extracted: status 1 and the command that makes it; wrong usage: 2."""
    done = run(world, "retrieval", "--layer", "conv9", "--ckpt", "5", "--dataset", "d")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "fstore extract --layer conv9 --ckpt 5 --dataset d --view image" in done.stderr
    assert run(world, "retrieval").exit_code == 2
    assert run(world, "nothing").exit_code == 2


def test_help_is_light() -> None:
    """``fstore --help`` imports no analysis."""
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom fstore.cli import app\n"
        "assert 'analyze' in CliRunner().invoke(app, ['--help']).stdout\n"
        "print([m for m in sys.modules if m.startswith('fstore.queries') or m == 'numpy'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_parameter_help() -> None:
    """Texts over several lines, names that share one, and later sections are told apart."""
    text = """Sum.

    Parameters
    ----------
    a, b : int
        First line
        and second.
    c : str
        Other.

    Returns
    -------
    int
        No parameter.
    """
    assert parameter_help(text) == {
        "a": "First line and second.",
        "b": "First line and second.",
        "c": "Other.",
    }
