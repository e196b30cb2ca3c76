"""``fstore study`` and ``fstore report``: rows on stdout, everything else on stderr."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from _build import STUDY, build
from _cli import run
from fstore.cli import app
from fstore.store import Store
from fstore.store.maintenance import Selection, drop


@pytest.fixture
def built(tmp_path: Path) -> Store:
    """Build a store that has no study."""
    return build(tmp_path / "s").store


def test_study_set_and_show(built: Store, tmp_path: Path) -> None:
    """A study is shown as rows, and as the file that was set."""
    file, text = tmp_path / "small.toml", f"# mine{STUDY}"
    file.write_text(text)
    assert run(built, "study", "set", str(file)).exit_code == 0
    rows = json.loads(run(built, "study", "show", "--json").stdout)
    assert {"role": "layers", "value": ["conv1", "fc"]} in rows
    assert {"role": "classification", "value": ["d, official split"]} in rows
    assert run(built, "study", "show", "--toml").stdout == text
    assert run(built, "study", "show", "small", "--csv").stdout.startswith("role,value\n")


def test_study_names_to_come(built: Store, tmp_path: Path) -> None:
    """Names that are not in the store yet are a warning, not an error."""
    file = tmp_path / "later.toml"
    file.write_text(STUDY.replace('"5"', '"305k"'))
    done = run(built, "study", "set", str(file))
    assert (done.exit_code, done.stdout) == (0, "")
    assert "warning: network 'net' has no checkpoint 305k" in done.stderr


def test_study_mistakes(built: Store, tmp_path: Path) -> None:
    """A file that is not there, or has a mistake, is named."""
    done = run(built, "study", "set", str(tmp_path / "none.toml"))
    assert done.exit_code == 1
    assert "none.toml" in done.stderr
    (tmp_path / "bad.toml").write_text("nam = 1")
    done = run(built, "study", "set", str(tmp_path / "bad.toml"))
    assert "bad.toml: unknown key 'nam'" in done.stderr
    assert run(built, "study", "show").exit_code == 1


def test_report_list(ready: Store) -> None:
    """The list has every report with its question, how it stands, and why."""
    done = run(ready, "report", "list", "--json")
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    row = rows["table6"]
    assert row["title"] == "Sparsity by layer"
    assert (row["state"], row["why"]) == ("stale", "2 of 2 cells: new cell")
    assert rows["figure1"]["state"] == "left out"
    run(ready, "report", "show", "table6")
    line = next(x for x in run(ready, "report", "list").stdout.splitlines() if "table6" in x)
    assert line.split()[:2] == ["table6", "fresh"]


def test_report_list_of_what_is_missing(ready: Store) -> None:
    """The command that makes what is missing is in the rows, and on stderr."""
    drop(ready.place, Selection(layer="fc"))
    done = run(ready, "report", "list", "--json")
    (row,) = [row for row in json.loads(done.stdout) if row["name"] == "table6"]
    command = "fstore extract --layer fc --ckpt net/5 --dataset d --view image"
    command += f" --store {ready.path}"
    assert row["commands"] == [command]
    assert command in done.stderr.splitlines()[-1]


def test_report_list_without_a_study(built: Store, tmp_path: Path) -> None:
    """Without a study, or without a store, it says what reports there are; stderr says why."""
    done = run(built, "report", "list", "--json")
    assert done.exit_code == 0
    assert {row["state"] for row in json.loads(done.stdout)} == {""}
    assert "fstore study set FILE" in done.stderr
    done = CliRunner().invoke(app, ["--store", str(tmp_path / "none"), "report", "list"])
    assert done.exit_code == 0
    assert "table6" in done.stdout
    assert "no store at" in done.stderr
    assert run(built, "report", "list", "--study", "other").exit_code == 1


def test_report_show(ready: Store) -> None:
    """Rows on stdout; what was computed on stderr, the first time only."""
    done = run(ready, "report", "show", "table6", "--json")
    rows = json.loads(done.stdout)
    assert [(r["study"], r["report"], r["row"], r["n"], r["paper"]) for r in rows] == [
        ("small", "table6", "conv1", 3, 87.5),
        ("small", "table6", "fc", 3, None),
    ]
    assert "computed and stored 2 cells" in done.stderr
    again = run(ready, "report", "show", "table6", "--json")
    assert (again.stdout, again.stderr) == (done.stdout, "")


def test_report_without_study(built: Store) -> None:
    """Without a study the error says how to set one."""
    done = run(built, "report", "show", "table6")
    assert done.exit_code == 1
    assert "fstore study set FILE" in done.stderr


def test_report_with_a_layer_missing(ready: Store) -> None:
    """A missing layer is a note on stderr with the command that makes it."""
    drop(ready.place, Selection(layer="fc"))
    done = run(ready, "report", "show", "table6", "--csv")
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) == 2
    assert "fstore extract --layer fc --ckpt net/5" in done.stderr


def test_report_plot(ready: Store, tmp_path: Path) -> None:
    """--plot saves a figure and prints its path alone; it does not overwrite unasked."""
    out = tmp_path / "t.png"
    done = run(ready, "report", "show", "table6", "--plot", str(out))
    assert (done.exit_code, done.stdout) == (0, f"{out}\n")
    first = out.read_bytes()
    assert first.startswith(b"\x89PNG")
    again = run(ready, "report", "show", "table6", "--plot", str(out))
    assert again.exit_code == 1
    assert "--overwrite" in again.stderr
    words = ("report", "show", "table6", "--plot", str(out), "--overwrite")
    assert run(ready, *words).exit_code == 0
    assert out.read_bytes() == first


@pytest.mark.parametrize("suffix", [".svg", ".pdf"])
def test_report_plot_is_repeatable(ready: Store, tmp_path: Path, suffix: str) -> None:
    """The same rows give the same bytes."""
    files = [tmp_path / f"{i}{suffix}" for i in range(2)]
    for file in files:
        assert run(ready, "report", "show", "table6", "--plot", str(file)).exit_code == 0
    assert files[0].read_bytes() == files[1].read_bytes()


def test_report_mistakes(ready: Store, tmp_path: Path) -> None:
    """An unknown report and an unknown kind of picture are named."""
    assert "there are: " in run(ready, "report", "show", "table99").stderr
    done = run(ready, "report", "show", "table6", "--plot", str(tmp_path / "x.doc"))
    assert (done.exit_code, done.stdout) == (1, "")
    assert ".png, .svg, .pdf" in done.stderr
