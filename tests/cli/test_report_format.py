"""``fstore report show --format``: a table for a paper on stdout."""

import csv
import io
from pathlib import Path

import pytest

from _build import STUDY
from _cli import run
from fstore.queries.publish.paper_tables import SUFFIXES, table_text
from fstore.queries.refresh.show import show_report
from fstore.queries.studies.study import load_study, set_study
from fstore.store import Store


@pytest.mark.parametrize("form", SUFFIXES)
def test_format(ready: Store, form: str) -> None:
    """The table is that of the report's rows, with its title; nothing else is on stdout."""
    done = run(ready, "report", "show", "table6", "--format", form)
    rows = show_report(ready, load_study(ready), "table6").rows
    assert done.exit_code == 0
    word = {"nonzero_percent": "non-zero (percent)"}.__getitem__
    spread = "over images: how these differ"
    title = "Sparsity by layer, d"
    told = table_text(rows, form, title=title, label="table6", word=word, spread=spread)
    assert done.stdout == told
    assert "computed and stored" in done.stderr


def test_one_way_at_a_time(ready: Store, tmp_path: Path) -> None:
    """--format goes with neither --plot nor --json nor --csv; another format is wrong usage."""
    for other in (["--json"], ["--csv"], ["--plot", str(tmp_path / "x.png")]):
        done = run(ready, "report", "show", "table6", "--format", "md", *other)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "choose one of" in done.stderr
    assert run(ready, "report", "show", "table6", "--format", "doc").exit_code == 2


def test_build_writes_every_table(ready: Store, tmp_path: Path) -> None:
    """Build --format writes a file a table, names each, and says what is lacking."""
    out = tmp_path / "tables"
    study = STUDY.replace("layers = [", 'sweep = ["5", "7"]\nlayers = [').replace(
        "[cl", '[pretrain]\ndataset = "d"\n[cl'
    )
    set_study(ready, study)  # there is no checkpoint 7
    done = run(ready, "report", "build", str(out), "--format", "md")
    assert done.exit_code == 0, done.output
    assert str(out / "table6.md") in done.stdout.splitlines()
    assert {path.name for path in out.iterdir()} == {
        Path(line).name for line in done.stdout.splitlines()
    }
    one = run(ready, "report", "show", "table6", "--format", "md").stdout
    assert (out / "table6.md").read_text() == one
    assert "table3 is not complete: missing inputs: " in done.stderr
    assert "figure" not in done.stderr
    again = run(ready, "report", "build", str(out), "--format", "md")
    assert (again.exit_code, again.stdout) == (1, "")
    assert "exists" in again.stderr


def test_show_prints_the_table(ready: Store) -> None:
    """Without an option a report is a table: a line a row, a column a column, every value in it."""
    done = run(ready, "report", "show", "table6")
    cells = list(
        csv.DictReader(io.StringIO(run(ready, "report", "show", "table6", "--csv").stdout))
    )
    head, _, *lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(dict.fromkeys(c["row"] for c in cells))
    assert head.split()[0] == "row"
    for cell in cells:
        (line,) = [line for line in lines if line.split()[0] == cell["row"]]
        assert f"{float(cell['value']):.1f}" in line
    assert "Sparsity by layer" in done.stderr


def test_show_long_has_a_line_a_cell(ready: Store) -> None:
    """--long prints the rows that --csv has."""
    long = run(ready, "report", "show", "table6", "--long").stdout.splitlines()
    cells = run(ready, "report", "show", "table6", "--csv").stdout.splitlines()
    assert len(long) == len(cells) + 1
    assert long[0].split() == cells[0].split(",")
