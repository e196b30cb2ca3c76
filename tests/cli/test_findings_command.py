"""``fstore report findings``: verdicts on stdout, computed only when asked."""

import csv
import io
import json
from pathlib import Path

import pytest

from _build import build
from _cli import run
from fstore.cli.findings import _wrapped
from fstore.queries.findings import CLAIMS, Verdict
from fstore.store import Store

STUDY = """
name = "small"
network = "net"
layers = ["conv1", "fc"]
mid_layer = "conv1"
top_layer = "fc"
pretrained = "5"
sweep = ["5", "15"]

[classification]
dataset = "d"
"""


@pytest.fixture
def built(tmp_path: Path) -> Store:
    """Build a store of two checkpoints whose study is set."""
    (tmp_path / "small.toml").write_text(STUDY)
    built = build(tmp_path / "s", ("5", "15")).store
    assert run(built, "study", "set", str(tmp_path / "small.toml")).exit_code == 0
    return built


def test_nothing_is_computed_unasked(built: Store) -> None:
    """Without --compute the numbers that are not stored lack, and stay away."""
    done = run(built, "report", "findings", "--json")
    rows = json.loads(done.stdout)
    assert (done.exit_code, done.stderr) == (0, "")
    assert len(rows) == len(list(CLAIMS))
    assert {row["verdict"] for row in rows} == {"not enough data"}
    assert built.rows("reports").num_rows == 0


def test_compute(built: Store) -> None:
    """With --compute the reports are computed; JSON and CSV say the same, and more than a table."""
    rows = json.loads(run(built, "report", "findings", "--compute", "--json").stdout)
    (row,) = [r for r in rows if r["name"] == "binarizing-is-nearly-free-at-fc"]
    assert "d tests on 3 samples, of a class on 1 (a) to 2 of them" in row["evidence"]
    assert row["verdict"] == "not enough data"
    assert row["reports"] == ["table7"]
    assert row["paper"].startswith("holds: fc6: binarized 71.5")
    assert built.rows("reports", report="table7").num_rows > 0
    text = run(built, "report", "findings", "--csv").stdout
    found = list(csv.DictReader(io.StringIO(text)))
    assert [r["verdict"] for r in found] == [r["verdict"] for r in rows]
    assert {r["verdict"] for r in found} <= {v.value for v in Verdict}
    assert list(found[0]) == list(row)


def test_table(built: Store) -> None:
    """The table has claims, verdicts and evidence, in lines of a terminal's width."""
    lines = run(built, "report", "findings").stdout.splitlines()
    assert lines[0].split() == ["claim", "verdict", "evidence"]
    assert max(map(len, lines)) <= 120
    assert sum("not enough data" in line for line in lines) == len(list(CLAIMS))


def test_commands_stay_whole() -> None:
    """Lines break at spaces: an option is not torn at its hyphens."""
    words = "--method selective-search " * 8
    row = {"claim": "A.", "verdict": "holds", "evidence": words.strip()}
    lines = _wrapped(row)["evidence"].split("\n")
    assert {word for line in lines for word in line.split()} == set(words.split())


def test_unknown_study(built: Store) -> None:
    """A study that is not set is named."""
    done = run(built, "report", "findings", "--study", "other")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "no study 'other' is set" in done.stderr
