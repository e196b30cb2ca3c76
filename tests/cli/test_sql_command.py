"""``fstore sql``: what it prints, writes and refuses."""

import csv
import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pyarrow import parquet as pq
from typer.testing import CliRunner, Result

from fstore.cli import app
from fstore.store import Store

Run = Callable[..., Result]

MIXED = """
    SELECT 1 AS i, 'NaN'::DOUBLE AS nan, '-inf'::FLOAT AS inf, NULL AS nothing, 'a,"b"' AS text,
        TIMESTAMP '2026-01-02 03:04:05' AS at, DATE '2026-01-02' AS day, TRUE AS flag,
        {'x': 1.5::FLOAT, 'y': [NULL, 'NaN'::FLOAT]} AS s, sum(2) AS total, 0.25 AS part,
        range(20) AS many
"""


@pytest.fixture
def run(store: Store) -> Run:
    """Return a function that runs `fstore sql ...` on the store of known responses."""

    def invoke(*words: str | Path, text: str | None = None) -> Result:
        where = ["--store", str(store.path), "sql", *(str(w) for w in words)]
        return CliRunner().invoke(app, where, input=text)

    return invoke


def test_table(run: Run) -> None:
    """The default is a table; numbers stand right, names of checkpoints as they are."""
    result = run("SELECT ckpt, layer, count(*) AS n FROM activations GROUP BY ALL ORDER BY ALL")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "ckpt  layer          n\n"
        "----  ------------  --\n"
        " 005  conv1         36\n"
        " 005  fc7           72\n"
        " 005  fire2/concat  60\n"
        "   5  conv1         36\n"
        "   5  fc7           72\n"
        "   5  fire2/concat  60\n"
    )


def test_table_of_anything(run: Run) -> None:
    """Lists are cut short, NULL is blank, structs are readable."""
    lines = run(MIXED).stdout.splitlines()
    assert len(lines) == 3
    assert "[0, 1, 2, 3, 4, 5, 6, 7, ...]" in lines[2]
    assert "{x: 1.5, y: [, nan]}" in lines[2]


def test_json(run: Run) -> None:
    """JSON is valid whatever the values: NaN and infinities are null, sums are numbers."""

    def refuse(word: str) -> object:
        raise AssertionError(word)

    (row,) = json.loads(run(MIXED, "--json").stdout, parse_constant=refuse)
    assert row == {
        "i": 1,
        "nan": None,
        "inf": None,
        "nothing": None,
        "text": 'a,"b"',
        "at": "2026-01-02T03:04:05",
        "day": "2026-01-02",
        "flag": True,
        "s": {"x": 1.5, "y": [None, None]},
        "total": 2,
        "part": 0.25,
        "many": list(range(20)),
    }
    assert run("SELECT 1 AS a WHERE false", "--json").stdout == "[]\n"


def test_csv(run: Run) -> None:
    """CSV has a header; NULL is empty, NaN says so, lists and structs are JSON."""
    result = run(MIXED, "--csv")
    (row,) = csv.DictReader(io.StringIO(result.stdout))
    assert (row["nan"], row["inf"], row["nothing"], row["text"]) == ("nan", "-inf", "", 'a,"b"')
    assert json.loads(row["s"]) == {"x": 1.5, "y": [None, None]}
    assert json.loads(row["many"]) == list(range(20))
    assert run("SELECT 1 AS a WHERE false", "--csv").stdout == "a\n"


def test_where_the_statement_comes_from(run: Run, tmp_path: Path) -> None:
    """An argument, standard input and a file are read alike; one of them must be given."""
    file = tmp_path / "q.sql"
    file.write_text("SELECT 1 AS a -- ü\n;\n", encoding="utf-8")
    expected = '[{"a": 1}]\n'
    assert run("SELECT 1 AS a", "--json").stdout == expected
    assert run("-", "--json", text="SELECT 1 AS a").stdout == expected
    assert run("--file", file, "--json").stdout == expected
    for words in ((), ("SELECT 1", "--file", file)):
        assert run(*words).exit_code == 2
    absent = run("--file", tmp_path / "none.sql")
    assert (absent.exit_code, absent.stderr) == (1, f"error: no file {tmp_path}/none.sql\n")


def test_plan(run: Run) -> None:
    """A plan keeps its lines."""
    lines = run("EXPLAIN SELECT count(*) FROM samples").stdout.splitlines()
    assert lines[0].split() == ["explain_key", "explain_value"]
    assert len({line.index("│") for line in lines if "│" in line}) == 1


def test_limit(run: Run) -> None:
    """`--limit` prints so many rows and says on stderr that there are more."""
    result = run("FROM range(5)", "--limit", "2", "--csv")
    assert result.stdout == "range\n0\n1\n"
    assert "first 2 rows" in result.stderr
    assert run("FROM range(2)", "--limit", "2", "--csv").stderr == ""


def test_terminal_is_spared(store: Store) -> None:
    """On a terminal a table ends after 100 rows with a note; in a pipe it does not."""
    command = [sys.executable, "-m", "fstore", "--store", str(store.path), "sql", "FROM range(150)"]
    parent, child = pty.openpty()
    with subprocess.Popen(command, stdout=child, stderr=subprocess.PIPE) as process:
        os.close(child)
        shown = b""
        while chunk := _read(parent):
            shown += chunk
        os.close(parent)
        assert process.stderr is not None
        assert b"first 100 rows" in process.stderr.read()
    assert len(shown.splitlines()) == 102
    piped = subprocess.run(command, capture_output=True, check=True, text=True)
    assert (len(piped.stdout.splitlines()), piped.stderr) == (152, "")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # the other end is closed
        return b""


def test_parquet(run: Run, tmp_path: Path) -> None:
    """`--parquet` writes a file, prints its path and nothing else, and replaces none unasked."""
    out = tmp_path / "x.parquet"
    result = run("SELECT * FROM activations", "--parquet", out)
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{out}\n", "")
    assert pq.read_metadata(out).num_rows == 2 * 12 * 14
    again = run("SELECT 1 AS a", "--parquet", out)
    assert (again.exit_code, again.stdout) == (1, "")
    assert again.stderr == f"error: {out} exists; choose another name or overwrite it\n"
    assert run("SELECT 1 AS a", "--parquet", out, "--overwrite").exit_code == 0
    assert pq.read_table(out).to_pylist() == [{"a": 1}]
    assert run("SELECT 1", "--parquet", out, "--json").exit_code == 2


def test_refusals(run: Run, tmp_path: Path) -> None:
    """A refused or failing statement exits 1 with one message on stderr."""
    for statement in ("COPY (SELECT 1) TO 'x.csv'", "SELECT * FROM nothing", "SELECT error('x')"):
        result = run(statement)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("error: ")
    assert run("SELECT 1", "--json", "--csv").exit_code == 2
    lost = CliRunner().invoke(app, ["--store", str(tmp_path / "none"), "sql", "SELECT 1"])
    assert lost.exit_code == 1
    assert "no store at" in lost.stderr
